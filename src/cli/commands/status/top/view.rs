//! Draws `top`: a title, a table or details, and what keys do. Fits any size from 40 columns and 8 lines on.
//!
//! Owns the lines around the table, and what is where. `table` and `details` make the lines of the body.

mod details;
mod style;
mod table;
#[cfg(test)]
mod tests;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use super::super::text::{NOT_USED, notes};
use super::super::words::rate;
use super::state::Top;
use crate::cli::terminal::{cut, one_line, width, wrap};
use crate::status::State;
use details::details;
use style::{DIM, HEAD, warn};
use table::table;

const LEAST_WIDTH: u16 = 40;
const LEAST_HEIGHT: u16 = 8;
/// Lines of the notes on the selected backend.
const NOTES: usize = 3;

const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Draws it into this area.
pub(super) fn draw(top: &Top, area: Rect, out: &mut Buffer) {
    if area.width < LEAST_WIDTH || area.height < LEAST_HEIGHT {
        let text = cut("too small: 40x8 at least", usize::from(area.width));
        put(out, area, 0, &Line::from(text));
        return;
    }
    let room = usize::from(area.width);
    let height = usize::from(area.height);
    if !top.is_read {
        put(out, area, height - 1, &keys(top, room));
        return;
    }
    put(out, area, 0, &Line::styled(title(top, room), HEAD));
    let (body, selected, head) = match (top.details, top.selected()) {
        (true, Some((gateway, backend))) => details(top, gateway, backend, room),
        _ => table(top, room),
    };
    let notes = match top.details || height < 14 {
        true => Vec::new(),
        false => notes_on_selected(top, room),
    };
    // Below the title; above notes and keys.
    let lines = height - 2 - usize::from(head.is_some()) - notes.len();
    let mut line = 1;
    if let Some(head) = head {
        put(out, area, line, &head);
        line += 1;
    }
    let skipped = skipped(body.len(), lines, selected);
    for (at, shown) in body.iter().enumerate().skip(skipped).take(lines) {
        put(out, area, line + at - skipped, shown);
        if Some(at) == selected {
            let row = row(area, line + at - skipped);
            out.set_style(row, SELECTED);
        }
    }
    for (at, note) in notes.iter().enumerate() {
        put(out, area, height - 1 - notes.len() + at, note);
    }
    put(out, area, height - 1, &keys(top, room));
}

fn put(out: &mut Buffer, area: Rect, line: usize, text: &Line<'_>) {
    let row = row(area, line);
    if row.height > 0 {
        out.set_line(row.x, row.y, text, row.width);
    }
}

fn row(area: Rect, line: usize) -> Rect {
    let line = u16::try_from(line).unwrap_or(u16::MAX);
    Rect::new(area.x, area.y.saturating_add(line), area.width, 1).intersection(area)
}

/// How many lines are left out above, so that the selected one is shown.
fn skipped(all: usize, shown: usize, selected: Option<usize>) -> usize {
    let most = all.saturating_sub(shown);
    // With a line below it, where there is one.
    let needed = selected.map_or(0, |at| (at + 2).min(all).saturating_sub(shown));
    needed.min(most)
}

fn title(top: &Top, room: usize) -> String {
    let backends = || top.gateways.iter().flat_map(|gateway| &gateway.backends);
    let used = backends().filter(|backend| backend.state != State::Disabled);
    let up = backends().filter(|backend| backend.state == State::Up);
    let per_minute: f64 = backends().map(|backend| backend.calls_per_minute).sum();
    let text = format!(
        "gateways: {}  backends up: {} of {}  calls/min: {}",
        top.gateways.len(),
        up.count(),
        used.count(),
        rate(per_minute)
    );
    cut(&text, room)
}

/// The last lines above the keys: why the selected backend is down, its last error, and the like.
fn notes_on_selected(top: &Top, room: usize) -> Vec<Line<'static>> {
    let mut texts: Vec<String> = Vec::new();
    if let Some((gateway, backend)) = top.selected() {
        texts.extend(backend.why.clone());
        let unused = gateway.unused_config.iter();
        texts.extend(unused.map(|problem| format!("{NOT_USED}{problem}")));
        texts.extend(notes(backend, gateway.config.as_deref()));
    }
    let wrapped = texts.iter().flat_map(|text| wrap(&one_line(text), room));
    let mut lines: Vec<Line<'static>> = wrapped.take(NOTES).map(Line::from).collect();
    lines.resize(NOTES, Line::default());
    lines
}

/// What keys do, or what is asked or was done.
fn keys(top: &Top, room: usize) -> Line<'static> {
    if let Some(order) = &top.question {
        let text = format!(
            "switch {} {}, in {}? y/n",
            order.subject(),
            order.word(),
            order.file.display()
        );
        let short = format!("switch {} {}? y/n", order.subject(), order.word());
        let text = if width(&text) <= room { text } else { short };
        return Line::styled(cut(&text, room), warn());
    }
    if let Some(message) = &top.message {
        return Line::styled(cut(&one_line(message), room), warn());
    }
    let text = match top.details {
        true => "up/down tool  x switch off  u undo  Esc back  q quit".to_owned(),
        false => format!(
            "s sort: {}  Enter details  x switch  u undo  q quit",
            top.sort.word()
        ),
    };
    Line::styled(cut(&text, room), DIM)
}
