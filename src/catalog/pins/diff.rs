//! The difference between two definitions, for a person.
//!
//! Owns the bounds on its size, and the removal of characters that control a terminal, since a
//! backend writes the text. It must not know what counts as a change.

use super::definition::readable;
use crate::protocol::RawJson;
use crate::text::{is_hidden, unified_diff};

/// Characters of a line. Longer lines are wrapped, so that a change in a long line is visible.
const WIDTH: usize = 100;
/// Unchanged lines shown around a change.
const CONTEXT: usize = 1;

/// The difference of these parts as unified diffs, each under its part's name, in at most
/// `max_lines` lines and one that counts the rest.
pub(super) fn of_parts(
    old: &RawJson,
    new: &RawJson,
    parts: &[&'static str],
    max_lines: usize,
) -> String {
    let mut lines = Vec::new();
    for part in parts {
        lines.push(format!("{part}:"));
        let (old, new) = (lines_of(old, part), lines_of(new, part));
        let text = unified_diff(&old, &new, CONTEXT);
        lines.extend(text.lines().map(str::to_owned));
    }
    let left_out = lines.len().saturating_sub(max_lines);
    lines.truncate(max_lines);
    if left_out > 0 {
        lines.push(format!("… {left_out} more lines"));
    }
    lines.join("\n")
}

/// A part as lines of a bounded width; empty if it is missing.
fn lines_of(definition: &RawJson, part: &str) -> String {
    let members = definition.members().unwrap_or_default();
    let mut text = String::new();
    for (_, value) in members.iter().filter(|(name, _)| name == part) {
        for line in readable(&definition.part(value)).lines() {
            push_wrapped(line, &mut text);
        }
    }
    text
}

fn push_wrapped(line: &str, text: &mut String) {
    for (at, c) in line.chars().enumerate() {
        if at > 0 && at % WIDTH == 0 {
            text.push('\n');
        }
        text.push(if is_hidden(c) { '\u{fffd}' } else { c });
    }
    text.push('\n');
}
