//! `[audit]` and `[log]` as written.

use schemars::JsonSchema;
use serde::Deserialize as Derive;

use super::written::Located;
use crate::config::{AuditArguments, FileLevel, OnFailure};

const DEFAULT_BYTES: u64 = 64 * 1024 * 1024;
const DEFAULT_KEEP: u32 = 5;

/// The record of each call.
#[derive(Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Audit {
    /// The file that a record of each call is appended to, as a line of JSON. Several gateways may share it. `~` is the home; a relative path starts at the folder of this file.
    #[schemars(example = &"~/.local/state/sentinel/audit.jsonl")]
    pub(in crate::config) file: Option<Located<String>>,
    /// Bytes from which on the file starts anew, as the former one gets `.1` at the end of its name.
    #[schemars(range(min = 4096, max = 1_099_511_627_776u64))]
    pub(in crate::config) max_bytes: u64,
    /// How many former files are kept.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) keep: u32,
    /// What a record says of arguments and results. Secrets of the config are in none.
    pub(in crate::config) arguments: AuditArguments,
    /// What happens with calls while the file can't be written.
    pub(in crate::config) on_failure: OnFailure,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            file: None,
            max_bytes: DEFAULT_BYTES,
            keep: DEFAULT_KEEP,
            arguments: AuditArguments::default(),
            on_failure: OnFailure::default(),
        }
    }
}

/// The log file.
#[derive(Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Log {
    /// The file that the log is appended to, beside stderr. Several gateways may share it. `~` is the home; a relative path starts at the folder of this file.
    #[schemars(example = &"~/.local/state/sentinel/gateway.log")]
    pub(in crate::config) file: Option<Located<String>>,
    /// The least urgent lines in the file. That of stderr is `--log-level`.
    pub(in crate::config) level: FileLevel,
    /// Bytes from which on the file starts anew, as the former one gets `.1` at the end of its name.
    #[schemars(range(min = 4096, max = 1_099_511_627_776u64))]
    pub(in crate::config) max_bytes: u64,
    /// How many former files are kept.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) keep: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            file: None,
            level: FileLevel::default(),
            max_bytes: DEFAULT_BYTES,
            keep: DEFAULT_KEEP,
        }
    }
}
