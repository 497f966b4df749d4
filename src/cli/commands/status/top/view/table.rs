//! A row for each backend, below a line for each gateway.
//!
//! Owns the columns: which are shown, and how wide they are.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::super::text::{busy, client, state};
use super::super::super::words::{count, lasting, rate, time};
use super::super::state::Top;
use super::style::{Body, DIM, HEAD, PLAIN, look, warn};
use crate::cli::terminal::{cut, one_line, width};
use crate::status::{BackendStatus, GatewayStatus, State};

/// From this many columns on era and tools are shown, too.
const WIDE: usize = 78;

pub(super) fn table(top: &Top, room: usize) -> Body {
    let (mut lines, mut selected, mut backends_so_far) = (Vec::new(), None, 0);
    for (gateway, backends) in top.shown() {
        lines.push(Line::styled(cut(&head(gateway), room), HEAD));
        for backend in backends {
            if backends_so_far == top.at {
                selected = Some(lines.len());
            }
            backends_so_far += 1;
            lines.push(columns(backend, room));
        }
    }
    if lines.is_empty() {
        lines.push(Line::from("no gateway is running under your account"));
    }
    let unread = top.unread.iter();
    lines.extend(unread.map(|why| Line::styled(cut(&one_line(why), room), DIM)));
    let titles = [
        "STATE", "ERA", "TOOLS", "BUSY", "CALLS", "ERR", "/MIN", "P50", "P99",
    ];
    let titles = titles.map(|title| (title.to_owned(), DIM));
    let titles = fitted(("BACKEND".to_owned(), DIM), titles, room);
    (lines, selected, Some(titles))
}

/// The line of a gateway.
pub(super) fn head(gateway: &GatewayStatus) -> String {
    let text = format!(
        "{} {}, up {}",
        gateway.pid,
        client(gateway),
        lasting(gateway.uptime_secs)
    );
    one_line(&text)
}

/// A row: its name, and either why it is not up or its numbers.
fn columns(backend: &BackendStatus, room: usize) -> Line<'static> {
    let (word, _) = state(backend);
    let word = (word.to_owned(), look(backend));
    let name = (backend.name.clone(), PLAIN);
    if backend.state != State::Up {
        let name_width = name_width(room);
        let why = one_line(backend.why.as_deref().unwrap_or_default());
        let state_width = widths(room)[0];
        let left = room.saturating_sub(name_width + state_width + 2);
        return Line::from(vec![
            Span::styled(left_in(&name.0, name_width) + " ", name.1),
            Span::styled(left_in(&word.0, state_width) + " ", word.1),
            Span::styled(cut(&why, left), DIM),
        ]);
    }
    let quantile = |milliseconds: Option<f64>| milliseconds.map_or("-".to_owned(), time);
    let errors = if backend.errors > 0 { warn() } else { PLAIN };
    let waits = if backend.queued > 0 { warn() } else { PLAIN };
    let cells = [
        word,
        (backend.era.clone().unwrap_or_default(), PLAIN),
        (backend.tools.to_string(), PLAIN),
        (busy(backend), waits),
        (count(backend.calls), PLAIN),
        (count(backend.errors), errors),
        (rate(backend.calls_per_minute), PLAIN),
        (quantile(backend.p50_ms), PLAIN),
        (quantile(backend.p99_ms), PLAIN),
    ];
    fitted(name, cells, room)
}

/// Widths of state, era, tools, busy, calls, errors, rate, p50 and p99; 0 is left out.
fn widths(room: usize) -> [usize; 9] {
    match room >= WIDE {
        true => [10, 6, 5, 6, 6, 4, 5, 7, 7],
        false => [7, 0, 0, 6, 6, 4, 5, 7, 7],
    }
}

fn name_width(room: usize) -> usize {
    let others = widths(room).into_iter().filter(|width| *width > 0);
    let others: usize = others.map(|width| width + 1).sum();
    room.saturating_sub(others).clamp(6, 32)
}

fn fitted(name: (String, Style), cells: [(String, Style); 9], room: usize) -> Line<'static> {
    let mut spans = vec![Span::styled(left_in(&name.0, name_width(room)), name.1)];
    for (column, ((text, style), width)) in cells.into_iter().zip(widths(room)).enumerate() {
        let text = match column {
            _ if width == 0 => continue,
            0 | 1 => left_in(&text, width),
            _ => right_in(&text, width),
        };
        spans.push(Span::styled(format!(" {text}"), style));
    }
    Line::from(spans)
}

/// The text, in so many columns.
pub(super) fn left_in(text: &str, room: usize) -> String {
    let text = cut(text, room);
    let pad = " ".repeat(room - width(&text));
    text + &pad
}

fn right_in(text: &str, room: usize) -> String {
    let text = cut(text, room);
    " ".repeat(room - width(&text)) + &text
}
