//! Prints what a gateway answered.
//!
//! Owns where it goes: errors to stderr, text of servers to stdout, unchanged for a pipe and without control
//! sequences for a terminal.

use std::io::{self, IsTerminal, Write};

use super::exit::FAILED;
use super::terminal::{lines, print_message};
use crate::protocol::RawJson;

/// Prints the message of a JSON-RPC error. Returns the exit status.
pub(super) fn print_error(error: &RawJson) -> u8 {
    let message = error.get("message").and_then(|text| text.text());
    let message = message.unwrap_or_else(|| error.as_str().to_owned());
    print_message(&lines(&message));
    FAILED
}

/// Prints that the gateway has ended before it answered. Returns the exit status.
pub(super) fn print_gone(error: &io::Error) -> u8 {
    print_message(&format!("the gateway ended before it answered: {error}"));
    FAILED
}

/// Prints text of a server, with a line end after it. A pipe gets it unchanged; for a terminal,
/// control sequences are removed.
///
/// # Errors
/// The error of writing to stdout.
pub(super) fn print_text(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    let text = if stdout.is_terminal() {
        lines(text)
    } else {
        text.to_owned()
    };
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    write!(stdout, "{text}{end}").and_then(|()| stdout.flush())
}
