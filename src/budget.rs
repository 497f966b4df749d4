//! One budget over all bytes that the gateway holds for others.
//!
//! Owns the count of what was read and is not passed on yet, and the rule that no more is taken in
//! than there is room for. Bytes carry their own charge, and give it back when the last of them is
//! dropped. It must not know what the bytes say, nor where they go.
//!
//! Texts up to [`FREE`] are not counted: they cost no more than the calls that are in flight, which
//! have their own cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

/// Up to this size a text costs nothing.
pub const FREE: usize = 4 * 1024;

/// Room for bytes. Clones are the same.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    limit: usize,
    /// What charges are held for.
    held: AtomicUsize,
    /// What waits for the client.
    waiting: AtomicUsize,
}

/// There is no room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// The whole budget, in bytes.
    pub limit: usize,
}

/// Room that is taken, and given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// Room for this many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Account {
            limit,
            held: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// The whole of it.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// A charge for nothing yet.
    pub fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// The same bytes, charged for as long as any part of them is held.
    ///
    /// # Errors
    /// [`NoRoom`], and they are gone.
    pub fn hold(&self, bytes: Bytes) -> Result<Bytes, NoRoom> {
        let mut charge = self.charge();
        charge.cover(bytes.len())?;
        Ok(charge.carried_by(bytes))
    }

    /// The same where there is no choice, though it may go past the limit.
    pub fn hold_anyway(&self, bytes: Bytes) -> Bytes {
        let mut charge = self.charge();
        charge.set(counted(bytes.len()));
        charge.carried_by(bytes)
    }

    /// Notes how much waits for the client: as long as it does there is less room for the rest.
    pub fn note_waiting(&self, bytes: usize) {
        self.0.waiting.store(bytes, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Relaxed)
    }
}

impl Charge {
    /// Makes it a charge for this many bytes in all, more or fewer than before.
    ///
    /// # Errors
    /// [`NoRoom`], where they are more; the charge stays as it was.
    pub fn cover(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let wanted = counted(bytes);
        let more = wanted.saturating_sub(self.bytes);
        if more == 0 {
            self.set(wanted);
            return Ok(());
        }
        let Account {
            limit,
            held,
            waiting,
        } = &*self.budget.0;
        let left = limit.saturating_sub(waiting.load(Relaxed));
        let taken = held.fetch_update(Relaxed, Relaxed, |held| {
            held.checked_add(more).filter(|held| *held <= left)
        });
        taken.map_err(|_| NoRoom { limit: *limit })?;
        self.bytes = wanted;
        Ok(())
    }

    /// Puts the charge upon these bytes.
    pub fn carried_by(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        Bytes::from_owner(Carried {
            bytes,
            _charge: self,
        })
    }

    fn set(&mut self, bytes: usize) {
        let held = &self.budget.0.held;
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => drop(held.fetch_add(more, Relaxed)),
            None => drop(held.fetch_sub(self.bytes - bytes, Relaxed)),
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes and the charge for them.
struct Carried {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What counts of a text of this length.
fn counted(bytes: usize) -> usize {
    if bytes <= FREE { 0 } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10 * FREE;

    fn text(length: usize) -> Bytes {
        vec![b'x'; length].into()
    }

    #[test]
    fn bytes_carry_their_charge_until_the_last_part_is_dropped() {
        let budget = Budget::new(LIMIT);
        let whole = budget.hold(text(6 * FREE)).unwrap();
        let part = whole.slice(10..20);
        assert_eq!(budget.hold(text(5 * FREE)), Err(NoRoom { limit: LIMIT }));
        drop(whole);
        assert_eq!(budget.held(), 6 * FREE);
        drop(part);
        assert_eq!(budget.held(), 0);
        assert!(budget.hold(text(LIMIT)).is_ok());
    }

    #[test]
    fn small_texts_are_free_and_pass_when_nothing_else_does() {
        let budget = Budget::new(LIMIT);
        let _all = budget.hold(text(LIMIT)).unwrap();
        assert!(budget.hold(text(FREE)).is_ok());
        assert!(budget.hold(text(FREE + 1)).is_err());
        let more = budget.hold_anyway(text(FREE + 1));
        assert_eq!(budget.held(), LIMIT + FREE + 1);
        drop(more);
        assert_eq!(budget.held(), LIMIT);
    }

    #[test]
    fn a_charge_grows_and_shrinks_with_what_it_is_for() {
        let budget = Budget::new(LIMIT);
        let mut charge = budget.charge();
        for (length, held) in [
            (FREE, 0),
            (3 * FREE, 3 * FREE),
            (2 * FREE, 2 * FREE),
            (1, 0),
        ] {
            charge.cover(length).unwrap();
            assert_eq!(budget.held(), held);
        }
        charge.cover(LIMIT).unwrap();
        assert!(charge.cover(LIMIT + 1).is_err());
        assert_eq!(budget.held(), LIMIT, "what it was for is still there");
    }

    #[test]
    fn what_waits_for_the_client_takes_room() {
        let budget = Budget::new(LIMIT);
        budget.note_waiting(8 * FREE);
        assert!(budget.hold(text(3 * FREE)).is_err());
        budget.note_waiting(0);
        assert!(budget.hold(text(3 * FREE)).is_ok());
    }
}
