//! Globs of names: `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`, and `\` before a character that stands for itself.
//!
//! Owns the language and the match. `*` is any text, `/` included; `**` is the same. A match takes time in the
//! product of both lengths at most, since names come from backends.

use std::sync::Arc;

/// Most tokens that one glob becomes once its alternatives are written out.
const MAX_TOKENS: usize = 100_000;

/// Characters that a glob reads as something else than themselves.
const SPECIAL: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// One glob. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Glob(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    written: Box<str>,
    /// The tokens of each alternative.
    forms: Vec<Form>,
}

type Form = Vec<Token>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Any text, the empty one too.
    Text,
    /// Any one character.
    One,
    /// This character.
    Char(char),
    /// A character of one of the ranges, or of none of them.
    Class {
        ranges: Arc<[(char, char)]>,
        is_negated: bool,
    },
}

/// Why a text is no glob, for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoGlob {
    #[error("a '[' has no ']'; write [[] for the character itself")]
    OpenClass,
    #[error("the range {0}-{1} runs backwards")]
    Range(char, char),
    #[error("a '{{' has no '}}'; write [{{] for the character itself")]
    OpenAlternatives,
    #[error("a '}}' has no '{{'; write []}}] for the character itself")]
    NoAlternatives,
    #[error("nothing follows the last '\\'; write [\\] for the character itself")]
    Escape,
    #[error("its alternatives make too many forms; write several globs")]
    TooLarge,
}

impl Glob {
    /// # Errors
    /// Why the text is none.
    pub(crate) fn new(written: &str) -> Result<Self, NoGlob> {
        let forms = Parser::default().parse(written)?;
        let written = written.into();
        Ok(Self(Arc::new(Parsed { written, forms })))
    }

    /// The glob as written.
    pub fn written(&self) -> &str {
        &self.0.written
    }

    /// How much memory and time it takes: of each of its alternatives the tokens, and one more.
    pub(crate) fn tokens(&self) -> usize {
        self.0.forms.iter().map(|form| form.len() + 1).sum()
    }

    /// Whether the name as a whole is one of the glob.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.forms.iter().any(|form| is_match(form, name))
    }
}

/// Globs of which any may match.
#[derive(Debug, Clone, Default)]
pub struct GlobSet(Vec<Glob>);

impl GlobSet {
    /// Whether there is no glob in it, so that it matches nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Glob> {
        self.0.iter()
    }

    /// Whether one of them matches the name.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.iter().any(|glob| glob.is_match(name))
    }
}

impl FromIterator<Glob> for GlobSet {
    fn from_iter<T: IntoIterator<Item = Glob>>(globs: T) -> Self {
        Self(globs.into_iter().collect())
    }
}

/// The glob that matches this text alone.
pub(crate) fn escape(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for char in text.chars() {
        match SPECIAL.contains(&char) {
            true => glob.extend(['[', char, ']']),
            false => glob.push(char),
        }
    }
    glob
}

impl Token {
    fn is(&self, char: char) -> bool {
        match self {
            Self::Text | Self::One => true,
            Self::Char(own) => *own == char,
            Self::Class { ranges, is_negated } => {
                let mut ranges = ranges.iter();
                ranges.any(|(first, last)| (*first..=*last).contains(&char)) != *is_negated
            }
        }
    }
}

/// Goes back to the last [`Token::Text`] alone, which is enough: what an earlier one could take more,
/// the last one can.
fn is_match(form: &[Token], name: &str) -> bool {
    let (mut at, mut rest) = (0, name.chars());
    let mut last_text = None;
    loop {
        match form.get(at) {
            Some(Token::Text) => {
                at += 1;
                last_text = Some((at, rest.clone()));
                continue;
            }
            Some(token) => {
                let mut after = rest.clone();
                if after.next().is_some_and(|char| token.is(char)) {
                    (at, rest) = (at + 1, after);
                    continue;
                }
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after_text, text_to)) = &mut last_text else {
            return false;
        };
        if text_to.next().is_none() {
            return false;
        }
        (at, rest) = (*after_text, text_to.clone());
    }
}

