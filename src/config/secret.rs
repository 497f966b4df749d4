//! Secrets: values that are sent to a backend and shown nowhere.

use std::fmt;
use std::path::PathBuf;

/// A value that never prints. `Debug` shows `***`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the value in.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends it.
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
    /// Known since load: written in the file, or from the environment.
    Value(Secret),
    /// The first line of this file, an absolute path.
    File(PathBuf),
    /// What this command prints on stdout, trailing line end removed.
    Command(Vec<String>),
    /// Can't be had, and why, in plain words: the backend is down with this reason.
    Missing(String),
}
