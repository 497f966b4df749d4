//! Globs of tool names.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::config::problem::Report;
use crate::config::read::file::Located;

/// Most globs of one list: each is compiled.
pub(super) const MAX_GLOBS: usize = 1_000;

/// The globs at `path`, for names of any backend's tools.
pub(super) fn glob_set(written: &[Located<String>], path: &str, report: &mut Report) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for (index, written) in written.iter().take(MAX_GLOBS).enumerate() {
        if let Some(glob) = glob(written, &format!("{path}[{index}]"), report) {
            set.add(glob);
        }
    }
    let too_large = || {
        Some((
            &written.first()?.location,
            "too many or too large; write wider ones",
        ))
    };
    let built = set.build().ok().filter(|_| written.len() <= MAX_GLOBS);
    if let (None, Some((location, what))) = (&built, too_large()) {
        report.add(location, path, what);
    }
    built.unwrap_or_default()
}

/// One glob; `None`, and a problem, if it is none.
pub(super) fn glob(written: &Located<String>, path: &str, report: &mut Report) -> Option<Glob> {
    let glob = GlobBuilder::new(&written.value)
        .literal_separator(false)
        .backslash_escape(true)
        .build();
    match glob {
        Ok(glob) => Some(glob),
        Err(error) => {
            let what = format!("not a glob: {}; write one like \"read_*\"", error.kind());
            report.add(&written.location, path, what);
            None
        }
    }
}