/// The forms that the glob has so far, by the braces that are open.
struct Parser {
    open: Vec<Alternatives>,
    /// The forms of the innermost alternative.
    forms: Vec<Form>,
    tokens: usize,
}

/// Where a `{` stands.
struct Alternatives {
    before: Vec<Form>,
    complete: Vec<Form>,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            forms: vec![Form::new()],
            tokens: 0,
        }
    }
}

impl Parser {
    fn parse(mut self, written: &str) -> Result<Vec<Form>, NoGlob> {
        let mut chars = written.chars();
        while let Some(char) = chars.next() {
            match char {
                '*' => self.push(&Token::Text)?,
                '?' => self.push(&Token::One)?,
                '[' => self.push(&class(&mut chars)?)?,
                '\\' => self.push(&Token::Char(chars.next().ok_or(NoGlob::Escape)?))?,
                '{' => self.open.push(Alternatives {
                    before: std::mem::replace(&mut self.forms, vec![Form::new()]),
                    complete: Vec::new(),
                }),
                ',' if !self.open.is_empty() => self.complete(),
                '}' => self.close()?,
                char => self.push(&Token::Char(char))?,
            }
        }
        match self.open.is_empty() {
            true => Ok(self.forms),
            false => Err(NoGlob::OpenAlternatives),
        }
    }

    fn push(&mut self, token: &Token) -> Result<(), NoGlob> {
        self.count(self.forms.len())?;
        for form in &mut self.forms {
            if !(*token == Token::Text && form.last() == Some(token)) {
                form.push(token.clone());
            }
        }
        Ok(())
    }

    fn count(&mut self, tokens: usize) -> Result<(), NoGlob> {
        self.tokens += tokens;
        match self.tokens > MAX_TOKENS {
            true => Err(NoGlob::TooLarge),
            false => Ok(()),
        }
    }

    /// Ends an alternative. An empty one is none.
    fn complete(&mut self) {
        let forms = std::mem::replace(&mut self.forms, vec![Form::new()]);
        if let Some(open) = self.open.last_mut() {
            let forms = forms.into_iter().filter(|form| !form.is_empty());
            open.complete.extend(forms);
        }
    }

    fn close(&mut self) -> Result<(), NoGlob> {
        self.complete();
        let Alternatives { before, complete } = self.open.pop().ok_or(NoGlob::NoAlternatives)?;
        if complete.is_empty() {
            self.forms = before;
            return Ok(());
        }
        let lengths = |forms: &[Form]| forms.iter().map(|form| form.len() + 1).sum::<usize>();
        let pairs = lengths(&before).saturating_mul(complete.len());
        self.count(pairs.saturating_add(lengths(&complete).saturating_mul(before.len())))?;
        let pairs = before.iter().flat_map(|before| {
            let forms = complete.iter();
            forms.map(|form| before.iter().chain(form).cloned().collect())
        });
        self.forms = pairs.collect();
        Ok(())
    }
}

