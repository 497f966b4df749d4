//! When a call is sent again, and after how long.
//!
//! Owns the policy: whether a failed attempt allows another one, and the budget of retries. It does
//! no I/O and reads no clock but for the budget: the caller says what failed, and sleeps.
//!
//! Whether a call may run twice is decided before its first send ([`Replay`]). After each failed
//! attempt the caller passes its [`RetryClass`]:
//!
//! | evidence | sent again? |
//! |---|---|
//! | not sent: connection refused, DNS, connect timeout, refused h2 stream | yes |
//! | not taken, as the server says: 429, 503 with `Retry-After` | yes, after the wait it asks for |
//! | 503 without `Retry-After`, which a proxy also answers for a server that crashed meanwhile | if the call is safe |
//! | may have run: 5xx, 408, 409, 425, 499, a timeout or a broken stream after sending | if the call is safe |
//! | 401 and the credentials were renewed; 404 in a session without a JSON-RPC response under our id, and the session was renewed | once |
//! | another sign of a lost session or of another era | once, on a new connection, if the call is safe |
//! | anything else: other 4xx, a certificate error | no |
//!
//! Every *yes* is within the attempts allowed, the [`RetryBudget`] and the time left. Renewals
//! count in neither: they happen once a call, and a restarted server loses the session of all its
//! calls together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use rand::Rng;
use reqwest::header::HeaderValue;
use tokio::time::Instant;

pub(crate) use super::backoff::jitter;
pub use super::backoff::{Backoff, Series, backoff};
pub use super::error::RetryClass;
use crate::config::RetryTools;

/// Longest `Retry-After` that a call waits for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Whether a call may be sent again once it may have run. Known before the first send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Running it twice does no harm.
    Safe,
    /// Not known to be safe.
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
    /// Starts a call, and counts it in the budget. `retries` are the attempts after the first.
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

    /// Decides after a failed attempt, with `left` until the call's deadline. A `Retry` is counted
    /// and paid from the budget: it must be sent.
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

/// Reads a `Retry-After` value (RFC 9110, section 10.2.3): seconds, or an HTTP date seen
/// from `now`, where a past one is zero. Servers also write fractions of a second, which are
/// rounded up, and the unit. `None` for anything else. Not bounded here.
pub fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    if let Some(seconds) = seconds(value) {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// `120`, `1.5`, `2 seconds`: whole seconds, rounded up.
fn seconds(text: &str) -> Option<u64> {
    const UNITS: [&str; 5] = ["", "s", "sec", "second", "seconds"];
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let known = UNITS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(unit.trim()));
    if !known || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let begun = fraction.bytes().any(|digit| digit != b'0');
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    Some(whole.saturating_add(begun.into()))
}

/// The wait that the server asks for, if it is at most 30 s and shorter than the time left.
/// `None`: the call ends, as rate limited.
pub fn wait_for_retry_after(asked: Duration, left_of_deadline: Duration) -> Option<Duration> {
    (asked <= RETRY_AFTER_MAX && asked < left_of_deadline).then_some(asked)
}

/// The retry budget of one backend: 20 % of its calls and 10 a second.
///
/// A token bucket, one token a retry. It starts with 10 tokens, a second refills it up to 10, every
/// call adds a fifth of a token, and it never holds more than 100. So a backend that is down receives about
/// a fifth more requests than it has calls, not four times as many. A call costs one atomic update;
/// the clock is read only after a failure.
#[derive(Debug)]
pub struct RetryBudget {
    /// The tokens it holds, in fifths of one.
    fifths: AtomicU64,
    started: Instant,
    /// Ticks since `started` whose share has been paid in.
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
    pub(crate) fn deposit(&self) {
        self.pay_in(1, Self::CEILING);
    }

    /// Takes a retry out, if there is one.
    pub(crate) fn withdraw(&self) -> bool {
        let ticks = self.started.elapsed().as_millis() / Self::TICK_MILLIS;
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        // `fetch_max` assigns each tick to exactly one caller.
        let paid = self.ticks_paid.fetch_max(ticks, Relaxed);
        self.pay_in(ticks.saturating_sub(paid), Self::FULL);
        self.fifths
            .fetch_update(Relaxed, Relaxed, |tokens| {
                tokens.checked_sub(Self::FIFTHS_A_TOKEN)
            })
            .is_ok()
    }

    /// Adds tokens up to `limit`; a bucket that has more stays.
    fn pay_in(&self, fifths: u64, limit: u64) {
        // `Err` says that there was nothing to change.
        let _ = self.fifths.fetch_update(Relaxed, Relaxed, |tokens| {
            (tokens < limit && fifths > 0).then(|| tokens.saturating_add(fifths).min(limit))
        });
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
