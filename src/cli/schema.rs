//! `schema`: the JSON Schema of sentinel.toml, for editors and other checkers.

use std::io::{self, Write};

use crate::config;

/// Prints the schema, indented and with a line end.
///
/// # Errors
/// What writing to `out` reports.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &config::schema())?;
    writeln!(out)
}
