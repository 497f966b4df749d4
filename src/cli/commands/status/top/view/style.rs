//! How things look in `top`.
//!
//! Owns the styles: what is bad is red, what needs somebody is yellow.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;

use crate::status::{BackendStatus, State};

pub(super) const PLAIN: Style = Style::new();
pub(super) const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);

/// The lines of the body, which of them is selected, and the line that stays above them.
pub(super) type Body = (Vec<Line<'static>>, Option<usize>, Option<Line<'static>>);

pub(super) fn look(backend: &BackendStatus) -> Style {
    match backend.state {
        State::Up if backend.refuses_calls => bad(),
        State::Up => PLAIN.fg(Color::Green),
        State::Down if backend.awaits_sign_in => warn(),
        State::Down => bad(),
        State::Connecting => warn(),
        State::Disabled | State::Unknown => DIM,
    }
}

pub(super) fn bad() -> Style {
    HEAD.fg(Color::Red)
}

pub(super) fn warn() -> Style {
    PLAIN.fg(Color::Yellow)
}
