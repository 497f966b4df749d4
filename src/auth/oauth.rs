//! OAuth 2.1 as data: challenges, metadata documents, requests and answers.
//!
//! Owns the checks that the specifications demand of a client. Pure: what it reads comes from
//! servers and is not trusted.

pub mod assertion;
pub mod authorization;
pub mod challenge;
pub mod client;
pub mod metadata;
pub mod scopes;
pub mod token;
mod urls;

pub use urls::UrlRules;

use serde_json::Value;

/// Most bytes of a text that a person is shown.
const MAX_SHOWN: usize = 200;

/// A member that is a text and not empty; `null` counts as absent.
fn text<'a>(document: &'a Value, member: &str) -> Option<&'a str> {
    let text = document.get(member)?.as_str()?;
    Some(text).filter(|text| !text.is_empty())
}

/// The texts of a member that is a list; `None` where it is absent or no list.
fn texts(document: &Value, member: &str) -> Option<Vec<String>> {
    let list = document.get(member)?.as_array()?;
    let texts = list.iter().filter_map(Value::as_str);
    Some(texts.map(str::to_owned).collect())
}

/// A whole number, also one written as a text.
fn number(document: &Value, member: &str) -> Option<u64> {
    match document.get(member)? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number
            .as_u64()
            // Some servers write 3600.0.
            .or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64)),
        _ => None,
    }
}

/// A document that is a JSON object.
fn object(bytes: &[u8]) -> Option<Value> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    Some(document).filter(Value::is_object)
}

/// A text of a server as a message quotes it: printable ASCII, and not long.
fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_SHOWN)
        .map(|c| match c {
            ' '..='~' => c,
            _ => '?',
        })
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}
