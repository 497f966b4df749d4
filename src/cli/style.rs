//! How things look on a terminal. `anstream` takes the colours out where there is none, or where
//! the user wants none (`NO_COLOR`).

use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};

pub(super) const PLAIN: Style = Style::new();
pub(super) const HEAD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const CAUTION: Style = AnsiColor::Yellow.on_default();

/// What the user waits for: the last line of stderr, until this is dropped. Off a terminal there is
/// none.
pub(super) struct Status(Option<String>);

impl Status {
    pub(super) fn new(what: impl Into<String>) -> Self {
        let status = Self(io::stderr().is_terminal().then(|| what.into()));
        status.draw();
        status
    }

    /// How far it has come; off a terminal, as a line of its own.
    pub(super) fn update(&mut self, what: String) {
        match &mut self.0 {
            Some(text) => *text = what,
            None => anstream::eprintln!("{what}"),
        }
        self.draw();
    }

    /// A line that stays.
    pub(super) fn beside(&self, line: &str) {
        self.erase();
        anstream::eprintln!("{line}");
        self.draw();
    }

    fn draw(&self) {
        if let Some(text) = &self.0 {
            // What is longer would wrap, and could not be erased.
            let columns = terminal_size::terminal_size_of(io::stderr());
            let columns = columns.map_or(80, |(width, _)| usize::from(width.0));
            let text: String = one_line(text).chars().take(columns.max(2) - 2).collect();
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

/// A line on stderr that the user should see but that stops nothing.
pub(super) fn warn(what: &str) {
    anstream::eprintln!("{CAUTION}warning:{CAUTION:#} {what}");
}

/// Text from elsewhere on one line, without what a terminal would obey.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Text from elsewhere, its lines kept, without what a terminal would obey.
pub(super) fn lines(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_a_server_says() {
        let hostile = "a\u{1b}[2Jb\u{7}\r\nc\u{9b}31m\td";
        assert_eq!(one_line(hostile), "a [2Jb   c 31m d");
        assert_eq!(lines(hostile), "a[2Jb\nc31m\td");
    }
}
