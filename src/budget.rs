//! One budget for all bytes that the gateway buffers.
//!
//! Owns the count of bytes that were read and are not written yet, and the refusal of more than the
//! limit. Bytes carry their charge and release it when the last part of them is dropped. It must
//! not know what the bytes contain or where they go.
//!
//! A backend may hold at most [`MAX_SHARE_RATIO`] times what it leaves free, so that a backend that
//! takes all it can get leaves room for the others. The client has no such limit. Texts up to
//! [`FREE_BELOW`] bytes are not counted: they are bounded by the number of calls in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

/// Texts of up to this many bytes are not counted.
pub(crate) const FREE_BELOW: usize = 4 * 1024;

/// A backend may hold this many times what it leaves free.
const MAX_SHARE_RATIO: usize = 3;

/// The budget of the client or of one backend. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<BudgetShare>);

#[derive(Debug)]
struct BudgetShare {
    /// [`MAX_SHARE_RATIO`] applies.
    is_backend: bool,
    /// Bytes charged to this share.
    held: AtomicUsize,
    totals: Arc<BudgetTotals>,
}

/// What the client and all backends share.
#[derive(Debug)]
struct BudgetTotals {
    limit: usize,
    /// Bytes charged to all shares.
    held: AtomicUsize,
    /// Bytes queued for the client.
    waiting: AtomicUsize,
}

/// The budget has no room for more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetExceeded {
    /// The whole budget, in bytes.
    pub(crate) limit: usize,
}

/// Bytes taken from a budget until this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes. The result is the client's share.
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

    /// A backend's share of the same budget.
    pub(crate) fn backend_share(&self) -> Self {
        Self(Arc::new(BudgetShare {
            is_backend: true,
            held: AtomicUsize::new(0),
            totals: Arc::clone(&self.0.totals),
        }))
    }

    /// The whole budget, in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.0.totals.limit
    }

    /// Whether `bytes` of droppable data fit.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.0.totals.remaining(bytes).is_some()
    }

    /// A charge of zero bytes.
    pub fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Charges the bytes until the last part of them is dropped.
    ///
    /// # Errors
    /// [`BudgetExceeded`] if there is no room; the bytes are dropped.
    pub(crate) fn charge_bytes(&self, bytes: Bytes) -> Result<Bytes, BudgetExceeded> {
        self.charge_times(1, bytes)
    }

    /// Charges the bytes twice: once for the copy that is sent on.
    ///
    /// # Errors
    /// [`BudgetExceeded`] if there is no room; the bytes are dropped.
    pub(crate) fn charge_with_copy(&self, bytes: Bytes) -> Result<Bytes, BudgetExceeded> {
        self.charge_times(2, bytes)
    }

    fn charge_times(&self, times: usize, bytes: Bytes) -> Result<Bytes, BudgetExceeded> {
        if counted(bytes.len()) == 0 {
            return Ok(bytes);
        }
        let mut charge = self.charge();
        charge.cover(times * bytes.len())?;
        Ok(charge.attach_to(bytes))
    }

    /// Charges the bytes even past the limit.
    pub(crate) fn charge_unchecked(&self, bytes: Bytes) -> Bytes {
        let mut charge = self.charge();
        charge.set(counted(bytes.len()));
        charge.attach_to(bytes)
    }

    /// Sets the number of bytes queued for the client, which count against the budget.
    pub(crate) fn set_waiting(&self, bytes: usize) {
        self.0.totals.waiting.store(bytes, Relaxed);
    }

    /// Bytes that are taken, those queued for the client included.
    pub(crate) fn used(&self) -> usize {
        let totals = &self.0.totals;
        totals.held.load(Relaxed) + totals.waiting.load(Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.0.totals.held.load(Relaxed)
    }
}

impl BudgetTotals {
    /// Bytes left if `more` are taken; `None` if they don't fit.
    fn remaining(&self, more: usize) -> Option<usize> {
        let taken = self.held.load(Relaxed).checked_add(more)?;
        let taken = taken.checked_add(self.waiting.load(Relaxed))?;
        self.limit.checked_sub(taken)
    }
}

impl Charge {
    /// Sets the charge to this many bytes in total.
    ///
    /// # Errors
    /// [`BudgetExceeded`] if it would grow and there is no room; the charge is unchanged.
    pub fn cover(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        let wanted = counted(bytes);
        let more = wanted.saturating_sub(self.bytes);
        if more > 0 {
            let share = &*self.budget.0;
            let mine = share.held.load(Relaxed).saturating_add(more);
            let remaining = share.totals.remaining(more);
            // Two threads may check at the same time: then both succeed, past the limit.
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

    /// Adds bytes, even past the limit.
    pub(crate) fn add_unchecked(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }

    /// Binds the charge to these bytes, which release it when dropped.
    pub(crate) fn attach_to(self, bytes: Bytes) -> Bytes {
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

/// Bytes with their charge.
struct ChargedBytes {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The bytes that are counted for a text of this length.
fn counted(bytes: usize) -> usize {
    if bytes <= FREE_BELOW { 0 } else { bytes }
}

#[cfg(test)]
mod tests;
