//! A status line on stderr.
//!
//! Owns the last line of the terminal while a command waits: it is drawn, printed above, and erased at the
//! end. Where stderr is no terminal, nothing is drawn.

use std::io::{self, IsTerminal};

use super::{DIM, cut, one_line, print_message};
use crate::text::for_output;

/// What the command waits for: the last line of a terminal, erased on drop. If stderr is no
/// terminal, nothing is drawn.
pub(in crate::cli) struct Status(Option<String>);

impl Status {
    pub(in crate::cli) fn new(what: impl Into<String>) -> Self {
        let status = Self(io::stderr().is_terminal().then(|| what.into()));
        status.draw();
        status
    }

    /// Whether it is drawn.
    pub(in crate::cli) fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// Replaces the text where it is drawn.
    pub(in crate::cli) fn show(&mut self, what: String) {
        if let Some(text) = &mut self.0 {
            *text = what;
        }
        self.draw();
    }

    /// Does what prints lines that stay, above the status.
    pub(in crate::cli) fn above(&self, print: impl FnOnce()) {
        self.erase();
        print();
        self.draw();
    }

    /// Replaces the text; if stderr is no terminal, prints it as a line.
    pub(in crate::cli) fn update(&mut self, what: String) {
        match &mut self.0 {
            Some(text) => *text = what,
            None => print_message(&what),
        }
        self.draw();
    }

    /// Prints a line that stays, above the status.
    pub(in crate::cli) fn print_above(&self, line: &str) {
        self.above(|| print_message(line));
    }

    fn draw(&self) {
        if let Some(text) = &self.0 {
            // A longer text would wrap, and only its last line would be erased.
            let columns = terminal_size::terminal_size_of(io::stderr());
            let columns = columns.map_or(80, |(width, _)| usize::from(width.0));
            let text = cut(&one_line(&for_output(text)), columns.max(2) - 2);
            self.erase();
            anstream::eprint!("{DIM}{text}…{DIM:#}");
        }
    }

    fn erase(&self) {
        if self.0.is_some() {
            anstream::eprint!("\r\u{1b}[K");
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.erase();
    }
}
