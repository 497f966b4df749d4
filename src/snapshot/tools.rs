//! Which tools each client sees, and the index that they are found by.
//!
//! Owns the choice between all tools and those that search, which is made once for each client. It must
//! not know requests.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::Snapshot;
use super::activated::Activated;
use crate::catalog::Entry;
use crate::catalog::search::{ToolIndex, estimate_tokens, gateway_status, own_tools, read_more};
use crate::config::{READ_MORE, SearchExposes, ToolMode};
use crate::protocol::era::begins_like;
use crate::protocol::era::modern::{self, ResultStamp};
use crate::protocol::{ClientProfile, Era, Kind, RawJson};
use crate::sync::Mutex;

/// Most clients whose choice is remembered; modern ones give any name with each request.
const MAX_CLIENTS: usize = 256;
/// Most characters of a client's name that is remembered.
const MAX_NAME: usize = 200;

/// How the names of clients begin that search tools by themselves, in lower case. A client behind
/// another endpoint may have its search turned off, which can't be seen here.
const SEARCH_THEMSELVES: [&str; 4] = ["claude-code", "codex", "copilot", "github-copilot"];

/// Whether a client of this name searches tools by itself.
pub(crate) fn searches_itself(name: &str) -> bool {
    begins_like(name, &SEARCH_THEMSELVES)
}

/// What clients have been given to see. One for the run, shared by all snapshots.
#[derive(Debug, Default)]
pub(crate) struct ToolViews {
    /// Whether a client got the tools that search, by its era and name.
    chosen: Mutex<HashMap<(Era, String), bool>>,
    /// The tools that the legacy client has activated.
    pub(crate) activated: Activated,
}

/// What is computed of the tools of a snapshot when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    summary: OnceLock<Summary>,
    /// The result of a list request of the legacy era, with the gateway's own tools at its end.
    with_own: OnceLock<RawJson>,
    index: OnceLock<ToolIndex>,
}

#[derive(Debug)]
struct Summary {
    /// The tokens of all definitions, about.
    tokens: usize,
    /// Places of the tools that are listed in any mode.
    always: Vec<usize>,
}

impl ToolViews {
    fn choose(&self, client: &ClientProfile, is_large: impl FnOnce() -> bool) -> bool {
        let name = client.name().unwrap_or_default();
        let name: String = name.chars().take(MAX_NAME).collect();
        let mut chosen = self.chosen.lock();
        let key = (client.era, name);
        if let Some(searches) = chosen.get(&key) {
            return *searches;
        }
        let searches = !searches_itself(&key.1) && is_large();
        if chosen.len() < MAX_CLIENTS {
            chosen.insert(key, searches);
        }
        searches
    }
}

impl Snapshot {
    /// Whether the gateway has tools of its own, for some clients at least.
    pub(crate) fn has_own_tools(&self) -> bool {
        self.config.gateway.tool_listing.mode != ToolMode::All
    }

    /// Whether results of some tools are limited, and the gateway has a tool that shows the rest.
    pub(crate) fn reads_more(&self) -> bool {
        self.config.gateway.tool_listing.reads_more
    }

    /// Whether `read_more` is the gateway's. A model that was given a handle may call it after the last limit
    /// was removed: no server has such a tool then, unless it is listed.
    pub(crate) fn has_read_more(&self) -> bool {
        let is_listed = || self.catalog.resolve(Kind::Tool, READ_MORE).is_some();
        self.reads_more() || self.kept_results.is_closed() && !is_listed()
    }

    /// Tools of the gateway's own that are listed in any mode.
    fn more_tools(&self) -> impl Iterator<Item = RawJson> {
        let listing = &self.config.gateway.tool_listing;
        let status = listing.tells_status.then(gateway_status);
        let more = listing.reads_more.then(read_more);
        status.into_iter().chain(more)
    }

    /// All tools, and those of the gateway's own that are listed in any mode, of which there are some.
    pub(super) fn tools_and_own(&self, era: Era) -> RawJson {
        let list = || {
            let tools = self.catalog.list(Kind::Tool, era);
            let mut list = Vec::with_capacity(tools.len() + 512);
            list.extend_from_slice(b"{\"tools\":");
            list.extend_from_slice(&tools[..tools.len() - 1]);
            for own in self.more_tools() {
                if list.last() != Some(&b'[') {
                    list.push(b',');
                }
                list.extend_from_slice(own.as_bytes());
            }
            list.extend_from_slice(b"]}");
            RawJson::trusted(list)
        };
        match era {
            Era::Legacy => self.tools.with_own.get_or_init(list).clone(),
            // Kept with its stamp.
            Era::Modern => list(),
        }
    }

    /// Whether this client sees the tools that search. Chosen at its first list, and the same from
    /// then on.
    fn searches(&self, client: &ClientProfile) -> bool {
        let listing = &self.config.gateway.tool_listing;
        match listing.mode {
            ToolMode::All => false,
            ToolMode::Search => true,
            ToolMode::Auto => {
                let is_large = || self.summary().tokens > listing.auto_over_tokens;
                self.views.choose(client, is_large)
            }
        }
    }

    /// Whether all clients that have listed tools see those that search.
    pub(crate) fn all_search(&self) -> bool {
        match self.config.gateway.tool_listing.mode {
            ToolMode::All => false,
            ToolMode::Search => true,
            ToolMode::Auto => {
                let chosen = self.views.chosen.lock();
                !chosen.is_empty() && chosen.values().all(|searches| *searches)
            }
        }
    }

