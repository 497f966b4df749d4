//! What an entry says besides of where its server is: which tools may be called, and how to sign in.
//!
//! Owns that nothing of it is lost unseen. What means the same in sentinel.toml is taken over; an entry
//! with anything else stays with its client.

use serde_json::Value;

use super::remote::{Limits, OAuth, Remote, SignIn};
use super::text;

/// Members that are read elsewhere, or that may be lost: they name or describe a server, say how long the
/// client waits for it, or what it may do without asking.
const KNOWN: [&str; 42] = [
    "type",
    "transport",
    "url",
    "serverUrl",
    "httpUrl",
    "uri",
    "headers",
    "http_headers",
    "env_http_headers",
    "bearer_token_env_var",
    "headersHelper",
    "command",
    "args",
    "cwd",
    "env",
    "environment",
    "envs",
    "env_vars",
    "enabled",
    "disabled",
    "oauth",
    "oauthClientId",
    "oauth_resource",
    "scopes",
    "id",
    "name",
    "title",
    "description",
    "icon",
    "version",
    "gallery",
    "source",
    "timeout",
    "startup_timeout_sec",
    "startup_timeout_ms",
    "tool_timeout_sec",
    "alwaysAllow",
    "autoApprove",
    "alwaysLoad",
    "deferTools",
    "trust",
    "supports_parallel_tool_calls",
];
const ALLOW: [&str; 3] = ["enabled_tools", "includeTools", "tools"];
const DENY: [&str; 3] = ["disabled_tools", "disabledTools", "excludeTools"];

/// The server with what its entry says of tools and of signing in.
///
/// # Errors
/// Why it stays with the client.
pub(super) fn with_members(entry: &Value, mut remote: Remote) -> Result<Remote, String> {
    for (key, member) in entry.as_object().into_iter().flatten() {
        let mut known = KNOWN.iter().chain(&ALLOW).chain(&DENY);
        let is_comment = key.starts_with(['_', '$', '/', '#']);
        if !is_comment && !member.is_null() && !known.any(|known| known == key) {
            return Err(lost(key));
        }
    }
    let limits = limits(entry)?;
    remote.tools.allow = limits.allow;
    remote.tools.deny.extend(limits.deny);
    if let Some(sign_in) = sign_in(entry)? {
        remote.sign_in = Some(sign_in);
    }
    let mut headers = remote.headers.iter();
    let has_token = headers.any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if has_token && matches!(remote.sign_in, Some(SignIn::OAuth(_))) {
        return Err("it has a token and settings for signing in: leave one of them out".to_owned());
    }
    Ok(remote)
}

fn lost(key: &str) -> String {
    format!("its {key:?} would be lost, since the gateway has nothing like it")
}

fn limits(entry: &Value) -> Result<Limits, String> {
    let mut limits = Limits::default();
    for key in ALLOW {
        let Some(names) = names(entry, key)? else {
            continue;
        };
        // Copilot CLI wants a list in any case.
        if key == "tools" && names.iter().any(|name| name == "*") {
            continue;
        }
        if limits.allow.is_some() {
            return Err(format!(
                "it says twice which tools are allowed, last in {key:?}"
            ));
        }
        limits.allow = Some(names.iter().map(|name| glob_of(name)).collect());
    }
    for key in DENY {
        let names = names(entry, key)?.unwrap_or_default();
        limits.deny.extend(names.iter().map(|name| glob_of(name)));
    }
    Ok(limits)
}

/// The names of tools in this member; `None` where there are none.
fn names(entry: &Value, key: &str) -> Result<Option<Vec<String>>, String> {
    let odd = || format!("its {key:?} is no list of tools by their names");
    match &entry[key] {
        Value::Null => Ok(None),
        // Codex has rules for single tools in a table.
        Value::Object(rules) if rules.is_empty() => Ok(None),
        Value::Object(_) => Err(lost(key)),
        Value::Array(items) => {
            let names = items.iter().map(|item| {
                // Gemini CLI takes commands behind a name.
                let name = item.as_str().filter(|name| !name.contains('('));
                name.map(str::to_owned).ok_or_else(odd)
            });
            names.collect::<Result<_, _>>().map(Some)
        }
        _ => Err(odd()),
    }
}

