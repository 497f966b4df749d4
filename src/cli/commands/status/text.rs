//! The status as text: a block for each gateway.
//!
//! Owns the columns of its table, and the words for states, numbers of calls and notes, which `top` uses
//! too.

use std::io::{self, Write};

use super::words::{ago, bytes, lasting, rate, time};
use crate::cli::terminal::{BAD, CAUTION, Cell, DIM, Fit, GOOD, HEAD, PLAIN, Side, Table};
use crate::cli::terminal::{one_line, wrap};
use crate::shell;
use crate::status::{BackendStatus, GatewayStatus, State};

const COLUMNS: [(&str, Side); 10] = [
    ("BACKEND", Side::Left),
    ("", Side::Left),
    ("ERA", Side::Left),
    ("TOOLS", Side::Right),
    ("BUSY", Side::Right),
    ("CALLS", Side::Right),
    ("ERRORS", Side::Right),
    ("/MIN", Side::Right),
    ("P50", Side::Right),
    ("P99", Side::Right),
];

/// Prints a block for each of them. `room` is the width of the terminal, where stdout is one.
pub(super) fn print(
    gateways: &[GatewayStatus],
    room: Option<usize>,
    out: &mut impl Write,
) -> io::Result<()> {
    for (at, gateway) in gateways.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        print_head(gateway, room, out)?;
        if gateway.backends.is_empty() {
            writeln!(out, "no backend is configured")?;
            continue;
        }
        let mut table = Table::new(&COLUMNS, Fit::Wrap);
        for backend in &gateway.backends {
            table.row(cells(backend));
        }
        table.print(out, room)?;
        print_notes(gateway, room, out)?;
    }
    Ok(())
}

fn print_head(
    gateway: &GatewayStatus,
    room: Option<usize>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut rest = vec![client(gateway)];
    rest.push(format!("up {}", lasting(gateway.uptime_secs)));
    rest.push(format!("version {}", gateway.version));
    rest.push(format!(
        "buffers {} of {}",
        bytes(gateway.buffered_bytes),
        bytes(gateway.max_buffered_bytes)
    ));
    let (name, rest) = (
        format!("gateway {}", gateway.pid),
        one_line(&rest.join(", ")),
    );
    let indent = name.len() + 2;
    let lines = match room {
        Some(room) => wrap(&rest, room.saturating_sub(indent).max(2)),
        None => vec![rest],
    };
    let lines = lines.join(&format!("\n{}", " ".repeat(indent)));
    writeln!(out, "{HEAD}{name}{HEAD:#}: {lines}")?;
    let config = match (&gateway.config, &gateway.administrators_file) {
        (Some(config), _) => config,
        (None, Some(_)) => "none of the user's",
        (None, None) => "none, flags only",
    };
    writeln!(out, "config: {}", one_line(config))?;
    if let Some(file) = &gateway.administrators_file {
        writeln!(out, "administrator's file: {}", one_line(file))?;
    }
    writeln!(out)?;
    for problem in &gateway.unused_config {
        print_note(&format!("{NOT_USED}{problem}"), room, out)?;
    }
    Ok(())
}

/// The beginning of a line about a part of the config that is not used.
pub(super) const NOT_USED: &str = "not used, what held before stays: ";

/// Who the client is, in words.
pub(super) fn client(gateway: &GatewayStatus) -> String {
    match &gateway.client {
        None => "no client has said hello yet".to_owned(),
        Some(client) => {
            let name = match client.name.as_str() {
                "" => "a client without a name",
                name => name,
            };
            let words = [name, &client.version, &client.era, &client.protocol];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            words.join(" ")
        }
    }
}

fn cells(backend: &BackendStatus) -> Vec<Cell> {
    let name = Cell::from(backend.name.clone());
    let (state, style) = state(backend);
    let state = Cell::new(state, style);
    if backend.state != State::Up {
        let why = backend.why.as_deref().unwrap_or_default();
        return vec![name, state, Cell::rest(one_line(why), PLAIN, "why")];
    }
    let quantile = |milliseconds: Option<f64>| match milliseconds {
        Some(milliseconds) => Cell::from(time(milliseconds)),
        None => Cell::new("-", DIM),
    };
    vec![
        name,
        state,
        Cell::from(backend.era.clone().unwrap_or_default()),
        Cell::from(backend.tools.to_string()),
        Cell::from(busy(backend)),
        Cell::from(backend.calls.to_string()),
        Cell::from(backend.errors.to_string()),
        Cell::from(rate(backend.calls_per_minute)),
        quantile(backend.p50_ms),
        quantile(backend.p99_ms),
    ]
}

/// The state in a word or two, and its style.
pub(super) fn state(backend: &BackendStatus) -> (&'static str, anstyle::Style) {
    match backend.state {
        State::Up if backend.refuses_calls => ("failing", BAD),
        State::Up => ("up", GOOD),
        State::Down if backend.awaits_sign_in => ("login", CAUTION),
        State::Down => ("down", BAD),
        State::Connecting => ("connecting", CAUTION),
        State::Disabled => ("off", DIM),
        State::Unknown => ("?", DIM),
    }
}

/// Calls in flight, and those that wait behind them.
pub(super) fn busy(backend: &BackendStatus) -> String {
    match backend.queued {
        0 => backend.in_flight.to_string(),
        queued => format!("{}+{queued}", backend.in_flight),
    }
}

fn print_notes(
    gateway: &GatewayStatus,
    room: Option<usize>,
    out: &mut impl Write,
) -> io::Result<()> {
    let notes = gateway.backends.iter().flat_map(|backend| {
        let notes = notes(backend, gateway.config.as_deref()).into_iter();
        notes.map(|note| format!("{}: {note}", backend.name))
    });
    for (at, note) in notes.enumerate() {
        if at == 0 {
            writeln!(out)?;
        }
        print_note(&note, room, out)?;
    }
    Ok(())
}

fn print_note(note: &str, room: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    const LABEL: &str = "note: ";
    let lines = match room {
        Some(room) => wrap(&one_line(note), room.saturating_sub(LABEL.len()).max(2)),
        None => vec![one_line(note)],
    };
    let lines = lines.join(&format!("\n{}", " ".repeat(LABEL.len())));
    writeln!(out, "{CAUTION}note:{CAUTION:#} {lines}")
}

/// What there is to know of a backend beside its row.
pub(super) fn notes(backend: &BackendStatus, config: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    let command = |rest: &str| {
        let config = config.map(|file| format!(" --config {}", shell::word(file)));
        format!("sentinel-gateway{} {rest}", config.unwrap_or_default())
    };
    if backend.refuses_calls {
        notes.push("calls are refused for now, since the last ones have failed".to_owned());
    }
    if backend.queued > 0 {
        notes.push(format!(
            "calls that wait for a place: {} (max_in_flight = {}, or that of their tool)",
            backend.queued, backend.max_in_flight
        ));
    }
    if backend.pins_changed > 0 {
        notes.push(format!(
            "definitions that have changed since they were accepted: {}; see {}",
            backend.pins_changed,
            command(&format!("pin {} --dry-run", backend.name))
        ));
    }
    if let Some(sign_in) = (backend.sign_in.as_ref()).filter(|sign_in| sign_in.state == "sign_in") {
        let why = sign_in.why.as_deref().unwrap_or("it needs a sign-in");
        notes.push(format!(
            "{why}: {}",
            command(&format!("login {}", backend.name))
        ));
    }
    if let Some(error) = &backend.last_error {
        notes.push(format!("last error {}: {}", ago(error.at), error.message));
    }
    notes
}
