//! The hand-written reader of JSON's outline has the same word as serde_json on what is a value.

use sentinel_gateway::protocol::json_scan;
use serde::de::IgnoredAny;

use super::chance_of;

pub fn check(data: &[u8]) {
    // It is only ever given UTF-8.
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    agree(text);
    // Where a string begins within a block of its bytes must not matter.
    let shift = chance_of(data).below(70);
    agree(&format!("{}{text}", " ".repeat(shift)));
    agree(&format!("[\"{}\",{text}]", "x".repeat(shift)));
}

fn agree(text: &str) {
    let ours = json_scan::value_end(text.as_bytes(), 0)
        .is_some_and(|end| json_scan::skip_space(text.as_bytes(), end) == text.len());
    let theirs = serde_json::from_str::<IgnoredAny>(text);
    assert_eq!(ours, theirs.is_ok(), "{theirs:?} of {text:?}");
}
