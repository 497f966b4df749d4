//! One budget over all bytes that the gateway holds for others.
//!
//! Owns the count of what was read and is not passed on yet, and the rule that no more is taken in
//! than there is room for. Bytes carry their own charge, and give it back when the last of them is
//! dropped. It must not know what the bytes say, nor where they go.
//!
//! No backend may hold more than [`MAX_SHARE_RATIO`] times what it leaves: so that something is left to the
//! others, whoever takes all that it can get. The client may, since all is for it. Texts up to
//! [`FREE_BELOW`] are not counted: they cost no more than the calls that are in flight, which have their
//! own cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

/// Up to this size a text costs nothing.
pub const FREE_BELOW: usize = 4 * 1024;

/// A backend may hold this many times what it leaves to the others.
const MAX_SHARE_RATIO: usize = 3;

/// Room for one party: the client, or a backend. Clones are the same party.
#[derive(Debug, Clone)]
pub struct Budget(Arc<BudgetShare>);

#[derive(Debug)]
struct BudgetShare {
    /// It must leave something to the others.
    is_backend: bool,
    /// What its charges are held for.
    held: AtomicUsize,
    totals: Arc<BudgetTotals>,
}

/// What all parties share.
#[derive(Debug)]
struct BudgetTotals {
    limit: usize,
    /// What all charges are held for.
    held: AtomicUsize,
    /// What waits for the client.
    waiting: AtomicUsize,
}

/// There is no room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetExceeded {
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
    /// Room for this many bytes, as the client has it.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(BudgetShare {
            is_backend: false,
            held: AtomicUsize::new(0),
            totals: Arc::new(BudgetTotals {
                limit,
                held: AtomicUsize::new(0),
                waiting: AtomicUsize::new(0),
            }),
        }))
    }

    /// The same room, as one more backend has it.
    pub fn backend_share(&self) -> Self {
        Self(Arc::new(BudgetShare {
            is_backend: true,
            held: AtomicUsize::new(0),
            totals: Arc::clone(&self.0.totals),
        }))
    }

    /// The whole of it.
    pub fn limit(&self) -> usize {
        self.0.totals.limit
    }

    /// Whether there is room for so much that may as well be missed.
    pub fn fits(&self, bytes: usize) -> bool {
        self.0.totals.remaining(bytes).is_some()
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
    /// [`BudgetExceeded`], and they are gone.
    pub fn hold(&self, bytes: Bytes) -> Result<Bytes, BudgetExceeded> {
        self.hold_times(1, bytes)
    }

    /// The same, with room for the copy that goes out of it.
    ///
    /// # Errors
    /// [`BudgetExceeded`], and they are gone.
    pub fn charge_with_copy(&self, bytes: Bytes) -> Result<Bytes, BudgetExceeded> {
        self.hold_times(2, bytes)
    }

    fn hold_times(&self, times: usize, bytes: Bytes) -> Result<Bytes, BudgetExceeded> {
        if counted(bytes.len()) == 0 {
            return Ok(bytes);
        }
        let mut charge = self.charge();
        charge.cover(times * bytes.len())?;
        Ok(charge.attach_to(bytes))
    }

    /// The same where there is no choice, though it may go past the limit.
    pub fn charge_unchecked(&self, bytes: Bytes) -> Bytes {
        let mut charge = self.charge();
        charge.set(counted(bytes.len()));
        charge.attach_to(bytes)
    }

    /// Notes how much waits for the client: as long as it does there is less room for the rest.
    pub fn set_waiting(&self, bytes: usize) {
        self.0.totals.waiting.store(bytes, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.0.totals.held.load(Relaxed)
    }
}

impl BudgetTotals {
    /// What is left when so much more is taken.
    fn remaining(&self, more: usize) -> Option<usize> {
        let taken = self.held.load(Relaxed).checked_add(more)?;
        let taken = taken.checked_add(self.waiting.load(Relaxed))?;
        self.limit.checked_sub(taken)
    }
}

impl Charge {
    /// Makes it a charge for this many bytes in all, more or fewer than before.
    ///
    /// # Errors
    /// [`BudgetExceeded`], where they are more; the charge stays as it was.
    pub fn cover(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        let wanted = counted(bytes);
        let more = wanted.saturating_sub(self.bytes);
        if more > 0 {
            let share = &*self.budget.0;
            let mine = share.held.load(Relaxed).saturating_add(more);
            let remaining = share.totals.remaining(more);
            // The thread that reads lines may ask at the same time: then both are let in.
            remaining
                .filter(|remaining| {
                    !share.is_backend || mine <= remaining.saturating_mul(MAX_SHARE_RATIO)
                })
                .ok_or(BudgetExceeded {
                    limit: share.totals.limit,
                })?;
        }
        self.set(wanted);
        Ok(())
    }

    /// Puts the charge upon these bytes.
    pub fn attach_to(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        Bytes::from_owner(ChargedBytes {
            bytes,
            _charge: self,
        })
    }

    fn set(&mut self, bytes: usize) {
        let BudgetShare { held, totals, .. } = &*self.budget.0;
        for held in [held, &totals.held] {
            match bytes.checked_sub(self.bytes) {
                Some(0) => {}
                Some(more) => drop(held.fetch_add(more, Relaxed)),
                None => drop(held.fetch_sub(self.bytes - bytes, Relaxed)),
            }
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
struct ChargedBytes {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What counts of a text of this length.
fn counted(bytes: usize) -> usize {
    if bytes <= FREE_BELOW { 0 } else { bytes }
}

#[cfg(test)]
mod tests;
