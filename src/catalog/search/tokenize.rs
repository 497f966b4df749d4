//! Text into terms.
//!
//! Owns what a term is: a word in lower case, split at case changes, stemmed, no stop word. Documents and
//! queries go through the same code.

/// Words that say nothing about a tool.
const STOP_WORDS: [&str; 81] = [
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but",
    "by", "can", "could", "did", "do", "does", "each", "for", "from", "had", "has", "have", "how",
    "i", "if", "in", "into", "is", "it", "its", "just", "let", "me", "my", "need", "no", "not",
    "of", "on", "or", "our", "out", "please", "should", "so", "some", "that", "the", "their",
    "them", "then", "there", "these", "this", "those", "to", "tool", "up", "use", "used", "using",
    "via", "want", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will",
    "with", "would", "you", "your",
];

/// Shortest word that is stemmed.
const MIN_STEMMED: usize = 4;

/// Calls `each` with every term of a text, in order.
pub(super) fn terms(text: &str, mut each: impl FnMut(&str)) {
    words(text, |word| {
        if !is_stop_word(word) {
            each(&stem(word));
        }
    });
}

fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Calls `each` with every word, in lower case: runs of letters and digits. A word of several parts,
/// such as `readFile` or `GitHub`, gives its parts and itself. Text that is written without spaces
/// gives pairs of characters.
fn words(text: &str, mut each: impl FnMut(&str)) {
    let mut lower = String::new();
    for run in text.split(|c: char| !c.is_alphanumeric()) {
        let mut rest = run;
        while let Some(first) = rest.chars().next() {
            let border = rest.find(|c| is_unspaced(c) != is_unspaced(first));
            let (part, after) = rest.split_at(border.unwrap_or(rest.len()));
            rest = after;
            match is_unspaced(first) {
                true => pairs(part, &mut each),
                false => parts(part, &mut lower, &mut each),
            }
        }
    }
}

/// The parts of a word, and the word itself where it has several.
fn parts(word: &str, lower: &mut String, each: &mut impl FnMut(&str)) {
    let (mut count, mut start) = (0, 0);
    for end in humps(word) {
        lower_case(&word[start..end], lower);
        each(lower);
        (start, count) = (end, count + 1);
    }
    if count > 1 {
        lower_case(word, lower);
        each(lower);
    }
}

fn lower_case(word: &str, lower: &mut String) {
    lower.clear();
    lower.extend(word.chars().flat_map(char::to_lowercase));
}

/// Where the parts of a word in mixed case end: `readHTTPFile` is `read`, `HTTP`, `File`.
fn humps(word: &str) -> impl Iterator<Item = usize> {
    let mut chars = word.char_indices().peekable();
    let mut before = None;
    std::iter::from_fn(move || {
        while let Some((_, c)) = chars.next() {
            let Some(&(at, next)) = chars.peek() else {
                return Some(word.len());
            };
            let after_next = word[at..].chars().nth(1);
            let starts = next.is_uppercase()
                && (c.is_lowercase()
                    || c.is_ascii_digit() && before.is_some_and(char::is_lowercase)
                    || c.is_uppercase() && after_next.is_some_and(char::is_lowercase));
            before = Some(c);
            if starts {
                return Some(at);
            }
        }
        None
    })
}

/// Whether it is of a script that is written without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c), 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af | 0x0e00..=0x0eff)
}

/// Every two neighbouring characters, or the only one.
fn pairs(run: &str, each: &mut impl FnMut(&str)) {
    let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).collect();
    let end = |at: usize| starts.get(at).copied().unwrap_or(run.len());
    let mut lower = String::new();
    for at in 0..starts.len().max(2) - 1 {
        lower_case(&run[starts[at]..end(at + 2)], &mut lower);
        each(&lower);
    }
}

/// An English word without the usual endings, so that forms of one word are one term.
pub(super) fn stem(word: &str) -> String {
    let mut stem = word.to_owned();
    if word.len() < MIN_STEMMED || !word.is_ascii() {
        return stem;
    }
    if let Some(rest) = strip(&stem, "ies", 2) {
        stem = format!("{rest}y");
    } else if ["sses", "xes", "ches", "shes", "zes"]
        .iter()
        .any(|end| stem.ends_with(end))
    {
        stem.truncate(stem.len() - 2);
    } else if !["ss", "us", "is"].iter().any(|end| stem.ends_with(end)) {
        stem = strip(&stem, "s", 3).unwrap_or(&stem).to_owned();
    }
    let without = ["ing", "ed"].iter().find_map(|end| strip(&stem, end, 3));
    if let Some(rest) = without.filter(|rest| rest.contains(['a', 'e', 'i', 'o', 'u', 'y'])) {
        stem = undoubled(rest).to_owned();
    } else if let Some(rest) = strip(&stem, "ion", 4).filter(|rest| rest.ends_with(['s', 't'])) {
        stem = rest.to_owned();
    }
    stem = strip(&stem, "e", 3).unwrap_or(&stem).to_owned();
    if let Some(rest) = strip(&stem, "y", 3) {
        stem = format!("{rest}i");
    }
    stem
}

/// The word without this ending, if at least `least` bytes are left.
fn strip<'a>(word: &'a str, ending: &str, least: usize) -> Option<&'a str> {
    word.strip_suffix(ending).filter(|rest| rest.len() >= least)
}

/// `stopp` is `stop`; `call` and `pass` stay.
fn undoubled(word: &str) -> &str {
    match word.as_bytes() {
        [.., a, b] if a == b && !b"lsz".contains(b) => &word[..word.len() - 1],
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, |word| found.push(word.to_owned()));
        found
    }

    #[test]
    fn names_are_split_at_separators_and_case_changes() {
        for (name, expected) in [
            ("read_file", &["read", "file"][..]),
            ("readFile", &["read", "file", "readfile"]),
            ("HTTPServer2", &["http", "server2", "httpserver2"]),
            ("list-open.issues", &["list", "open", "issues"]),
            ("GitHub", &["git", "hub", "github"]),
            ("S3Upload", &["s3upload"]),
            ("", &[]),
            ("__", &[]),
            ("ÜberSicht", &["über", "sicht", "übersicht"]),
        ] {
            assert_eq!(words_of(name), expected, "{name}");
        }
    }

    #[test]
    fn text_without_spaces_is_split_into_pairs() {
        assert_eq!(words_of("読み取り"), ["読み", "み取", "取り"]);
        assert_eq!(words_of("読"), ["読"]);
        let mixed = words_of("時間。startTimeとend");
        assert_eq!(mixed, ["時間", "start", "time", "starttime", "と", "end"]);
    }

    #[test]
    fn forms_of_a_word_are_one_term() {
        for forms in [
            &["create", "creates", "created", "creating", "creation"][..],
            &["query", "queries", "querying"],
            &["delete", "deletion", "deleted"],
            &["file", "files", "filed"],
            &["move", "moving", "moved", "moves"],
            &["directory", "directories"],
            &["stop", "stopped", "stopping"],
            &["branch", "branches"],
            &["search", "searches", "searching"],
            &["address", "addresses"],
        ] {
            let stems: Vec<String> = forms.iter().map(|word| stem(word)).collect();
            assert!(stems.iter().all(|one| *one == stems[0]), "{stems:?}");
        }
        for (one, other) in [("status", "state"), ("string", "stre"), ("bus", "bu")] {
            assert_ne!(stem(one), stem(other));
        }
    }

    #[test]
    fn stop_words_are_sorted_for_the_search() {
        assert!(STOP_WORDS.is_sorted());
    }
}
