//! Output for people: colours, a status line, tables, and text of servers made safe to print.
//!
//! Owns stdout and stderr of commands: no secret of the config is printed, and a reader that closes the pipe
//! early is no failure.

mod status;
mod style;
mod table;
mod width;

use std::io::{self, IsTerminal, Write};

use super::exit::{BAD_CONFIG, FAILED};
use crate::config::Problems;
use crate::text::for_output;

pub(super) use status::Status;
pub(super) use style::{BAD, CAUTION, DIM, GOOD, HEAD, PLAIN, lines, one_line};
pub(super) use table::{Cell, Fit, Side, Table};
pub(super) use width::{cut, width, wrap};

/// Prints a warning on stderr.
pub(super) fn warn(what: &str) {
    print_message(&format!("{CAUTION}warning:{CAUTION:#} {what}"));
}

/// Prints a line on stderr, without secrets.
pub(super) fn print_message(what: &str) {
    anstream::eprintln!("{}", for_output(what));
}

/// Writes a report, without secrets.
pub(super) fn print_report(
    out: &mut impl Write,
    report: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let mut text = Vec::new();
    report(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    out.write_all(for_output(&text).as_bytes())?;
    out.flush()
}

/// The columns of the terminal that stdout is; `None` where it is none, and nothing is to be cut.
pub(super) fn stdout_width() -> Option<usize> {
    let size = io::stdout()
        .is_terminal()
        .then(terminal_size::terminal_size);
    size.flatten().map(|(width, _)| usize::from(width.0))
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
