//! Assigns exposed names to items.
//!
//! Owns [`Names`], the record of assigned names, and the rules for a name. Clients store
//! permissions by name and models remember names, so the same config and lock always give the same
//! names, and a name once served never refers to another tool in this process. URIs are in
//! [`super::uris`]. A name in the lock is
//! kept for its tool until its backend leaves the config or lists without the tool. It must not know
//! definitions.

mod claim;
mod records;
mod rules;
mod style;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::rejected::MAX_ITEMS;
use super::uris::{AssignedUris, BackendUris, UriRecords, having_more};
use crate::config::{Config, GatewayConfig, NamedTool};
use crate::protocol::{Kind, Kinds};
pub(super) use claim::Claim;
use claim::Owner;
use records::Records;
pub(crate) use records::Takeover;
use rules::{Recorded, Rules};
use style::Style;

/// Most names that are remembered for one backend and kind, which bounds the memory of a backend
/// that always lists new names. Past it, names that the backend no longer lists are forgotten.
const MAX_REMEMBERED: usize = 2 * MAX_ITEMS;

/// The assigned names of each kind, and those in the lock. None is assigned at start; see
/// [`super::Catalog::names`].
#[derive(Debug, Clone, Default)]
pub struct Names {
    tables: [NameTable; Kind::ALL.len()],
    uris: UriRecords,
    records: Arc<Records>,
}

/// Names of one kind.
#[derive(Debug, Clone, Default)]
struct NameTable {
    /// Owner of each exposed name.
    owners: HashMap<Arc<str>, Owner>,
    /// Name of each owner.
    assigned: HashMap<Owner, Assignment>,
}

#[derive(Debug, Clone)]
struct Assignment {
    exposed: Arc<str>,
    /// The name it would have without other items. If the config changes that, a new name is
    /// assigned.
    preferred: Arc<str>,
}

impl Names {
    /// A table with the names that the config's lock has for tools.
    pub fn recorded(config: &Config) -> Self {
        Self {
            tables: Default::default(),
            uris: UriRecords::default(),
            records: Arc::new(Records::of(config)),
        }
    }

    /// The config or its lock has changed. Names that were assigned are kept.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.records = Arc::new(Records::of(config));
    }

    /// Whose a name is or was in this run: the backend's name, and its own name for the item.
    pub(crate) fn owner(&self, kind: Kind, exposed: &str) -> Option<(&Arc<str>, &Arc<str>)> {
        let owner = self.tables[kind as usize].owners.get(exposed)?;
        Some((&owner.backend, &owner.own))
    }

    /// Takes over the names of these kinds.
    pub(crate) fn keep(&mut self, newer: &Self, kinds: Kinds) {
        self.uris.keep(&newer.uris, kinds);
        for kind in kinds.iter().filter(|kind| !kind.is_uri()) {
            self.tables[kind as usize].clone_from(&newer.tables[kind as usize]);
        }
    }

    /// Assigns a name to every claim on a tool or prompt; `backends` are the names of all backends.
    /// Returns the exposed names, and adds what has changed hands.
    pub(super) fn assign<'a>(
        &mut self,
        kind: Kind,
        gateway: &GatewayConfig,
        backends: impl Iterator<Item = &'a Arc<str>>,
        claims: &[Claim<'_>],
        takeovers: &mut Vec<Takeover>,
    ) -> Vec<Arc<str>> {
        let table = &mut self.tables[kind as usize];
        let none = Records::default();
        let records = match kind {
            Kind::Tool => &*self.records,
            _ => &none,
        };
        let rules = Rules {
            own_tools: (kind == Kind::Tool).then_some(&gateway.tool_listing),
            style: Style::of(gateway),
            records,
            backends: backends
                .cloned()
                .chain(self.records.configured().cloned())
                .collect(),
        };
        let exposed = table.assign_names(&rules, claims);
        let listed = claims
            .iter()
            .zip(&exposed)
            .filter(|(claim, _)| claim.is_listed);
        for (claim, name) in listed {
            if let Some(before) = records.taken_from(name, &claim.owner()) {
                takeovers.push(Takeover {
                    kind,
                    name: Arc::clone(name),
                    backend: Arc::clone(claim.backend),
                    own: Arc::clone(claim.own),
                    before: Arc::clone(&before.backend),
                });
            }
        }
        exposed
    }

    /// What clients see of the URIs of all backends.
    pub(super) fn assign_uris(&mut self, backends: &[BackendUris<'_>]) -> AssignedUris {
        self.uris.assign(backends)
    }

    /// A result of this backend has named the URI: a backend that lists it later gets an alias.
    pub(crate) fn reserve_uri(&mut self, backend: &Arc<str>, uri: &Arc<str>) {
        self.uris.reserve(backend, uri);
    }

    /// The tools that the lock knows or that are listed, with their names. Those of the other
    /// backends that are reserved are among them.
    pub(crate) fn tools(&self) -> impl Iterator<Item = NamedTool> {
        let assigned = self.tables[Kind::Tool as usize].assigned.iter();
        assigned.map(|(owner, assignment)| NamedTool {
            backend: Arc::clone(&owner.backend),
            tool: Arc::clone(&owner.own),
            name: Arc::clone(&assignment.exposed),
            is_taken: self
                .records
                .taken_from(&assignment.exposed, owner)
                .is_some(),
        })
    }

    /// The tools of a backend that the lock has.
    pub(super) fn pinned_tools(&self, backend: &str) -> impl Iterator<Item = Arc<str>> {
        self.records.tools_of(backend)
    }
}

