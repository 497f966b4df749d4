//! Globs of tool names.

use crate::config::problem::Report;
use crate::config::read::file::Located;
use crate::text::{Glob, GlobSet};

/// Most globs of one list.
pub(super) const MAX_GLOBS: usize = 1_000;

/// The globs at `path`, for names of any backend's tools.
pub(super) fn glob_set(written: &[Located<String>], path: &str, report: &mut Report) -> GlobSet {
    let globs = within_limit(written, |glob| glob, path, report).iter();
    let globs = globs.enumerate();
    globs
        .filter_map(|(index, written)| glob(written, &format!("{path}[{index}]"), report))
        .collect()
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
