//! The circuit breaker: a backend that keeps failing gets no calls for a time.
//!
//! Owns one state machine for each backend. After [`FAILURES`] consecutive failures it opens and
//! refuses calls immediately; after a wait it is half-open and admits one call as a probe, which
//! closes it or opens it again for twice as long. A result counts only in the state that its call
//! was admitted in, so a late one changes nothing. Calls that fail together, as those do that one replica
//! of a backend had when it failed, are one failure. It must not know what a call is: it gets the
//! [`Health`] signal of a finished call.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// Consecutive failures that open it.
pub(super) const FAILURES: u32 = 5;
/// How long it stays open at first; each failed probe doubles it.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest time that it stays open, and the longest time that one probe blocks other calls: a
/// slow tool does not mean that the backend is down.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A failure within this time of another one, of a call that was in flight then, has the same cause.
const SAME_EVENT: Duration = Duration::from_secs(1);

/// Health signal derived from a finished call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// The backend responded; any response counts as healthy.
    Success,
    /// The backend could not serve the call, for this reason.
    Failure(String),
    /// The call gives no information about the backend.
    Neutral,
}

/// Counts consecutive failures, and refuses calls after too many.
#[derive(Debug)]
pub(super) struct Breaker {
    /// The backend's name, for the log.
    name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Number of state changes. A permit counts only in the epoch that it was issued in.
    epoch: u64,
    /// Number of permits issued.
    permits: u64,
    /// Number of probes issued, which numbers the one in flight.
    probes: u64,
}

#[derive(Debug)]
enum State {
    /// All calls are admitted.
    Closed {
        /// Consecutive.
        failures: u32,
        last: Option<Failed>,
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

/// The last failure that counts.
#[derive(Debug, Clone, Copy)]
struct Failed {
    at: Instant,
    /// How many permits had been issued: those calls may be in flight.
    permits: u64,
}

impl State {
    /// The state at the beginning, and after a success.
    const HEALTHY: Self = Self::Closed {
        failures: 0,
        last: None,
    };
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

/// Permission for one call, to be [settled](Permit::settle) with its health signal. Dropping it
/// counts as [`Health::Neutral`].
#[derive(Debug)]
#[must_use = "a dropped permit counts as neutral"]
pub(super) struct Permit {
    breaker: Arc<Breaker>,
    /// Among all permits.
    number: u64,
    epoch: u64,
    probe: Option<u64>,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    failures: u32,
    reason: Arc<str>,
    /// Time until the next probe; `None` while one is in flight.
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
                state: State::HEALTHY,
                epoch: 0,
                permits: 0,
                probes: 0,
            }),
        }
    }

    /// Admits a call now.
    ///
    /// # Errors
    /// [`Refusal`] while it is open, or half-open with a probe in flight.
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
            State::HalfOpen { .. } => Some(inner.start_probe(now)),
            State::Closed { .. } | State::Open { .. } => None,
        };
        inner.permits += 1;
        let (epoch, number) = (inner.epoch, inner.permits);
        drop(inner);
        if probe.is_some() {
            tracing::debug!(backend = self.name, "one call is admitted as a probe");
        }
        Ok(Permit {
            breaker: Arc::clone(self),
            number,
            epoch,
            probe,
        })
    }

    /// Whether a call would be refused now. Does not use up a probe.
    pub(super) fn would_refuse(&self) -> bool {
        self.inner.lock().refusal(Instant::now()).is_some()
    }

    /// The backend was reached by something other than a call: the next call is admitted as a
    /// probe.
    pub(super) fn reached(&self) {
        let mut inner = self.inner.lock();
        if let State::Open { streak, .. } = &inner.state {
            let streak = streak.clone();
            inner.half_open(streak);
        }
    }
}

impl Permit {
    /// Reports the health signal of the call.
    pub(super) fn settle(self, health: Health) {
        let mut inner = self.breaker.inner.lock();
        if inner.epoch != self.epoch {
            return;
        }
        match health {
            Health::Success => {
                let was = mem::replace(&mut inner.state, State::HEALTHY);
                if let State::HalfOpen { .. } = was {
                    inner.epoch += 1;
                    tracing::info!(
                        backend = self.breaker.name,
                        "it responds again: calls are admitted"
                    );
                }
            }
            Health::Failure(reason) => inner.failed(self.number, reason, &self.breaker.name),
            // Dropping the permit frees the probe.
            Health::Neutral => {}
        }
    }
}

impl Drop for Permit {
    /// Lets another probe start, if this one is still the one in flight.
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

    fn start_probe(&mut self, now: Instant) -> u64 {
        self.probes += 1;
        let number = self.probes;
        if let State::HalfOpen { probe, .. } = &mut self.state {
            *probe = Some(Probe { number, since: now });
        }
        number
    }

    fn failed(&mut self, permit: u64, reason: String, name: &str) {
        let now = Instant::now();
        let (failures, wait) = match &self.state {
            State::Closed {
                last: Some(last), ..
            } if permit <= last.permits && now < last.at + SAME_EVENT => return,
            State::Closed { failures, .. } => (failures + 1, FIRST_WAIT),
            State::HalfOpen { streak, .. } => (
                streak.failures.saturating_add(1),
                (streak.wait * 2).min(LONGEST_WAIT),
            ),
            // No call is admitted in this state.
            State::Open { .. } => return,
        };
        if failures < FAILURES {
            let last = Some(Failed {
                at: now,
                permits: self.permits,
            });
            self.state = State::Closed { failures, last };
            return;
        }
        tracing::warn!(
            backend = name,
            failures,
            error = reason,
            retry_in_ms = wait.as_millis() as u64,
            "it keeps failing: calls are refused"
        );
        self.epoch += 1;
        self.state = State::Open {
            until: now + wait,
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
