//! Admits or refuses a call by all rules.
//!
//! Owns the state of the rules for each [`BackendId`]. It is independent of snapshots, so a new
//! catalog or config resets no failure count. It must not know how a rule works.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{self, Breaker, Health};
use super::limits::{self, ClientCall, LimitBook, Limits};
use crate::call_report::BackendId;
use crate::config::BackendConfig;
use crate::protocol::Class;
use crate::sync::Mutex;

/// Decides which calls may be made. Every call to a backend that was not [added](Self::add) is
/// admitted.
#[derive(Debug, Default)]
pub struct Admission {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    backends: BTreeMap<BackendId, Rules>,
    book: LimitBook,
}

/// The rules for one backend.
#[derive(Debug, Clone)]
struct Rules {
    breaker: Arc<Breaker>,
    /// `None` if the config sets none.
    limits: Option<Arc<Limits>>,
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
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Breaker(breaker::Refusal),
    Limit(limits::Refusal),
}

impl Admission {
    /// Applies the rules to a backend, with the limits that this config sets. What is known of the
    /// backend, and what has been counted under the same limits, stays.
    pub(crate) fn add(&self, backend: BackendId, config: &BackendConfig) {
        let mut inner = self.inner.lock();
        let limits = inner.book.of(config);
        let breaker = match inner.backends.get(&backend) {
            Some(rules) => Arc::clone(&rules.breaker),
            None => Arc::new(Breaker::new(&*config.name)),
        };
        inner.backends.insert(backend, Rules { breaker, limits });
    }

    /// Forgets the state of a backend that no longer exists, but not what its limits have counted.
    pub(crate) fn remove(&self, backend: BackendId) {
        self.inner.lock().backends.remove(&backend);
    }

    /// Admits a request now. `call` is what it asks for where it begins a call of a client; other
    /// requests belong to a call that was admitted, or to none, and count for no limit.
    ///
    /// # Errors
    /// [`Refusal`] if a rule refuses it.
    pub(crate) fn admit(
        &self,
        backend: BackendId,
        call: Option<ClientCall<'_>>,
    ) -> Result<Permit, Refusal> {
        let Some(rules) = self.rules(backend) else {
            return Ok(Permit { breaker: None });
        };
        let permit = rules.breaker.admit().map_err(|refusal| Refusal {
            retry_after: refusal.wait,
            rule: Rule::Breaker(refusal),
        })?;
        if let (Some(limits), Some(call)) = (&rules.limits, call) {
            limits.admit(call).map_err(|refusal| Refusal {
                retry_after: Some(refusal.wait),
                rule: Rule::Limit(refusal),
            })?;
        }
        Ok(Permit {
            breaker: Some(permit),
        })
    }

    /// A call to this backend has asked its client for input, which comes with another request: that
    /// one is not counted.
    pub(crate) fn expect_round(&self, backend: BackendId) {
        if let Some(limits) = self.rules(backend).and_then(|rules| rules.limits) {
            limits.expect_round();
        }
    }

    /// A call was answered with the error that invites its client to make it again: that is not counted.
    pub(crate) fn expect_repeat(&self, backend: BackendId, call: ClientCall<'_>) {
        if let Some(limits) = self.rules(backend).and_then(|rules| rules.limits) {
            limits.expect_repeat(call);
        }
    }

    /// Whether the circuit breaker would refuse a call now. Does not use up a probe.
    pub(crate) fn would_refuse(&self, backend: BackendId) -> bool {
        let rules = self.rules(backend);
        rules.is_some_and(|rules| rules.breaker.would_refuse())
    }

    /// How many calls of clients to the backend of this name the limits have refused.
    pub(crate) fn refused_by_limits(&self, backend: &str) -> u64 {
        self.inner.lock().book.refused(backend)
    }

    /// The backend was reached by something other than a call: the next call is admitted as a
    /// probe.
    pub(crate) fn reached(&self, backend: BackendId) {
        if let Some(rules) = self.rules(backend) {
            rules.breaker.reached();
        }
    }

    fn rules(&self, backend: BackendId) -> Option<Rules> {
        self.inner.lock().backends.get(&backend).cloned()
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

impl Refusal {
    /// The kind of failure that it is to a client.
    pub(crate) fn class(&self) -> Class {
        match self.rule {
            Rule::Breaker(_) => Class::Unreachable,
            Rule::Limit(_) => Class::Refused,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Breaker(refusal) => refusal.fmt(f),
            Rule::Limit(refusal) => refusal.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::breaker::{FAILURES, FIRST_WAIT};
    use super::super::limits::tests::config;
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
        admission.add(ONE, &config("one", ""));
        admission.add(OTHER, &config("other", ""));
        fail(&admission, ONE, FAILURES);
        assert!(admission.would_refuse(ONE) && !admission.would_refuse(OTHER));
        let refusal = admission.admit(ONE, None).unwrap_err();
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
        admission.add(ONE, &config("one", ""));
        fail(&admission, ONE, FAILURES);
        admission.add(ONE, &config("one", ""));
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
