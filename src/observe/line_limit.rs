//! How long one line of the log may be.
//!
//! Owns cutting a line at a character's boundary, so that it says how much is missing and, where it
//! is JSON, stays JSON. Pure.

use serde_json::{Map, Value};

use crate::text::beginning;

/// Most bytes of one line, its end not counted.
pub(super) const MAX_LINE: usize = 1024;
/// Lengths that the strings of a JSON line are cut to, until the line fits.
const STRING_LENGTHS: [usize; 6] = [512, 256, 128, 64, 32, 0];

/// Cuts a text to at most `limit` bytes and says how many are missing.
pub(super) fn cut(text: &mut String, limit: usize) {
    if text.len() <= limit {
        return;
    }
    // The number has no more digits than that of all bytes.
    let room = limit.saturating_sub(marker(text.len()).len());
    let end = beginning(text, room).len();
    let marker = marker(text.len() - end);
    text.truncate(end);
    text.push_str(&marker);
}

/// The JSON object of one line with at most `limit` bytes: its longest strings are cut.
pub(super) fn cut_json(object: String, limit: usize) -> String {
    if object.len() <= limit {
        return object;
    }
    let Ok(members) = serde_json::from_str::<Map<String, Value>>(&object) else {
        return left_out(object.len());
    };
    let mut shorter = STRING_LENGTHS.into_iter().map(|length| {
        let mut members = members.clone();
        members
            .values_mut()
            .for_each(|value| cut_strings(value, length));
        Value::Object(members).to_string()
    });
    shorter
        .find(|object| object.len() <= limit)
        .unwrap_or_else(|| left_out(object.len()))
}

fn cut_strings(value: &mut Value, length: usize) {
    match value {
        Value::String(text) if text.len() > length => {
            let end = beginning(text, length).len();
            let marker = marker(text.len() - end);
            text.truncate(end);
            text.push_str(&marker);
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| cut_strings(value, length)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|value| cut_strings(value, length)),
        _ => {}
    }
}

fn marker(bytes: usize) -> String {
    format!("… ({bytes} bytes more)")
}

fn left_out(bytes: usize) -> String {
    format!("{{\"message\":\"a line of {bytes} bytes is left out\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_93_a_line_is_cut_between_characters_and_says_so() {
        for length in [1, 1000, 1022, 1023, 1024, 1025, 4096, 1 << 20] {
            let whole = format!("{}{}", "x".repeat(length % 3), "ä".repeat(length));
            let mut line = whole.clone();
            cut(&mut line, MAX_LINE);
            if whole.len() <= MAX_LINE {
                assert_eq!(line, whole);
                continue;
            }
            assert!(line.len() <= MAX_LINE, "{} bytes", line.len());
            let (kept, rest) = line.split_once('…').unwrap();
            let missing: usize = rest.split(&['(', ' '][..]).nth(2).unwrap().parse().unwrap();
            assert_eq!(kept.len() + missing, whole.len(), "{rest}");
        }
    }

    #[test]
    fn fault_93_a_json_line_that_is_cut_stays_json() {
        let line = |bytes: usize| {
            let text = "\u{1}é\"".repeat(bytes / 3);
            serde_json::json!({ "level": "WARN", "message": text, "error": text, "n": 7 })
                .to_string()
        };
        for bytes in [3, 300, 3_000, 3_000_000] {
            let cut = cut_json(line(bytes), MAX_LINE);
            assert!(cut.len() <= MAX_LINE, "{}", cut.len());
            let value: Value = serde_json::from_str(&cut).unwrap();
            assert_eq!(value["n"], 7, "{cut}");
            assert_eq!(value["level"], "WARN", "{cut}");
        }
        let members: Vec<String> = (0..500).map(|n| format!("\"m{n}\":{n}")).collect();
        let many = format!("{{{}}}", members.join(","));
        assert!(cut_json(many, MAX_LINE).contains("left out"));
    }
}
