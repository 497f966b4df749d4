//! Assigns exposed names to items.
//!
//! Owns [`Names`], the record of assigned names, and the rules for a name. Clients store
//! permissions by name and models remember names, so the same config always gives the same names,
//! and a name once served never refers to another tool. It must not know definitions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::rejected::MAX_ITEMS;
use crate::config::{GatewayConfig, NameChars, ToolNames};
use crate::hex::hex;
use crate::protocol::Kind;

/// Most names that are remembered for one backend and kind, which bounds the memory of a backend
/// that always lists new names. Past it, names that the backend no longer lists are forgotten.
const MAX_REMEMBERED: usize = 2 * MAX_ITEMS;

/// The assigned names of each kind. Empty at start; see [`super::Catalog::names`].
#[derive(Debug, Clone, Default)]
pub struct Names {
    tables: [NameTable; Kind::ALL.len()],
}

/// Names of one kind.
#[derive(Debug, Clone, Default)]
struct NameTable {
    /// Owner of each exposed name or URI.
    owners: HashMap<Arc<str>, Owner>,
    /// Name of each owner. Not for URIs, which are exposed unchanged.
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
    /// The name it would have without other items. If the config changes that, a new name is
    /// assigned.
    preferred: Arc<str>,
}

/// An item that needs a name. At most one for each backend and own name.
pub(super) struct Claim<'a> {
    /// The backend's name.
    pub(super) backend: &'a Arc<str>,
    /// The item's own name or URI.
    pub(super) own: &'a Arc<str>,
    /// Its name in `tools.rename`, else its own name.
    pub(super) wanted: &'a str,
}

impl Names {
    /// Assigns a name to every claim; claims are in config order. Returns for each claim its
    /// exposed name or, for a URI that another backend owns, the name of that backend.
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
    /// A URI can't be changed, so it has one owner at a time: the previous owner while it lists it,
    /// else the first backend in config order.
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
        // Backends go in config order. Within one, names that need no mapping go first, whatever
        // their order in the list.
        for group in rest.chunk_by_mut(|&a, &b| claims[a].backend == claims[b].backend) {
            group.sort_by_key(|&at| style.rank(&claims[at]));
        }
        for at in rest {
            exposed[at] = Some(self.assign_new(style, &claims[at]));
        }
        self.forget(claims);
        exposed.into_iter().flatten().collect()
    }

    /// The name that this claim has already. A name that no longer matches the config is released.
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

    /// Assigns a free name to a claim that has none.
    fn assign_new(&mut self, style: &Style, claim: &Claim<'_>) -> Arc<str> {
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
            attempt += 1; // a tool is named like the hash, or two hashes of 32 bits collide
        }
    }

    /// Enforces [`MAX_REMEMBERED`].
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

    /// Eight hex digits of a hash of backend and own name: the same on every machine.
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

/// The form of names: `tool_names`, `tool_name_chars` and `tool_name_max`.
struct Style {
    prefixed: bool,
    chars: NameChars,
    /// Most characters of a name, all of them ASCII.
    max_len: usize,
}

impl Style {
    fn of(gateway: &GatewayConfig) -> Self {
        Self {
            prefixed: gateway.tool_names == ToolNames::Prefixed,
            chars: gateway.tool_name_chars,
            max_len: match (gateway.tool_name_max, gateway.tool_name_chars) {
                (0, NameChars::Strict) => 64,
                (0, NameChars::Spec) => 128,
                (most, NameChars::Strict) => most.min(64),
                (most, NameChars::Spec) => most.min(128),
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

    /// Priority within a backend: renamed by the user, valid unchanged, needs mapping.
    fn rank(&self, claim: &Claim<'_>) -> u8 {
        let renamed = claim.wanted != &**claim.own;
        match (self.chars.allow(claim.wanted), renamed) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }

    /// `text` in the allowed form: other characters become `_`; text that is too long is cut and
    /// ends in the claim's hash, so it does not depend on other names that are cut.
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
