//! Output for people: colours, a status line, tables, and text of servers made safe to print.

mod status;
mod style;
mod table;

use std::io;

use super::exit::{BAD_CONFIG, FAILED};
use crate::config::Problems;

pub(super) use status::Status;
pub(super) use style::{BAD, CAUTION, DIM, GOOD, HEAD, PLAIN, lines, one_line};
pub(super) use table::{Cell, Side, Table};

/// Prints a warning on stderr.
pub(super) fn warn(what: &str) {
    anstream::eprintln!("{CAUTION}warning:{CAUTION:#} {what}");
}

/// Prints all problems of the config. Returns the exit status.
pub(super) fn report_problems(problems: &Problems) -> u8 {
    anstream::eprintln!("{problems}");
    BAD_CONFIG
}

/// The exit status of a command that has printed its result: `code`, or a failure if printing
/// failed. A reader that closes the pipe early (`| head`) is no failure.
pub(super) fn print_result(result: io::Result<()>, code: u8) -> u8 {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            anstream::eprintln!("stdout can't be written to: {error}");
            FAILED
        }
        _ => code,
    }
}
