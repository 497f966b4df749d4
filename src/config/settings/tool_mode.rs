//! `tool_mode` and what belongs to it: how many of the tools a client sees.
//!
//! Owns the names of the gateway's own tools, and when no backend's tool can have them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::GlobSet;

/// The names of the gateway's own tools. No backend's tool gets them while the gateway has such tools.
const OWN_TOOLS: [&str; 3] = ["search_tools", "describe_tool", "call_tool"];

/// The name of the gateway's own tool that shows the rest of a large result. Reserved while results are limited.
pub(crate) const READ_MORE: &str = "read_more";

/// The name of the gateway's own tool that says which backends are connected. Reserved with
/// `gateway_status = true`.
pub(crate) const GATEWAY_STATUS: &str = "gateway_status";

/// `tool_mode`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolMode {
    /// All tools.
    #[default]
    All,
    /// Tools of the gateway that find and call the others, and those of `always_listed`.
    Search,
    /// As `search` for a client that doesn't search by itself, if the definitions take more than `auto_over_tokens`.
    Auto,
}

/// `search_exposes`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchExposes {
    /// Tools that are found are called by `call_tool`. The list stays the same.
    #[default]
    Call,
    /// Tools that are found join the list under their own names. For clients of revisions up to 2025-11-25; others call by `call_tool`.
    Activate,
}

/// What clients see of the tools.
#[derive(Debug, Clone, Default)]
pub struct ToolListing {
    /// All tools, or those that search.
    pub mode: ToolMode,
    /// What happens with tools that are found.
    pub exposes: SearchExposes,
    /// Exposed names of tools that are listed in any mode.
    pub always: GlobSet,
    /// The globs of `always`, as written.
    pub(crate) written: Vec<String>,
    /// With `auto`: tokens of all definitions from which on a client gets those that search.
    pub auto_over_tokens: usize,
    /// Whether the gateway's own tools keep their names for themselves.
    pub(crate) reserves_names: bool,
    /// Whether [`READ_MORE`] is listed: results of some tools are limited.
    pub(crate) reads_more: bool,
    /// Whether [`GATEWAY_STATUS`] is listed.
    pub(crate) tells_status: bool,
}

impl ToolListing {
    /// The keys whose values differ.
    pub(crate) fn changed_keys(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("tool_mode", self.mode != other.mode),
            ("search_exposes", self.exposes != other.exposes),
            ("always_listed", self.written != other.written),
            (
                "auto_over_tokens",
                self.auto_over_tokens != other.auto_over_tokens,
            ),
        ];
        let changed = keys.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(key, _)| key).collect()
    }

    /// Whether a backend's tool can't have this name.
    pub(crate) fn reserves(&self, name: &str) -> bool {
        self.reserves_names && OWN_TOOLS.contains(&name)
            || self.reads_more && name == READ_MORE
            || self.tells_status && name == GATEWAY_STATUS
    }

    /// Whether there are tools of the gateway's own that are listed in any mode.
    pub(crate) fn has_more_tools(&self) -> bool {
        self.reads_more || self.tells_status
    }
}

impl PartialEq for ToolListing {
    fn eq(&self, other: &Self) -> bool {
        self.changed_keys(other).is_empty()
    }
}

impl Eq for ToolListing {}
