//! Draws `top`: a title, a table or details, and what keys do. Fits any size from 40 columns and 8 lines on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::super::text::{NOT_USED, busy, client, notes, state};
use super::super::words::{bytes, count, lasting, rate, time};
use super::state::Top;
use crate::cli::terminal::{cut, one_line, width, wrap};
use crate::status::{BackendStatus, GatewayStatus, State};

const LEAST_WIDTH: u16 = 40;
const LEAST_HEIGHT: u16 = 8;
/// Lines of the notes on the selected backend.
const NOTES: usize = 3;
/// From this many columns on era and tools are shown, too.
const WIDE: usize = 78;

const PLAIN: Style = Style::new();
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
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

/// The lines of the body, which of them is selected, and the line that stays above them.
type Body = (Vec<Line<'static>>, Option<usize>, Option<Line<'static>>);

fn table(top: &Top, room: usize) -> Body {
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
        lines.push(Line::from("no gateway of yours runs that can be seen"));
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

fn head(gateway: &GatewayStatus) -> String {
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

fn left_in(text: &str, room: usize) -> String {
    let text = cut(text, room);
    let pad = " ".repeat(room - width(&text));
    text + &pad
}

fn right_in(text: &str, room: usize) -> String {
    let text = cut(text, room);
    " ".repeat(room - width(&text)) + &text
}

fn look(backend: &BackendStatus) -> Style {
    match backend.state {
        State::Up if backend.refuses_calls => bad(),
        State::Up => PLAIN.fg(Color::Green),
        State::Down if backend.awaits_sign_in => warn(),
        State::Down => bad(),
        State::Connecting => warn(),
        State::Disabled | State::Unknown => DIM,
    }
}

fn bad() -> Style {
    HEAD.fg(Color::Red)
}

fn warn() -> Style {
    PLAIN.fg(Color::Yellow)
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

/// All that is known of a backend, and its tools.
fn details(top: &Top, gateway: &GatewayStatus, backend: &BackendStatus, room: usize) -> Body {
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

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyEvent};

    use super::super::state::{Effect, Order};
    use super::*;
    use crate::status::{ClientStatus, ErrorStatus};

    fn backend(name: &str, state: State) -> BackendStatus {
        BackendStatus {
            name: name.to_owned(),
            url: format!("https://{name}.example.com/mcp"),
            state,
            era: Some("legacy".to_owned()),
            protocol: Some("2025-11-25".to_owned()),
            max_in_flight: 256,
            ..BackendStatus::default()
        }
    }

    fn gateway(pid: u32, backends: Vec<BackendStatus>) -> GatewayStatus {
        GatewayStatus {
            pid,
            config: Some("/home/ada/.config/sentinel/sentinel.toml".to_owned()),
            follows_config: true,
            uptime_secs: 7_500,
            client: Some(ClientStatus {
                name: "claude-code".to_owned(),
                version: "2.1.0".to_owned(),
                era: "legacy".to_owned(),
                protocol: "2025-11-25".to_owned(),
            }),
            backends,
            ..GatewayStatus::default()
        }
    }

    fn busy_one() -> BackendStatus {
        BackendStatus {
            tools: 3,
            tool_names: ["read", "write", "drop\u{1b}[2J"]
                .map(str::to_owned)
                .to_vec(),
            in_flight: 256,
            queued: 99,
            calls: 123_456,
            errors: 12,
            calls_per_minute: 480.0,
            p50_ms: Some(12.3),
            p99_ms: Some(9_876.0),
            last_error: Some(ErrorStatus {
                at: 0,
                class: "deadline".to_owned(),
                message: "no answer within 300 s".to_owned(),
            }),
            ..backend("sqlite", State::Up)
        }
    }

    fn top() -> Top {
        let down = BackendStatus {
            why: Some(
                "connection refused: is the server running? try: curl -i http://127.0.0.1:3003/mcp"
                    .to_owned(),
            ),
            ..backend("a-backend-with-a-rather-long-name", State::Down)
        };
        let off = BackendStatus {
            why: Some("switched off: sentinel-gateway enable off".to_owned()),
            ..backend("off", State::Disabled)
        };
        let mut top = Top::default();
        let second = gateway(4_712, vec![backend("sqlite", State::Up)]);
        top.update(
            vec![gateway(4_711, vec![down, busy_one(), off]), second],
            Vec::new(),
        );
        top
    }

    fn screen(top: &Top, width: u16, height: u16) -> Vec<String> {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        draw(top, area, &mut buffer);
        let line = |y| {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_owned()
        };
        (0..height).map(line).collect()
    }

    fn press(top: &mut Top, code: KeyCode) -> Effect {
        top.key(KeyEvent::from(code))
    }

    #[test]
    fn it_is_readable_at_80_and_60_columns() {
        let mut top = top();
        press(&mut top, KeyCode::Down);
        let shown = screen(&top, 80, 24);
        let expected = [
            "gateways: 2  backends up: 2 of 3  calls/min: 480",
            "BACKEND         STATE      ERA    TOOLS   BUSY  CALLS  ERR  /MIN     P50     P99",
            "4711 claude-code 2.1.0 legacy 2025-11-25, up 2 h 5 min",
        ];
        for (line, expected) in shown.iter().zip(expected).take(3) {
            assert_eq!(line, expected, "{shown:#?}");
        }
        assert!(
            shown[3].starts_with("a-backend-w") && shown[3].contains("… down"),
            "{shown:#?}"
        );
        let numbers = [
            "up", "legacy", "3", "256+99", "123k", "12", "480", "12 ms", "9876 ms",
        ];
        for number in numbers {
            assert!(shown[4].contains(number), "{number} in {shown:#?}");
        }
        assert!(shown[5].starts_with("off "), "{shown:#?}");
        assert!(shown[6].starts_with("4712 "), "{shown:#?}");
        assert!(
            shown[20].contains("wait for a place: 99 (max_in_flight = 256"),
            "{shown:#?}"
        );
        assert!(shown[21].contains("no answer within 300 s"), "{shown:#?}");
        assert_eq!(
            shown[23],
            "s sort: config  Enter details  x switch  u undo  q quit"
        );

        let shown = screen(&top, 60, 20);
        assert_eq!(
            shown[1],
            "BACKEND     STATE     BUSY  CALLS  ERR  /MIN     P50     P99"
        );
        for number in ["sqlite", "up", "123k", "12", "480", "12 ms", "9876 ms"] {
            assert!(shown[4].contains(number), "{number} in {shown:#?}");
        }
        assert_eq!(
            shown[19],
            "s sort: config  Enter details  x switch  u undo  q quit"
        );
    }

    #[test]
    fn any_size_and_any_text_can_be_drawn() {
        let mut top = top();
        for details in [false, true] {
            if details {
                press(&mut top, KeyCode::Down);
                press(&mut top, KeyCode::Enter);
            }
            for width in 1..130 {
                for height in 1..30 {
                    let shown = screen(&top, width, height);
                    assert!(!shown.concat().contains('\u{1b}'));
                }
            }
        }
        assert!(!screen(&Top::default(), 60, 20).concat().contains("gateway"));
        let mut none = Top::default();
        none.update(Vec::new(), Vec::new());
        let empty = screen(&none, 60, 20);
        assert!(
            empty.concat().contains("no gateway of yours runs"),
            "{empty:#?}"
        );
    }

    #[test]
    fn the_selected_line_is_always_shown() {
        let many = (0..200).map(|at| backend(&format!("b{at:03}"), State::Up));
        let mut top = Top::default();
        top.update(vec![gateway(1, many.collect())], Vec::new());
        for at in 0..200 {
            let shown = screen(&top, 60, 20).concat();
            assert!(shown.contains(&format!("b{at:03}")), "{shown}");
            press(&mut top, KeyCode::Down);
        }
        press(&mut top, KeyCode::Home);
        assert!(screen(&top, 60, 20).concat().contains("b000"));
    }

    #[test]
    fn details_show_all_facts_and_the_tools_and_switch_one() {
        let mut top = top();
        press(&mut top, KeyCode::Down);
        press(&mut top, KeyCode::Enter);
        let shown = screen(&top, 80, 24).join("\n");
        for text in [
            "sqlite of 4711 claude-code",
            "url        https://sqlite.example.com/mcp",
            "load       256 in flight, 99 wait, at most 256",
            "calls      123456, 12 without an answer, 480/min",
            "times      p50 12 ms, p99 9876 ms",
            "tools      3",
            "  write",
        ] {
            assert!(shown.contains(text), "{text} in {shown}");
        }
        press(&mut top, KeyCode::Down);
        assert_eq!(press(&mut top, KeyCode::Char('x')), Effect::None);
        let asked = screen(&top, 120, 24).join("\n");
        let question = "switch sqlite/write off, in /home/ada/.config/sentinel/sentinel.toml? y/n";
        assert!(asked.contains(question), "{asked}");
        let asked = screen(&top, 60, 20).join("\n");
        assert!(asked.contains("switch sqlite/write off? y/n"), "{asked}");
        // Anything but a yes is a no.
        assert_eq!(press(&mut top, KeyCode::Esc), Effect::None);
        assert!(top.question.is_none() && top.details);
        press(&mut top, KeyCode::Char('x'));
        let order = Order {
            file: "/home/ada/.config/sentinel/sentinel.toml".into(),
            backend: "sqlite".to_owned(),
            tool: Some("write".to_owned()),
            on: false,
        };
        assert_eq!(
            press(&mut top, KeyCode::Char('y')),
            Effect::Do(order.clone())
        );
        top.done(order.clone(), Ok(true));
        let shown = screen(&top, 60, 20).concat();
        assert!(
            shown.contains("sqlite/write is switched off; u undoes it"),
            "{shown}"
        );
        let back = Order { on: true, ..order };
        assert_eq!(press(&mut top, KeyCode::Char('u')), Effect::Do(back));
    }
}
