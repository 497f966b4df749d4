//! Whether tools are still what was accepted: a server that is trusted today may describe its
//! tools otherwise tomorrow, and a model obeys descriptions.
//!
//! Owns the verdicts, and the book of what was first seen in this run. A tool that nobody has seen
//! is taken as it is; one that differs from what was accepted is a change, also when it was away
//! in between, and also when it goes back to what was accepted earlier: that may be a rollback to
//! a text with a known flaw. Pure: where the book is kept is not known here.

mod definition;
mod diff;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::backend_listing::{BackendListing, Candidate};
use super::rejected::RejectReason;
use crate::config::{BackendConfig, Lock, Pin, PinMode};
use crate::protocol::RawJson;

/// Tools of one backend that are held: it may list 10,000, and rename them as it likes.
const MAX_PINS: usize = 20_000;
/// Bytes of a definition that is kept as it is; of a larger one only the hash.
const MAX_KEPT_BYTES: usize = 64 << 10;
/// Bytes of all definitions that are kept of what is first seen in one run.
const MAX_FIRST_SEEN_BYTES: usize = 32 << 20;

/// All that is accepted, in the lock or by having been seen first in this run.
#[derive(Debug, Default)]
pub struct Pins {
    accepted: Arc<Lock>,
    first_seen: Lock,
    first_seen_bytes: usize,
}

/// What became of one backend's tools.
#[derive(Debug, Default)]
pub struct Findings {
    /// Never seen before, and accepted by that.
    pub new: Vec<Pin>,
    /// Not what was accepted.
    pub changed: Vec<Change>,
    /// How many are held against nothing, since the backend has had too many.
    pub unpinned: usize,
}

/// A tool that is not what was accepted.
#[derive(Debug, Clone)]
pub struct Change {
    /// What was accepted.
    pub accepted: Pin,
    /// What it is now.
    pub now: Pin,
    /// The members that differ; none where the accepted text is too large to be kept.
    pub parts: Vec<&'static str>,
    /// It is what was accepted earlier.
    pub is_return: bool,
}

impl Pins {
    /// With what the lock says.
    pub fn new(accepted: Arc<Lock>) -> Self {
        Self {
            accepted,
            first_seen: Lock::default(),
            first_seen_bytes: 0,
        }
    }

    /// Holds the tools of an offer against what was accepted. Those that changed are withheld
    /// where the config says so; new ones are accepted from now on.
    pub fn judge(
        &mut self,
        config: &BackendConfig,
        backend_listing: &mut BackendListing,
    ) -> Findings {
        let mut findings = Findings::default();
        if config.tools.pin == PinMode::Off {
            return findings;
        }
        let blocks = config.tools.pin == PinMode::Block;
        for candidate in backend_listing.tools_mut() {
            candidate.blocked = self
                .verdict(config, candidate, &mut findings)
                .filter(|_| blocks);
        }
        findings
    }

    /// Why a tool isn't to be had, if it isn't what was accepted.
    fn verdict(
        &mut self,
        config: &BackendConfig,
        candidate: &Candidate,
        findings: &mut Findings,
    ) -> Option<RejectReason> {
        let (backend, tool) = (&config.name, &candidate.item.own);
        let definition = definition::counted(&candidate.item.definition);
        let Some(accepted) = self.pin(backend, tool) else {
            if self.count(backend) >= MAX_PINS {
                findings.unpinned += 1;
                return Some(RejectReason::Unpinned(MAX_PINS));
            }
            let sha256 = definition::sha256(&definition);
            let pin = self.first_sight(pin_of(backend, tool, sha256, definition));
            findings.new.push(pin);
            return None;
        };
        // Nearly every one, at every start.
        if accepted.definition.as_ref() == Some(&definition) {
            return None;
        }
        let change = Change::between(accepted, definition)?;
        let reason = RejectReason::Changed(change.to_string());
        findings.changed.push(change);
        Some(reason)
    }

    fn first_sight(&mut self, mut pin: Pin) -> Pin {
        let text = pin.definition.as_ref();
        self.first_seen_bytes += text.map_or(0, |text| text.as_bytes().len());
        if self.first_seen_bytes > MAX_FIRST_SEEN_BYTES {
            pin.definition = None;
        }
        self.first_seen.add(pin.clone());
        pin
    }

    fn pin(&self, backend: &str, tool: &str) -> Option<&Pin> {
        let accepted = self.accepted.get(backend, tool);
        accepted.or_else(|| self.first_seen.get(backend, tool))
    }

    fn count(&self, backend: &str) -> usize {
        self.accepted.count(backend) + self.first_seen.count(backend)
    }
}

impl Change {
    /// `None` if they say the same in another order or with other white space.
    fn between(accepted: &Pin, definition: RawJson) -> Option<Self> {
        let sha256 = definition::sha256(&definition);
        if sha256 == accepted.sha256 {
            return None;
        }
        let before = accepted.definition.as_ref();
        Some(Self {
            parts: before.map_or_else(Vec::new, |before| {
                definition::differing(before, &definition)
            }),
            is_return: accepted.earlier.contains(&sha256),
            now: pin_of(&accepted.backend, &accepted.tool, sha256, definition),
            accepted: accepted.clone(),
        })
    }

    /// What differs, as a unified diff of at most `most` lines that is safe to print.
    pub fn diff(&self, most: usize) -> String {
        match (&self.accepted.definition, &self.now.definition) {
            (Some(old), Some(new)) => diff::of_parts(old, new, &self.parts, most),
            _ => format!("sha256 {} → {}", self.accepted.sha256, self.now.sha256),
        }
    }
}

/// What has changed, in a few words.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.parts.split_last() {
            None => "definition".to_owned(),
            Some((last, [])) => (*last).to_owned(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        };
        let verb = if self.parts.len() > 1 { "have" } else { "has" };
        write!(f, "its {what} {verb} changed since it was accepted")?;
        if self.is_return {
            f.write_str(", back to what was accepted earlier")?;
        }
        Ok(())
    }
}

fn pin_of(backend: &Arc<str>, tool: &Arc<str>, sha256: Arc<str>, definition: RawJson) -> Pin {
    Pin {
        backend: Arc::clone(backend),
        tool: Arc::clone(tool),
        sha256,
        earlier: Vec::new(),
        definition: Some(definition).filter(|text| text.as_bytes().len() <= MAX_KEPT_BYTES),
    }
}
