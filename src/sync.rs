//! A mutex and a condition variable without poisoning.
//!
//! Owns the decision to ignore poisoning: a panic ends only its task, and every critical section in
//! this crate leaves its data valid at each step.

#![allow(clippy::disallowed_types, reason = "the one place that wraps them")]

use std::sync::{MutexGuard, PoisonError};

/// [`std::sync::Mutex`] whose [`lock`](Self::lock) never fails. For short critical sections: never
/// hold it across an `.await`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// [`std::sync::Condvar`] for a [`Mutex`]; [`wait`](Self::wait) never fails.
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    /// Unlocks, waits until woken, and locks again. May return without a wake-up.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes one waiting thread.
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_under_the_lock_does_not_poison_it() {
        let mutex = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            let holding = scope.spawn(|| {
                let _guard = mutex.lock();
                std::panic::resume_unwind(Box::new(()));
            });
            holding.join().is_err()
        });
        assert!(panicked);
        *mutex.lock() += 1;
        assert_eq!(*mutex.lock(), 2);
    }
}
