//! The error under a [`BackendError`](super::BackendError).
//!
//! Owns that it shows no URL, which may hold secrets.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The error underneath, kept for [`Error::source`]. It holds no URL, which may hold secrets. All
/// sources are equal, so that errors compare by what they say.
#[derive(Clone)]
pub struct Source(Arc<dyn Error + Send + Sync>);

impl Source {
    /// Keeps an error of the HTTP stack, without its URL.
    pub fn of(error: reqwest::Error) -> Self {
        Self(Arc::new(error.without_url()))
    }
}

impl PartialEq for Source {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Source {}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Source {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
