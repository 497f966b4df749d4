//! `schema`: the JSON Schema of sentinel.toml, for editors and other checkers.

use std::io::{self, Write};

use crate::config;

/// Prints the schema.
///
/// # Errors
/// What writing to `out` reports.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    out.write_all(config::SCHEMA.as_bytes())
}
