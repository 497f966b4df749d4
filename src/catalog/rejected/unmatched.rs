//! Rules of the config that match none of a backend's tools.
//!
//! A misspelt `tools.deny` lets a tool through, so such rules are told to the user. Pure; it must not
//! know how.

use std::fmt;

use crate::config::{BackendConfig, ToolRule};
use crate::nearest::nearest_name;
use crate::protocol::{Kind, Listing};

/// Most names that rules are compared with, all rules together: the backend chooses how many tools
/// it lists. Rules that are not compared to the end count as matching.
const MAX_COMPARED: usize = 200_000;

/// A rule that matches no tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnmatchedRule {
    /// As in `tools.deny`.
    pub(crate) key: &'static str,
    /// The name or glob, as written.
    pub(crate) pattern: String,
    /// The tool that was probably meant.
    pub(crate) meant: Option<String>,
}

impl fmt::Display for UnmatchedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} matches no tool", self.key, self.pattern)?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean {meant:?}?"),
            None => Ok(()),
        }
    }
}

/// The rules that match none of the tools, whether these are listed to clients or not.
pub(in crate::catalog) fn unmatched_rules(
    config: &BackendConfig,
    listing: &Listing,
) -> Vec<UnmatchedRule> {
    let rules = &config.tools.written;
    if rules.is_empty() {
        return Vec::new();
    }
    let tools = listing.items(Kind::Tool).iter();
    let names: Vec<String> = tools.filter_map(|tool| tool.get("name")?.text()).collect();
    let mut left = MAX_COMPARED;
    let mut matches = |rule: &ToolRule| {
        let compared = names.iter().take(left);
        let found = compared.clone().position(|name| rule.matches(name));
        left -= found.map_or(compared.len(), |at| at + 1);
        found.is_some() || compared.len() < names.len()
    };
    let unmatched = rules.iter().filter(|rule| !matches(rule));
    let unmatched = unmatched.map(|rule| UnmatchedRule {
        key: rule.key,
        pattern: rule.pattern.clone(),
        meant: nearest_name(&rule.pattern, names.iter().map(String::as_str))
            .filter(|_| rule.is_name())
            .map(str::to_owned),
    });
    unmatched.collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::{Environment, Overrides, load};
    use crate::protocol::RawJson;

    fn unmatched(rules: &str, tools: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.toml");
        let toml = format!("[[backends]]\nname = 'a'\nurl = 'http://127.0.0.1:9/'\n{rules}");
        std::fs::write(&file, toml).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        let config = load(&overrides, &Environment::new(folder.path())).unwrap();
        let mut listing = Listing::new(false);
        for tool in tools {
            let tool = format!("{{\"name\":{tool:?}}}");
            let tool = RawJson::parse(Bytes::from(tool)).unwrap();
            listing.items_mut(Kind::Tool).push(tool);
        }
        let rules = unmatched_rules(&config.backends[0], &listing);
        rules.iter().map(UnmatchedRule::to_string).collect()
    }

    #[test]
    fn every_kind_of_rule_is_told_where_it_matches_no_tool() {
        let rules = "
            tools.allow = ['read_*', 'raed_*', 'drop']
            tools.deny = ['drop', 'drpo', 'nosuch_*']
            tools.rename = { read_query = 'q', read_qurey = 'r' }
            tools.describe = { readQuery = 'x' }
            tools.timeout_secs = { slow = 3 }
            tools.retry = { 'read_?uery' = 'always', 'x*' = 'never' }";
        assert_eq!(
            unmatched(rules, &["read_query", "drop"]),
            [
                "tools.allow: \"raed_*\" matches no tool",
                "tools.deny: \"drpo\" matches no tool; did you mean \"drop\"?",
                "tools.deny: \"nosuch_*\" matches no tool",
                "tools.rename: \"read_qurey\" matches no tool; did you mean \"read_query\"?",
                "tools.describe: \"readQuery\" matches no tool; did you mean \"read_query\"?",
                "tools.timeout_secs: \"slow\" matches no tool",
                "tools.retry: \"x*\" matches no tool",
            ]
        );
        assert_eq!(unmatched("tools.deny = ['a']", &[]).len(), 1);
        assert!(unmatched("", &["a"]).is_empty());
    }

    #[test]
    fn many_tools_are_compared_within_a_limit() {
        let names: Vec<String> = (0..50_000).map(|at| format!("tool{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rules = format!("tools.deny = [{}]", "'x', ".repeat(100));
        assert_eq!(unmatched(&rules, &names).len(), 4);
    }
}
