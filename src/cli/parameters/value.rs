//! The value of one `key=value` as JSON.
//!
//! Owns the choice between text and JSON. A parameter that is a string takes the text as it is; one of another
//! type takes JSON, with its digits unchanged.

use bytes::Bytes;
use serde_json::Value;

use super::types::{Type, Types};
use crate::protocol::RawJson;
use crate::protocol::raw::quoted;

/// Most characters of a value in a message.
const MAX_SHOWN: usize = 60;

/// A parameter that is a string takes the text as it is, also where it looks like a number. One of
/// another type takes JSON, with its digits unchanged. One that may be a string or something else,
/// or of which nothing is known, takes JSON of an allowed type, else the text.
///
/// # Errors
/// What the value must be.
pub(super) fn parse(key: &str, text: &str, types: &Types) -> Result<Bytes, String> {
    if types.is_string() {
        return Ok(quoted(text));
    }
    let json = RawJson::parse(Bytes::copy_from_slice(text.as_bytes())).ok();
    let fits = |json: &RawJson| {
        // A number of more digits than a float holds is read as well as can be, and sent unchanged.
        let value: Option<Value> = json.read().ok();
        types.is_any() || value.is_some_and(|value| types.allow_value(&value))
    };
    match json.filter(fits) {
        // A message is one line, and line ends in JSON are only between tokens.
        Some(json) => Ok(Bytes::from(json.as_str().replace(['\n', '\r'], " "))),
        None if types.is_any() || types.allow(Type::String) => Ok(quoted(text)),
        None => {
            let shown: String = text.chars().take(MAX_SHOWN).collect();
            let cut = if shown.len() < text.len() { "…" } else { "" };
            let words = types.in_words();
            Err(format!(
                "the argument {key:?} is {words}; found {shown:?}{cut}"
            ))
        }
    }
}
