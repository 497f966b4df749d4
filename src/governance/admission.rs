//! Admits or refuses a call by all rules.
//!
//! Owns the state of the rules for each [`BackendId`]. It is independent of snapshots, so a new
//! catalog or config resets no failure count. It must not know how a rule works.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{self, Breaker, Health};
use crate::call_report::BackendId;
use crate::sync::Mutex;

/// Decides which calls may be made. Every call to a backend that was not [added](Self::add) is
/// admitted.
#[derive(Debug, Default)]
pub struct Admission {
    breakers: Mutex<BTreeMap<BackendId, Arc<Breaker>>>,
}

/// Permission for one call, to be [settled](Permit::settle) with its health signal. Dropping it
/// counts as [`Health::Neutral`].
#[derive(Debug)]
#[must_use = "a dropped permit counts as neutral"]
pub(crate) struct Permit {
    breaker: Option<breaker::Permit>,
}

/// Why a call is refused. `Display` does not include the backend's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Time until the same call may be admitted; `None` if that depends on a call in flight.
    pub(crate) retry_after: Option<Duration>,
    rule: breaker::Refusal,
}

impl Admission {
    /// Applies the rules to a backend, unless they apply already. `name` is for the log.
    pub(crate) fn add(&self, backend: BackendId, name: &str) {
        let new = || Arc::new(Breaker::new(name));
        self.breakers.lock().entry(backend).or_insert_with(new);
    }

    /// Forgets the state of a backend that no longer exists.
    pub(crate) fn remove(&self, backend: BackendId) {
        self.breakers.lock().remove(&backend);
    }

    /// Admits a call now; `_tool` is the backend's own name of the tool, for rules about single
    /// tools.
    ///
    /// # Errors
    /// [`Refusal`] if a rule refuses it.
    pub(crate) fn admit(&self, backend: BackendId, _tool: Option<&str>) -> Result<Permit, Refusal> {
        let permit = self.breaker(backend).map(|breaker| breaker.admit());
        match permit.transpose() {
            Ok(breaker) => Ok(Permit { breaker }),
            Err(rule) => Err(Refusal {
                retry_after: rule.wait,
                rule,
            }),
        }
    }

    /// Whether a call would be refused now. Does not use up a probe.
    pub(crate) fn would_refuse(&self, backend: BackendId) -> bool {
        let breaker = self.breaker(backend);
        breaker.is_some_and(|breaker| breaker.would_refuse())
    }

    /// The backend was reached by something other than a call: the next call is admitted as a
    /// probe.
    pub(crate) fn reached(&self, backend: BackendId) {
        if let Some(breaker) = self.breaker(backend) {
            breaker.reached();
        }
    }

    fn breaker(&self, backend: BackendId) -> Option<Arc<Breaker>> {
        self.breakers.lock().get(&backend).cloned()
    }
}

impl Permit {
    /// Reports the health signal of the call.
    pub(crate) fn settle(self, health: Health) {
        if let Some(permit) = self.breaker {
            permit.settle(health);
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rule.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::breaker::{FAILURES, FIRST_WAIT};
    use super::*;

    const ONE: BackendId = BackendId::new(1);
    const OTHER: BackendId = BackendId::new(2);

    fn fail(admission: &Admission, backend: BackendId, times: u32) {
        for _ in 0..times {
            let failure = Health::Failure("connection refused".into());
            admission.admit(backend, None).unwrap().settle(failure);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_one_backend_refuse_calls_to_that_backend_only() {
        let admission = Admission::default();
        admission.add(ONE, "one");
        admission.add(OTHER, "other");
        fail(&admission, ONE, FAILURES);
        assert!(admission.would_refuse(ONE) && !admission.would_refuse(OTHER));
        let refusal = admission.admit(ONE, Some("echo")).unwrap_err();
        assert_eq!(refusal.retry_after, Some(FIRST_WAIT));
        assert!(refusal.to_string().ends_with("tried again in 1 s"));
        assert!(admission.admit(OTHER, None).is_ok());
        admission.reached(ONE);
        let probe = admission.admit(ONE, None).unwrap();
        assert_eq!(admission.admit(ONE, None).unwrap_err().retry_after, None);
        probe.settle(Health::Success);
        assert!(admission.admit(ONE, None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn adding_a_backend_again_forgets_nothing() {
        let admission = Admission::default();
        admission.add(ONE, "one");
        fail(&admission, ONE, FAILURES);
        admission.add(ONE, "one");
        assert!(admission.would_refuse(ONE));
    }

    #[test]
    fn a_backend_without_rules_is_always_admitted() {
        let admission = Admission::default();
        fail(&admission, ONE, 2 * FAILURES);
        assert!(!admission.would_refuse(ONE));
        admission.reached(ONE);
    }
}
