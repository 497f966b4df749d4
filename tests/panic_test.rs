//! A panic is logged, and logging it does not block when stderr is full. A panic in a task of a
//! backend takes that backend down, for a time, and one in the background hurts nothing.
//!
//! A separate binary: it starts itself again as the process that logs and panics. That process
//! installs the gateway's logger and panic hook, which is possible once per process. Nothing makes
//! the gateway's own tasks panic from outside; a log layer of this process does.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::fmt;
use std::io::Read;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sentinel_gateway::observe::logs;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use common::fake::FakeBackend;
use common::gateway::TestGateway;
use common::reply::Reply;

/// Set in the process that panics: the number of log lines before the panic.
const IN_CHILD: &str = "PANICS_WITH_LINES_BEFORE";
const ALIVE: &str = "still running";
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the panicking test in a child process, which logs this many lines and then panics. Its
/// stderr is not read until its stdout has ended. Returns stdout and stderr.
fn panic_after(lines: u32) -> (String, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_panics"])
        .args(["--ignored", "--nocapture"])
        .env(IN_CHILD, lines.to_string())
        // The standard hook would then write more than a nearly full pipe takes.
        .env("RUST_BACKTRACE", "full")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (ended, end) = channel();
    thread::spawn(move || {
        let mut output = String::new();
        let _ = stdout.read_to_string(&mut output);
        let _ = ended.send(output);
    });
    let output = end.recv_timeout(PATIENCE);
    if output.is_err() {
        child.kill().unwrap();
    }
    let mut log = String::new();
    let _ = child.stderr.take().unwrap().read_to_string(&mut log);
    child.wait().unwrap();
    (output.expect("the process hangs"), log)
}

#[test]
#[ignore = "the other tests run it in a child process"]
fn the_process_that_panics() {
    let lines = std::env::var(IN_CHILD).unwrap();
    logs::start(Some(LevelFilter::INFO), LevelFilter::INFO, false);
    for line in 0..lines.parse().unwrap() {
        // Of each backend, the log takes some lines only.
        let backend = line.to_string();
        tracing::info!(target: "sentinel_gateway", backend, "{}", "x".repeat(900));
    }
    catch_unwind(|| panic!("the test's panic")).unwrap_err();
    println!("{ALIVE}");
}

#[test]
fn a_panic_is_logged_as_one_line() {
    let (output, log) = panic_after(0);
    assert!(output.contains(ALIVE), "{output}");
    let line = log.lines().find(|line| line.contains("the test's panic"));
    let line = line.unwrap_or_else(|| panic!("not logged: {log}"));
    assert!(line.contains("ERROR"), "{line}");
    assert!(line.contains("tests/panic_test.rs"), "{line}");
    assert!(!log.contains("stack backtrace"), "{log}");
}

#[test]
fn a_panic_does_not_block_when_stderr_is_not_read() {
    let (output, log) = panic_after(500);
    assert!(output.contains(ALIVE), "{output}");
    assert!(log.len() < 500_000, "nothing was dropped");
}

/// The message at which this process panics, and how often it still does.
static TRIGGER: Mutex<(&str, usize)> = Mutex::new(("", 0));

/// A log layer that panics when the gateway logs the message.
struct PanicOnMessage;

