//! Checks globs of tool names.
//!
//! Owns the limits on how many there are and how large they are together.

use crate::config::problem::Report;
use crate::config::read::file::Located;
use crate::text::{Glob, GlobSet};

/// Most globs of one list.
pub(super) const MAX_GLOBS: usize = 1_000;
/// Most tokens of all globs of one list together: some MiB.
const MAX_TOKENS: usize = 200_000;

/// The globs at `path`, for names of any backend's tools.
pub(super) fn glob_set(written: &[Located<String>], path: &str, report: &mut Report) -> GlobSet {
    let globs = within_limit(written, |glob| glob, path, report).iter();
    let mut size = ListSize::default();
    let globs = globs.enumerate().map_while(|(index, written)| {
        let glob = glob(written, &format!("{path}[{index}]"), report);
        size.admits(glob.as_ref(), written, path, report)
            .then_some(glob)
    });
    globs.flatten().collect()
}

/// How large the globs of one list are together.
#[derive(Default)]
pub(super) struct ListSize(usize);

impl ListSize {
    /// Counts one more glob of the list; `false`, and a problem, if they are too large together.
    pub(super) fn admits(
        &mut self,
        glob: Option<&Glob>,
        written: &Located<String>,
        path: &str,
        report: &mut Report,
    ) -> bool {
        self.0 += glob.map_or(0, Glob::tokens);
        let is_admitted = self.0 <= MAX_TOKENS;
        if !is_admitted {
            let what = "the globs are too large together; write fewer or shorter ones";
            report.add(&written.location, path, what);
        }
        is_admitted
    }
}

/// These entries; none, and a problem, if there are too many.
pub(super) fn within_limit<'a, T>(
    entries: &'a [T],
    glob: impl Fn(&T) -> &Located<String>,
    path: &str,
    report: &mut Report,
) -> &'a [T] {
    if entries.len() <= MAX_GLOBS {
        return entries;
    }
    let (first, count) = (&glob(&entries[0]).location, entries.len());
    let what = format!("{count} globs are more than {MAX_GLOBS}; write wider ones");
    report.add(first, path, what);
    &[]
}

/// One glob; `None`, and a problem, if it is none.
pub(super) fn glob(written: &Located<String>, path: &str, report: &mut Report) -> Option<Glob> {
    match Glob::new(&written.value) {
        Ok(glob) => Some(glob),
        Err(error) => {
            let what = format!("not a glob: {error}; a glob is written like \"read_*\"");
            report.add(&written.location, path, what);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Location;

    #[test]
    fn the_globs_of_a_list_are_bounded_together() {
        let large = || Located {
            value: format!("{{a,b}}{}", "x".repeat(40_000)),
            location: Location::Default,
        };
        for (count, is_admitted) in [(2, true), (3, false)] {
            let written: Vec<_> = std::iter::repeat_with(large).take(count).collect();
            let mut report = Report::default();
            let set = glob_set(&written, "tools.deny", &mut report);
            assert_eq!(set.iter().count(), 2);
            let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
            let said = problems
                .iter()
                .any(|what| what.contains("too large together"));
            assert_eq!((problems.is_empty(), said), (is_admitted, !is_admitted));
        }
    }
}
