//! Text of a backend, made fit to be shown: nothing hidden in it, and no secret.
//!
//! Owns which characters hide text ([`hidden`]), which spellings of a secret are recognised
//! ([`spellings`], [`unescape`]), and the removal of both from messages ([`Scrubber`]) and from JSON
//! definitions ([`clean_json`]); the difference of two texts
//! ([`unified_diff`]), and where a text may be cut ([`beginning`]); and the globs that names are matched by ([`Glob`]). Everything that is logged, kept or printed of a backend passes here.
//! Pure; it must not know where a text comes from nor where it goes.

mod cut;
mod diff;
mod glob;
mod hidden;
mod json;
mod output;
mod scrub;
mod spellings;
mod unescape;

pub(crate) use cut::beginning;
pub(crate) use diff::unified_diff;
pub(crate) use glob::escape as escape_glob;
pub(crate) use glob::{Glob, GlobSet};
pub(crate) use hidden::{is_hidden, visible};
pub(crate) use json::{MAX_DEPTH, Unclean, clean_json, clean_json_as_in_version_1};
pub(crate) use output::{for_output, keep_from_output};
pub(crate) use scrub::Scrubber;
pub(crate) use spellings::Reach;
