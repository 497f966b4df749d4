//! Which extension or experimental capability a method belongs to (SEP-2133).
//!
//! Owns the rule: a method begins with the whole name of its extension, or with the last part of it. The
//! methods of MCP itself belong to none. Pure.

use crate::protocol::RawJson;

/// What methods of MCP itself begin with.
const CORE: [&str; 15] = [
    "cancelled",
    "completion",
    "elicitation",
    "initialize",
    "initialized",
    "logging",
    "message",
    "ping",
    "progress",
    "prompts",
    "resources",
    "roots",
    "sampling",
    "subscriptions",
    "tools",
];
/// What methods that the gateway handles begin with.
const HANDLED: [&str; 2] = ["server", "tasks"];

/// Whether the method is none of MCP's own.
pub(crate) fn is_foreign(method: &str) -> bool {
    let own = method.strip_prefix("notifications/").unwrap_or(method);
    let first = own.split('/').next().unwrap_or_default();
    !CORE.contains(&first) && !HANDLED.contains(&first)
}

/// Whether a method belongs to the extension of this name, e.g. `skills/list` to
/// `io.modelcontextprotocol/skills`.
pub(crate) fn belongs(method: &str, name: &str) -> bool {
    let own = method.strip_prefix("notifications/").unwrap_or(method);
    let begins_with = |prefix: &str| {
        let rest = own.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    let is_name = !name.is_empty() && !last.is_empty();
    is_name && is_foreign(method) && (begins_with(name) || begins_with(last))
}

/// Whether capabilities declare the extension, or the experimental capability, that a method belongs
/// to.
pub(crate) fn is_declared(method: &str, capabilities: &RawJson, with_experimental: bool) -> bool {
    let has = |key: &str| {
        let declared = capabilities.get(key);
        let members = declared.as_ref().and_then(RawJson::members);
        let mut members = members.unwrap_or_default().into_iter();
        members.any(|(name, _)| belongs(method, &name))
    };
    is_foreign(method) && (has("extensions") || (with_experimental && has("experimental")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_belongs_to_the_extension_that_it_begins_with() {
        for (method, name) in [
            ("skills/list", "io.modelcontextprotocol/skills"),
            (
                "notifications/skills/list_changed",
                "io.modelcontextprotocol/skills",
            ),
            ("com.example/search/run", "com.example/search"),
            ("notifications/com.example/search", "com.example/search"),
            ("search/run", "com.example/search"),
            ("notifications/claude/channel", "claude/channel"),
            ("x/do", "x"),
        ] {
            assert!(belongs(method, name), "{method} {name}");
        }
        for (method, name) in [
            ("skillset/list", "io.modelcontextprotocol/skills"),
            ("tools/call", "tools"),
            ("tools/call", "com.example/tools"),
            ("notifications/message", "message"),
            ("tasks/get", "io.modelcontextprotocol/tasks"),
            ("search/run", "com.example/other"),
            ("/run", "com.example/"),
            ("run", ""),
        ] {
            assert!(!belongs(method, name), "{method} {name}");
        }
        let declared = RawJson::trusted(r#"{"extensions":{"a/x":{}},"experimental":{"y":{}}}"#);
        assert!(is_declared("x/do", &declared, false));
        assert!(!is_declared("y/do", &declared, false));
        assert!(is_declared("y/do", &declared, true));
        assert!(!is_declared("tools/call", &declared, true));
    }
}
