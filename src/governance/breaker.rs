//! The circuit breaker: who fails again and again is left alone for a while.
//!
//! Owns one state machine for each of those who may be called. After [`FAILURES`] failures in a row
//! it opens, and turns calls away at once; after a wait it lets one through as a probe, whose end
//! closes it or opens it again for twice as long. A result counts only in the state that its call
//! was admitted in, so that what comes late changes nothing. It must not know what a call is: the
//! caller says what it showed ([`Health`]).

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open it.
pub const FAILURES: u32 = 5;
/// How long it stays open at first; each probe that fails doubles it.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest that it stays open, and the longest that one probe keeps the others away: a tool
/// that takes minutes must not be taken for a backend that is down.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a call has shown of whoever was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// There is somebody, whatever they said.
    Success,
    /// It failed, and so will the next one, for this reason.
    Failure(String),
    /// Neither.
    Neutral,
}

/// Counts failures, and turns calls away where there were too many.
#[derive(Debug)]
pub struct Breaker {
    /// For the log.
    name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// How often the state has changed its kind: a permit is of one of them.
    epoch: u64,
    /// Probes so far: names the one that is out.
    probes: u64,
}

#[derive(Debug)]
enum State {
    /// Calls go through.
    Closed {
        /// In a row.
        failures: u32,
    },
    /// None does.
    Open {
        until: Instant,
        streak: FailureStreak,
    },
    /// One does, and shows what becomes of the others.
    HalfOpen {
        probe: Option<Probe>,
        streak: FailureStreak,
    },
}

/// Why it is not closed.
#[derive(Debug, Clone)]
struct FailureStreak {
    /// In a row, probes included.
    failures: u32,
    reason: Arc<str>,
    /// How long it was opened for last.
    wait: Duration,
}

/// A probe that is out.
#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u64,
    since: Instant,
}

/// Leave to make one call: to be [settled](Permit::settle) with what it showed. One that is
/// dropped has shown nothing.
#[derive(Debug)]
#[must_use = "a permit that is dropped has shown nothing"]
pub struct Permit {
    breaker: Arc<Breaker>,
    epoch: u64,
    probe: Option<u64>,
}

/// Why a call is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    failures: u32,
    reason: Arc<str>,
    /// How long until the next probe; `None` while one is out.
    wait: Option<Duration>,
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
    /// Closed.
    pub fn new(name: impl Into<String>) -> Self {
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
    pub fn admit(self: &Arc<Self>) -> Result<Permit, Refusal> {
        let now = Instant::now();
        let mut inner = self.lock();
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

    /// Whether a call would be turned away now. Asking takes nobody's place.
    pub fn turns_away(&self) -> bool {
        self.lock().refusal(Instant::now()).is_some()
    }

    /// Something else than a call has reached it: the next call need not wait to try.
    pub fn reached(&self) {
        let mut inner = self.lock();
        if let State::Open { streak, .. } = &inner.state {
            let streak = streak.clone();
            inner.half_open(streak);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Says what the call has shown.
    pub fn settle(self, health_of: Health) {
        let mut inner = self.breaker.lock();
        if inner.epoch != self.epoch {
            return;
        }
        match health_of {
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
    /// Lets another probe go in place of this one, if it is still the one that is out.
    fn drop(&mut self) {
        let mut inner = self.breaker.lock();
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
            // Nobody is admitted in this one.
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
