//! The JSON scanner accepts the same values as serde_json.

use sentinel_gateway::protocol::json_scan;
use serde::de::IgnoredAny;

use super::chance_of;

pub fn check(data: &[u8]) {
    // Its input must be UTF-8.
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    agree(text);
    // The position of a string within a block must not matter.
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
