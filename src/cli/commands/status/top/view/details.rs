//! All that is known of one backend.
//!
//! Owns which facts are shown, each with a label, and the list of its tools.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::super::text::{NOT_USED, notes, state};
use super::super::super::words::{bytes, rate, time};
use super::super::state::Top;
use super::style::{Body, DIM, HEAD, PLAIN, look};
use super::table::{head, left_in};
use crate::cli::terminal::{cut, one_line, wrap};
use crate::status::{BackendStatus, GatewayStatus};

/// All that is known of a backend, and its tools.
pub(super) fn details(
    top: &Top,
    gateway: &GatewayStatus,
    backend: &BackendStatus,
    room: usize,
) -> Body {
    const LABEL: usize = 11;
    let mut lines = Vec::new();
    for (label, text, style) in facts(gateway, backend) {
        let wrapped = wrap(&one_line(&text), room.saturating_sub(LABEL).max(2));
        for (at, text) in wrapped.into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            lines.push(Line::from(vec![
                Span::styled(left_in(label, LABEL), DIM),
                Span::styled(text, style),
            ]));
        }
    }
    let first = lines.len();
    let tools = backend.tool_names.iter().map(|tool| {
        let tool = cut(&one_line(tool), room.saturating_sub(2));
        Line::from(format!("  {tool}"))
    });
    lines.extend(tools);
    let selected = (!backend.tool_names.is_empty()).then(|| first + top.tool);
    let name = format!("{} of {}", backend.name, head(gateway));
    (lines, selected, Some(Line::styled(cut(&name, room), HEAD)))
}

/// What there is to know of a backend: each with a label.
fn facts(gateway: &GatewayStatus, backend: &BackendStatus) -> Vec<(&'static str, String, Style)> {
    let mut facts = vec![("state", state(backend).0.to_owned(), look(backend))];
    let mut fact = |label, text: String| facts.push((label, text, PLAIN));
    if let Some(why) = &backend.why {
        fact("why", why.clone());
    }
    fact("url", backend.url.clone());
    if let (Some(era), Some(protocol)) = (&backend.era, &backend.protocol) {
        fact("protocol", format!("{era} {protocol}"));
    }
    if let Some(sign_in) = &backend.sign_in {
        fact("sign-in", sign_in.state.replace('_', " "));
    }
    let (in_flight, queued) = (backend.in_flight, backend.queued);
    let most = backend.max_in_flight;
    fact(
        "load",
        format!("{in_flight} in flight, {queued} wait, at most {most}"),
    );
    let (calls, errors) = (backend.calls, backend.errors);
    let per_minute = rate(backend.calls_per_minute);
    fact(
        "calls",
        format!("{calls}, {errors} without an answer, {per_minute}/min"),
    );
    if let (Some(p50), Some(p99)) = (backend.p50_ms, backend.p99_ms) {
        fact("times", format!("p50 {}, p99 {}", time(p50), time(p99)));
    }
    for note in notes(backend, gateway.config.as_deref()) {
        fact("note", note);
    }
    let (used, all) = (gateway.buffered_bytes, gateway.max_buffered_bytes);
    fact(
        "buffers",
        format!("{} of {}, of the whole gateway", bytes(used), bytes(all)),
    );
    let config = gateway.config.as_deref().unwrap_or("flags only");
    fact("config", config.to_owned());
    if let Some(file) = &gateway.administrators_file {
        fact("admin file", file.clone());
    }
    for problem in &gateway.unused_config {
        fact("note", format!("{NOT_USED}{problem}"));
    }
    let shown = backend.tool_names.len();
    fact(
        "tools",
        match backend.tools.saturating_sub(shown) {
            0 => shown.to_string(),
            more => format!("{shown}, and {more} more"),
        },
    );
    facts
}
