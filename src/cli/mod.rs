//! The command line: what may be asked of the program, one file a subcommand.

pub mod args;
pub mod schema;