    /// Whether found tools join the list of this client.
    pub(crate) fn activates(&self, client: &ClientProfile) -> bool {
        self.may_activate(client.era) && !client.lists_once() && self.searches(client)
    }

    /// Whether found tools join the list of some clients of this era.
    fn may_activate(&self, era: Era) -> bool {
        let exposes = self.config.gateway.tool_listing.exposes;
        exposes == SearchExposes::Activate && era == Era::Legacy
    }

    /// The result of a list request for this client.
    pub(crate) fn list_for(&self, kind: Kind, client: &ClientProfile) -> RawJson {
        if kind != Kind::Tool || !self.searches(client) {
            return self.list(kind, client.era);
        }
        let activated = || self.views.activated.listed();
        self.searching(client.era, self.activates(client).then(activated))
    }

    /// The longest list of a client of this era that searches.
    pub(crate) fn search_list(&self, era: Era) -> RawJson {
        let activated = || self.views.activated.names();
        self.searching(era, self.may_activate(era).then(activated))
    }

    /// The list of those who search: the gateway's own tools, those that are always listed, and, where
    /// found tools are activated, these in place of `call_tool`.
    fn searching(&self, era: Era, activated: Option<Vec<Arc<str>>>) -> RawJson {
        let servers = self.config.backends.iter().map(|backend| &*backend.name);
        let mut definitions = own_tools(servers, activated.is_none());
        let always = self.summary().always.iter();
        let mut listed: Vec<&Entry> = always
            .filter_map(|at| self.catalog.entry(Kind::Tool, *at))
            .collect();
        let found = activated.iter().flatten();
        for entry in found.filter_map(|name| self.catalog.resolve(Kind::Tool, name)) {
            if listed.iter().all(|other| other.exposed != entry.exposed) {
                listed.push(entry);
            }
        }
        definitions.extend(self.more_tools());
        definitions.extend(listed.into_iter().map(|entry| match era {
            Era::Legacy => entry.definition.clone(),
            Era::Modern => entry.modern_definition.clone(),
        }));
        let definitions: Vec<&str> = definitions.iter().map(RawJson::as_str).collect();
        let result = RawJson::trusted(format!(r#"{{"tools":[{}]}}"#, definitions.join(",")));
        if era == Era::Legacy {
            return result;
        }
        let hints = modern::caching_hints(self.catalog.freshness(Kind::Tool));
        let result = result.with_members(&hints, &[]);
        modern::stamp_result(&result, ResultStamp::CompleteAndCacheable, &self.identity)
    }

    /// Whether what a list of tools needs was computed before.
    pub(super) fn is_summarized(&self) -> bool {
        let has_more = self.config.gateway.tool_listing.has_more_tools();
        let is_listed = !has_more || self.tools.with_own.get().is_some();
        is_listed && (!self.has_own_tools() || self.tools.summary.get().is_some())
    }

    /// The index over the tools. The first time it takes as long as backends decide.
    pub(crate) fn tool_index(&self) -> &ToolIndex {
        self.tools.index.get_or_init(|| {
            let name = |id| self.backends.get(id).map_or("", |backend| backend.name());
            ToolIndex::build(&self.catalog, name)
        })
    }

    /// Whether [`tool_index`](Self::tool_index) takes no time.
    pub(crate) fn is_indexed(&self) -> bool {
        self.tools.index.get().is_some()
    }

    fn summary(&self) -> &Summary {
        self.tools.summary.get_or_init(|| {
            let listing = &self.config.gateway.tool_listing;
            let entries = || self.catalog.entries(Kind::Tool);
            let is_always = |entry: &Entry| {
                let wish = entry.definition.at(&["_meta", "anthropic/alwaysLoad"]);
                listing.always.is_match(&entry.exposed)
                    || wish.is_some_and(|wish| wish.as_str() == "true")
            };
            let always = entries()
                .enumerate()
                .filter(|(_, entry)| is_always(entry))
                .map(|(at, _)| at);
            let cost = |entry: &Entry| estimate_tokens(entry.definition.as_str());
            Summary {
                tokens: match listing.mode {
                    ToolMode::Auto => entries().map(cost).sum(),
                    ToolMode::All | ToolMode::Search => 0,
                },
                always: always.collect(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> ClientProfile {
        ClientProfile {
            info: Some(RawJson::of(&serde_json::json!({ "name": name }))),
            ..ClientProfile::ourselves()
        }
    }

    #[test]
    fn a_choice_is_made_once_for_a_client() {
        let views = ToolViews::default();
        assert!(!views.choose(&client("small"), || false));
        assert!(!views.choose(&client("small"), || true));
        assert!(views.choose(&client("large"), || true));
        assert!(views.choose(&client("large"), || false));
        for name in [
            "claude-code",
            "Claude Code",
            "codex-mcp-client",
            "copilot-cli",
        ] {
            assert!(!views.choose(&client(name), || true), "{name}");
        }
    }

    #[test]
    fn the_names_of_clients_take_bounded_memory() {
        let views = ToolViews::default();
        for number in 0..2 * MAX_CLIENTS {
            let long = format!("{number}{}", "ä".repeat(1_000));
            assert!(views.choose(&client(&long), || true));
        }
        let chosen = views.chosen.lock();
        assert_eq!(chosen.len(), MAX_CLIENTS);
        assert!(
            chosen
                .keys()
                .all(|(_, name)| name.chars().count() <= MAX_NAME)
        );
    }
}
