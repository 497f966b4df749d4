//! The circuit breaker: a backend that fails again and again gets no calls for a while.
//!
//! Owns one state machine for each backend. After [`FAILURES`] failures in a row it opens, and
//! refuses calls at once; after a wait it is half-open and admits one call as a probe, which closes
//! it or opens it again for twice as long. A result counts only in the state that its call was
//! admitted in, so a late one changes nothing. It must not know what a call is: the caller says what
//! it has shown ([`Health`]).

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// Failures in a row that open it.
pub(super) const FAILURES: u32 = 5;
/// How long it stays open at first; each probe that fails doubles it.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest that it stays open, and the longest that one probe keeps the others away: a tool
/// that takes minutes must not be taken for a backend that is down.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Health signal derived from a finished call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The backend responded; any response counts as healthy.
    Success,
    /// The backend could not serve the call, for this reason.
    Failure(String),
    /// The call says nothing about the backend.
    Neutral,
}

/// Counts consecutive failures, and refuses calls after too many.
#[derive(Debug)]
pub(super) struct Breaker {
    /// For the log.
    name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Number of state changes so far: a permit counts only in the epoch it was issued in.
    epoch: u64,
    /// Probes issued so far: numbers the one in flight.
    probes: u64,
}

#[derive(Debug)]
enum State {
    /// Calls go through.
    Closed {
        /// Consecutive.
        failures: u32,
    },
    /// All calls are refused.
    Open {
        until: Instant,
        streak: FailureStreak,
    },
    /// One probe is admitted; its result decides the next state.
    HalfOpen {
        probe: Option<Probe>,
        streak: FailureStreak,
    },
}

/// Why the breaker is not closed.
#[derive(Debug, Clone)]
struct FailureStreak {
    /// Consecutive, probes included.
    failures: u32,
    reason: Arc<str>,
    /// How long the breaker was last opened for.
    wait: Duration,
}

/// A probe in flight.
#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u64,
    since: Instant,
}

/// Leave to make one call: to be [settled](Permit::settle) with what it showed. One that is
/// dropped has shown nothing.
#[derive(Debug)]
#[must_use = "a permit that is dropped has shown nothing"]
pub(super) struct Permit {
    breaker: Arc<Breaker>,
    epoch: u64,
    probe: Option<u64>,
}

/// Why a call is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    failures: u32,
    reason: Arc<str>,
    /// How long until the next probe; `None` while one is in flight.
    pub(super) wait: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            failures, reason, ..
        } = self;
        write!(
            f,
            "not called, because its last {failures} calls failed ({reason}); "
        )?;
        match self.wait {
            Some(wait) => {
                let seconds = wait.as_millis().div_ceil(1000);
                write!(f, "it is tried again in {seconds} s")
            }
            None => write!(f, "another call is trying it again right now"),
        }
    }
}

impl Breaker {
    /// A closed breaker.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            inner: Mutex::new(Inner {
                state: State::Closed { failures: 0 },
                epoch: 0,
                probes: 0,
            }),
        }
    }

    /// Asks whether a call may be made now.
    ///
    /// # Errors
    /// [`Refusal`], if not.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Permit, Refusal> {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        if let Some(refusal) = inner.refusal(now) {
            return Err(refusal);
        }
        if let State::Open { streak, .. } = &inner.state {
            let streak = streak.clone();
            inner.half_open(streak);
        }
        let probe = match &inner.state {
            State::HalfOpen { .. } => Some(inner.send_probe(now)),
            State::Closed { .. } | State::Open { .. } => None,
        };
        let epoch = inner.epoch;
        drop(inner);
        if probe.is_some() {
            tracing::debug!(backend = self.name, "one call is let through to try it");
        }
        Ok(Permit {
            breaker: Arc::clone(self),
            epoch,
            probe,
        })
    }

    /// Whether a call would be refused now. Admits nothing.
    pub(super) fn turns_away(&self) -> bool {
        self.inner.lock().refusal(Instant::now()).is_some()
    }

    /// Something other than a call has reached the backend: the next call need not wait to try.
    pub(super) fn reached(&self) {
        let mut inner = self.inner.lock();
        if let State::Open { streak, .. } = &inner.state {
            let streak = streak.clone();
            inner.half_open(streak);
        }
    }
}

impl Permit {
    /// Says what the call has shown.
    pub(super) fn settle(self, health: Health) {
        let mut inner = self.breaker.inner.lock();
        if inner.epoch != self.epoch {
            return;
        }
        match health {
            Health::Success => {
                let was = mem::replace(&mut inner.state, State::Closed { failures: 0 });
                if let State::HalfOpen { .. } = was {
                    inner.epoch += 1;
                    tracing::info!(backend = self.breaker.name, "it answers again: calls go on");
                }
            }
            Health::Failure(reason) => inner.failed(reason, &self.breaker.name),
            // Dropping the permit is all there is to do.
            Health::Neutral => {}
        }
    }
}

impl Drop for Permit {
    /// Frees the place of this probe, if it is still the one in flight.
    fn drop(&mut self) {
        let mut inner = self.breaker.inner.lock();
        if let State::HalfOpen { probe, .. } = &mut inner.state
            && probe.map(|probe| probe.number) == self.probe
        {
            *probe = None;
        }
    }
}

impl Inner {
    fn refusal(&self, now: Instant) -> Option<Refusal> {
        match &self.state {
            State::Open { until, streak } if now < *until => {
                Some(streak.refusal(Some(*until - now)))
            }
            State::HalfOpen {
                probe: Some(probe),
                streak,
            } if now < probe.since + LONGEST_WAIT => Some(streak.refusal(None)),
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    fn half_open(&mut self, streak: FailureStreak) {
        self.epoch += 1;
        self.state = State::HalfOpen {
            probe: None,
            streak,
        };
    }

    fn send_probe(&mut self, now: Instant) -> u64 {
        self.probes += 1;
        let number = self.probes;
        if let State::HalfOpen { probe, .. } = &mut self.state {
            *probe = Some(Probe { number, since: now });
        }
        number
    }

    fn failed(&mut self, reason: String, name: &str) {
        let (failures, wait) = match &self.state {
            State::Closed { failures } => (failures + 1, FIRST_WAIT),
            State::HalfOpen { streak, .. } => (
                streak.failures.saturating_add(1),
                (streak.wait * 2).min(LONGEST_WAIT),
            ),
            // No call is admitted in this state.
            State::Open { .. } => return,
        };
        if failures < FAILURES {
            self.state = State::Closed { failures };
            return;
        }
        tracing::warn!(
            backend = name,
            failures,
            error = reason,
            retry_in_ms = wait.as_millis() as u64,
            "it keeps failing: calls are turned away"
        );
        self.epoch += 1;
        self.state = State::Open {
            until: Instant::now() + wait,
            streak: FailureStreak {
                failures,
                reason: reason.into(),
                wait,
            },
        };
    }
}

impl FailureStreak {
    fn refusal(&self, wait: Option<Duration>) -> Refusal {
        Refusal {
            failures: self.failures,
            reason: Arc::clone(&self.reason),
            wait,
        }
    }
}

#[cfg(test)]
mod tests;
