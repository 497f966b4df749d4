//! What a record says of arguments and results.
//!
//! Owns which names of members are those of secrets. It must not know the secrets of the config, which
//! are removed from the whole line.

use serde_json::{Map, Value};

use crate::config::AuditArguments;

/// What stands in the place of a value.
const REDACTED: &str = "[redacted]";

/// A member whose name, in lower case and with its letters and digits alone, contains one of these
/// holds a secret.
const SECRET_NAMES: [&str; 20] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "authorization",
    "credential",
    "cookie",
    "bearer",
    "jwt",
    "signature",
    "connectionstring",
    "sessionid",
];

/// A member whose whole name is one of these holds a secret: they are part of many other names.
const WHOLE_SECRET_NAMES: [&str; 7] = ["pass", "auth", "key", "pin", "otp", "dsn", "sid"];

/// Members that say what the `value` beside them is.
const NAMING: [&str; 4] = ["name", "key", "header", "field"];

/// The JSON text of a value as records have it; `None` where they don't.
pub(super) fn rendered(value: &[u8], rule: AuditArguments, of_arguments: bool) -> Option<String> {
    if rule == AuditArguments::None || (rule == AuditArguments::Keys && !of_arguments) {
        return None;
    }
    // Once more through the parser: a line must have no line end in it.
    let Ok(value) = serde_json::from_slice::<Value>(value) else {
        return Some("\"nested too deep to be shown\"".to_owned());
    };
    let value = match rule {
        AuditArguments::None => return None,
        AuditArguments::All => value,
        AuditArguments::Redacted => redacted(value),
        AuditArguments::Keys => match value {
            Value::Object(members) => members.into_iter().map(|(key, _)| key).collect(),
            _ => return None,
        },
    };
    Some(value.to_string())
}

fn redacted(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(redacted).collect(),
        Value::Object(members) => {
            // `{ "name": "API_KEY", "value": "…" }`, as lists of headers and variables are written.
            let names_secret = members.iter().any(|(key, name)| {
                let name = name
                    .as_str()
                    .filter(|_| NAMING.contains(&plain(key).as_str()));
                name.is_some_and(is_secret_name)
            });
            let member = |(key, value): (String, Value)| {
                let is_secret = is_secret(&key, &value) || (names_secret && plain(&key) == "value");
                let value = if is_secret {
                    hidden(value)
                } else {
                    redacted(value)
                };
                (key, value)
            };
            Value::Object(members.into_iter().map(member).collect::<Map<_, _>>())
        }
        Value::String(text) => Value::String(redacted_text(text)),
        other => other,
    }
}

/// A text is JSON itself, as results of tools often are, or may name a secret and say it.
fn redacted_text(text: String) -> String {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str::<Value>(&text)
    {
        return redacted(value).to_string();
    }
    match says_secret(&text) {
        true => REDACTED.to_owned(),
        false => text,
    }
}

fn hidden(value: Value) -> Value {
    match value {
        // Says nothing of a secret.
        Value::Null | Value::Bool(_) => value,
        _ => REDACTED.into(),
    }
}

fn is_secret(name: &str, value: &Value) -> bool {
    // `max_tokens` and the like are counts.
    let is_count = value.is_number() && plain(name).contains("token");
    is_secret_name(name) && !is_count
}

