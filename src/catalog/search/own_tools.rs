//! The gateway's own tools as clients see them.
//!
//! Owns their definitions: names, descriptions and schemas, the same for the same servers. It must not
//! know what a call of one does.

use serde_json::{Value, json};

use super::tokens::TokenCount;
use crate::protocol::RawJson;

/// Most tokens, about, of the names of servers in the description of `search_tools`.
const MAX_SERVERS: usize = 90;

/// `search_tools`, `describe_tool` and, unless tools that are found join the list, `call_tool`. The
/// same for the same servers.
pub fn own_tools<'a>(servers: impl Iterator<Item = &'a str>, with_call: bool) -> Vec<RawJson> {
    let named = names_within(&servers.collect::<Vec<_>>());
    let then = match with_call {
        true => "Run one with call_tool.",
        false => "They join the list of tools; call them by name.",
    };
    let search = format!(
        "Finds tools for a task among those of: {named}. {then} Search before saying that something can't be done."
    );
    let mut tools = vec![
        definition(
            "search_tools",
            &search,
            json!({
                "query": text("What the tool is to do, in a few words"),
                "server": text("Only tools of this server"),
                "limit": { "type": "integer", "description": "Most results, 5 by default" },
                "detail": { "type": "string", "enum": ["signature", "full"] },
            }),
            &["query"],
            true,
        ),
        definition(
            "describe_tool",
            "Shows a tool's whole description and schema.",
            json!({ "name": text("As in search_tools") }),
            &["name"],
            true,
        ),
    ];
    if with_call {
        tools.push(definition(
            "call_tool",
            "Runs a tool that search_tools found. It may change things.",
            json!({
                "name": text("As in search_tools"),
                "arguments": { "type": "object", "description": "By the tool's signature" },
            }),
            &["name", "arguments"],
            false,
        ));
    }
    tools
}

/// The names of as many servers as there are tokens for, and the number of the others.
fn names_within(servers: &[&str]) -> String {
    let (mut named, mut count) = (String::new(), TokenCount::default());
    for (at, server) in servers.iter().enumerate() {
        let gap = if at == 0 { "" } else { ", " };
        let name = format!("{gap}{server}");
        if count.add(&name, MAX_SERVERS) < name.len() {
            let gap = if at == 0 { "" } else { " and " };
            return format!("{named}{gap}{} more", servers.len() - at);
        }
        named += &name;
    }
    named
}

/// `read_more`: the rest of a result that was cut.
pub(crate) fn read_more() -> RawJson {
    definition(
        "read_more",
        "Shows more of a tool's result that was cut. The end of such a result says how.",
        json!({
            "handle": text("As the result says"),
            "offset": { "type": "integer", "description": "As the result says" },
        }),
        &["handle", "offset"],
        true,
    )
}

/// `gateway_status`: which servers are connected.
pub(crate) fn gateway_status() -> RawJson {
    definition(
        "gateway_status",
        "Says which servers are connected, and why others are not. For when a tool is missing or calls fail.",
        json!({ "server": text("Only this server") }),
        &[],
        true,
    )
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn definition(
    name: &str,
    description: &str,
    properties: Value,
    required: &[&str],
    only_reads: bool,
) -> RawJson {
    let annotations = match only_reads {
        true => json!({ "readOnlyHint": true, "openWorldHint": false }),
        // What it calls may do anything.
        false => json!({ "readOnlyHint": false, "destructiveHint": true, "openWorldHint": true }),
    };
    RawJson::of(&json!({
        "name": name,
        "description": description,
        "inputSchema": { "type": "object", "properties": properties, "required": required },
        "annotations": annotations,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::search::estimate_tokens;

    fn tokens(servers: &[&str]) -> usize {
        let tools = own_tools(servers.iter().copied(), true);
        tools
            .iter()
            .map(|tool| estimate_tokens(tool.as_str()))
            .sum()
    }

    #[test]
    fn they_take_few_tokens_however_many_servers_there_are() {
        let long = |at| format!("production-european-warehouse-inventory-{at:03}");
        let long: Vec<String> = (0..70).map(long).collect();
        let short: Vec<String> = (0..1_000).map(|at| format!("server{at:03}")).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let short: Vec<&str> = short.iter().map(String::as_str).collect();
        for (servers, most) in [(&short[..3], 320), (&short[..], 400), (&long[..], 400)] {
            let tokens = tokens(servers);
            assert!(tokens <= most, "{tokens} for {}", servers.len());
        }
        assert_eq!(names_within(&["notes", "mail"]), "notes, mail");
        assert!(names_within(&long).ends_with(" more"));
        assert_eq!(names_within(&[&*"long ".repeat(100)]), "1 more");
    }

    #[test]
    fn only_call_tool_may_write() {
        for tool in own_tools(["a"].into_iter(), true) {
            let name = tool.get("name").unwrap().text().unwrap();
            let hint = |key| {
                tool.at(&["annotations", key])
                    .map(|hint| hint.as_str().to_owned())
            };
            let reads = hint("readOnlyHint").unwrap() == "true";
            assert_eq!(reads, name != "call_tool");
            assert_eq!(
                hint("destructiveHint").is_some_and(|hint| hint == "true"),
                !reads
            );
        }
    }
}
