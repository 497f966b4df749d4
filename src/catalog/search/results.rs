//! The results of a search as text for a model.
//!
//! Owns its layout (best first, grouped by server), and the limits in tokens: beyond them a tool is given
//! by its signature, or left out.

use std::fmt::Write as _;

use super::signature::signature;
use super::tokens::estimate_tokens;
use crate::protocol::RawJson;

/// Most tokens of signatures, about.
const MAX_SIGNATURES: usize = 1_000;
/// Most tokens of whole definitions, about, but for the first one; tools beyond are given by their
/// signatures.
const MAX_DEFINITIONS: usize = 8_000;

/// A tool that was found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The backend's name, with what is to be known of it, such as that it is down.
    pub server: &'a str,
    /// The definition as the client would see it.
    pub definition: &'a RawJson,
}

/// The tools, best first, grouped by server, with whole definitions if `full`.
pub fn results(found: &[Found<'_>], full: bool) -> String {
    let mut text = String::new();
    let (mut tokens, mut left_out, mut cut) = (0, 0, 0);
    let mut is_first = true;
    let mut servers: Vec<&str> = Vec::new();
    for tool in found {
        if !servers.contains(&tool.server) {
            servers.push(tool.server);
        }
    }
    for server in servers {
        let _ = writeln!(text, "{server}:");
        for tool in found.iter().filter(|tool| tool.server == server) {
            let whole = tool.definition.as_str();
            let is_whole = full && (is_first || tokens + estimate_tokens(whole) <= MAX_DEFINITIONS);
            let line = match is_whole {
                true => whole.to_owned(),
                false => signature(tool.definition),
            };
            let cost = estimate_tokens(&line);
            let limit = if full {
                MAX_DEFINITIONS
            } else {
                MAX_SIGNATURES
            };
            // The best one is shown in any case.
            if !is_first && tokens + cost > limit {
                left_out += 1;
                continue;
            }
            // A first one that is very long leaves room for the signatures of the others.
            tokens += match full && is_first {
                true => cost.min(MAX_DEFINITIONS - MAX_SIGNATURES),
                false => cost,
            };
            is_first = false;
            cut += usize::from(full && !is_whole);
            let _ = writeln!(text, "- {line}");
        }
    }
    if cut > 0 {
        let _ = writeln!(
            text,
            "Only the signature is shown of {cut}, whose definitions are too long. describe_tool shows one whole."
        );
    }
    if left_out > 0 {
        let _ = writeln!(text, "{left_out} more are left out: they are too long.");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, words: usize) -> RawJson {
        let description = "word ".repeat(words);
        RawJson::of(&serde_json::json!({ "name": name, "description": description }))
    }

    #[test]
    fn results_are_grouped_by_server_in_the_order_of_the_best() {
        let tools = ["a", "b", "c"].map(|name| tool(name, 1));
        let found = [("one", 0), ("two", 1), ("one", 2)].map(|(server, at)| Found {
            server,
            definition: &tools[at],
        });
        assert_eq!(
            results(&found, false),
            "one:\n- a() — word\n- c() — word\ntwo:\n- b() — word\n"
        );
        assert!(
            results(&found, true)
                .starts_with("one:\n- {\"description\":\"word \",\"name\":\"a\"}\n")
        );
    }

    #[test]
    fn the_first_one_is_whole_however_long_it_is() {
        let (long, other) = (tool("long", 20_000), tool("other", 2_000));
        let found = [&long, &other].map(|definition| Found {
            server: "one",
            definition,
        });
        let text = results(&found, true);
        assert!(text.contains(long.as_str()));
        assert!(text.contains("\n- other() — word word "));
        assert!(text.contains("\nOnly the signature is shown of 1, "));
        assert_eq!(
            results(&found[..1], true),
            format!("one:\n- {}\n", long.as_str())
        );
    }

    #[test]
    fn they_stay_within_the_tokens() {
        let tools: Vec<RawJson> = (0..40).map(|at| tool(&format!("t{at}"), 3_000)).collect();
        let found: Vec<Found<'_>> = tools
            .iter()
            .map(|definition| Found {
                server: "one",
                definition,
            })
            .collect();
        let signatures = results(&found, false);
        assert!((500..1_100).contains(&estimate_tokens(&signatures)));
        assert!(signatures.contains("more are left out"));
        let full = results(&found, true);
        assert!((6_000..9_000).contains(&estimate_tokens(&full)));
        // What doesn't fit whole is given by its signature, and that is said.
        let end = &full[full.len() - 300..];
        assert!(full.contains("- t39() — word"), "{end}");
        assert!(end.contains("Only the signature is shown of 38, "), "{end}");
        assert!(!signatures.contains("Only the signature"));
    }
}