impl<S: tracing::Subscriber> Layer<S> for PanicOnMessage {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut trigger = TRIGGER.lock().unwrap();
        if trigger.1 > 0 && message.0.contains(trigger.0) {
            trigger.1 -= 1;
            drop(trigger);
            panic!("injected by a test");
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// The tests that inject panics run one after the other.
static INJECTING: Mutex<()> = Mutex::new(());
static SET: Once = Once::new();

/// From now on this process panics so often when the gateway logs this message.
fn panic_at(message: &'static str, times: usize) {
    SET.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(PanicOnMessage);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    *TRIGGER.lock().unwrap() = (message, times);
}

/// Waits until all panics have happened.
fn wait_for_panics() {
    let begun = Instant::now();
    while TRIGGER.lock().unwrap().1 > 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing panicked");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A gateway with the backend `bad` and another one, both listed.
fn gateway(bad: &FakeBackend, good: &FakeBackend) -> TestGateway {
    // Before the gateway of a test sets a log layer.
    panic_at("", 0);
    let toml = bad.entry("bad", "retries = 0") + &good.entry("good", "");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize();
    gateway.wait_for_tool("act");
    gateway.wait_for_tool("other");
    gateway
}

#[test]
fn a_panic_in_a_backends_task_takes_it_down_with_the_reason_and_it_is_tried_again() {
    let _one_at_a_time = INJECTING.lock().unwrap_or_else(PoisonError::into_inner);
    let (bad, good) = (
        FakeBackend::start().tool("act"),
        FakeBackend::start().tool("other"),
    );
    let mut gateway = gateway(&bad, &good);
    // Every new connection fails from now on.
    bad.forget_sessions();
    panic_at("connected", usize::MAX);
    let begun = Instant::now();
    let failed = gateway.call("act", json!({}));
    assert!(
        begun.elapsed() < PATIENCE / 4,
        "it took {:?}",
        begun.elapsed()
    );
    assert_eq!(
        failed.gateway_error(),
        ("unreachable", "no", 2),
        "{}",
        failed.message()
    );
    let why = "bad: the gateway failed on this server (injected by a test): please report it";
    assert!(failed.message().starts_with(why), "{}", failed.message());
    assert_eq!(gateway.call("other", json!({})).text(), "other {}");
    let attempts = bad.requests_of("initialize").len();
    assert!(
        attempts < 10,
        "{attempts} attempts, without a pause between them"
    );
    panic_at("", 0);
    assert_eq!(gateway.call_until_success("act").text(), "act {}");
}

/// A message that the gateway logs in a task of a backend, and how the backend causes it.
type Case = (&'static str, FakeBackend, fn(&FakeBackend));

#[test]
fn after_a_panic_anywhere_in_a_backends_tasks_it_is_used_again() {
    let _one_at_a_time = INJECTING.lock().unwrap_or_else(PoisonError::into_inner);
    let legacy = || FakeBackend::start().tool("act").with_get();
    let cases: [Case; 6] = [
        ("a list could not be fetched", legacy(), |bad| {
            bad.on("tools/list", Reply::error(-32000, "no"));
            bad.notify_clients("notifications/tools/list_changed", json!({}));
        }),
        ("its stream is opened again", legacy(), |bad| {
            bad.stream(0).text("retry: 0\n\n");
            bad.stream(0).end();
        }),
        // While its listing is read, and while the lists of all backends are merged.
        ("tools seen for the first time", legacy(), |bad| {
            bad.put_tool("another", json!({}));
            bad.notify_clients("notifications/tools/list_changed", json!({}));
        }),
        ("an item is withheld", legacy(), |bad| {
            bad.put_tool("\u{202e}", json!({}));
            bad.notify_clients("notifications/tools/list_changed", json!({}));
        }),
        ("an event is skipped", legacy(), |bad| {
            bad.stream(0).text("data: nonsense\n\n");
        }),
        (
            "a request is dropped",
            FakeBackend::start().tool("act").modern(),
            |bad| {
                let ping = common::message::request(json!(1), "ping", json!({}));
                bad.stream(0).event(&ping);
            },
        ),
    ];
    for (message, bad, cause) in cases {
        let good = FakeBackend::start().tool("other");
        let mut gateway = gateway(&bad, &good);
        panic_at(message, 1);
        cause(&bad);
        wait_for_panics();
        assert_eq!(
            gateway.call("other", json!({})).text(),
            "other {}",
            "{message}"
        );
        assert_eq!(
            gateway.call_until_success("act").text(),
            "act {}",
            "{message}"
        );
        // Its lists are kept up to date again.
        bad.put_tool("new", json!({}));
        bad.notify_clients("notifications/tools/list_changed", json!({}));
        gateway.wait_for_tool("new");
    }
}

#[test]
fn a_panic_in_the_reader_of_http_sse_ends_its_calls_and_its_connection() {
    let _one_at_a_time = INJECTING.lock().unwrap_or_else(PoisonError::into_inner);
    let bad = FakeBackend::start().tool("act").http_sse();
    let good = FakeBackend::start().tool("other");
    let mut gateway = gateway(&bad, &good);
    panic_at("an event is skipped", 1);
    // The reply to this call is an event that is no JSON; no response follows.
    bad.on_tool("act", Reply::sse().body("data: nonsense\n\n"));
    let begun = Instant::now();
    let failed = gateway.call("act", json!({}));
    assert!(
        begun.elapsed() < PATIENCE / 4,
        "it took {:?}",
        begun.elapsed()
    );
    assert_eq!(
        failed.gateway_error().0,
        "outcome_unknown",
        "{}",
        failed.message()
    );
    assert_eq!(gateway.call_until_success("act").text(), "act {}");
}

#[test]
fn a_panic_in_the_background_hurts_nothing() {
    let _one_at_a_time = INJECTING.lock().unwrap_or_else(PoisonError::into_inner);
    let (bad, good) = (
        FakeBackend::start().tool("act"),
        FakeBackend::start().tool("other"),
    );
    let mut gateway = gateway(&bad, &good);
    bad.always("notifications/cancelled", Reply::status(500));
    for _ in 0..3 {
        panic_at("a notification was not taken", 1);
        let held = common::gate::Gate::new();
        bad.on_tool("act", Reply::text("late").after(&held));
        let call = gateway.start_call("act", json!({}));
        held.wait_for(1);
        gateway.cancel(call);
        wait_for_panics();
        assert_eq!(gateway.call("act", json!({})).text(), "act {}");
    }
    assert_eq!(bad.requests_of("initialize").len(), 1, "it stays connected");
}
