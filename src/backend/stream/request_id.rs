//! Ids of our requests to servers, which are their progress tokens too.
//!
//! Owns their numbers. It must not know what is sent under them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::Id;

/// The first. Servers count their own requests from 0 or 1, and some use that number as the progress
/// token of the request: it must not be taken for one of ours (X-ML-05). Every id of a long run fits
/// into 32 bits.
const FIRST: u64 = 1_000_001;

static NEXT: AtomicU64 = AtomicU64::new(FIRST);

/// A request id that no other request of this process has.
pub fn fresh_id() -> Id {
    Id::number(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether a request of this process has, or had, this id.
pub(super) fn was_issued(id: &Id) -> bool {
    let number = id.raw().as_str().parse::<u64>();
    number.is_ok_and(|number| (FIRST..NEXT.load(Ordering::Relaxed)).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    #[test]
    fn only_ids_that_were_issued_are_ours() {
        let id = fresh_id();
        assert!(was_issued(&id) && id != fresh_id());
        let text = id.raw().as_str();
        for other in ["0", "1", "-1000001", "9999999999", &format!("\"{text}\"")] {
            let other = Id::from_raw(RawJson::trusted(other.to_owned())).unwrap();
            assert!(!was_issued(&other), "{other:?}");
        }
    }
}
