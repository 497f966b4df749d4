//! How things look on a terminal. `anstream` takes the colours out where there is none, or where
//! the user wants none (`NO_COLOR`).

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::ProgressBar;

pub(super) const PLAIN: Style = Style::new();
pub(super) const HEAD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const CAUTION: Style = AnsiColor::Yellow.on_default();

const FRAME: Duration = Duration::from_millis(100);

/// Something that turns on stderr while the user waits; nothing at all off a terminal.
pub(super) fn spinner(what: impl Into<String>) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what.into());
    if !spinner.is_hidden() {
        spinner.enable_steady_tick(FRAME);
    }
    spinner
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