#[cfg(test)]
impl Names {
    pub(super) fn remembered(&self, kind: Kind) -> usize {
        if kind.is_uri() {
            return self.uris.remembered(kind);
        }
        let table = &self.tables[kind as usize];
        table.assigned.len().max(table.owners.len())
    }
}

impl NameTable {
    fn assign_names(&mut self, rules: &Rules<'_>, claims: &[Claim<'_>]) -> Vec<Arc<str>> {
        let mut exposed: Vec<Option<Arc<str>>> =
            claims.iter().map(|claim| self.kept(rules, claim)).collect();
        let overruled = rules.overruled(claims);
        let rest = (0..claims.len()).filter(|&at| exposed[at].is_none());
        let mut rest: Vec<(usize, Recorded)> = rest
            .map(|at| (at, rules.turn(&claims[at], &overruled)))
            .collect();
        // In each turn backends go in config order. Within one, names that need no mapping go first,
        // whatever their order in the list.
        rest.sort_by_cached_key(|(at, (turn, _))| {
            let claim = &claims[*at];
            (*turn, claim.place, rules.style.rank(claim))
        });
        for (at, (_, recorded)) in rest {
            let is_free = |name: &Arc<str>| !self.owners.contains_key(name) && !rules.is_own(name);
            let free = recorded.filter(is_free);
            exposed[at] = Some(self.assign_new(rules, &claims[at], free));
        }
        self.forget(claims);
        exposed.into_iter().flatten().collect()
    }

    /// The name that this claim has already. A name that no longer matches the config is released.
    fn kept(&mut self, rules: &Rules<'_>, claim: &Claim<'_>) -> Option<Arc<str>> {
        let owner = claim.owner();
        let assigned = self.assigned.get(&owner)?;
        let is_preferred = *assigned.preferred == *rules.style.preferred(claim);
        if is_preferred && !rules.is_own(&assigned.exposed) {
            return Some(assigned.exposed.clone());
        }
        let released = self.assigned.remove(&owner)?;
        self.owners.remove(&released.exposed);
        None
    }

    /// Assigns a free name to a claim that has none: this one, or one that is found.
    fn assign_new(
        &mut self,
        rules: &Rules<'_>,
        claim: &Claim<'_>,
        free: Option<Arc<str>>,
    ) -> Arc<str> {
        let preferred = rules.style.preferred(claim);
        let exposed = free.unwrap_or_else(|| self.free_name(rules, claim, &preferred).into());
        let owner = claim.owner();
        self.owners.insert(exposed.clone(), owner.clone());
        self.assigned.insert(
            owner,
            Assignment {
                exposed: exposed.clone(),
                preferred: preferred.into(),
            },
        );
        exposed
    }

    fn free_name(&self, rules: &Rules<'_>, claim: &Claim<'_>, preferred: &str) -> String {
        let is_taken = |name: &str| {
            self.owners.contains_key(name)
                || rules.records.is_reserved(name)
                || rules.is_of_another(name, claim)
                || rules.is_own(name)
        };
        if !is_taken(preferred) {
            return preferred.to_owned();
        }
        let style = &rules.style;
        let mut stem = preferred.to_owned();
        let owner = self.owners.get(preferred);
        if owner.is_none_or(|owner| owner.backend != *claim.backend) {
            stem = style.prefixed(claim);
            if !is_taken(&stem) {
                return stem;
            }
        }
        let mut attempt = 0;
        loop {
            let name = style.suffixed(&stem, claim, attempt);
            if !self.owners.contains_key(name.as_str()) {
                return name;
            }
            attempt += 1; // a tool is named like the hash, or two hashes of 32 bits collide
        }
    }

    /// Enforces [`MAX_REMEMBERED`].
    fn forget(&mut self, claims: &[Claim<'_>]) {
        if self.assigned.len() <= MAX_REMEMBERED {
            return;
        }
        let owners = self.assigned.keys();
        let full = having_more(owners.map(|owner| &owner.backend), MAX_REMEMBERED);
        if full.is_empty() {
            return;
        }
        let listed: HashSet<Owner> = claims.iter().map(Claim::owner).collect();
        self.assigned
            .retain(|owner, _| !full.contains(&owner.backend) || listed.contains(owner));
        self.owners
            .retain(|_, owner| self.assigned.contains_key(owner));
    }
}
