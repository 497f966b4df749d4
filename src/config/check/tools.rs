//! Checks `tools.*` of a backend.
//!
//! Owns what its keys may say (globs, exposed names, limits on results), and the list of rules by which later
//! misspelt ones are found.

mod args;

use std::collections::HashMap;
use std::time::Duration;

use super::Checker;
use super::globs::{ListSize, glob, glob_set, within_limit};
use crate::config::read::file::{Entries, Located, Tools};
use crate::config::read::join;
use crate::config::{ToolRule, ToolRules};
use crate::text::{Glob, GlobSet};

/// Least limit on a result: room for some text before the words on how to go on.
const LEAST_RESULT_TOKENS: u64 = 256;

impl Checker<'_> {
    pub(super) fn tools(&mut self, written: &Tools, path: &str) -> ToolRules {
        let (rename, describe) = (&written.rename.0, &written.describe.0);
        self.check_exposed_names(rename, &join(path, "rename"));
        let mut rules = ToolRules {
            allow: None,
            narrowed: None,
            deny: GlobSet::default(),
            rename: pairs(rename, String::clone),
            describe: pairs(describe, String::clone),
            timeout: pairs(&written.timeout_secs.0, |secs| Duration::from_secs(*secs)),
            retry: Vec::new(),
            rate: Vec::new(),
            max_in_flight: Vec::new(),
            repeat_limit: Vec::new(),
            max_result_tokens: Vec::new(),
            args: Vec::new(),
            pin: written.pin,
            view: None,
            written: Vec::new(),
        };
        rules.allow = (written.allow.as_ref())
            .map(|globs| self.globs(globs, "tools.allow", path, &mut rules.written));
        rules.deny = self.globs(&written.deny, "tools.deny", path, &mut rules.written);
        let named = [
            ("tools.rename", keys(rename)),
            ("tools.describe", keys(describe)),
            ("tools.timeout_secs", keys(&written.timeout_secs.0)),
        ];
        for (key, names) in named {
            rules.written.extend(names.map(|pattern| ToolRule {
                key,
                pattern,
                glob: None,
            }));
        }
        let all = &mut rules.written;
        rules.retry = self.values_by_glob(&written.retry, "tools.retry", path, all);
        rules.rate = self.rates(written, path, all);
        let (in_flight, repeats) = (&written.max_in_flight, &written.repeat_limit);
        rules.max_in_flight = self.values_by_glob(in_flight, "tools.max_in_flight", path, all);
        rules.repeat_limit = self.values_by_glob(repeats, "tools.repeat_limit", path, all);
        rules.args = self.args(&written.args, path, all);
        self.result_limits(&written.max_result_tokens, path, &mut rules);
        rules
    }

    /// `max_result_tokens`
    fn result_limits(&mut self, written: &Entries<u64>, path: &str, rules: &mut ToolRules) {
        const KEY: &str = "tools.max_result_tokens";
        for (glob, tokens) in self.by_glob(written, KEY, path, &mut rules.written) {
            let least = LEAST_RESULT_TOKENS;
            if (1..least).contains(&tokens.value) {
                let what = format!("must be 0, for no limit, or at least {least}");
                let path = join(&join(path, "max_result_tokens"), glob.written());
                self.report.add(&tokens.location, &path, what);
            }
            let tokens = usize::try_from(tokens.value).unwrap_or(usize::MAX);
            rules.max_result_tokens.push((glob, tokens));
        }
    }

    /// Exposed names must consist of the allowed characters and be unique within the backend.
    fn check_exposed_names(&mut self, rename: &[(Located<String>, Located<String>)], path: &str) {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for (own, exposed) in rename {
            let path = join(path, &own.value);
            let name_chars = self.gateway.tool_name_chars;
            if !name_chars.allow(&exposed.value) {
                let what = format!("clients don't accept this name; use {name_chars}");
                self.report.add(&exposed.location, &path, what);
            }
            if let Some(other) = owners.insert(&exposed.value, &own.value) {
                let what = format!("{other} is renamed to the same name; give each its own");
                self.report.add(&exposed.location, &path, what);
            }
        }
    }

    /// The values by glob at `key` of the backend, whose globs are added to `rules` too.
    pub(super) fn values_by_glob<V: Copy>(
        &mut self,
        written: &Entries<V>,
        key: &'static str,
        path: &str,
        rules: &mut Vec<ToolRule>,
    ) -> Vec<(Glob, V)> {
        let entries = self.by_glob(written, key, path, rules).into_iter();
        entries.map(|(glob, value)| (glob, value.value)).collect()
    }

    /// The values by glob at `key` of the backend, with where they are written. The globs are added
    /// to `rules` too.
    pub(super) fn by_glob<'a, V>(
        &mut self,
        written: &'a Entries<V>,
        key: &'static str,
        path: &str,
        rules: &mut Vec<ToolRule>,
    ) -> Vec<(Glob, &'a Located<V>)> {
        let path = join(path, key.trim_start_matches("tools."));
        let (mut values, mut size) = (Vec::new(), ListSize::default());
        for (written, value) in within_limit(&written.0, |(glob, _)| glob, &path, self.report) {
            let glob = glob(written, &path, self.report);
            if !size.admits(glob.as_ref(), written, &path, self.report) {
                break;
            }
            if let Some(glob) = glob {
                rules.push(rule(key, &glob));
                values.push((glob, value));
            }
        }
        values
    }

    /// The globs at `key` of the backend, which are added to `rules` too.
    fn globs(
        &mut self,
        written: &[Located<String>],
        key: &'static str,
        path: &str,
        rules: &mut Vec<ToolRule>,
    ) -> GlobSet {
        let path = join(path, key.trim_start_matches("tools."));
        let set = glob_set(written, &path, self.report);
        rules.extend(set.iter().map(|glob| rule(key, glob)));
        set
    }
}

fn rule(key: &'static str, glob: &Glob) -> ToolRule {
    ToolRule {
        key,
        pattern: glob.written().to_owned(),
        glob: Some(glob.clone()),
    }
}

fn keys<V>(entries: &[(Located<String>, V)]) -> Box<dyn Iterator<Item = String> + '_> {
    Box::new(entries.iter().map(|(key, _)| key.value.clone()))
}

fn pairs<V, T>(
    entries: &[(Located<String>, Located<V>)],
    map: impl Fn(&V) -> T,
) -> Vec<(String, T)> {
    entries
        .iter()
        .map(|(key, value)| (key.value.clone(), map(&value.value)))
        .collect()
}
