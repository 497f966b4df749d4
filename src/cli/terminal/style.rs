//! Text styles, and text of servers made safe for a terminal.
//!
//! Owns the six styles, and which control characters are left out. `anstream` removes the styles where there
//! is no terminal, or where the user wants none (`NO_COLOR`).

use anstyle::{AnsiColor, Style};

pub(in crate::cli) const PLAIN: Style = Style::new();
pub(in crate::cli) const HEAD: Style = Style::new().bold();
pub(in crate::cli) const DIM: Style = Style::new().dimmed();
pub(in crate::cli) const GOOD: Style = AnsiColor::Green.on_default();
pub(in crate::cli) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(in crate::cli) const CAUTION: Style = AnsiColor::Yellow.on_default();

/// `text` on one line, control characters replaced by spaces.
pub(in crate::cli) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// `text` with its line ends and tabs, without other control characters.
pub(in crate::cli) fn lines(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_server_never_reach_the_terminal() {
        let hostile = "a\u{1b}[2Jb\u{7}\r\nc\u{9b}31m\td";
        assert_eq!(one_line(hostile), "a [2Jb   c 31m d");
        assert_eq!(lines(hostile), "a[2Jb\nc31m\td");
    }
}
