//! Secrets: values that are sent to a backend and never printed.
//!
//! Owns that: [`Secret`] has no `Display`, and its `Debug` shows `***`.

use std::fmt;
use std::path::PathBuf;

/// A value that is never printed: `Debug` shows `***`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for code that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret comes from. Files and commands are read at connect, not at load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Resolved at load: written in the file, or from the environment.
    Value(Secret),
    /// The first line of this file, an absolute path.
    File(PathBuf),
    /// The output of this command (program and arguments), without its trailing line end.
    Command(Vec<String>),
    /// Unavailable, with a message for people: the backend is down for this reason.
    Missing(String),
}
