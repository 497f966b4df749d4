//! Rules of the config that match none of a backend's tools, or none of a tool's arguments.
//!
//! Owns the search for them, within bounds, and their text with the name that was probably meant: a
//! misspelt `tools.deny` lets a tool through. Pure; it must not know how the user is told.

use std::fmt;

use super::schema_walk::SchemaWalk;
use crate::config::{ArgRule, BackendConfig, ToolRule};
use crate::nearest::nearest_name;
use crate::protocol::{Kind, Listing, RawJson};

/// Most names that rules are compared with, all rules together: the backend chooses how many tools
/// it lists. Rules that are not compared to the end count as matching.
const MAX_COMPARED: usize = 200_000;
/// Most bytes of definitions in which guarded arguments are looked for. What is not looked for to the
/// end counts as found.
const MAX_ARGS_BYTES: usize = 64 << 20;

/// A rule that matches no tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnmatchedRule {
    /// The key that has it, such as `tools.deny`.
    pub(crate) key: &'static str,
    /// The name or glob, as written.
    pub(crate) pattern: String,
    /// The tool or the argument that was probably meant.
    pub(crate) meant: Option<String>,
    /// What it does not match.
    what: &'static str,
}

impl fmt::Display for UnmatchedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:?} matches no {}",
            self.key, self.pattern, self.what
        )?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean {meant:?}?"),
            None => Ok(()),
        }
    }
}

/// The rules that match none of the tools, whether these are listed to clients or not.
pub(super) fn unmatched_rules(config: &BackendConfig, listing: &Listing) -> Vec<UnmatchedRule> {
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
        what: "tool",
    });
    let mut unmatched: Vec<UnmatchedRule> = unmatched.collect();
    unmatched.extend(unmatched_args(config, listing));
    unmatched
}

/// The guarded arguments that none of the tools of their glob has: a misspelt one guards nothing.
fn unmatched_args(config: &BackendConfig, listing: &Listing) -> Vec<UnmatchedRule> {
    let guarded = &config.tools.args;
    if guarded.is_empty() {
        return Vec::new();
    }
    let mut schemas: Vec<Vec<Option<RawJson>>> = vec![Vec::new(); guarded.len()];
    let mut left = MAX_ARGS_BYTES;
    for tool in listing.items(Kind::Tool) {
        let name = tool.get("name").and_then(|name| name.text());
        let which = name.and_then(|name| guarded.iter().position(|(glob, _)| glob.is_match(&name)));
        let Some(which) = which else { continue };
        let size = tool.as_bytes().len() * guarded[which].1.len();
        left = left.saturating_sub(size);
        schemas[which].push(tool.get("inputSchema").filter(|_| left > 0));
    }
    let mut unmatched = Vec::new();
    for ((glob, rules), schemas) in guarded.iter().zip(&schemas) {
        let rules = rules.iter().flat_map(ArgRule::guarded);
        for (names, rule) in rules.filter(|_| !schemas.is_empty()) {
            if let Some(meant) = nowhere(&names, schemas) {
                unmatched.push(UnmatchedRule {
                    key: "tools.args",
                    pattern: format!("{}.{}", glob.written(), rule.key),
                    meant,
                    what: "argument",
                });
            }
        }
    }
    unmatched
}

/// Whether none of these tools has the argument: then the key that was probably meant.
fn nowhere(names: &[&str], schemas: &[Option<RawJson>]) -> Option<Option<String>> {
    let mut meant = None;
    for schema in schemas {
        let mut walk = SchemaWalk::new(schema.as_ref()?);
        let (at, known) = walk.missing(names)?;
        let nearest = nearest_name(names[at], known.iter().map(String::as_str));
        meant = meant.or_else(|| match (names, nearest) {
            (_, Some(nearest)) => Some(replaced(names, at, nearest)),
            ([name], None) => {
                let within: Vec<&str> = name.split('.').collect();
                let is_there = within.len() > 1 && walk.missing(&within).is_none();
                is_there.then(|| pointer(&within))
            }
            _ => None,
        });
    }
    Some(meant)
}

/// The key for these names, with another one in the place of one of them.
fn replaced(names: &[&str], at: usize, name: &str) -> String {
    let mut names = names.to_vec();
    names[at] = name;
    match names[..] {
        [name] => name.to_owned(),
        _ => pointer(&names),
    }
}

fn pointer(names: &[&str]) -> String {
    let escaped = names
        .iter()
        .map(|name| name.replace('~', "~0").replace('/', "~1"));
    escaped.map(|name| format!("/{name}")).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::{Environment, Overrides, load};

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
            let tool = match tool.starts_with('{') {
                true => (*tool).to_owned(),
                false => format!("{{\"name\":{tool:?}}}"),
            };
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
    fn an_argument_that_no_tool_of_its_glob_has_is_told() {
        let tool = |name: &str, properties: &str| {
            format!(r#"{{"name":"{name}","inputSchema":{{"properties":{properties}}}}}"#)
        };
        let tools = [
            tool("a1", r#"{"owner":{}}"#),
            tool("a2", r#"{"path":{}}"#),
            tool("b", r#"{"owner":{}}"#),
            tool("c", "{}"),
        ];
        let mut tools: Vec<&str> = tools.iter().map(String::as_str).collect();
        let rules = "
            tools.args.'a*' = { owner = [1], path = [], ownr = [1] }
            tools.args.b = { path = [1] }
            tools.args.c = { x = [1] }
            tools.args.nosuch = { x = [1] }";
        assert_eq!(
            unmatched(rules, &tools),
            [
                "tools.args: \"nosuch\" matches no tool",
                "tools.args: \"a*.ownr\" matches no argument; did you mean \"owner\"?",
                "tools.args: \"b.path\" matches no argument",
            ]
        );
        // One that lists no arguments may take any.
        tools.push("a3");
        assert_eq!(unmatched(rules, &tools).len(), 2);
    }

    #[test]
    fn an_argument_is_looked_for_behind_references_and_within_others() {
        let repo = r##"{"allOf":[{"$ref":"#/$defs/Repo"}]}"##;
        let defs = r##"{"Args":{"properties":{"repo":{"anyOf":[{"type":"null"},@]},"top":{}}},"Repo":{"properties":{"owner":{}}}}"##;
        let tool = format!(
            r##"{{"name":"a","inputSchema":{{"$ref":"#/$defs/Args","$defs":{}}}}}"##,
            defs.replace('@', repo)
        );
        let rules = "tools.args.a = { top = [1], tpo = [1], '/repo/owner' = [1], '/repo/ownr' = [1], \
                     '/rpo/owner' = [1], 'repo.owner' = [1] }";
        assert_eq!(
            unmatched(rules, &[&tool]),
            [
                "tools.args: \"a.tpo\" matches no argument; did you mean \"top\"?",
                "tools.args: \"a./repo/ownr\" matches no argument; did you mean \"/repo/owner\"?",
                "tools.args: \"a./rpo/owner\" matches no argument; did you mean \"/repo/owner\"?",
                "tools.args: \"a.repo.owner\" matches no argument; did you mean \"/repo/owner\"?",
            ]
        );
    }

    #[test]
    fn many_tools_are_compared_within_a_limit() {
        let names: Vec<String> = (0..50_000).map(|at| format!("tool{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rules = format!("tools.deny = [{}]", "'x', ".repeat(100));
        assert_eq!(unmatched(&rules, &names).len(), 4);
    }
}
