//! An item that needs a name, and the one that has it.
//!
//! Owns [`Claim`], with whatever decides among several, and the hash that tells items of one name apart:
//! eight hex digits of backend and own name, the same on every machine.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::config::Subject;
use crate::hex::hex;

/// An item, as the one that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    /// The backend's name.
    pub(super) backend: Arc<str>,
    /// The item's own name or URI.
    pub(super) own: Arc<str>,
}

/// An item that needs a name. At most one for each backend and own name.
#[derive(Clone, Copy)]
pub(in crate::catalog) struct Claim<'a> {
    /// The backend's name.
    pub(in crate::catalog) backend: &'a Arc<str>,
    /// The item's own name or URI.
    pub(in crate::catalog) own: &'a Arc<str>,
    /// Its name in `tools.rename`, else its own name.
    pub(in crate::catalog) wanted: &'a str,
    /// The place of its backend among those of this build.
    pub(in crate::catalog) place: usize,
    /// The lock has the tools of its backend.
    pub(in crate::catalog) is_pinned: bool,
    /// It is listed. Else its name is only kept from others.
    pub(in crate::catalog) is_listed: bool,
}

impl Owner {
    pub(super) fn subject(&self) -> Subject {
        Subject::Tool(Arc::clone(&self.own))
    }
}

impl Claim<'_> {
    pub(super) fn owner(&self) -> Owner {
        Owner {
            backend: self.backend.clone(),
            own: self.own.clone(),
        }
    }

    /// The user has named it.
    pub(super) fn is_renamed(&self) -> bool {
        *self.wanted != **self.own
    }

    /// Eight hex digits of a hash of backend and own name: the same on every machine.
    pub(super) fn hash(&self, attempt: u32) -> String {
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
