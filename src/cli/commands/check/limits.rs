//! The limits that the config sets on the calls of a backend.
//!
//! Owns their form in `check --json`, by glob of tools, and the note in words. Nothing is enforced here.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::config::{ArgRule, BackendConfig, RateLimit};
use crate::text::Glob;

/// The limits of a backend and of its tools. Numbers that aren't set are `null`.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    rate_per_minute: Option<u32>,
    burst: Option<u32>,
    max_in_flight: usize,
    /// 0 is no limit.
    repeat_limit: u32,
    tools: Vec<ToolLimit>,
}

/// The limits under one glob.
#[derive(Debug, Serialize)]
struct ToolLimit {
    glob: String,
    rate_per_minute: Option<u32>,
    burst: Option<u32>,
    max_in_flight: Option<usize>,
    repeat_limit: Option<u32>,
    /// The values that arguments may have, by name.
    args: BTreeMap<String, Vec<Value>>,
}

/// The limits that this config sets.
pub(super) fn limits(config: &BackendConfig) -> Limits {
    let rules = &config.tools;
    let rated = rules.rate.iter().map(|(glob, _)| glob);
    let bounded = rules.max_in_flight.iter().map(|(glob, _)| glob);
    let repeated = rules.repeat_limit.iter().map(|(glob, _)| glob);
    let mut globs: Vec<&str> = Vec::new();
    let guarded = rules.args.iter().map(|(glob, _)| glob);
    for glob in rated.chain(bounded).chain(repeated).chain(guarded) {
        if !globs.contains(&pattern(glob)) {
            globs.push(pattern(glob));
        }
    }
    let tools = globs.into_iter().map(|glob| {
        let rate = of(&rules.rate, glob);
        ToolLimit {
            rate_per_minute: rate.map(|rate: RateLimit| rate.per_minute.get()),
            burst: rate.map(|rate| rate.burst.get()),
            max_in_flight: of(&rules.max_in_flight, glob),
            repeat_limit: of(&rules.repeat_limit, glob),
            args: args_of(config, glob),
            glob: glob.to_owned(),
        }
    });
    Limits {
        rate_per_minute: config.rate.map(|rate| rate.per_minute.get()),
        burst: config.rate.map(|rate| rate.burst.get()),
        max_in_flight: config.max_in_flight,
        repeat_limit: config.repeat_limit,
        tools: tools.collect(),
    }
}

fn pattern(glob: &Glob) -> &str {
    glob.written()
}

fn of<T: Copy>(rules: &[(Glob, T)], glob: &str) -> Option<T> {
    let mut rules = rules.iter();
    let rule = rules.find(|(other, _)| pattern(other) == glob);
    rule.map(|(_, value)| *value)
}

fn args_of(config: &BackendConfig, glob: &str) -> BTreeMap<String, Vec<Value>> {
    let mut guarded = config.tools.args.iter();
    let rules = guarded.find(|(other, _)| pattern(other) == glob);
    let rules = rules.into_iter().flat_map(|(_, rules)| rules.iter());
    let values = |rule: &ArgRule| rule.values().cloned().collect();
    let guarded = rules.flat_map(ArgRule::guarded);
    guarded
        .map(|(_, rule)| (rule.key.clone(), values(rule)))
        .collect()
}

/// What may be done with an argument, in words.
fn arg(name: &str, values: &[Value]) -> String {
    match values {
        [] => format!("{name} is hidden"),
        [_] => format!("{name} is filled in"),
        values => format!("{name} is one of {} values", values.len()),
    }
}

/// The limits in words; `None` where only the default of `max_in_flight` holds.
pub(super) fn note(limits: &Limits) -> Option<String> {
    let rate = |per_minute: Option<u32>, burst: Option<u32>| {
        let (per_minute, burst) = per_minute.zip(burst)?;
        Some(format!("{per_minute} a minute, {burst} at once"))
    };
    let repeat = |limit: u32| match limit {
        0 => "any number of the same".to_owned(),
        limit => format!("{limit} of the same a minute"),
    };
    let all = rate(limits.rate_per_minute, limits.burst).into_iter();
    let all = all.chain((limits.repeat_limit > 0).then(|| repeat(limits.repeat_limit)));
    let tools = limits.tools.iter().map(|tool| {
        let parts = rate(tool.rate_per_minute, tool.burst).into_iter();
        let parts = parts.chain(tool.max_in_flight.map(|max| format!("{max} in flight")));
        let parts = parts.chain(tool.repeat_limit.map(repeat));
        let args = tool.args.iter().map(|(name, values)| arg(name, values));
        let parts: Vec<String> = parts.chain(args).collect();
        format!("{}: {}", tool.glob, parts.join(", "))
    });
    let parts: Vec<String> = all.chain(tools).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "calls are limited, counted by each running gateway: {}",
            parts.join("; ")
        )
    })
}
