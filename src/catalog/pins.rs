//! Compares tools with their accepted definitions: a trusted server may change a description, and
//! models follow descriptions.
//!
//! Owns the comparison, and the definitions first seen in this run. A new tool is accepted. A
//! difference from the accepted definition is a change, also if the tool was missing in between,
//! and also if it returns to an earlier accepted definition, which may have a known flaw. Pure; it
//! must not know where pins are stored.

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

/// Most pinned tools of one backend, which may list 10,000 and rename them at any time.
const MAX_PINS: usize = 20_000;
/// Most bytes of a definition whose text is kept; of a larger one only the hash is.
const MAX_KEPT_BYTES: usize = 64 << 10;
/// Most bytes of all definitions that are first seen in one run and whose text is kept.
const MAX_FIRST_SEEN_BYTES: usize = 32 << 20;

/// The accepted definitions: those of the lock, and those first seen in this run.
#[derive(Debug, Default)]
pub struct Pins {
    accepted: Arc<Lock>,
    first_seen: Lock,
    first_seen_bytes: usize,
}

/// The result of a comparison of one backend's tools.
#[derive(Debug, Default)]
pub struct Findings {
    /// Tools never seen before, which are now accepted.
    pub new: Vec<Pin>,
    /// Tools that differ from their accepted definition.
    pub(crate) changed: Vec<Change>,
    /// How many tools were not compared, since the backend has too many.
    pub(crate) unpinned: usize,
}

/// A tool that differs from its accepted definition.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The accepted definition.
    pub(crate) accepted: Pin,
    /// The definition now.
    pub(crate) now: Pin,
    /// The members that differ; empty if the accepted text was too large to keep.
    pub(crate) parts: Vec<&'static str>,
    /// The definition now is one that was accepted earlier.
    pub(crate) is_return: bool,
}

impl Pins {
    /// With the definitions of the lock.
    pub fn new(accepted: Arc<Lock>) -> Self {
        Self {
            accepted,
            first_seen: Lock::default(),
            first_seen_bytes: 0,
        }
    }

    /// Compares the tools of a listing with their accepted definitions, and accepts new tools.
    /// Blocks tools that changed if `tools.pin` is `block`.
    pub fn compare(
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
                .compare_tool(config, candidate, &mut findings)
                .filter(|_| blocks);
        }
        findings
    }

    /// Why the tool would be blocked; `None` if it is new or has not changed.
    fn compare_tool(
        &mut self,
        config: &BackendConfig,
        candidate: &Candidate,
        findings: &mut Findings,
    ) -> Option<RejectReason> {
        let (backend, tool) = (&config.name, &candidate.item.own);
        let definition = definition::pinned_parts(&candidate.item.definition);
        let Some(accepted) = self.pin(backend, tool) else {
            if self.count(backend) >= MAX_PINS {
                findings.unpinned += 1;
                return Some(RejectReason::Unpinned(MAX_PINS));
            }
            let sha256 = definition::sha256(&definition);
            let pin = self.add_first_seen(pin_of(backend, tool, sha256, definition));
            findings.new.push(pin);
            return None;
        };
        // The usual case: saves parsing.
        if accepted.definition.as_ref() == Some(&definition) {
            return None;
        }
        let change = Change::between(accepted, definition)?;
        let reason = RejectReason::Changed(change.to_string());
        findings.changed.push(change);
        Some(reason)
    }

    fn add_first_seen(&mut self, mut pin: Pin) -> Pin {
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
    /// `None` if they differ only in order of members or white space.
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

    /// The difference as a unified diff of at most `max_lines` lines, safe to print.
    pub(crate) fn diff(&self, max_lines: usize) -> String {
        match (&self.accepted.definition, &self.now.definition) {
            (Some(old), Some(new)) => diff::of_parts(old, new, &self.parts, max_lines),
            _ => format!("sha256 {} → {}", self.accepted.sha256, self.now.sha256),
        }
    }
}

/// Names the parts that changed.
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
