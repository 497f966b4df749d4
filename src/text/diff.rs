//! The difference between two texts, line by line.
//!
//! Owns its form, a unified diff without file names, and its time limit of 5 ms: past it the difference is coarser.

use std::fmt::Write;
use std::time::Duration;

use similar::algorithms::{Capture, Replace, myers};
use similar::{ChangeTag, DiffOp, group_diff_ops};

use crate::clock;

/// Time limit, since a text may be made to be slow to compare. Past it the difference is coarser.
const TIMEOUT: Duration = Duration::from_millis(5);

/// What changed from `old` to `new` as a unified diff without file names, with this many unchanged
/// lines around each change; empty if nothing did.
///
/// One algorithm by name: the crate's types for whole texts bring all of its algorithms, each in
/// many forms, a tenth of the executable.
pub(crate) fn unified_diff(old: &str, new: &str, context: usize) -> String {
    let (old, new) = (lines(old), lines(new));
    let mut changes = Replace::new(Capture::new());
    let deadline = clock::std_deadline(TIMEOUT);
    let (all_old, all_new) = (0..old.len(), 0..new.len());
    let found = myers::diff_deadline(&mut changes, &old[..], all_old, &new[..], all_new, deadline);
    found.unwrap_or_else(|never| match never {});
    let mut text = String::new();
    for hunk in group_diff_ops(changes.into_inner().into_ops(), context) {
        // Writing to a string can't fail.
        let _ = write_hunk(&mut text, &hunk, &old, &new);
    }
    text
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

fn write_hunk(text: &mut String, hunk: &[DiffOp], old: &[&str], new: &[&str]) -> std::fmt::Result {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else {
        return Ok(());
    };
    let old_span = span(first.old_range().start, last.old_range().end);
    let new_span = span(first.new_range().start, last.new_range().end);
    writeln!(text, "@@ -{old_span} +{new_span} @@")?;
    for change in hunk.iter().flat_map(|op| op.iter_changes(old, new)) {
        let sign = match change.tag() {
            ChangeTag::Equal => ' ',
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        writeln!(text, "{sign}{}", change.value())?;
    }
    Ok(())
}

/// Lines by number, as in a header: the first, and how many if not one. No line is after line 0.
fn span(from: usize, to: usize) -> String {
    match to - from {
        0 => format!("{from},0"),
        1 => format!("{}", from + 1),
        lines => format!("{},{lines}", from + 1),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn shows_removed_and_added_lines_with_their_neighbours() {
        let diff = unified_diff("a\nb\nc\nd\n", "a\nb\nx\nd\n", 1);
        assert_eq!(diff, "@@ -2,3 +2,3 @@\n b\n-c\n+x\n d\n");
        assert_eq!(unified_diff("a\n", "a\n", 1), "");
        assert_eq!(unified_diff("", "a\n", 1), "@@ -0,0 +1 @@\n+a\n");
    }

    /// Lines of few kinds in a random order have a great many ways to be aligned.
    #[test]
    fn a_text_cannot_be_made_slow_to_compare() {
        let text = |seed: u64| {
            let mut state = seed;
            let mut text = String::new();
            for _ in 0..20_000 {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let _ = writeln!(text, "{}", (state >> 33) % 3);
            }
            text
        };
        let begun = Instant::now();
        unified_diff(&text(1), &text(2), 1);
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }
}
