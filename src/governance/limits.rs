//! The limits that the config sets on calls: how many a minute, and how many that are the same.
//!
//! Owns what has been counted, by the names of backends and the globs of their tools: a config that is
//! loaded again, and a backend that is connected anew, change none of it. It must not know the
//! circuit breaker, nor what becomes of a call.

mod invited;
mod rate;
mod repeats;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::{BackendConfig, RateLimit};
use crate::protocol::RawJson;
use crate::protocol::era::modern;
use crate::text::Glob;
use invited::InvitedRepeats;
use rate::Rate;
use repeats::Repeats;

/// A backend, and a glob of its tools; without a glob it is about the backend.
type RateKey = (Arc<str>, Option<Arc<str>>);

/// Everything that has been counted in this process.
#[derive(Debug, Default)]
pub(super) struct LimitBook {
    rates: BTreeMap<RateKey, Arc<Rate>>,
    repeats: Arc<Repeats>,
    invited: Arc<InvitedRepeats>,
    keys: RandomState,
    /// By backend, the calls that have asked their client for input, and whose next round has not come.
    open_rounds: BTreeMap<Arc<str>, Arc<AtomicU32>>,
    /// By backend, the calls that were refused.
    refused: BTreeMap<Arc<str>, Arc<AtomicU64>>,
}

/// The limits of one backend.
#[derive(Debug)]
pub(super) struct Limits {
    backend: Arc<str>,
    rate: Option<Arc<Rate>>,
    tools: Vec<(Glob, Arc<Rate>)>,
    repeat_limit: u32,
    repeat_limit_of: Vec<(Glob, u32)>,
    repeats: Arc<Repeats>,
    invited: Arc<InvitedRepeats>,
    keys: RandomState,
    open_rounds: Arc<AtomicU32>,
    refused: Arc<AtomicU64>,
}

/// A call of a client, to be counted once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientCall<'a> {
    /// The backend's own name of the tool that it runs, if it runs one.
    pub(crate) tool: Option<&'a str>,
    /// The params as the backend gets them.
    pub(crate) params: &'a RawJson,
}

/// Why a call is refused. `Display` does not include the backend's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Time until the same call may be admitted.
    pub(super) wait: Duration,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// `rate_per_minute`, of the tools of a glob or of the backend.
    Rate {
        glob: Option<String>,
        limit: RateLimit,
    },
    /// `repeat_limit`.
    Repeat { tool: String, limit: u32 },
}

impl LimitBook {
    /// How many calls to the backend of this name were refused.
    pub(super) fn refused(&self, backend: &str) -> u64 {
        let refused = self.refused.get(backend);
        refused.map_or(0, |refused| refused.load(Relaxed))
    }

    /// The limits that this config sets, with what has been counted under the same numbers; `None` if
    /// it sets none.
    pub(super) fn of(&mut self, config: &BackendConfig) -> Option<Arc<Limits>> {
        let rules = &config.tools;
        let repeats = config.repeat_limit > 0 || !rules.repeat_limit.is_empty();
        if config.rate.is_none() && rules.rate.is_empty() && !repeats {
            return None;
        }
        let backend = &config.name;
        // A full bucket that nothing uses is like a new one.
        self.rates
            .retain(|_, rate| Arc::strong_count(rate) > 1 || !rate.is_full());
        self.open_rounds
            .retain(|_, open| Arc::strong_count(open) > 1);
        let open_rounds = self.open_rounds.entry(Arc::clone(backend)).or_default();
        let open_rounds = Arc::clone(open_rounds);
        let refused = self.refused.entry(Arc::clone(backend)).or_default();
        let refused = Arc::clone(refused);
        let rate = config.rate.map(|limit| self.rate(backend, None, limit));
        let tools = rules.rate.iter().map(|(glob, limit)| {
            let pattern = Some(glob.written().into());
            (glob.clone(), self.rate(backend, pattern, *limit))
        });
        Some(Arc::new(Limits {
            tools: tools.collect(),
            rate,
            repeat_limit: config.repeat_limit,
            repeat_limit_of: rules.repeat_limit.clone(),
            repeats: Arc::clone(&self.repeats),
            invited: Arc::clone(&self.invited),
            keys: self.keys.clone(),
            open_rounds,
            refused,
            backend: Arc::clone(backend),
        }))
    }

    fn rate(&mut self, backend: &Arc<str>, glob: Option<Arc<str>>, limit: RateLimit) -> Arc<Rate> {
        let kept = self.rates.entry((Arc::clone(backend), glob));
        let kept = kept.or_insert_with(|| Arc::new(Rate::new(limit)));
        if kept.limit != limit {
            *kept = Arc::new(Rate::new(limit));
        }
        Arc::clone(kept)
    }
}