/// The glob of the gateway that is this name alone.
fn glob_of(name: &str) -> String {
    let chars = name.chars().map(|c| match c {
        '*' | '?' | '[' | ']' | '{' | '}' | '\\' => format!("[{c}]"),
        c => c.to_string(),
    });
    chars.collect()
}

/// The same of a pattern of mcp-remote, in which `*` is any text and the case does not matter.
pub(super) fn glob_of_pattern(pattern: &str) -> String {
    let chars = pattern.chars().map(|c| match c {
        '*' => "*".to_owned(),
        c if c.is_ascii_alphabetic() => {
            format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase())
        }
        c => glob_of(&c.to_string()),
    });
    chars.collect()
}

fn sign_in(entry: &Value) -> Result<Option<SignIn>, String> {
    let variables = text::variables(entry);
    let mut oauth = OAuth::default();
    match &entry["oauth"] {
        Value::Null | Value::Bool(true) => {}
        Value::Bool(false) => return Ok(Some(SignIn::Never)),
        Value::Object(members) => {
            for (name, member) in members {
                set(&mut oauth, name, member, &variables)?;
            }
        }
        _ => return Err(lost("oauth")),
    }
    for (key, name) in [
        ("oauthClientId", "client_id"),
        ("scopes", "scopes"),
        ("oauth_resource", "resource"),
    ] {
        set(&mut oauth, name, &entry[key], &variables)?;
    }
    Ok((oauth != OAuth::default()).then_some(SignIn::OAuth(oauth)))
}

/// Reads a member of the settings for signing in, in any of the spellings.
fn set(
    oauth: &mut OAuth,
    name: &str,
    member: &Value,
    variables: &[(String, String)],
) -> Result<(), String> {
    let lost =
        || format!("{name:?} of its sign-in would be lost, since the gateway has nothing like it");
    let plain = name.replace('_', "").to_ascii_lowercase();
    match (&*plain, member) {
        (_, Value::Null) | ("enabled", Value::Bool(true)) => {}
        ("clientid", Value::String(id)) => {
            let id = text::converted(id, variables)?;
            oauth.client_id = Some(id).filter(|id| !text::has_variables(id));
            oauth.client_id.as_ref().ok_or_else(lost)?;
        }
        ("clientsecret", Value::String(secret)) => {
            let secret = text::converted(secret, variables)?;
            let is_whole = text::only_variable(&secret).is_some();
            oauth.client_secret =
                Some(secret).filter(|text| is_whole || !text::has_variables(text));
            oauth.client_secret.as_ref().ok_or_else(lost)?;
        }
        ("callbackport", Value::Number(port)) => {
            let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
            oauth.callback_port = Some(port.filter(|port| *port > 0).ok_or_else(lost)?);
        }
        ("scope" | "scopes", Value::String(scopes)) => {
            oauth.scopes = scopes.split_whitespace().map(str::to_owned).collect();
        }
        ("scopes", Value::Array(scopes)) => {
            let scopes = scopes.iter().map(|scope| scope.as_str().map(str::to_owned));
            oauth.scopes = scopes.collect::<Option<_>>().ok_or_else(lost)?;
        }
        ("resource", Value::String(resource)) => oauth.resource = Some(Some(resource.clone())),
        _ => return Err(lost()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_the_glob_of_that_name_alone() {
        for name in ["a", "read_*", "[x]{y}?", "a\\b", "日本"] {
            let glob = glob_of(name);
            assert_eq!(glob, crate::text::escape_glob(name));
            assert!(crate::text::Glob::new(&glob).unwrap().is_match(name));
        }
        let glob = glob_of_pattern("Delete*_2?");
        let glob = crate::text::Glob::new(&glob).unwrap();
        for (name, matches) in [
            ("deleteAll_2?", true),
            ("DELETE_2?", true),
            ("delete_23", false),
        ] {
            assert_eq!(glob.is_match(name), matches, "{name}");
        }
    }
}
