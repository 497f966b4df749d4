//! Section H: what a backend makes the gateway do in the background stays bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::message::{self, notification};
use crate::common::reply::Reply;
use crate::fixture::{Fixture, default_backend, plan_with};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "93" Config "log lines that a backend causes without end" => "ten a minute of each message and then their number; 1 KiB a line", fault_93_log_flood;
};

/// Messages of one flood.
const FLOOD: usize = 20_000;
/// Lines of one message: ten, and their number.
const LINES: usize = 11;
/// Starts the gateway so that everything it has to say is logged, as JSON.
const ALL_AS_JSON: [&str; 4] = [
    "sh",
    "-c",
    "exec \"$@\" --log-format json --log-level debug",
    "sh",
];

/// A backend, and how it floods the log once it is connected.
type Flood = (&'static str, FakeBackend, fn(&mut Fixture<'_>));

fn fault_93_log_flood(run: &Run<'_>) {
    let legacy = || default_backend().with_get();
    let floods: [Flood; 8] = [
        ("events that are no JSON", legacy(), |fixture| {
            flood_stream(
                fixture,
                &format!("data: {}\n\n", "nonsense ".repeat(8)),
                FLOOD,
            );
        }),
        ("messages that are no JSON-RPC", legacy(), |fixture| {
            flood_stream(
                fixture,
                "data: {\"jsonrpc\":\"2.0\",\"method\":7}\n\n",
                FLOOD,
            );
        }),
        ("notifications of no known method", legacy(), |fixture| {
            let unknown = notification(&"x".repeat(2_000), json!({}));
            flood_stream(fixture, &format!("data: {unknown}\n\n"), FLOOD / 10);
        }),
        ("responses to no request", legacy(), |fixture| {
            flood_stream(
                fixture,
                "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n",
                FLOOD,
            );
        }),
        ("pings whose answers it refuses", legacy(), |fixture| {
            fixture
                .bad
                .always("response", Reply::status(500).body("no"));
            let ping = message::request(json!("p"), "ping", json!({}));
            flood_stream(fixture, &format!("data: {ping}\n\n"), FLOOD);
            fixture.bad.reset_script("response");
        }),
        (
            "requests on a modern stream",
            default_backend().modern(),
            |fixture| {
                let ping = message::request(json!("p"), "ping", json!({}));
                let stream = fixture.bad.stream(0);
                stream.text(&format!("data: {ping}\n\n").repeat(FLOOD));
                // The gateway has read it when it has heard of the change at its end.
                fixture.bad.set_tools(&["act", "look", "new"]);
                fixture
                    .bad
                    .notify_clients("notifications/tools/list_changed", json!({}));
                fixture.client().wait_for_tool("new");
            },
        ),
        ("lists that fail", legacy(), |fixture| {
            fixture
                .bad
                .always("tools/list", Reply::error(-32000, &"no ".repeat(1_000)));
            change_lists(fixture, 15);
        }),
        (
            "items that are withheld and tools that change",
            legacy(),
            |fixture| {
                for round in 0..15 {
                    let before = fixture.bad.requests_of("tools/list").len();
                    for item in 0..30 {
                        let long = format!("{round}{}", "x".repeat(500));
                        let hidden = format!("\u{202e}{round} {item}");
                        fixture.bad.put_tool(&hidden, json!({}));
                        let changed = json!({ "description": long.repeat(8) });
                        fixture.bad.put_tool(&format!("tool-{item}"), changed);
                    }
                    change_lists(fixture, 1);
                    fixture.bad.wait_for_requests("tools/list", before + 1);
                }
            },
        ),
    ];
    for (variant, bad, flood) in floods {
        run.set_variant(variant);
        let mut fixture = plan_with(run, Arc::new(bad)).through(&ALL_AS_JSON).start();
        fixture.expect_success("act");
        flood(&mut fixture);
        fixture.check_good_backend();
        let log = fixture.end().log;
        let flooded = check_log(&log);
        assert!(
            flooded,
            "nothing was left out, so there was no flood:\n{log}"
        );
        run.note(format!("{variant}: {} bytes", log.len()));
    }
}

/// Sends a text on the stream of GET many times, and waits until it is read.
fn flood_stream(fixture: &Fixture<'_>, text: &str, times: usize) {
    let stream = fixture.bad.stream(0);
    stream.text(&text.repeat(times));
    // One ping may be one too many.
    for attempt in 0.. {
        let id = json!(format!("last-{attempt}"));
        let answered = fixture.bad.response_gate(&id);
        let ping = message::request(id, "ping", json!({}));
        stream.text(&format!("data: {ping}\n\n"));
        if answered.opens_within(Duration::from_millis(500)) {
            return;
        }
        assert!(attempt < 100, "no ping is answered after the flood");
    }
}

/// Announces this many changes of the lists, each when the one before has been fetched.
fn change_lists(fixture: &Fixture<'_>, times: usize) {
    for _ in 0..times {
        let before = fixture.bad.requests_of("tools/list").len();
        let changed = notification("notifications/tools/list_changed", json!({}));
        fixture.bad.stream(0).event(&changed);
        fixture.bad.wait_for_requests("tools/list", before + 1);
    }
}

/// Checks the number and the length of a log's lines; returns whether any were left out.
fn check_log(log: &str) -> bool {
    let mut lines: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut left_out = false;
    for line in log.lines() {
        assert!(line.len() <= 1024, "{} bytes: {line}", line.len());
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let message = line["message"].as_str().unwrap_or_default();
        let message = match message.split_once(" more: ") {
            Some((number, of)) => {
                left_out = true;
                assert!(number.parse::<u64>().is_ok(), "{line}");
                of
            }
            None => message,
        };
        // Messages of one place differ at most after a colon.
        let message = message.split(':').next().unwrap_or_default().to_owned();
        let backend = line["backend"].as_str().unwrap_or_default().to_owned();
        *lines.entry((backend, message)).or_default() += 1;
    }
    let most = lines.iter().max_by_key(|(_, count)| **count);
    assert!(
        most.is_some_and(|(_, count)| *count <= LINES),
        "{most:?} of {lines:#?}"
    );
    left_out
}