impl Limits {
    /// Counts a call, if all limits admit it. A further round of a call that has asked for input was
    /// counted before.
    ///
    /// # Errors
    /// The refusal of the narrowest limit that is reached; then nothing is counted.
    pub(super) fn admit(&self, call: ClientCall<'_>) -> Result<(), Refusal> {
        self.count(call).inspect_err(|_| {
            self.refused.fetch_add(1, Relaxed);
        })
    }

    fn count(&self, call: ClientCall<'_>) -> Result<(), Refusal> {
        if self.is_next_round(call)
            || !self.invited.is_empty() && self.invited.take(self.number(call))
        {
            return Ok(());
        }
        let repeated = self.repeated(call)?;
        let of_tool = call.tool.and_then(|tool| first_match(&self.tools, tool));
        if let Some((glob, rate)) = of_tool {
            let glob = || Some(glob.written().to_owned());
            take(rate, glob)?;
        }
        if let Some(rate) = &self.rate
            && let Err(refusal) = take(rate, || None)
        {
            of_tool.inspect(|(_, rate)| rate.give_back());
            return Err(refusal);
        }
        repeated.inspect(|call| self.repeats.record(*call));
        Ok(())
    }

    /// A call has asked its client for input: its next round is not counted.
    pub(super) fn expect_round(&self) {
        self.open_rounds.fetch_add(1, Relaxed);
    }

    /// A call was answered with the error that invites its client to make it again, once there was a
    /// visit to a page: the next one that is the same is not counted.
    pub(super) fn expect_repeat(&self, call: ClientCall<'_>) {
        self.invited.invite(self.number(call));
    }

    /// As many as were asked for: what looks like a round is otherwise a call.
    fn is_next_round(&self, call: ClientCall<'_>) -> bool {
        let fewer = |open: u32| open.checked_sub(1);
        self.open_rounds.load(Relaxed) > 0
            && modern::is_next_round(call.params)
            && self
                .open_rounds
                .fetch_update(Relaxed, Relaxed, fewer)
                .is_ok()
    }

    /// The number that stands for the call, if its repetitions are limited.
    fn repeated(&self, call: ClientCall<'_>) -> Result<Option<u64>, Refusal> {
        let Some(tool) = call.tool else {
            return Ok(None);
        };
        let own = first_match(&self.repeat_limit_of, tool);
        let limit = own.map_or(self.repeat_limit, |(_, limit)| *limit);
        if limit == 0 {
            return Ok(None);
        }
        let number = self.number(call);
        match self.repeats.check(number, limit) {
            Ok(()) => Ok(Some(number)),
            Err(wait) => Err(Refusal {
                wait,
                rule: Rule::Repeat {
                    tool: tool.to_owned(),
                    limit,
                },
            }),
        }
    }

    /// The number that stands for all calls that are the same.
    fn number(&self, call: ClientCall<'_>) -> u64 {
        let arguments = call.params.get("arguments");
        // None, `null` and an empty object are one and the same call.
        let arguments = arguments.filter(|arguments| !is_empty(arguments));
        let arguments = arguments.map(|arguments| arguments.fingerprint(&self.keys));
        // Of a tool, the backend's own name is known.
        let target = |key| call.tool.is_none().then(|| call.params.get(key)?.text())?;
        let target = ["uri", "name"].map(target);
        self.keys
            .hash_one((&self.backend, call.tool, target, arguments))
    }
}

fn is_empty(arguments: &RawJson) -> bool {
    let text = arguments.as_str().trim();
    let object = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    text == "null" || object.is_some_and(|members| members.trim().is_empty())
}

fn first_match<'a, T>(rules: &'a [(Glob, T)], tool: &str) -> Option<&'a (Glob, T)> {
    rules.iter().find(|(glob, _)| glob.is_match(tool))
}

fn take(rate: &Rate, glob: impl FnOnce() -> Option<String>) -> Result<(), Refusal> {
    rate.take().map_err(|wait| Refusal {
        wait,
        rule: Rule::Rate {
            glob: glob(),
            limit: rate.limit,
        },
    })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.wait.as_millis().div_ceil(1000).max(1);
        match &self.rule {
            Rule::Rate { glob, limit } => {
                let RateLimit { per_minute, burst } = limit;
                let (whose, key) = match glob {
                    Some(glob) => (format!(" of tools {glob:?}"), "tools.rate_per_minute"),
                    None => (String::new(), "rate_per_minute"),
                };
                write!(
                    f,
                    "not called, because its limit for calls{whose} is reached: {per_minute} a minute, {burst} at once ({key}); try again in {seconds} s"
                )
            }
            Rule::Repeat { tool, limit } => {
                let times = if *limit == 1 { "time" } else { "times" };
                write!(
                    f,
                    "not called, because {tool} was called with exactly these arguments {limit} {times} within the last minute (repeat_limit). Calling it again the same way does not help: use the results you have, change the arguments, try something else, or tell the user what is missing. The same call is possible again in {seconds} s"
                )
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
