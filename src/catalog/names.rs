//! Who owns which exposed name.
//!
//! Owns [`Names`], the book of names given out, and the rules a name is made by. A client's
//! permissions and a model's memory hang on names, so two people with one config get the same
//! ones, and a name once served never comes to mean another tool. Knows names alone, no
//! definitions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::rejected::MAX_ITEMS;
use crate::config::{GatewayConfig, NameChars, ToolNames};
use crate::hex::hex;
use crate::protocol::Kind;

/// Names remembered for one backend and kind, so that a backend which keeps inventing names
/// can't fill the memory: past it, its own names that it no longer lists are forgotten.
const MAX_REMEMBERED: usize = 2 * MAX_ITEMS;

/// The book of exposed names, per kind. Empty at start; see [`super::Catalog::names`].
#[derive(Debug, Clone, Default)]
pub struct Names {
    tables: [NameTable; Kind::ALL.len()],
}

/// Names of one kind.
#[derive(Debug, Clone, Default)]
struct NameTable {
    /// Exposed name or URI → who has it.
    owners: HashMap<Arc<str>, Owner>,
    /// Who → the name it has. Not for URIs: what they'd be exposed as is clear.
    assigned: HashMap<Owner, Assignment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Owner {
    backend: Arc<str>,
    own: Arc<str>,
}

#[derive(Debug, Clone)]
struct Assignment {
    exposed: Arc<str>,
    /// What it would be called if nobody else were there. When the config changes that, the
    /// name is up for renewal.
    preferred: Arc<str>,
}

/// An item that wants a name. At most one for each backend and own name.
pub(super) struct Claim<'a> {
    /// The backend's name.
    pub(super) backend: &'a Arc<str>,
    /// The item's own name or URI.
    pub(super) own: &'a Arc<str>,
    /// What the user wants it called: `tools.rename`, else its own name.
    pub(super) wanted: &'a str,
}

impl Names {
    /// Gives a name to every claim; claims stand in config order. For each claim its exposed
    /// name or, for a URI that another backend owns, that backend.
    pub(super) fn assign(
        &mut self,
        kind: Kind,
        gateway: &GatewayConfig,
        claims: &[Claim<'_>],
    ) -> Vec<Result<Arc<str>, Arc<str>>> {
        let table = &mut self.tables[kind as usize];
        if kind.is_uri() {
            table.assign_uris(claims)
        } else {
            table
                .assign_names(&Style::of(gateway), claims)
                .into_iter()
                .map(Ok)
                .collect()
        }
    }
}

#[cfg(test)]
impl Names {
    pub(super) fn remembered(&self, kind: Kind) -> usize {
        let table = &self.tables[kind as usize];
        table.assigned.len().max(table.owners.len())
    }
}

impl NameTable {
    /// A URI can't be changed, so it has one owner at a time: the one so far while it lists it,
    /// else the first in config order.
    fn assign_uris(&mut self, claims: &[Claim<'_>]) -> Vec<Result<Arc<str>, Arc<str>>> {
        let before = std::mem::take(&mut self.owners);
        let kept = |claim: &&Claim<'_>| {
            before
                .get(claim.own)
                .is_some_and(|owner| owner.backend == *claim.backend)
        };
        for claim in claims.iter().filter(kept).chain(claims) {
            self.owners
                .entry(claim.own.clone())
                .or_insert_with(|| claim.owner());
        }
        let owner = |claim: &Claim<'_>| &self.owners[claim.own].backend;
        let outcome = |claim| match owner(claim) {
            backend if backend == claim.backend => Ok(claim.own.clone()),
            backend => Err(backend.clone()),
        };
        claims.iter().map(outcome).collect()
    }

