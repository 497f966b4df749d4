use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::super::state::{Effect, Order};
use super::*;
use crate::status::{BackendStatus, ClientStatus, ErrorStatus, GatewayStatus};

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
        empty.concat().contains("no gateway is running"),
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
        of_administrator: None,
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
