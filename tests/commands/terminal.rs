//! Output on a terminal, whose width is known, and in a pipe, which has none.
//!
//! What is printed at 60, 80, 120 and 200 columns is in `snapshots/`. `BLESS=1` rewrites these
//! files; review the difference before you commit it.

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::common::fake::OnConnect;
use crate::common::gate::Gate;
use crate::common::pseudo_terminal::{OnTerminal, PseudoTerminal};

const WIDTHS: [u16; 4] = [60, 80, 120, 200];

/// `text` without what differs between runs.
fn normalised(text: &str, folder: &Path, fakes: &[&FakeBackend]) -> String {
    let mut text = text.replace(folder.to_str().unwrap(), "/home/ada");
    for (at, fake) in fakes.iter().enumerate() {
        text = text.replace(&fake.port().to_string(), &format!("4500{at}"));
    }
    let lines = text.lines().map(without_latency);
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn without_latency(line: &str) -> String {
    let Some(end) = line.find(" ms") else {
        return line.to_owned();
    };
    if let Some(label) = line.find("latency") {
        return format!("{}latency    N ms", &line[..label]);
    }
    let digits = line[..end]
        .bytes()
        .rev()
        .take_while(u8::is_ascii_digit)
        .count();
    let hidden = format!("{}N", " ".repeat(digits - 1));
    format!("{}{hidden}{}", &line[..end - digits], &line[end..])
}

fn compare(name: &str, columns: u16, text: &str) {
    let file = format!("tests/commands/snapshots/{name}-{columns}.txt");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{}", file.display());
}

fn initialized(server: &str) -> Reply {
    Reply::result(json!({
        "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
        "serverInfo": { "name": server, "version": "1.0.0" },
    }))
}

#[test]
pub(crate) fn check_fits_the_terminal_and_prints_rows_as_they_come() {
    let up = FakeBackend::start().without_sessions();
    let (up, down) = (up.tool("echo").tool("echo"), FakeBackend::down());
    let rules = "retries = 0\ntools.deny = [\"drop_*\", \"ecko\"]";
    let toml = up.entry("data", rules) + &down.entry("far-away", "retries = 0");
    let shell = Shell::with(&toml);
    for columns in WIDTHS {
        let gate = Gate::new();
        let server = "データベース 🦀 server, whose name is a rather long one";
        up.on("initialize", initialized(server).after(&gate));
        let mut command = shell.command(&["check"]);
        let mut terminal = PseudoTerminal::start(&mut command, columns, OnTerminal::Stdout);
        terminal.wait_for("curl -i");
        assert!(!terminal.seen().contains(" up"), "{}", terminal.seen());
        gate.open();
        let (code, out) = terminal.end();
        assert_eq!(code, 1);
        let out = normalised(&out, shell.folder.path(), &[&up, &down]);
        compare("check", columns, &out);
    }
}

#[test]
pub(crate) fn lists_and_tools_fit_the_terminal() {
    let long = "Reads rows of the 表 with a SELECT. It never writes, and returns at most a thousand rows of them.";
    let fake = FakeBackend::start().tool_with(
        "a_tool_whose_name_is_as_long_as_clients_take_it",
        json!({ "description": long, "inputSchema": {
            "type": "object", "required": ["query"],
            "properties": {
                "query": { "type": "string", "description": long },
                "limit": { "type": "integer", "default": 100 },
            },
        } }),
    );
    let fake = fake
        .tool_with("読む", json!({ "description": "x\ny" }))
        .tool("echo");
    let shell = Shell::over(&[("one", &fake)]);
    let tool = "a_tool_whose_name_is_as_long_as_clients_take_it";
    for (name, args) in [("tools", &["tools"][..]), ("tool", &["tools", tool])] {
        for columns in WIDTHS {
            let mut command = shell.command(args);
            let terminal = PseudoTerminal::start(&mut command, columns, OnTerminal::Stdout);
            let (code, out) = terminal.end();
            assert_eq!(code, 0);
            compare(name, columns, &out);
        }
        let piped = shell.run(args).success();
        assert!(piped.contains(long) && !piped.contains('…'), "{piped}");
    }
}

#[test]
pub(crate) fn progress_names_the_backends_that_are_missing() {
    let (up, gate) = (FakeBackend::start(), Gate::new());
    let silent = [0; 6].map(|_| FakeBackend::start());
    let names = ["s1", "s2", "s3", "s4", "s5", "s6"];
    for fake in &silent {
        fake.on("initialize", initialized("s").after(&gate));
    }
    let mut all = vec![("up", &up)];
    all.extend(names.into_iter().zip(&silent));
    let shell = Shell::over(&all);
    for args in [&["check"][..], &["tools"], &["pin", "--dry-run"]] {
        let mut command = shell.command(args);
        let mut terminal = PseudoTerminal::start(&mut command, 80, OnTerminal::Both);
        terminal.wait_for("waiting for s1, s2, s3, s4 and 2 more (0 s)…");
        terminal.wait_for("(1 s)…");
        gate.open();
        terminal.end();
        for fake in &silent {
            fake.on("initialize", initialized("s").after(&gate));
        }
    }
}

#[test]
pub(crate) fn a_silent_backend_costs_the_timeout_and_says_so() {
    let gate = Gate::new();
    let held = |fake: FakeBackend, kind: &str| {
        fake.always(kind, initialized("s").after(&gate));
        fake
    };
    let tool = || FakeBackend::start().tool("b");
    let every = || tool().prompt("p").resource("x://1").template("x://{a}");
    let silent_probe = tool().refusing_modern(initialized("s").after(&gate));
    let unread = tool();
    unread.set_on_connect(&[OnConnect::Stall; 20]);
    let silent = "no answer within 1 s: try a longer --timeout";
    let slow = "it is connected, but its lists have not come within 1 s: try a longer --timeout";
    let lists = [
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ];
    // What is missing, as error or as a list that has not come.
    let mut cases = vec![
        (unread, Some(silent), None),
        (held(tool(), "initialize"), Some(silent), None),
        (held(tool(), "tools/list"), Some(slow), None),
        (silent_probe, Some(silent), None),
        (tool(), None, None),
    ];
    cases.extend(lists.map(|list| (held(every(), list), None, Some(list))));
    let names: Vec<String> = (0..cases.len()).map(|at| format!("b{at}")).collect();
    let all = names.iter().zip(&cases);
    let all: Vec<_> = all.map(|(name, (fake, ..))| (&**name, fake)).collect();
    let shell = Shell::over(&all);
    let begun = Instant::now();
    let ended = shell.run(&["check", "--timeout", "1", "--json"]);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(ended.code, 1);
    let report = ended.json();
    assert_eq!(report["timeout_secs"], 1);
    let rows = report["backends"].as_array().unwrap();
    for (row, (_, error, missing)) in rows.iter().zip(&cases) {
        assert_eq!(row["error"], json!(error), "{row}");
        let lists = row["failed_lists"].as_array().unwrap().iter();
        let lists: Vec<&Value> = lists.map(|failed| &failed["list"]).collect();
        let expected: Vec<&str> = missing.iter().copied().collect();
        assert_eq!(lists, expected, "{row}");
    }
    gate.open();
    for seconds in ["0", "x", "3601"] {
        assert_eq!(shell.run(&["check", "--timeout", seconds]).code, 2);
    }
}

#[test]
pub(crate) fn check_says_what_matches_nothing_and_what_to_type_next() {
    let fake = FakeBackend::start().tool("echo").tool("add");
    let rules =
        "tools.deny = [\"nosuch_*\", \"ecko\"]\ntools.rename = { add = \"plus\", sub = \"minus\" }";
    let shell = Shell::with(&fake.entry("one", rules));
    let report = shell.run(&["check", "--json"]).json();
    let row = &report["backends"][0];
    assert_eq!(
        row["unmatched_rules"],
        json!([
            { "key": "tools.deny", "pattern": "nosuch_*", "did_you_mean": null },
            { "key": "tools.deny", "pattern": "ecko", "did_you_mean": "echo" },
            { "key": "tools.rename", "pattern": "sub", "did_you_mean": null },
        ])
    );
    let out = shell.run(&["check"]).success();
    let note = "note: one: tools.deny: \"ecko\" matches no tool; did you mean \"echo\"?";
    assert!(out.contains(note), "{out}");

    let healthy = Shell::over(&[("one", &fake)]);
    let file = healthy.folder.path().join("sentinel.toml");
    let file = file.display();
    let out = healthy.run(&["check"]).success();
    let next = format!("next: sentinel-gateway --config {file} tools\n");
    assert!(out.ends_with(&next), "{out}");
    assert_eq!(healthy.run(&["pin"]).code, 0);
    fake.put_tool("echo", json!({ "description": "another" }));
    let out = healthy.run(&["check"]).success();
    let next = format!("next: sentinel-gateway --config {file} pin one/echo\n");
    assert!(out.ends_with(&next), "{out}");
}

#[test]
pub(crate) fn rules_without_effect_are_not_told_where_the_tools_are_not_known() {
    let (failing, down) = (FakeBackend::start().tool("a"), FakeBackend::down());
    failing.always("tools/list", Reply::error(-32000, "not today"));
    let rules = "retries = 0\ntools.deny = [\"x\"]";
    let shell = Shell::with(&(failing.entry("failing", rules) + &down.entry("down", rules)));
    let report = shell.run(&["check", "--json"]).json();
    for row in report["backends"].as_array().unwrap() {
        assert_eq!(row["unmatched_rules"], json!([]), "{row}");
    }
}
