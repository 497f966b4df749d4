//! Compares tools and instructions with what was accepted: a trusted server may change a
//! description, and models follow descriptions.
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

use self::definition::canonical;
use super::backend_listing::{BackendListing, Candidate};
use super::rejected::RejectReason;
use crate::config::{BackendConfig, Form, Lock, Pin, PinMode, Subject};
use crate::protocol::RawJson;
use crate::text::{Scrubber, clean_json};

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
    /// Tools, and instructions, never seen before, which are now accepted.
    pub new: Vec<Pin>,
    /// Those that differ from what was accepted, unless they were passed on one by one.
    pub(crate) changed: Vec<Change>,
    /// How many tools were not compared, since the backend has too many.
    pub(crate) unpinned: usize,
}

/// A tool that differs from its accepted definition, or instructions that do.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The accepted definition.
    pub(crate) accepted: Pin,
    /// The definition now.
    pub(crate) current: Pin,
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

    /// The lock has changed. What was first seen in this run stays accepted; what the lock has too is
    /// kept, and counted, once.
    pub(crate) fn reload(&mut self, accepted: Arc<Lock>) {
        self.first_seen.remove_those_of(&accepted);
        let left = self
            .first_seen
            .pins()
            .filter_map(|pin| pin.definition.as_ref());
        self.first_seen_bytes = left.map(|text| text.as_bytes().len()).sum();
        self.accepted = accepted;
    }

    /// Compares the tools of a listing, and the backend's instructions, with what was accepted, and
    /// accepts what is new. Withholds what has changed if `tools.pin` is `block`.
    pub fn compare(
        &mut self,
        config: &BackendConfig,
        backend_listing: &mut BackendListing,
    ) -> Findings {
        let mut changed = Vec::new();
        let findings = self.compare_each(config, backend_listing, |change| changed.push(change));
        Findings {
            changed,
            ..findings
        }
    }

    /// Compares like [`compare`](Self::compare), and passes on each change when it is found: a
    /// change holds two definitions, and a backend may change all of its tools.
    pub(crate) fn compare_each(
        &mut self,
        config: &BackendConfig,
        backend_listing: &mut BackendListing,
        mut changed: impl FnMut(Change),
    ) -> Findings {
        let mut findings = Findings::default();
        if config.tools.pin == PinMode::Off {
            return findings;
        }
        let blocks = config.tools.pin == PinMode::Block;
        for candidate in backend_listing.tools_mut() {
            let current = CurrentDefinition::of_tool(candidate);
            let reason = self.compare_one(config, current, &mut findings, &mut changed);
            candidate.blocked = reason.filter(|_| blocks);
        }
        if let Some(text) = backend_listing.instructions() {
            let current = CurrentDefinition::of_instructions(text);
            let reason = self.compare_one(config, current, &mut findings, &mut changed);
            if reason.is_some() && blocks {
                backend_listing.withhold_instructions();
            }
        }
        findings
    }

    /// Why it would be blocked; `None` if it is new or has not changed.
    fn compare_one(
        &mut self,
        config: &BackendConfig,
        current: CurrentDefinition,
        findings: &mut Findings,
        changed: &mut impl FnMut(Change),
    ) -> Option<RejectReason> {
        let backend = &config.name;
        let Some(accepted) = self.pin(backend, &current.subject) else {
            if self.count(backend) >= MAX_PINS {
                findings.unpinned += 1;
                return Some(RejectReason::Unpinned(MAX_PINS));
            }
            let pin = self.add_first_seen(current.pin(backend));
            findings.new.push(pin);
            return None;
        };
        // The usual case: saves parsing.
        if accepted.definition.as_ref() == Some(&current.definition) {
            return None;
        }
        let change = Change::between(accepted, current, &config.scrubber)?;
        let reason = RejectReason::Changed(change.to_string());
        changed(change);
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

    fn pin(&self, backend: &str, subject: &Subject) -> Option<&Pin> {
        let accepted = self.accepted.get(backend, subject);
        accepted.or_else(|| self.first_seen.get(backend, subject))
    }

    fn count(&self, backend: &str) -> usize {
        self.accepted.count(backend) + self.first_seen.count(backend)
    }
}

