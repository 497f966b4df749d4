//! `schema`: prints the JSON Schema of sentinel.toml, for editors and validators.
//!
//! Owns the output alone: the schema is `config`'s.

use std::io::{self, Write};

use crate::config;

/// Prints the schema.
///
/// # Errors
/// The error of writing to `out`.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    out.write_all(config::schema_text().as_bytes())
}
