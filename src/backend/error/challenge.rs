//! The challenge of a server that refuses our credentials.
//!
//! Owns that its text, which the server chooses, is in no log by accident.

use std::fmt;
use std::sync::Arc;

use crate::auth::oauth::challenge::BearerChallenge;

/// The `WWW-Authenticate` header values of a 401 or 403 (RFC 9110, section 11.6.1). They come from
/// the server unchecked, so `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge(Arc<[Box<[u8]>]>);

impl Challenge {
    /// The values in the order they came; `None` where there are none.
    pub fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let values: Arc<[Box<[u8]>]> = values.map(Box::from).collect();
        (!values.is_empty()).then_some(Self(values))
    }

    /// The values, as the server wrote them.
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl Challenge {
    /// The `Bearer` challenge among them.
    pub(crate) fn bearer(&self) -> Option<BearerChallenge> {
        BearerChallenge::first(self.values())
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({})", self.0.len())
    }
}
