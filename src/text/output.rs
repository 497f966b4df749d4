//! The text that this process writes besides messages: log lines, and what commands print.
//!
//! Owns the list of all backends' secrets, which are removed from it whatever else was done before.
//! It must not know where it is written.

use std::borrow::Cow;

use super::scrub::Scrubber;
use crate::sync::Mutex;

/// The scrubbers of all backends that this process has been configured with.
static SCRUBBERS: Mutex<Vec<Scrubber>> = Mutex::new(Vec::new());

/// From now on also the secrets of these backends are removed, and no longer those of backends that
/// are gone.
pub(crate) fn keep_from_output<'a>(scrubbers: impl Iterator<Item = &'a Scrubber>) {
    let mut kept = SCRUBBERS.lock();
    kept.retain(Scrubber::is_shared);
    for scrubber in scrubbers {
        if !kept.iter().any(|known| known.is_same(scrubber)) {
            kept.push(scrubber.clone());
        }
    }
}

/// A text without the secrets of any backend; not copied where it has none.
pub(crate) fn for_output(text: &str) -> Cow<'_, str> {
    let mut scrubbed = Cow::Borrowed(text);
    for scrubber in &*SCRUBBERS.lock() {
        if let Cow::Owned(changed) = scrubber.message(&scrubbed) {
            scrubbed = Cow::Owned(changed);
        }
    }
    scrubbed
}
