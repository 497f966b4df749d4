//! A backend between its check and its place in the configuration.
//!
//! Owns what is known of it then: its config, which keys are written and where, and whether this run uses it.

use crate::config::BackendConfig;
use crate::config::problem::{Location, Report};
use crate::config::read::file::Located;

/// Most backends of a file: each is connected to at the start.
pub(super) const MAX_BACKENDS: usize = 1_000;

/// A backend that was checked.
pub(super) struct Checked {
    pub(super) config: BackendConfig,
    /// Whether it is used in this run.
    pub(super) is_used: bool,
    /// The keys that are written.
    pub(super) keys: Vec<Located<String>>,
    pub(super) location: Location,
}

impl Checked {
    /// Where it is written, before a message.
    pub(super) fn place(&self, report: &Report) -> String {
        match &self.location {
            Location::File(bytes) => format!("{}:{}: ", report.file, report.line(bytes.start)),
            Location::Flag(flag) => format!("{flag}: "),
            Location::Default => String::new(),
        }
    }
}
