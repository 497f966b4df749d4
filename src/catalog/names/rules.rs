//! Who goes first when names are assigned, and which names are another's.
//!
//! Owns what the lock and the config count for. It must not know which names are taken already.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::claim::{Claim, Owner};
use super::records::Records;
use super::style::Style;
use crate::config::ToolListing;

/// What names are assigned by.
pub(super) struct Rules<'a> {
    /// The listing that says which names the gateway's own tools have; only for names of tools.
    pub(super) own_tools: Option<&'a ToolListing>,
    pub(super) style: Style,
    pub(super) records: &'a Records,
    /// What begins with the name of one and `__` is of that backend.
    pub(super) backends: HashSet<Arc<str>>,
}

impl Rules<'_> {
    /// Whether a name is that of one of the gateway's own tools.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.own_tools.is_some_and(|own| own.reserves(name))
    }

    /// Whether a name looks like one with another backend's prefix. The longest prefix counts. What
    /// the user has named is the user's.
    pub(super) fn is_of_another(&self, name: &str, claim: &Claim<'_>) -> bool {
        let prefixes = (1..name.len()).filter_map(|at| {
            let is_prefix = name.get(at..)?.starts_with("__");
            is_prefix.then(|| &name[..at])
        });
        let longest = prefixes
            .rev()
            .find(|prefix| self.backends.contains(*prefix));
        !claim.is_renamed() && longest.is_some_and(|backend| *backend != **claim.backend)
    }

    /// The names in the lock that a renamed tool of the same or an earlier backend is to have, each
    /// with the tool: what the user writes in the config counts more.
    pub(super) fn overruled(&self, claims: &[Claim<'_>]) -> HashMap<String, Owner> {
        let mut overruled = HashMap::new();
        for claim in claims.iter().filter(|claim| claim.is_renamed()) {
            let (name, owner) = (self.style.preferred(claim), claim.owner());
            let other = self
                .records
                .holder(&name)
                .filter(|holder| **holder != owner);
            let place = self.records.place(claim.backend);
            if other.is_some_and(|other| self.records.place(&other.backend) >= place) {
                overruled.entry(name).or_insert(owner);
            }
        }
        overruled
    }

    /// In which turn a claim gets its name, and the one that the lock has for it.
    pub(super) fn turn(&self, claim: &Claim<'_>, overruled: &HashMap<String, Owner>) -> Recorded {
        let owner = claim.owner();
        let recorded = self.records.name_of(&owner).filter(|name| {
            !overruled.contains_key(&***name)
                && self.style.allows(claim, name)
                && !self.is_of_another(name, claim)
        });
        if let Some(name) = recorded {
            return (Turn::Recorded, Some(Arc::clone(name)));
        }
        let overrules =
            claim.is_renamed() && overruled.get(&self.style.preferred(claim)) == Some(&owner);
        let is_known = self.records.has(&owner) || !claim.is_pinned && !self.records.is_empty();
        match overrules || is_known {
            true => (Turn::Known, None),
            false => (Turn::New, None),
        }
    }
}

/// When a claim gets its name, and the one that the lock has for it.
pub(super) type Recorded = (Turn, Option<Arc<str>>);

/// Who goes first: what comes later must not take a name that others have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// The lock has its name.
    Recorded,
    /// The lock has the tool, without a name, as version 1 had it.
    Known,
    /// It is seen for the first time.
    New,
}