/// A definition as the backend has it now.
struct CurrentDefinition {
    subject: Subject,
    /// The parts of it that are pinned.
    definition: RawJson,
    /// As the backend wrote it; `None` where version 1 of the lock had no such pins.
    written: Option<RawJson>,
}

impl CurrentDefinition {
    fn of_tool(candidate: &Candidate) -> Self {
        Self {
            subject: Subject::Tool(Arc::clone(&candidate.item.own)),
            definition: definition::pinned_parts(&candidate.item.definition),
            written: Some(candidate.written.clone()),
        }
    }

    fn of_instructions(text: &str) -> Self {
        Self {
            subject: Subject::Instructions,
            definition: definition::instructions(text),
            written: None,
        }
    }

    /// Whether it is what was accepted. The accepted text passes the same cleaning as the one now: it
    /// may have been kept when less was removed, or before a secret was known. `accepted_now` is that
    /// text after it.
    fn is(&self, accepted: &Pin, accepted_now: Option<&RawJson>) -> bool {
        let as_then = || definition::version_1::pinned_parts(self.written.as_ref()?);
        let was_rounded = accepted.form == Form::Rounded;
        match (&accepted.definition, accepted_now) {
            // Too deep to be compared.
            (Some(_), None) => false,
            (Some(text), Some(cleaned)) => {
                canonical(cleaned) == canonical(&self.definition)
                    || was_rounded
                        && as_then().is_some_and(|then| canonical(&then) == canonical(text))
            }
            (None, _) if was_rounded => as_then()
                .is_some_and(|then| definition::version_1::sha256(&then) == accepted.sha256),
            (None, _) => definition::sha256(&self.definition) == accepted.sha256,
        }
    }

    fn pin(self, backend: &Arc<str>) -> Pin {
        Pin {
            backend: Arc::clone(backend),
            subject: self.subject,
            sha256: definition::sha256(&self.definition),
            form: Form::Exact,
            earlier: Vec::new(),
            definition: Some(self.definition)
                .filter(|text| text.as_bytes().len() <= MAX_KEPT_BYTES),
            name: None,
            lost: None,
        }
    }
}

impl Change {
    /// `None` if they differ only in what doesn't count.
    fn between(accepted: &Pin, current: CurrentDefinition, scrubber: &Scrubber) -> Option<Self> {
        let text = accepted.definition.as_ref();
        let cleaned = text.and_then(|text| clean_json(text, scrubber).ok());
        if current.is(accepted, cleaned.as_ref()) {
            return None;
        }
        let then = current
            .written
            .as_ref()
            .and_then(definition::version_1::pinned_parts);
        let rounded = then.as_ref().map(definition::version_1::sha256);
        let current = current.pin(&accepted.backend);
        let was_accepted = |sha256| accepted.earlier.contains(sha256);
        Some(Self {
            parts: match (&cleaned, &current.definition) {
                (Some(before), Some(current)) => definition::differing(before, current),
                _ => Vec::new(),
            },
            is_return: was_accepted(&current.sha256) || rounded.as_ref().is_some_and(was_accepted),
            current,
            accepted: Pin {
                definition: cleaned,
                ..accepted.clone()
            },
        })
    }

    fn write_return(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_return {
            true => f.write_str(", back to what was accepted earlier"),
            false => Ok(()),
        }
    }

    /// The difference as a unified diff of at most `max_lines` lines, safe to print.
    pub(crate) fn diff(&self, max_lines: usize) -> String {
        match (&self.accepted.definition, &self.current.definition) {
            (Some(old), Some(new)) => diff::of_parts(old, new, &self.parts, max_lines),
            _ => format!("sha256 {} → {}", self.accepted.sha256, self.current.sha256),
        }
    }
}

/// Names the parts that changed.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.current.subject == Subject::Instructions {
            f.write_str("its instructions have changed since they were accepted")?;
            return self.write_return(f);
        }
        let what = match self.parts.split_last() {
            None => "definition".to_owned(),
            Some((last, [])) => (*last).to_owned(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        };
        let verb = if self.parts.len() > 1 { "have" } else { "has" };
        write!(f, "its {what} {verb} changed since it was accepted")?;
        self.write_return(f)
    }
}
