//! What a server declared in the handshake.
//!
//! Owns the questions about it: which lists and subscriptions it has, and which extensions. One that
//! declares no kind of list may have tools all the same (B-L-10).

use std::sync::Arc;
use std::time::Duration;

use crate::protocol::{Kind, RawJson, task};

/// The result of a handshake.
#[derive(Debug)]
pub(in crate::backend) struct Negotiated {
    pub(in crate::backend) version: &'static str,
    pub(in crate::backend) server: ServerProfile,
    pub(in crate::backend) latency: Duration,
}

/// What a server said of itself in the handshake.
#[derive(Debug, Clone)]
pub struct ServerProfile {
    /// `serverInfo.name`, cleaned for display.
    pub name: String,
    /// `serverInfo.version`, cleaned for display.
    pub version: String,
    /// `capabilities`, an object.
    pub capabilities: RawJson,
    /// `instructions`, the beginning of a long text.
    pub instructions: Option<Arc<str>>,
}

impl ServerProfile {
    /// Whether the server has lists of this kind, as far as it says. One that declares no kind of list
    /// may have tools all the same (B-L-10).
    pub fn lists(&self, kind: Kind) -> bool {
        self.offers(kind.capability()) || (kind == Kind::Tool && !self.declares_lists())
    }

    /// Whether it declares any kind of list.
    pub(crate) fn declares_lists(&self) -> bool {
        let mut kinds = Kind::ALL.into_iter();
        kinds.any(|kind| self.offers(kind.capability()))
    }

    /// Whether the server declared a capability, e.g. `logging`.
    pub(crate) fn offers(&self, capability: &str) -> bool {
        self.capabilities
            .get(capability)
            .is_some_and(|value| !matches!(value.as_str(), "null" | "false"))
    }

    /// Whether it has the tasks of the extension.
    pub(crate) fn has_tasks(&self) -> bool {
        let declared = self.capabilities.at(&["extensions", task::EXTENSION]);
        declared.is_some_and(|value| value.as_str() != "null")
    }

    /// `extensions` and `experimental` of its capabilities; `None` if it has neither.
    pub(crate) fn declared(&self) -> Option<RawJson> {
        let keys = ["extensions", "experimental"].into_iter();
        let has = keys.filter_map(|key| {
            let value = self.capabilities.get(key).filter(RawJson::is_object)?;
            Some((key, value.into_bytes()))
        });
        let has: Vec<_> = has.collect();
        (!has.is_empty()).then(|| RawJson::trusted("{}").with_members(&has, &[]))
    }

    /// Whether the server sends `notifications/resources/updated` to subscribers.
    pub(crate) fn subscribes(&self) -> bool {
        let declared = self.capabilities.at(&["resources", "subscribe"]);
        declared.is_some_and(|value| value.as_str() == "true")
    }
}
