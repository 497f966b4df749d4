//! Section H: what a backend makes the gateway do in the background stays bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::message::{self, notification};
use crate::common::reply::Reply;
use crate::fixture::{Fixture, default_backend, plan_with};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "93" Config "log lines that a backend causes without end" => "ten a minute of each message and then their number; 1 KiB a line", fault_93_log_flood;
    "94" Config "messages of a server that each need a connection for their answer, and an old session's cancellations and subscriptions" => "at most max_in_flight + 16 connections to that server", fault_94_connections;
    "98" Config "a server that makes the gateway connect, open, list or run its secret's command again and again" => "each has a least wait that grows, whatever the server asks for", fault_98_reconnects;
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
    let floods: [Flood; 7] = [
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
        (
            "items that are withheld and tools that change",
            legacy(),
            |fixture| {
                for round in 0..3 {
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

/// How long a loop runs.
const WINDOW: Duration = Duration::from_millis(1_500);
/// Attempts of one kind in that time: one is free, the others are 100 ms, 200 ms, … apart.
const MOST: usize = 8;

/// A backend that causes something again and again, and what is counted.
struct Loop {
    variant: &'static str,
    bad: FakeBackend,
    counted: &'static [&'static str],
    /// Makes calls in a loop, each as soon as the last is answered.
    calls: bool,
    /// Closes all connections in a loop.
    cuts: bool,
}

fn looping(variant: &'static str, bad: FakeBackend, counted: &'static [&'static str]) -> Loop {
    Loop {
        variant,
        bad,
        counted,
        calls: false,
        cuts: false,
    }
}

impl Loop {
    fn with_calls(mut self) -> Self {
        self.calls = true;
        self
    }

    fn with_cuts(mut self) -> Self {
        self.cuts = true;
        self
    }
}

fn fault_98_reconnects(run: &Run<'_>) {
    for case in stream_loops().into_iter().chain(connection_loops()) {
        run.set_variant(case.variant);
        check_loop(run, case);
    }
}

/// Streams that end at once.
fn stream_loops() -> [Loop; 4] {
    let ended = |text: &str| Reply::sse().body(text);
    let other = notification("notifications/other", json!({}));
    let with_get = |reply: Reply| {
        let bad = default_backend();
        bad.always("GET", reply);
        bad
    };
    let acknowledged = notification("notifications/subscriptions/acknowledged", json!({}));
    let modern = default_backend().modern();
    modern.always("subscriptions/listen", Reply::sse().event(acknowledged));
    // Every other GET opens a stream; the session seems to be lost at the next.
    let mut gets = 0;
    let lost = default_backend().respond_with(move |request| {
        (request.http_method == "GET").then(|| {
            gets += 1;
            match gets % 2 {
                1 => Reply::sse().body("retry: 0\n\n"),
                _ => Reply::status(404),
            }
        })
    });
    [
        looping(
            "GET streams with retry: 0",
            with_get(ended("retry: 0\n\n")),
            &["GET"],
        ),
        looping(
            "GET streams of one event, with retry: 0",
            with_get(ended(&format!("id: 1\nretry: 0\ndata: {other}\n\n"))),
            &["GET"],
        ),
        looping("subscription streams", modern, &["subscriptions/listen"]),
        looping("retry: 0 and then GET is 404", lost, &["GET", "initialize"]),
    ]
}

/// Connections that are lost or never made, and lists that are always out of date.
fn connection_loops() -> [Loop; 6] {
    let lost = || {
        let bad = default_backend();
        bad.always("tools/call", Reply::status(404));
        bad
    };
    // It lists once; then it refuses to have a session.
    let mut handshakes = 0;
    let refusing = default_backend().respond_with(move |request| match request.kind() {
        "initialize" => {
            handshakes += 1;
            (handshakes > 1).then(|| Reply::error(-32000, "not now"))
        }
        "tools/call" => Some(Reply::status(404)),
        _ => None,
    });
    let mismatch = default_backend().modern();
    mismatch.always(
        "tools/call",
        Reply::json_as(400, &message::error(-32020, "wrong headers")),
    );
    let changing = default_backend().with_get().respond_with(|_| None);
    [
        looping("sessions lost at each call", lost(), &["initialize"]).with_calls(),
        looping(
            "handshakes refused while calls wait",
            refusing,
            &["initialize"],
        )
        .with_calls(),
        looping(
            "streams of HTTP+SSE that break",
            default_backend().http_sse(),
            &["initialize"],
        )
        .with_cuts(),
        looping("calls with the wrong headers", mismatch, &["tools/list"]).with_calls(),
        looping("credentials refused", unauthorized(), &["initialize"]).with_calls(),
        looping("lists that always change", changing, &["tools/list"]),
    ]
}

/// Accepts the credentials for everything but calls.
fn unauthorized() -> FakeBackend {
    let bad = default_backend();
    bad.always(
        "tools/call",
        Reply::status(401).header("www-authenticate", "Bearer"),
    );
    bad
}

fn check_loop(run: &Run<'_>, case: Loop) {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let command = format!("echo x >> {0}; wc -l < {0}", runs.display());
    let bearer = format!("bearer = {{ command = ['sh', '-c', '{command}'] }}");
    let plan = plan_with(run, Arc::new(case.bad)).entry(&bearer).retries(0);
    let mut fixture = plan.start();
    let counts = |fixture: &Fixture<'_>| -> Vec<usize> {
        let of = |kind: &&str| fixture.bad.requests_of(kind).len();
        case.counted.iter().map(of).collect()
    };
    let (before, begun) = (counts(&fixture), Instant::now());
    while begun.elapsed() < WINDOW {
        if case.calls {
            let _ = fixture.client().call("look", json!({}));
        } else if case.variant.starts_with("lists") {
            change_lists(&fixture, 1);
        } else {
            std::thread::sleep(Duration::from_millis(10));
        }
        if case.cuts {
            fixture.bad.cut_connections();
        }
    }
    let after = counts(&fixture);
    for ((kind, before), after) in case.counted.iter().zip(before).zip(after) {
        let more = after - before;
        assert!(more <= MOST, "{more} × {kind} in {WINDOW:?}");
        run.note(format!("{}: {more} × {kind}", case.variant));
    }
    fixture.check_good_backend();
    let ran = std::fs::read_to_string(&runs)
        .unwrap_or_default()
        .lines()
        .count();
    assert!((1..=2).contains(&ran), "the command ran {ran} times");
}

/// Calls at once to the bad backend, and the most connections beside theirs.
const CALLS: usize = 8;
const BESIDE_CALLS: usize = 16;

fn fault_94_connections(run: &Run<'_>) {
    let subscribable = || {
        let bad = default_backend().resource("a:b").with_get();
        bad.capabilities(json!({ "resources": { "subscribe": true } }))
    };
    let floods: [Flood; 5] = [
        ("pings", default_backend().with_get(), |fixture| {
            flood_stream(fixture, &ping(), FLOOD);
        }),
        (
            "pings whose answers it never takes",
            default_backend().with_get(),
            |fixture| {
                fixture.bad.always("response", Reply::stall());
                fixture.bad.stream(0).text(&ping().repeat(FLOOD));
                fixture.bad.wait_for_requests("response", CALLS);
                fixture.expect_success("act");
            },
        ),
        ("pings in calls", default_backend(), |fixture| {
            fixture.bad.always("response", Reply::stall());
            let gate = Gate::new();
            let pinging = Reply::sse().body(ping().repeat(300)).hold(&gate);
            fixture
                .bad
                .always_tool("look", pinging.event(message::text("done")));
            let calls: Vec<u64> = (0..CALLS)
                .map(|_| fixture.client().start_call("look", json!({})))
                .collect();
            gate.wait_for(CALLS);
            fixture.bad.wait_for_requests("response", CALLS);
            gate.open();
            for call in calls {
                assert_eq!(fixture.client().answer(call).text(), "done");
            }
        }),
        (
            "cancellations that it never takes",
            default_backend(),
            |fixture| {
                fixture
                    .bad
                    .always("notifications/cancelled", Reply::stall());
                for _ in 0..10 {
                    let gate = Gate::new();
                    fixture
                        .bad
                        .always_tool("act", Reply::text("late").after(&gate));
                    let start = |_| fixture.client().start_call("act", json!({}));
                    let calls: Vec<u64> = (0..CALLS).map(start).collect();
                    gate.wait_for(CALLS);
                    for call in calls {
                        fixture.client().cancel(call);
                    }
                    gate.wait_for_disconnects(CALLS);
                }
                fixture.bad.reset_script("tools/call act");
                fixture.expect_success("act");
            },
        ),
        (
            "subscriptions in a new session",
            subscribable(),
            |fixture| {
                for resource in 0..60 {
                    let params = json!({ "uri": format!("a:{resource}") });
                    fixture.client().ask("resources/subscribe", params).result();
                }
                fixture.bad.always("resources/subscribe", Reply::stall());
                fixture.bad.forget_sessions();
                fixture.client().call("look", json!({})).text();
                fixture.bad.wait_for_requests("resources/subscribe", 64);
            },
        ),
    ];
    for (variant, bad, flood) in floods {
        run.set_variant(variant);
        let entry = format!("max_in_flight = {CALLS}");
        let mut fixture = plan_with(run, Arc::new(bad)).entry(&entry).start();
        fixture.expect_success("act");
        let before = descriptors(&fixture);
        flood(&mut fixture);
        let now = descriptors(&fixture);
        fixture.check_good_backend();
        let most = fixture.bad.most_connections();
        run.note(format!(
            "{variant}: {most} connections, {before} to {now} descriptors"
        ));
        assert!(most <= CALLS + BESIDE_CALLS, "{most} connections");
        assert!(
            now <= before + CALLS + BESIDE_CALLS,
            "{before} to {now} descriptors"
        );
    }
}

/// An event with a ping.
fn ping() -> String {
    let ping = message::request(json!("p"), "ping", json!({}));
    format!("data: {ping}\n\n")
}

/// The open descriptors of the gateway.
fn descriptors(fixture: &Fixture<'_>) -> usize {
    let open = format!("/proc/{}/fd", fixture.process().pid());
    std::fs::read_dir(open).map_or(0, Iterator::count)
}