fn is_secret_name(name: &str) -> bool {
    let name = plain(name);
    WHOLE_SECRET_NAMES.contains(&name.as_str())
        || SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Names of secrets that are two words in a text.
const TWO_WORDS: [&str; 7] = [
    "api key",
    "access key",
    "private key",
    "signing key",
    "encryption key",
    "session id",
    "connection string",
];

/// Whether a text holds a private key in PEM of some kind, such as `BEGIN RSA PRIVATE KEY`.
fn is_named_key(text: &str) -> bool {
    text.match_indices("begin ").any(|(at, begin)| {
        let words = text[at + begin.len()..].split(' ').take(3);
        words.into_iter().any(|word| word.starts_with("privatekey"))
    })
}

/// Whether a text has such a name with `:` or `=` after it, or a bearer token.
fn says_secret(text: &str) -> bool {
    let kept = |letter: &char| letter.is_alphanumeric() || [' ', ':', '='].contains(letter);
    let text: String = text
        .chars()
        .filter(kept)
        .flat_map(char::to_lowercase)
        .collect();
    let text = TWO_WORDS.iter().fold(text, |text, name| {
        text.replace(name, &name.replace(' ', ""))
    });
    let names = SECRET_NAMES.iter().any(|name| {
        text.match_indices(name).any(|(at, _)| {
            let after = text[at + name.len()..].trim_start_matches(char::is_alphanumeric);
            after.trim_start().starts_with([':', '='])
        })
    });
    // A key in PEM has its name in dashes, and no colon.
    names || text.contains("bearer ") || is_named_key(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redact(value: &Value) -> Value {
        let text = rendered(value.to_string().as_bytes(), AuditArguments::Redacted, true);
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    #[test]
    fn values_of_members_named_as_secrets_are_not_shown() {
        for key in [
            "password",
            "DB_PASSWORD",
            "userPasswd",
            "token",
            "access_token",
            "refreshToken",
            "id-token",
            "secret",
            "clientSecret",
            "Authorization",
            "x-api-key",
            "apiKey",
            "private_key",
            "Set-Cookie",
            "credentials",
            "pass",
            "KEY",
            "connection_string",
        ] {
            for value in [
                json!("hunter2"),
                json!(4711),
                json!({ "a": "hunter2" }),
                json!(["hunter2"]),
            ] {
                if key.to_lowercase().contains("token") && value.is_number() {
                    continue;
                }
                let shown = redact(&json!({ "deep": [{ key: value }] }));
                assert_eq!(shown["deep"][0][key], REDACTED, "{key}");
            }
        }
        let kept = json!({
            "query": "SELECT 1", "max_tokens": 100, "keyboard": "us", "author": "me", "passenger": "x",
            "primary_key": "id", "has_password": true, "token": null, "text": "the token is long"
        });
        assert_eq!(redact(&kept), kept);
    }

    #[test]
    fn a_secret_in_a_text_or_in_a_pair_is_not_shown() {
        for text in [
            "curl -H 'Authorization: Bearer hunter2'",
            "https://example.com/?access_token=hunter2",
            "export DB_PASSWORD = hunter2",
            "{\"password\": \"hunter2\"} and more",
            "{\"deep\":[{\"password\":\"hunter2\"}]}",
            "bearer hunter2",
            "The API key: hunter2",
            "Session ID = hunter2",
            "-----BEGIN PRIVATE KEY-----\nhunter2",
            "-----BEGIN RSA PRIVATE KEY-----\nhunter2",
            "{\"Key\":\"DB_PASSWORD\",\"Value\":\"hunter2\"}",
        ] {
            let shown = redact(&json!({ "text": text })).to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let pair = redact(&json!({ "headers": [{ "name": "X-Api-Key", "value": "hunter2" }] }));
        assert_eq!(pair["headers"][0]["value"], REDACTED);
        let nested = redact(&json!({ "text": "{\"a\":1,\"token\":\"hunter2\"}" }));
        assert!(
            nested["text"].as_str().unwrap().contains("\"a\":1"),
            "{nested}"
        );
    }

    #[test]
    fn names_alone_are_those_of_arguments() {
        let value = json!({ "a": 1, "password": { "b": 2 } }).to_string();
        let keys = rendered(value.as_bytes(), AuditArguments::Keys, true).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&keys).unwrap(),
            json!(["a", "password"])
        );
        assert_eq!(
            rendered(value.as_bytes(), AuditArguments::Keys, false),
            None
        );
        assert_eq!(rendered(value.as_bytes(), AuditArguments::None, true), None);
    }

    #[test]
    fn what_is_nested_too_deep_is_not_shown() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let shown = rendered(deep.as_bytes(), AuditArguments::All, true).unwrap();
        assert!(shown.contains("too deep"), "{shown}");
    }
}
