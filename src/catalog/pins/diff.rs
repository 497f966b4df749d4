//! What has changed between two definitions, shown to a person.
//!
//! Owns bounds on what is shown, since a backend writes it, and that nothing in it is obeyed by a
//! terminal. It must not know when something counts as a change.

use std::time::Duration;

use similar::TextDiff;

use super::definition::readable;
use crate::catalog::clean::is_hostile;
use crate::protocol::RawJson;

/// Characters of a line; longer ones are broken, so that a change deep in one is seen.
const WIDTH: usize = 100;
/// Lines around a change.
const CONTEXT: usize = 1;
/// A text may be made to take for ever; past this a coarser difference is shown.
const PATIENCE: Duration = Duration::from_millis(5);

/// The difference of these parts as unified diffs, each under its part's name, `most` lines in all.
pub(super) fn of_parts(
    old: &RawJson,
    new: &RawJson,
    parts: &[&'static str],
    most: usize,
) -> String {
    let mut lines = Vec::new();
    for part in parts {
        lines.push(format!("{part}:"));
        let (old, new) = (lines_of(old, part), lines_of(new, part));
        let diff = TextDiff::configure()
            .timeout(PATIENCE)
            .diff_lines(&old, &new);
        let text = diff
            .unified_diff()
            .context_radius(CONTEXT)
            .missing_newline_hint(false)
            .to_string();
        lines.extend(text.lines().map(str::to_owned));
    }
    let left_out = lines.len().saturating_sub(most);
    lines.truncate(most);
    if left_out > 0 {
        lines.push(format!("… {left_out} more lines"));
    }
    lines.join("\n")
}

/// A part as lines of a bounded width; nothing where it isn't said.
fn lines_of(definition: &RawJson, part: &str) -> String {
    let members = definition.members().unwrap_or_default();
    let mut text = String::new();
    for (_, value) in members.iter().filter(|(name, _)| name == part) {
        for line in readable(&definition.part(value)).lines() {
            broken(line, &mut text);
        }
    }
    text
}

fn broken(line: &str, text: &mut String) {
    for (at, c) in line.chars().enumerate() {
        if at > 0 && at % WIDTH == 0 {
            text.push('\n');
        }
        text.push(if is_hostile(c) { '\u{fffd}' } else { c });
    }
    text.push('\n');
}