    fn assign_names(&mut self, style: &Style, claims: &[Claim<'_>]) -> Vec<Arc<str>> {
        let mut exposed: Vec<Option<Arc<str>>> =
            claims.iter().map(|claim| self.kept(style, claim)).collect();
        let mut rest: Vec<usize> = (0..claims.len())
            .filter(|&at| exposed[at].is_none())
            .collect();
        // Across backends the order of the config stands. Within one, names that need no mapping
        // come first, whatever the order of its list.
        for group in rest.chunk_by_mut(|&a, &b| claims[a].backend == claims[b].backend) {
            group.sort_by_key(|&at| style.rank(&claims[at]));
        }
        for at in rest {
            exposed[at] = Some(self.give(style, &claims[at]));
        }
        self.forget(claims);
        exposed.into_iter().flatten().collect()
    }

    /// The name this claim has had so far. One that the config no longer asks for is released.
    fn kept(&mut self, style: &Style, claim: &Claim<'_>) -> Option<Arc<str>> {
        let owner = claim.owner();
        let assigned = self.assigned.get(&owner)?;
        if *assigned.preferred == *style.preferred(claim) {
            return Some(assigned.exposed.clone());
        }
        let released = self.assigned.remove(&owner)?;
        self.owners.remove(&released.exposed);
        None
    }

    /// A free name for a claim that has none, entered in the book.
    fn give(&mut self, style: &Style, claim: &Claim<'_>) -> Arc<str> {
        let preferred = style.preferred(claim);
        let exposed: Arc<str> = self.free_name(style, claim, &preferred).into();
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

    fn free_name(&self, style: &Style, claim: &Claim<'_>, preferred: &str) -> String {
        let Some(owner) = self.owners.get(preferred) else {
            return preferred.to_owned();
        };
        let mut stem = preferred.to_owned();
        if owner.backend != *claim.backend {
            stem = style.prefixed(claim);
            if !self.owners.contains_key(stem.as_str()) {
                return stem;
            }
        }
        let mut attempt = 0;
        loop {
            let name = style.suffixed(&stem, claim, attempt);
            if !self.owners.contains_key(name.as_str()) {
                return name;
            }
            attempt += 1; // a backend named a tool after our hash, or 32 bits met by chance
        }
    }

    /// Holds [`MAX_REMEMBERED`].
    fn forget(&mut self, claims: &[Claim<'_>]) {
        if self.assigned.len() <= MAX_REMEMBERED {
            return;
        }
        let mut count: HashMap<Arc<str>, usize> = HashMap::new();
        for owner in self.assigned.keys() {
            *count.entry(owner.backend.clone()).or_default() += 1;
        }
        count.retain(|_, names| *names > MAX_REMEMBERED);
        if count.is_empty() {
            return;
        }
        let listed: HashSet<Owner> = claims.iter().map(Claim::owner).collect();
        self.assigned
            .retain(|owner, _| !count.contains_key(&owner.backend) || listed.contains(owner));
        self.owners
            .retain(|_, owner| self.assigned.contains_key(owner));
    }
}

impl Claim<'_> {
    fn owner(&self) -> Owner {
        Owner {
            backend: self.backend.clone(),
            own: self.own.clone(),
        }
    }

    /// Eight hex digits that are this claim's alone, on every machine.
    fn hash(&self, attempt: u32) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.backend.as_bytes());
        hasher.update([0]); // in no backend's name
        hasher.update(self.own.as_bytes());
        if attempt > 0 {
            hasher.update([0]);
            hasher.update(attempt.to_be_bytes());
        }
        hex(&hasher.finalize()[..4])
    }
}

/// How names are made: `tool_names` and `tool_name_chars`.
struct Style {
    prefixed: bool,
    chars: NameChars,
    /// Characters of a name, all of them ASCII.
    max_len: usize,
}

impl Style {
    fn of(gateway: &GatewayConfig) -> Self {
        Self {
            prefixed: gateway.tool_names == ToolNames::Prefixed,
            chars: gateway.tool_name_chars,
            max_len: match gateway.tool_name_chars {
                NameChars::Strict => 64,
                NameChars::Spec => 128,
            },
        }
    }

    /// The name a claim gets if it is free.
    fn preferred(&self, claim: &Claim<'_>) -> String {
        if self.prefixed {
            self.prefixed(claim)
        } else {
            self.formed(claim.wanted, claim)
        }
    }

    fn prefixed(&self, claim: &Claim<'_>) -> String {
        self.formed(&format!("{}__{}", claim.backend, claim.wanted), claim)
    }

    fn suffixed(&self, stem: &str, claim: &Claim<'_>, attempt: u32) -> String {
        let hash = claim.hash(attempt);
        let kept = stem.len().min(self.max_len - hash.len() - 1);
        format!("{}_{hash}", &stem[..kept])
    }

    /// Who comes first within a backend: what the user named, what is good as it is, the rest.
    fn rank(&self, claim: &Claim<'_>) -> u8 {
        let renamed = claim.wanted != &**claim.own;
        match (self.chars.allow(claim.wanted), renamed) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }

    /// `text` in the allowed form: other characters become `_`; what is too long is cut and
    /// ends in the claim's hash, so that its name doesn't hang on what else is cut.
    fn formed(&self, text: &str, claim: &Claim<'_>) -> String {
        let mut buffer = [0; 4];
        let map = |c: char| {
            if self.chars.allow(c.encode_utf8(&mut buffer)) {
                c
            } else {
                '_'
            }
        };
        let formed: String = text.chars().map(map).collect();
        if formed.len() > self.max_len {
            self.suffixed(&formed, claim, 0)
        } else {
            formed
        }
    }
}
