//! Which backend has a URI, and the alias of another's.
//!
//! Owns [`UriNames`], the record of whose each URI is. A URI that one backend alone has stays as it
//! is. Of several that list or name it at the same time, one that lists it goes first. Once given, a URI
//! or an alias stays with its backend in this process. It must not know definitions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::form::Form;
use crate::catalog::rejected::MAX_ITEMS;

/// Most URIs that are remembered for one backend and kind. Past it, those that it no longer lists are
/// forgotten.
const MAX_REMEMBERED: usize = 2 * MAX_ITEMS;

/// A URI or template of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Owner {
    backend: Arc<str>,
    own: Arc<str>,
}

/// What an owner's URI is to clients.
#[derive(Debug, Clone)]
struct Assigned {
    exposed: Arc<str>,
    is_listed: bool,
}

/// A URI or template that clients are to see. At most one for each backend and URI.
#[derive(Debug, Clone, Copy)]
pub(in crate::catalog) struct UriClaim<'a> {
    /// The backend's name.
    pub(in crate::catalog) backend: &'a Arc<str>,
    /// The backend's own URI or template.
    pub(in crate::catalog) own: &'a Arc<str>,
    /// The backend lists it. Else one of its tools names it.
    pub(in crate::catalog) is_listed: bool,
    /// Another backend has a template for it, and goes first.
    pub(in crate::catalog) is_of_template: bool,
}

impl UriClaim<'_> {
    fn owner(&self) -> Owner {
        Owner {
            backend: Arc::clone(self.backend),
            own: Arc::clone(self.own),
        }
    }
}

/// Whose each URI of a kind is.
#[derive(Debug, Clone, Default)]
pub(in crate::catalog) struct UriNames {
    owners: HashMap<Arc<str>, Owner>,
    assigned: HashMap<Owner, Assigned>,
}

impl UriNames {
    /// What clients see of each claim: the URI itself, or an alias. Claims are in config order.
    pub(in crate::catalog) fn assign(&mut self, claims: &[UriClaim<'_>]) -> Vec<Arc<str>> {
        for claim in claims {
            self.release_named(claim);
        }
        for is_listed in [true, false] {
            let claims = || {
                claims
                    .iter()
                    .filter(move |claim| claim.is_listed == is_listed)
            };
            for claim in claims() {
                self.assign_own(claim);
            }
        }
        let mut exposed = Vec::with_capacity(claims.len());
        for claim in claims {
            exposed.push(self.exposed(claim));
        }
        self.forget(claims);
        exposed
    }

    /// A result of this backend has named the URI, which is its own from now on, if nobody has it.
    pub(super) fn reserve(&mut self, backend: &Arc<str>, uri: &Arc<str>) {
        let owner = Owner {
            backend: Arc::clone(backend),
            own: Arc::clone(uri),
        };
        if !self.owners.contains_key(uri) && !self.assigned.contains_key(&owner) {
            self.insert(owner, Arc::clone(uri), false);
        }
    }

    /// A URI that a backend only named is not its own any more when another has a template for it.
    fn release_named(&mut self, claim: &UriClaim<'_>) {
        let owner = claim.owner();
        let Some(assigned) = self.assigned.get_mut(&owner) else {
            return;
        };
        assigned.is_listed |= claim.is_listed;
        if !assigned.is_listed && claim.is_of_template && assigned.exposed == *claim.own {
            self.assigned.remove(&owner);
            self.owners.remove(claim.own);
        }
    }

    /// Gives a claim its own URI, if it has none and that is free.
    fn assign_own(&mut self, claim: &UriClaim<'_>) {
        let owner = claim.owner();
        if claim.is_of_template || self.assigned.contains_key(&owner) {
            return;
        }
        if !self.owners.contains_key(claim.own) {
            self.insert(owner, Arc::clone(claim.own), claim.is_listed);
        }
    }

    /// What a claim is to clients; an alias if it has nothing yet.
    fn exposed(&mut self, claim: &UriClaim<'_>) -> Arc<str> {
        let owner = claim.owner();
        if let Some(assigned) = self.assigned.get(&owner) {
            return Arc::clone(&assigned.exposed);
        }
        let mut attempt = 0;
        loop {
            let form = Form::new(claim.own, claim.backend, attempt);
            let alias: Option<Arc<str>> = form.alias(claim.own).map(Arc::from);
            if let Some(alias) = alias.filter(|alias| !self.owners.contains_key(alias)) {
                self.insert(owner, Arc::clone(&alias), claim.is_listed);
                return alias;
            }
            attempt += 1; // a backend lists what looks like the alias, or two hashes collide
        }
    }

    fn insert(&mut self, owner: Owner, exposed: Arc<str>, is_listed: bool) {
        self.owners.insert(Arc::clone(&exposed), owner.clone());
        self.assigned.insert(owner, Assigned { exposed, is_listed });
    }

    /// Enforces [`MAX_REMEMBERED`].
    fn forget(&mut self, claims: &[UriClaim<'_>]) {
        if self.assigned.len() <= MAX_REMEMBERED {
            return;
        }
        let owners = self.assigned.keys();
        let full = having_more(owners.map(|owner| &owner.backend), MAX_REMEMBERED);
        if full.is_empty() {
            return;
        }
        let claimed: HashSet<Owner> = claims.iter().map(UriClaim::owner).collect();
        self.assigned
            .retain(|owner, _| !full.contains(&owner.backend) || claimed.contains(owner));
        self.owners
            .retain(|_, owner| self.assigned.contains_key(owner));
    }

    #[cfg(test)]
    pub(in crate::catalog) fn remembered(&self) -> usize {
        self.assigned.len().max(self.owners.len())
    }
}

/// The backends that have more than this many of the assigned names or URIs.
pub(in crate::catalog) fn having_more<'a>(
    backends: impl Iterator<Item = &'a Arc<str>>,
    most: usize,
) -> HashSet<Arc<str>> {
    let mut count: HashMap<&Arc<str>, usize> = HashMap::new();
    for backend in backends {
        *count.entry(backend).or_default() += 1;
    }
    let full = count.into_iter().filter(|(_, assigned)| *assigned > most);
    full.map(|(backend, _)| Arc::clone(backend)).collect()
}
