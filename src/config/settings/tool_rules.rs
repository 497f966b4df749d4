//! `tools.*` of a backend: which of its tools are served, how, and how often.
//!
//! Owns the meaning of "the first match counts". It must not know where a rule is applied.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::ArgRule;
use crate::config::{PinMode, RetryTools};
use crate::text::{Glob, GlobSet};

const ALLOW: &str = "tools.allow";
const DENY: &str = "tools.deny";
/// What a user adds to the rules of an administrator's backend.
const USERS_ALLOW: &str = "tools.allow of the user";
const USERS_DENY: &str = "tools.deny of the user";

/// `rate_per_minute` and `burst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls a minute over a long time.
    pub per_minute: NonZeroU32,
    /// Most calls at once, after a pause.
    pub burst: NonZeroU32,
}

/// `tools.*` of a backend. All globs match the backend's own names.
#[derive(Debug, Clone, Default)]
pub struct ToolRules {
    /// Allowed tools; `None` is all.
    pub allow: Option<GlobSet>,
    /// Denied tools; applied after `allow`.
    pub deny: GlobSet,
    /// What the user allows of an administrator's backend; applied before `deny`.
    pub(crate) narrowed: Option<GlobSet>,
    /// Own name → exposed name.
    pub rename: Vec<(String, String)>,
    /// Own name → exposed description.
    pub describe: Vec<(String, String)>,
    /// Own name → deadline of a call.
    pub timeout: Vec<(String, Duration)>,
    /// Globs that override `retry_tools`; the first match counts.
    pub retry: Vec<(Glob, RetryTools)>,
    /// Globs with how often the tools of each are called, together; the first match counts.
    pub rate: Vec<(Glob, RateLimit)>,
    /// Globs with the most concurrent calls of the tools of each, together; the first match counts.
    pub max_in_flight: Vec<(Glob, usize)>,
    /// Globs that override `repeat_limit`; the first match counts.
    pub repeat_limit: Vec<(Glob, u32)>,
    /// Globs, each with the most tokens of a result's text, or 0 for no limit; the first match counts.
    pub max_result_tokens: Vec<(Glob, usize)>,
    /// Globs with the arguments that are guarded; the first match counts.
    pub(crate) args: Vec<(Glob, Arc<[ArgRule]>)>,
    /// How to treat a tool whose definition has changed.
    pub pin: PinMode,
    /// What the chosen profile has of the tools; `None` is all.
    pub(crate) view: Option<View>,
    /// All of the rules as they are written, to tell which match no tool.
    pub(crate) written: Vec<ToolRule>,
}

/// The tools of a backend that the chosen profile has. The others keep their names, and are neither
/// listed nor called.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The profile's name.
    pub(crate) profile: Arc<str>,
    /// `None` is all.
    pub(crate) allow: Option<GlobSet>,
    /// Applied after `allow`.
    pub(crate) deny: GlobSet,
    /// The globs of both as written, to compare them.
    pub(crate) written: [Option<Vec<String>>; 2],
}

/// One entry of `tools.*` that is about tools of a name or glob.
#[derive(Debug, Clone)]
pub(crate) struct ToolRule {
    /// The key that has it, such as `tools.deny`.
    pub(crate) key: &'static str,
    /// The name or glob, as written.
    pub(crate) pattern: String,
    /// `None` where it is a name.
    pub(crate) glob: Option<Glob>,
}

impl ToolRule {
    /// Whether it is about a tool of this own name.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match &self.glob {
            Some(glob) => glob.is_match(name),
            None => self.pattern == name,
        }
    }

    /// Whether it is one of `tools.deny`.
    fn denies(&self) -> bool {
        [DENY, USERS_DENY].contains(&self.key)
    }

    /// Whether a user adds it to the rules of an administrator's backend.
    pub(crate) fn is_added(&self) -> bool {
        [USERS_ALLOW, USERS_DENY].contains(&self.key)
    }

    /// Whether it is about one name.
    pub(crate) fn is_name(&self) -> bool {
        !self.pattern.contains(['*', '?', '[', '{'])
    }
}

impl ToolRules {
    /// Whether a tool, by its own name, is listed and callable.
    pub fn admits(&self, name: &str) -> bool {
        let mut allowed = [&self.allow, &self.narrowed].into_iter().flatten();
        allowed.all(|allow| allow.is_match(name)) && !self.deny.is_match(name)
    }

    /// Takes away what `other` neither allows nor leaves undenied, and nothing else of it.
    pub(crate) fn narrow(&mut self, other: &Self) {
        self.narrowed.clone_from(&other.allow);
        let added = other.written.iter().filter_map(|rule| {
            let key = match rule.key {
                ALLOW => USERS_ALLOW,
                DENY => USERS_DENY,
                _ => return None,
            };
            Some(ToolRule {
                key,
                ..rule.clone()
            })
        });
        self.written.extend(added);
        let denied = self.written.iter().filter(|rule| rule.denies());
        self.deny = denied.filter_map(|rule| rule.glob.clone()).collect();
    }

    /// Whether a tool that is not admitted would be, but for what a user adds.
    pub(crate) fn is_narrowed_away(&self, name: &str) -> bool {
        let allow = self.allow.as_ref();
        allow.is_none_or(|allow| allow.is_match(name)) && self.denying(name).all(ToolRule::is_added)
    }

    /// The rules that deny a tool, by its own name.
    pub(crate) fn denying(&self, name: &str) -> impl Iterator<Item = &ToolRule> {
        let rules = self.written.iter();
        rules.filter(move |rule| rule.denies() && rule.matches(name))
    }

    /// The arguments of a tool, by its own name, that are guarded.
    pub(crate) fn args_of(&self, tool: &str) -> Option<&[ArgRule]> {
        let mut rules = self.args.iter();
        let rule = rules.find(|(glob, _)| glob.is_match(tool));
        rule.map(|(_, args)| &**args)
    }

    /// The chosen profile, if it has not this tool, by its own name.
    pub(crate) fn hidden_by(&self, name: &str) -> Option<&Arc<str>> {
        let view = self.view.as_ref()?;
        let is_allowed = view.allow.as_ref().is_none_or(|allow| allow.is_match(name));
        (!is_allowed || view.deny.is_match(name)).then_some(&view.profile)
    }

    /// The least limit on results; `None` where no tool has one.
    pub(crate) fn least_max_result_tokens(&self) -> Option<usize> {
        let limits = self.max_result_tokens.iter().map(|(_, tokens)| *tokens);
        limits.filter(|tokens| *tokens > 0).min()
    }
}
