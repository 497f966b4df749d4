//! What is wrong with a configuration, told so that a person can put it right.
//!
//! Values never stand in a problem, since any of them may be a secret pasted in the wrong place;
//! keys, names and choices do.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File and line, or the flag; empty where neither is to blame.
    origin: String,
    /// Where in the file it begins, for sorting; 0 for a flag.
    offset: usize,
    /// The key, dotted; may be empty.
    key: String,
    /// What is wrong, and the fix.
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.origin, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.what)
    }
}

/// All that is wrong with a configuration. Displays as one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// A problem of no file and no flag.
    pub fn general(what: impl Into<String>) -> Self {
        let mut problems = Self::default();
        problems.say(what);
        problems
    }

    /// Adds a problem of no file and no flag.
    pub(super) fn say(&mut self, what: impl Into<String>) {
        self.add(String::new(), 0, String::new(), what.into());
    }

    /// Adds what is wrong with a command-line flag.
    pub fn flag(&mut self, flag: &str, what: impl Into<String>) {
        self.add(flag.to_owned(), 0, String::new(), what.into());
    }

    /// `value`, if nothing is wrong.
    ///
    /// # Errors
    /// These problems, if there are any.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// All of them, in the order of the file; flags first.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// The first one, for whoever has room for a single line; empty if there is none.
    pub fn first(&self) -> String {
        self.0.first().map(Problem::to_string).unwrap_or_default()
    }

    fn add(&mut self, origin: String, offset: usize, key: String, what: String) {
        let at = self.0.partition_point(|other| other.offset <= offset);
        self.0.insert(
            at,
            Problem {
                origin,
                offset,
                key,
                what,
            },
        );
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where something was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: it is the default.
    #[default]
    Default,
    /// These bytes of the file.
    File(Range<usize>),
    /// This command-line flag.
    Flag(&'static str),
}

/// Collects the problems of one file and the flags laid over it.
#[derive(Default)]
pub(super) struct Report {
    /// How the file is named in problems; empty without a file.
    pub(super) file: String,
    /// The file's text, for line numbers; empty without a file.
    pub(super) text: String,
    pub(super) problems: Problems,
}

impl Report {
    /// Says that what stands at `place` under `key` is wrong.
    pub(super) fn say(&mut self, place: &Place, key: &str, what: impl Into<String>) {
        let (origin, offset) = match place {
            Place::Flag(flag) => ((*flag).to_owned(), 0),
            Place::Default => (self.file.clone(), 0),
            Place::File(bytes) => {
                let line = self.line(bytes.start);
                (format!("{}:{line}", self.file), bytes.start)
            }
        };
        self.problems
            .add(origin, offset, key.to_owned(), what.into());
    }

    /// Says that the file isn't TOML.
    pub(super) fn syntax(&mut self, error: &toml::de::Error) {
        // The error's own `Display` would quote the line, secrets and all.
        let start = error.span().map_or(0, |span| span.start);
        let before = self.text.get(..start).unwrap_or_default();
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let line = self.line(start);
        let origin = format!("{}:{line}:{column}", self.file);
        let what = format!("not valid TOML: {}", error.message());
        self.problems.add(origin, start, String::new(), what);
    }

    /// The line of an offset in the file, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        memchr::memchr_iter(b'\n', before).count() + 1
    }
}

/// The one of `known` that `name` was probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        // One slip in a short name changes much of it.
        .filter(|(likeness, candidate)| {
            *likeness >= 0.75 || strsim::damerau_levenshtein(name, candidate) == 1
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
