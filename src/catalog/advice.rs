//! What users should know about the catalog as a whole.
//!
//! Owns the limits of clients on the number of tools and the length of their names, and what tools
//! cost. Pure; it must
//! not know where the advice is told.

use super::Catalog;
use super::search::{estimate_tokens, own_tools};
use crate::config::GatewayConfig;
use crate::protocol::Kind;

/// Most tools that OpenAI's API takes in one request, and VS Code with it.
const MAX_TOOLS: usize = 128;
/// Most tools that Cursor sends to a model, of all servers together.
const MAX_TOOLS_OF_CURSOR: usize = 40;
/// Most characters of a tool's name in the APIs of OpenAI and Gemini, and for Claude Code.
const MAX_NAME: usize = 64;

/// What the definitions of tools cost a model, in tokens, about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// The tokens of all tools.
    pub(crate) all: usize,
    /// The tokens of what a client gets that searches.
    pub(crate) searching: usize,
}

impl Catalog {
    /// What the tools of these backends cost. Those that are listed in any mode are not counted.
    pub(crate) fn cost<'a>(&self, backends: impl Iterator<Item = &'a str>) -> Cost {
        let all = self.entries(Kind::Tool);
        let own = own_tools(backends, true);
        Cost {
            all: all
                .map(|entry| estimate_tokens(entry.definition.as_str()))
                .sum(),
            searching: own.iter().map(|tool| estimate_tokens(tool.as_str())).sum(),
        }
    }

    /// A word on too many tools; `None` if there are few.
    pub(crate) fn advice_on_count(&self) -> Option<String> {
        let tools = self.entries(Kind::Tool).count();
        let narrow = "narrow them with tools.allow or tools.deny, or set tool_mode";
        if tools > MAX_TOOLS {
            Some(format!(
                "{tools} tools are listed; many models take at most {MAX_TOOLS}, Cursor uses the first {MAX_TOOLS_OF_CURSOR}: {narrow}"
            ))
        } else if tools > MAX_TOOLS_OF_CURSOR {
            Some(format!(
                "{tools} tools are listed; Cursor uses the first {MAX_TOOLS_OF_CURSOR}: {narrow}"
            ))
        } else {
            None
        }
    }

    /// Whether there are more tools than most clients take.
    pub(crate) fn has_too_many_tools(&self) -> bool {
        self.entries(Kind::Tool).nth(MAX_TOOLS).is_some()
    }

    /// A word on names that are too long with the gateway's name before them, as clients show them.
    pub(crate) fn advice_on_names(&self, gateway: &GatewayConfig) -> Option<String> {
        let before = format!("mcp__{}__", gateway.name);
        let room = MAX_NAME.saturating_sub(before.len());
        let long = self
            .entries(Kind::Tool)
            .filter(|entry| entry.exposed.len() > room);
        let names: Vec<&str> = long.map(|entry| &*entry.exposed).collect();
        let first = names.first()?;
        Some(format!(
            "{} of the tools' names have more than {room} characters, such as {first}; clients show them as {before}NAME and many take {MAX_NAME} characters: tool_name_max = {room} cuts them",
            names.len()
        ))
    }
}
