//! When a call is sent again, and after how long.
//!
//! Owns the policy: what a failed attempt shows, whether that allows another one, the waits
//! between attempts and the budget of extra ones. Knows nothing of HTTP but the `Retry-After`
//! value, and does no I/O: the caller says what it saw, and sleeps as told.
//!
//! Whether a call may run twice is decided before its first send ([`Replay`]), never in the heat
//! of a failure. After each failed attempt the caller names what it saw ([`RetryClass`]):
//!
//! | what was seen | sent again? |
//! |---|---|
//! | the request never went out: refused, DNS, connect timeout, refused h2 stream | yes |
//! | the server says that it did not take it: 429, 503 with `Retry-After` | yes, not before the time asked for |
//! | 503 without `Retry-After`: also what a proxy says for a server that died at work | if it is safe |
//! | it may have run: 500, 502, 504, a timeout or a broken stream after sending | if it is safe |
//! | 401 and the token was renewed, 404 and the session was renewed | once, at once |
//! | the words, not the status, speak of a lost session, and it was renewed | once, at once, if it is safe |
//! | anything else: other 4xx, a certificate that doesn't hold | no |
//!
//! Every *yes* is within the attempts allowed, the [`RetryBudget`] and the time left. The renewals
//! stand outside attempts and budget: they happen once a call, and a server that was restarted
//! loses the session of all its calls together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use rand::{Rng, RngExt};
use reqwest::header::HeaderValue;
use tokio::time::Instant;

use crate::config::RetryTools;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const RECONNECT_FIRST: Duration = Duration::from_secs(1);
const RECONNECT_MAX: Duration = Duration::from_secs(60);
/// Longest `Retry-After` that a call sits out.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Whether a call may be sent again once it may have run. Known before the first send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Running it twice does no harm.
    Safe,
    /// Nobody has said so.
    Unsafe,
}

impl Replay {
    /// For a tool under this rule; `hinted` where its annotations have `readOnlyHint` or
    /// `idempotentHint`. Lists, discovery and pings are always [`Safe`](Self::Safe).
    pub fn of_tool(rule: RetryTools, hinted: bool) -> Self {
        match rule {
            RetryTools::Always => Self::Safe,
            RetryTools::Safe if hinted => Self::Safe,
            RetryTools::Safe | RetryTools::Never => Self::Unsafe,
        }
    }
}

/// What a failed attempt shows of the request's fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// It never reached a server: connection refused, DNS, connect timeout, refused h2 stream.
    NotSent,
    /// The server says that it did not take it: 429, or 503 with `Retry-After`.
    NotTaken {
        /// The wait that it asks for, if it asked readably.
        retry_after: Option<Duration>,
    },
    /// 503 without `Retry-After`.
    Unavailable,
    /// 500, 502, 504, a timeout or a broken stream after sending.
    MayHaveRun,
    /// It was turned away, and what it lacked has been renewed since: 401 and the token, 404
    /// and the session.
    Renewed {
        /// The status itself says that the request was not taken; `false` where only the text of
        /// an error speaks of a lost session.
        by_status: bool,
    },
    /// Another attempt would end the same.
    Final,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Send it again after this wait.
    Retry {
        /// Shorter than the time that was left.
        delay: Duration,
    },
    /// Report the failure.
    GiveUp,
}

/// The attempts of one call.
#[derive(Debug)]
pub struct Attempts<'a> {
    replay: Replay,
    allowed: u32,
    budget: &'a RetryBudget,
    retried: u32,
    renewed: bool,
}

impl<'a> Attempts<'a> {
    /// Opens a call, and counts it in the budget. `retries` are the attempts after the first.
    pub fn new(replay: Replay, retries: u32, budget: &'a RetryBudget) -> Self {
        budget.deposit();
        Self {
            replay,
            allowed: retries,
            budget,
            retried: 0,
            renewed: false,
        }
    }

    /// Retries so far, renewals not counted.
    pub fn retried(&self) -> u32 {
        self.retried
    }

    /// Judges a failed attempt with `left` until the call's deadline. A `Retry` is counted and
    /// paid for: it must be sent.
    pub fn after(
        &mut self,
        class: RetryClass,
        left: Duration,
        rng: &mut impl Rng,
    ) -> RetryDecision {
        let safe = self.replay == Replay::Safe;
        match class {
            RetryClass::NotSent => self.retry(Duration::ZERO, left, rng),
            RetryClass::NotTaken { retry_after: None } => self.retry(Duration::ZERO, left, rng),
            RetryClass::NotTaken {
                retry_after: Some(asked),
            } => match wait_for_retry_after(asked, left) {
                Some(wait) => self.retry(wait, left, rng),
                None => RetryDecision::GiveUp,
            },
            RetryClass::Unavailable | RetryClass::MayHaveRun if safe => {
                self.retry(Duration::ZERO, left, rng)
            }
            RetryClass::Renewed { by_status } if (by_status || safe) && !self.renewed => {
                self.renewed = true;
                RetryDecision::Retry {
                    delay: Duration::ZERO,
                }
            }
            RetryClass::Unavailable
            | RetryClass::MayHaveRun
            | RetryClass::Renewed { .. }
            | RetryClass::Final => RetryDecision::GiveUp,
        }
    }

