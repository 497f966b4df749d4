//! Rules of clients about single tools of a server: what may be called, unasked or at all.
//!
//! Owns how clients name a tool in them. A rule is found by that name alone, in text of any format. It
//! must not know which files there are.

use serde_json::Value;

use crate::client_config::clients::Client;

/// Keys of an entry that name tools of its server.
const KEYS: [&str; 8] = [
    "alwaysAllow",
    "autoApprove",
    "disabledTools",
    "disabled_tools",
    "enabled_tools",
    "excludeTools",
    "includeTools",
    "tools",
];

/// What stands for all tools of a server.
pub(crate) const ALL: &str = "*";

/// The tools, or patterns of tools, that a client's entry names; a rule for all of them is none.
pub(crate) fn in_entry(entry: &Value) -> Vec<String> {
    let values = KEYS.iter().map(|key| &entry[*key]);
    let names = values.flat_map(|value| match value {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::Object(tools) => tools.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    });
    let names = names.filter(|name| *name != ALL);
    names.map(str::to_owned).collect()
}

/// The same of the text of a client's settings, for its server of this name, with `*` for a rule about all
/// of its tools.
pub(crate) fn in_text(client: &Client, server: &str, text: &str) -> Vec<String> {
    // What stands before a tool's name, and the rule about all of them.
    let (before, all) = match client.id {
        "claude-code" => {
            let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            let server = server.replace(|c| !fits(c), "_");
            (
                format!("mcp__{server}__"),
                Some(format!("\"mcp__{server}\"")),
            )
        }
        "cursor" => (format!("Mcp({server}:"), None),
        "opencode" => (format!("\"{server}_"), None),
        "zed" => (format!("mcp:{server}:"), None),
        _ => return Vec::new(),
    };
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
    let mut names: Vec<String> = Vec::new();
    if all.is_some_and(|all| text.contains(&all)) {
        names.push(ALL.to_owned());
    }
    for (at, _) in text.match_indices(&before) {
        let rest = &text[at + before.len()..];
        let name = &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())];
        if !name.is_empty() && names.iter().all(|known| known != name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_found_by_the_names_that_a_client_gives_to_tools() {
        for (id, text, expected) in [
            (
                "claude-code",
                r#"{"allow":["mcp__sentinel__read_a","mcp__sentinel","mcp__other__b","mcp__sentinel__*"],"deny":["mcp__sentinel__drop_*"]}"#,
                vec!["*", "read_a", "drop_*"],
            ),
            (
                "cursor",
                r#"["Mcp(sentinel:a.b)","Mcp(other:c)"]"#,
                vec!["a.b"],
            ),
            (
                "opencode",
                r#"{"tools":{"sentinel_a":false,"sentinel_*":true},"mcp":{"sentinel":{}}}"#,
                vec!["a", "*"],
            ),
            ("zed", r#"{"mcp:sentinel:a":{"default":"deny"}}"#, vec!["a"]),
            ("windsurf", r#"["mcp__sentinel__a"]"#, vec![]),
        ] {
            let client = Client::named(id).unwrap();
            assert_eq!(in_text(client, "sentinel", text), expected, "{id}");
        }
        for (id, text, expected) in [
            (
                "claude-code",
                r#"{"deny":["mcp__My_Docs","mcp__My_Docs__a","mcp__My_Docs_2__b"]}"#,
                vec!["*", "a"],
            ),
            ("cursor", r#"["Mcp(My Docs:*)"]"#, vec!["*"]),
        ] {
            let client = Client::named(id).unwrap();
            assert_eq!(in_text(client, "My Docs", text), expected, "{id}");
        }
        for (entry, expected) in [
            (json!({ "command": "x", "tools": ["*"] }), vec![]),
            (json!({ "enabled_tools": ["a", "b"] }), vec!["a", "b"]),
            (
                json!({ "tools": { "c": { "approval_mode": "auto" } } }),
                vec!["c"],
            ),
            (
                json!({ "excludeTools": ["d"], "alwaysAllow": ["e"] }),
                vec!["e", "d"],
            ),
        ] {
            assert_eq!(in_entry(&entry), expected, "{entry}");
        }
    }
}
