//! `[audit]` and `[log]`: the files that a gateway writes while it runs.
//!
//! Owns their types: where a file is, when it starts anew (bytes), what is in it, and what happens when it can't
//! be written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file that starts anew when it is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatingFile {
    /// An absolute path.
    pub path: PathBuf,
    /// Bytes from which on it starts anew.
    pub max_bytes: u64,
    /// How many older files are kept.
    pub keep: u32,
}

/// `[audit]`: the record of each call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditConfig {
    /// Where records are written; `None` where they aren't.
    pub file: Option<RotatingFile>,
    /// What a record says of arguments and results.
    pub arguments: AuditArguments,
    /// What happens with calls while the file can't be written.
    pub on_failure: OnFailure,
}

/// `audit.arguments`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditArguments {
    /// Neither arguments nor results.
    #[default]
    None,
    /// The names of the arguments.
    Keys,
    /// Arguments and results, without the values of members whose names are those of secrets, such as `password` or `token`.
    Redacted,
    /// Arguments and results, without secrets of the config.
    All,
}

/// `audit.on_failure`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Calls are made, and the records that are lost are counted.
    #[default]
    Drop,
    /// Calls are refused.
    Refuse,
}

/// `[log]`: the log file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// `None` where the log is on stderr alone.
    pub file: Option<RotatingFile>,
    /// The least urgent lines in it.
    pub level: FileLevel,
}

/// `log.level`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileLevel {
    /// What has failed for good.
    Error,
    /// And what goes on though something is wrong.
    Warn,
    /// And each call, and what changes.
    #[default]
    Info,
    /// And how each step went.
    Debug,
    /// And everything else.
    Trace,
}