/// What follows a `[`.
fn class(chars: &mut std::str::Chars<'_>) -> Result<Token, NoGlob> {
    let is_negated = chars.as_str().starts_with(['!', '^']);
    if is_negated {
        chars.next();
    }
    let mut ranges: Vec<(char, char)> = Vec::new();
    loop {
        let first = chars.next().ok_or(NoGlob::OpenClass)?;
        if first == ']' && !ranges.is_empty() {
            break;
        }
        let mut after = chars.clone();
        let last = (after.next() == Some('-'))
            .then(|| after.next())
            .flatten()
            .filter(|last| *last != ']');
        match last {
            Some(last) if last < first => return Err(NoGlob::Range(first, last)),
            Some(last) => {
                ranges.push((first, last));
                *chars = after;
            }
            None => ranges.push((first, first)),
        }
    }
    Ok(Token::Class {
        ranges: ranges.into(),
        is_negated,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_match(glob: &str, name: &str) -> bool {
        Glob::new(glob).unwrap().is_match(name)
    }

    #[test]
    fn each_part_of_the_language_has_its_meaning() {
        for (glob, names, others) in [
            ("", &[""][..], &["a"][..]),
            ("read_*", &["read_", "read_a/b"], &["read", "a_read_"]),
            ("*", &["", "a\n/b"], &[]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("?é?", &["éé\u{1f600}"], &["é", "ééé\u{301}"]),
            ("[a-cx]1", &["a1", "c1", "x1"], &["d1", "1", "[a-cx]1"]),
            ("[!a-c]", &["d", "é"], &["a", ""]),
            ("[^]-]", &["a"], &["]", "-"]),
            ("[]a-]", &["]", "a", "-"], &["b"]),
            (
                "{get,list}_{a,b{1,2}}",
                &["get_a", "list_b2"],
                &["get_b", "get_"],
            ),
            ("a{,b}", &["ab"], &["a"]),
            ("a{}b", &["ab"], &["a{}b"]),
            ("a,b", &["a,b"], &["a", "b"]),
            ("\\*\\{", &["*{"], &["a{"]),
            ("*a*b*c", &["abc", "xaabbcc", "abcabc"], &["acb", "abcd"]),
        ] {
            for name in names {
                assert!(is_match(glob, name), "{glob} is meant to match {name:?}");
            }
            for name in others {
                assert!(
                    !is_match(glob, name),
                    "{glob} isn't meant to match {name:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_glob_says_why() {
        for (glob, error) in [
            ("a[b", NoGlob::OpenClass),
            ("[]", NoGlob::OpenClass),
            ("[!", NoGlob::OpenClass),
            ("[z-a]", NoGlob::Range('z', 'a')),
            ("{a,{b}", NoGlob::OpenAlternatives),
            ("a}", NoGlob::NoAlternatives),
            ("a\\", NoGlob::Escape),
        ] {
            assert_eq!(Glob::new(glob).err(), Some(error), "{glob}");
        }
    }

    #[test]
    fn alternatives_and_length_are_bounded_together() {
        let too_large = [
            "{a,b}".repeat(40),
            format!("{}{}", "{a,b}".repeat(10), "x".repeat(1_000)),
            "x".repeat(MAX_TOKENS + 1),
            "{a,{b,".repeat(100_000),
        ];
        for glob in too_large {
            assert!(matches!(
                Glob::new(&glob),
                Err(NoGlob::TooLarge | NoGlob::OpenAlternatives)
            ));
        }
        assert!(is_match(&"{a,b}".repeat(8), "abababab"));
    }

    #[test]
    fn a_match_takes_no_more_than_the_product_of_both_lengths() {
        let glob = Glob::new(&"*a".repeat(100)).unwrap();
        assert!(!glob.is_match(&format!("{}b", "a".repeat(2_000))));
    }

    proptest! {
        /// globset, with `/` as any other character, is the judge. It counts `?` in bytes, hence ASCII alone.
        #[test]
        fn it_matches_what_globset_does(
            glob in r"([a-c*?,\[\]{}!^\\-]|\[[!^]?[a-c-]{1,3}\]|\{[a-c*?]{0,2},[a-c*?]{0,2}\}){0,10}",
            name in r"[a-c,!^\[\]{}*?\\-]{0,8}",
        ) {
            let judge = globset::GlobBuilder::new(&glob)
                .literal_separator(false)
                .backslash_escape(true)
                .build();
            let own = Glob::new(&glob);
            prop_assert_eq!(own.is_ok(), judge.is_ok(), "{:?} {:?}", own, judge);
            if let (Ok(own), Ok(judge)) = (own, judge) {
                prop_assert_eq!(own.is_match(&name), judge.compile_matcher().is_match(&name));
            }
        }

        #[test]
        fn an_escaped_name_matches_itself_alone(
            name in r"[a-c,!^\[\]{}*?\\-]{0,8}",
            other in r"[a-c,!^\[\]{}*?\\-]{0,8}",
        ) {
            let glob = Glob::new(&escape(&name)).unwrap();
            prop_assert!(glob.is_match(&name));
            prop_assert_eq!(glob.is_match(&other), name == other);
        }
    }
}
