//! Problems of a configuration.
//!
//! Owns their text and order: each has its place and the fix, and at most a hundred are kept. A problem names
//! keys, names and choices, never a value: any value may be a secret that was pasted in the wrong place.

use std::fmt;
use std::ops::Range;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File and line, or the flag; empty where neither applies.
    origin: String,
    /// For sorting: the byte offset in the file; 0 for a flag, unless its problem may be due to one of
    /// the file.
    offset: usize,
    /// The key as a dotted path; may be empty.
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

/// Most problems that are kept: a file that was merely found may be made of nothing else.
const MAX_PROBLEMS: usize = 100;

/// The problems of a configuration, the first ones if there are very many. Displays as one line
/// each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first problems, in the order of the file; those of flags first.
    first: Vec<Problem>,
    /// How many further ones there are.
    more: usize,
}

impl Problems {
    /// One problem without a place in a file or a flag.
    pub(super) fn general(what: impl Into<String>) -> Self {
        let mut problems = Self::default();
        problems.add(what);
        problems
    }

    /// Adds a problem without a place in a file or a flag.
    pub(super) fn add(&mut self, what: impl Into<String>) {
        self.insert(String::new(), 0, String::new(), what.into());
    }

    /// Adds a problem of a command-line flag.
    pub(crate) fn add_flag(&mut self, flag: &str, what: impl Into<String>) {
        self.insert(flag.to_owned(), 0, String::new(), what.into());
    }

    /// These problems, and then the others.
    pub(super) fn followed_by(mut self, others: Self) -> Self {
        self.more += others.more;
        self.first.extend(others.first);
        self.more += self.first.len().saturating_sub(MAX_PROBLEMS);
        self.first.truncate(MAX_PROBLEMS);
        self
    }

    /// `value` if there are no problems.
    ///
    /// # Errors
    /// These problems, if there are any.
    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.first.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// In the order of the file, and a cause before its effects. Flags come first, except those that
    /// name a backend which isn't there.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.first.iter()
    }

    /// The first one as one line; empty if there is none.
    pub fn first(&self) -> String {
        self.first
            .first()
            .map(Problem::to_string)
            .unwrap_or_default()
    }

    /// The beginning: at most `limit` problems, one line each, and how many more there are.
    pub(crate) fn beginning(&self, limit: usize) -> String {
        let mut lines: Vec<String> = self.iter().take(limit).map(Problem::to_string).collect();
        let more = self.first.len().saturating_sub(limit) + self.more;
        if more > 0 {
            lines.push(format!(
                "and {more} more; `sentinel-gateway check` shows all"
            ));
        }
        lines.join("\n")
    }

    fn insert(&mut self, origin: String, offset: usize, key: String, what: String) {
        let at = self.first.partition_point(|other| other.offset <= offset);
        self.first.insert(
            at,
            Problem {
                origin,
                offset,
                key,
                what,
            },
        );
        if self.first.len() > MAX_PROBLEMS {
            self.first.pop();
            self.more += 1;
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.first.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// Where a value was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Location {
    /// Nowhere: it is the default.
    #[default]
    Default,
    /// These bytes of the file.
    File(Range<usize>),
    /// This command-line flag.
    Flag(&'static str),
}

impl Location {
    /// The first byte in the file; 0 for what is not from there.
    pub(super) fn start(&self) -> usize {
        match self {
            Self::File(bytes) => bytes.start,
            Self::Default | Self::Flag(_) => 0,
        }
    }
}

/// Farthest column that is told of a syntax error.
const MAX_COLUMN: usize = 10_000;

/// Collects the problems of one file and of the flags applied to it.
#[derive(Default)]
pub(super) struct Report {
    /// The file's name in problems; empty without a file.
    pub(super) file: String,
    /// The file's text; empty without a file.
    pub(super) text: String,
    /// Where the lines after the first begin.
    lines: Vec<usize>,
    pub(super) problems: Problems,
    /// What is allowed, but may not be meant.
    pub(super) warnings: Vec<String>,
    /// Flags that don't fit the files are left out; else they are problems.
    pub(super) leaves_out_flags: bool,
    /// What is left out without being a problem of this file, and why: flags, and a lock that can't be read.
    pub(super) misfits: Vec<String>,
}

impl Report {
    /// A report for the problems of this file.
    pub(super) fn of(file: String, text: String) -> Self {
        let lines = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        Self {
            file,
            lines: lines.collect(),
            text,
            ..Self::default()
        }
    }

    /// Adds a problem with the value at `location`; `key` is its dotted path.
    pub(super) fn add(&mut self, location: &Location, key: &str, what: impl Into<String>) {
        let (origin, offset) = match location {
            Location::Flag(flag) => ((*flag).to_owned(), 0),
            Location::Default => (self.file.clone(), 0),
            Location::File(bytes) => {
                let line = self.line(bytes.start);
                (format!("{}:{line}", self.file), bytes.start)
            }
        };
        self.problems
            .insert(origin, offset, key.to_owned(), what.into());
    }

    /// A flag doesn't fit what the files have.
    pub(super) fn misfit(&mut self, flag: &'static str, what: impl Into<String>) {
        match self.leaves_out_flags {
            true => self.misfits.push(format!("{flag}: {}", what.into())),
            false => self.add(&Location::Flag(flag), "", what),
        }
    }

    /// A flag doesn't fit what the files have. Told after all other problems: one of the file may
    /// be its cause.
    pub(super) fn misfit_last(&mut self, flag: &'static str, what: impl Into<String>) {
        match self.leaves_out_flags {
            true => self.misfit(flag, what),
            false => self.add_last(flag, what),
        }
    }

    /// Adds a problem of a flag after all others: one of the file may be its cause.
    pub(super) fn add_last(&mut self, flag: &str, what: impl Into<String>) {
        let (flag, key) = (flag.to_owned(), String::new());
        self.problems.insert(flag, usize::MAX, key, what.into());
    }

    /// Adds a TOML syntax error.
    pub(super) fn syntax(&mut self, error: &toml::de::Error) {
        // The error's `Display` would quote the line, which may hold a secret.
        let start = error.span().map_or(0, |span| span.start);
        let line = self.line(start);
        let begun = line.checked_sub(2).map_or(0, |before| self.lines[before]);
        let column = match self.text.get(begun..start) {
            // Not worth reading a line of any length for.
            Some(before) if before.len() > MAX_COLUMN => MAX_COLUMN,
            before => before.unwrap_or_default().chars().count() + 1,
        };
        let origin = format!("{}:{line}:{column}", self.file);
        let what = format!("not valid TOML: {}", error.message());
        self.problems.insert(origin, start, String::new(), what);
    }

    /// The line of a byte offset in the file, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= offset) + 1
    }
}