    /// Another attempt after the backoff, or after `at_least` where that is longer.
    fn retry(&mut self, at_least: Duration, left: Duration, rng: &mut impl Rng) -> RetryDecision {
        let delay = backoff(self.retried, rng).max(at_least);
        if self.retried < self.allowed && delay < left && self.budget.withdraw() {
            self.retried += 1;
            RetryDecision::Retry { delay }
        } else {
            RetryDecision::GiveUp
        }
    }
}

/// The wait before retry number `attempt`, counted from 0: 100 ms × 2^`attempt` and up to half
/// of that at random, at most 30 s in all.
pub fn backoff(attempt: u32, rng: &mut impl Rng) -> Duration {
    doubling(BACKOFF_FIRST, BACKOFF_MAX, attempt, rng)
}

/// What a `Retry-After` value asks for (RFC 9110, section 10.2.3): seconds, or an HTTP date seen
/// from `now`, where a past one is zero. `None` for what is neither. Not bounded here.
pub fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// The wait that was asked for, if a call may sit it out: it is at most 30 s, and ends before
/// the time that is left does. `None`: the call ends here, as rate limited.
pub fn wait_for_retry_after(asked: Duration, left_of_deadline: Duration) -> Option<Duration> {
    (asked <= RETRY_AFTER_MAX && asked < left_of_deadline).then_some(asked)
}

/// What retries of one backend may cost: 20 % of its calls and 10 a second.
///
/// A pot of tokens, one a retry. It starts with 10, a quiet second fills it up to 10 again, every
/// call adds a fifth of one, and it never holds more than 100. So a dead backend sees about a
/// fifth more requests than it has calls, not four times as many. No lock: a call costs one
/// atomic update, and the clock is read only when something failed.
#[derive(Debug)]
pub struct RetryBudget {
    /// In fifths of a token.
    fifths: AtomicU64,
    started: Instant,
    /// Ticks since `started` whose share has been paid into the pot.
    ticks_paid: AtomicU64,
}

impl RetryBudget {
    const FIFTHS_A_TOKEN: u64 = 5;
    /// One fifth a tick makes 10 tokens a second.
    const TICK_MILLIS: u128 = 20;
    const FULL: u64 = 10 * Self::FIFTHS_A_TOKEN;
    const CEILING: u64 = 100 * Self::FIFTHS_A_TOKEN;

    /// A full budget.
    pub fn new() -> Self {
        Self {
            fifths: AtomicU64::new(Self::FULL),
            started: Instant::now(),
            ticks_paid: AtomicU64::new(0),
        }
    }

    /// Counts a call.
    pub fn deposit(&self) {
        self.pay_in(1, Self::CEILING);
    }

    /// Takes a retry out, if there is one.
    pub fn withdraw(&self) -> bool {
        let ticks = self.started.elapsed().as_millis() / Self::TICK_MILLIS;
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        // Whoever moves the mark owns the ticks in between, so that none is paid twice.
        let paid = self.ticks_paid.fetch_max(ticks, Relaxed);
        self.pay_in(ticks.saturating_sub(paid), Self::FULL);
        self.fifths
            .fetch_update(Relaxed, Relaxed, |pot| {
                pot.checked_sub(Self::FIFTHS_A_TOKEN)
            })
            .is_ok()
    }

    /// Fills the pot up to `limit`; leaves one alone that has more.
    fn pay_in(&self, fifths: u64, limit: u64) {
        // `Err` says that there was nothing to change.
        let _ = self.fifths.fetch_update(Relaxed, Relaxed, |pot| {
            (pot < limit && fifths > 0).then(|| pot.saturating_add(fifths).min(limit))
        });
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

/// The waits of a backend that is down between tries to reach it: 1 s doubling to 60 s, each with
/// up to half of it more at random, at most 60 s in all. Outside every budget.
#[derive(Debug, Default)]
pub struct Reconnect {
    failures: u32,
}

impl Reconnect {
    /// As it stands after this many failed tries.
    pub fn after(failures: u32) -> Self {
        Self { failures }
    }

    /// The wait after one more failed try.
    pub fn next_delay(&mut self, rng: &mut impl Rng) -> Duration {
        let delay = doubling(RECONNECT_FIRST, RECONNECT_MAX, self.failures, rng);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// The backend was reached: the next wait is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `first` × 2^`times` and up to half of that at random, at most `max` in all.
fn doubling(first: Duration, max: Duration, times: u32, rng: &mut impl Rng) -> Duration {
    let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
    let base = first.saturating_mul(factor).min(max);
    base.saturating_add(rng.random_range(Duration::ZERO..=base / 2))
        .min(max)
}

#[cfg(test)]
mod tests;
