//! Section F: the lifecycle of the gateway and its backends.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{TestGateway, save};
use crate::common::process::Process;
use crate::common::reply::Reply;
use crate::fixture::{
    DEADLINE, Fixture, ONE_SECOND, UNREACHABLE, check_error, default_backend, plan,
};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "78" TwoBackends "all down at start" => "initialize is answered, the list empty, list_changed when one connects", fault_78_all_down_at_start;
    "79" Config "flapping" => "breaker", fault_79_flapping;
    "80" Nothing "restart between calls, 100 waiters" => "one re-initialize", fault_80_restart;
    "81" TwoBackends "one hangs" => "the others' p99 unchanged", fault_81_one_hangs;
    "82" Config "reload mid-call; a bad config" => "the call ends under its old config; the old config stays", fault_82_reload;
    "83" Config "10k concurrent calls" => "caps, fair queue, exactly 10k answers", fault_83_ten_thousand_at_once;
    "84" Config "cancel before, during, after, twice, unknown" => "at most one response, slot freed", fault_84_cancel;
    "85" Config "clock jumps" => "monotonic deadlines", fault_85_clock_jumps;
    "86" Config "a handler panics" => "-32603 for that call only", fault_86_handler_panics;
};

fn fault_78_all_down_at_start(run: &Run<'_>) {
    let parts = plan(run).parts();
    let backends = parts.backends;
    backends.bad.go_down();
    backends.good.go_down();
    let mut process = Process::start(parts.command, parts.folder, run.subject.timeout());
    let client = &mut process.client;
    let begun = Instant::now();
    client.initialize().result();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "initialize waited"
    );
    assert!(client.tool_names().is_empty());
    backends.bad.come_up();
    client.next_notification("notifications/tools/list_changed");
    assert_eq!(client.tool_names(), ["act", "look"]);
    assert_eq!(client.call("act", json!({})).text(), "act {}");
    assert_eq!(run.end(process).status.code(), Some(0));
}

/// A backend that goes down and comes up: no call is lost, none runs twice, and it is used again once
/// it is up. While it stays down it isn't called.
fn fault_79_flapping(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let refused = UNREACHABLE.with_text("connection refused");
    let breaker_open = UNREACHABLE.with_text("not called, because its last 5 calls failed");
    for calls in [1, 3, 5] {
        run.set_variant(&format!("down for {calls} calls"));
        fixture.expect_success("act");
        fixture.stop_bad_backend();
        let before = fixture.bad.runs("act");
        for _ in 0..calls {
            fixture.expect_error("act", refused, 2);
        }
        if calls == 5 {
            // The breaker lets one call through after a second.
            fixture.expect_error("act", breaker_open, 0);
            fixture.expect_error("look", breaker_open, 0);
        }
        fixture.bad.come_up();
        fixture.client().call_until_success("act");
        run.record_runs(fixture.bad.runs("act") - before);
    }
}

fn fault_80_restart(run: &Run<'_>) {
    const CALLS: usize = 100;
    let mut fixture = plan(run).start();
    fixture.expect_success("act");
    let before = fixture.bad.runs("act");
    fixture.bad.go_down().forget_sessions().come_up();
    let ids: Vec<u64> = (0..CALLS)
        .map(|n| fixture.client().start_call("act", json!({ "n": n })))
        .collect();
    for (n, id) in ids.into_iter().enumerate() {
        let answer = fixture.client().answer(id);
        if fixture.is_gateway() {
            assert_eq!(answer.text(), format!(r#"act {{"n":{n}}}"#));
        }
    }
    let ran = fixture.bad.runs("act") - before;
    run.record_runs(ran.div_ceil(CALLS));
    fixture.expect_that(
        || (ran, fixture.handshakes()) == (CALLS, 2),
        "one new session",
    );
}

/// The 99th percentile of the duration of calls to the good backend.
fn p99(fixture: &mut Fixture<'_>) -> Duration {
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            fixture.check_good_backend();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[197]
}

fn fault_81_one_hangs(run: &Run<'_>) {
    let mut fixture = plan(run).entry("max_in_flight = 20").start();
    let gate = Gate::new();
    fixture
        .bad
        .always_tool("act", Reply::text("at last").after(&gate));
    let alone = p99(&mut fixture);
    let ids: Vec<u64> = (0..100)
        .map(|_| fixture.client().start_call("act", json!({})))
        .collect();
    gate.wait_for(20);
    let beside = p99(&mut fixture);
    // Generous, since the machine is noisy: waiting for the other backend would never end.
    let most = alone * 10 + Duration::from_millis(200);
    assert!(beside < most, "{alone:?}, then {beside:?}");
    run.note(format!("{alone:.1?} alone, {beside:.1?} beside"));
    gate.open();
    for id in ids {
        assert_eq!(fixture.client().answer(id).text(), "at last");
    }
}

fn fault_82_reload(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let gate = Gate::new();
    fixture
        .bad
        .on_tool("act", Reply::text("as it began").after(&gate));
    let call = fixture.client().start_call("act", json!({}));
    gate.wait_for(1);
    let folder = fixture.process().folder().to_owned();
    let good = std::fs::read_to_string(folder.join("sentinel.toml")).unwrap();

    run.set_variant("a bad config");
    save(&folder, "nonsense");
    fixture.process().signal("HUP");
    fixture.check_good_backend();
    assert_eq!(fixture.client().tool_names().len(), 4);

    run.set_variant("without the backend that is called");
    let (before, of_bad) = good.split_at(good.find("name = \"bad\"").unwrap());
    let disabled = of_bad.replacen("\n", "\nenabled = false\n", 1);
    save(&folder, &(before.to_owned() + &disabled));
    fixture
        .client()
        .next_notification("notifications/tools/list_changed");
    assert_eq!(fixture.client().tool_names().len(), 2);
    gate.open();
    assert_eq!(fixture.client().answer(call).text(), "as it began");

    run.set_variant("as it was");
    save(&folder, &good);
    fixture.client().wait_for_tool("act");
    fixture.expect_success("act");
}

fn fault_83_ten_thousand_at_once(run: &Run<'_>) {
    const CALLS: usize = 10_000;
    const CAPACITY: usize = 500;
    let mut fixture = plan(run)
        .gateway(&format!("max_in_flight = {CAPACITY}"))
        .entry("max_in_flight = 50")
        .start();
    fixture.expect_success("act");
    fixture.finish_held_call();
    let gate = Gate::new();
    fixture
        .bad
        .always_tool("act", Reply::text("done").after(&gate));
    let before = fixture.bad.runs("act");
    for _ in 0..CALLS {
        fixture.client().start_call("act", json!({}));
    }
    for _ in 0..CALLS - CAPACITY {
        let refusal = fixture.client().next_message();
        let data = &refusal.json["error"]["data"];
        assert_eq!(
            (&data["class"], &data["executed"]),
            (&json!("overloaded"), &json!("no"))
        );
    }
    gate.open();
    for _ in 0..CAPACITY {
        let answer = fixture.client().next_message();
        assert!(answer.json["result"].is_object(), "{}", answer.line);
    }
    assert_eq!(fixture.bad.runs("act") - before, CAPACITY);
    fixture.bad.reset_script("tools/call act");
    drop(fixture);

    run.set_variant("order");
    let mut fixture = plan(run).entry("max_in_flight = 1").start();
    fixture.expect_success("act");
    let seen = fixture.bad.requests_of("tools/call").len();
    let ids: Vec<u64> = (0..50)
        .map(|n| fixture.client().start_call("act", json!({ "n": n })))
        .collect();
    for id in ids {
        fixture.client().answer(id).result();
    }
    let came = fixture.bad.requests_of("tools/call").into_iter().skip(seen);
    let order = came.map(|call| call.params()["arguments"]["n"].as_u64());
    assert!(order.eq((0..50).map(Some)), "not first come, first served");
}

fn fault_84_cancel(run: &Run<'_>) {
    let mut fixture = plan(run).entry("max_in_flight = 1").start();
    let gate = Gate::new();
    fixture
        .bad
        .on_tool("act", Reply::text("too late").after(&gate));
    fixture.client().cancel(77_777);
    let during = fixture.client().start_call("act", json!({}));
    gate.wait_for(1);
    let before = fixture
        .client()
        .start_call("act", json!({ "queued": true }));
    let after = fixture.client().start_call("look", json!({}));
    fixture.client().cancel(before);
    fixture.client().cancel(during);
    fixture.client().cancel(during);
    // Its slot is free, and the queued call is never sent.
    assert_eq!(fixture.client().answer(after).text(), "look {}");
    fixture.client().cancel(after);
    let cancelled = fixture.bad.next_request("notifications/cancelled");
    let call = &fixture.bad.requests_of("tools/call")[0].message["id"];
    assert_eq!(cancelled.params()["requestId"], *call);
    gate.open();
    fixture.check_good_backend();
    assert_eq!(fixture.sent("act"), 1);
    assert_eq!(fixture.bad.requests_of("notifications/cancelled").len(), 1);
    run.record_runs(fixture.bad.runs("act"));
    // The id is free again.
    fixture.client().request_as(during, "ping", json!({}));
    fixture.client().answer(during).result();
}

/// The library that gives a process its own clock, if it is installed.
fn faketime() -> Option<&'static str> {
    let paths = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/faketime/libfaketime.so.1",
        "/usr/lib64/faketime/libfaketime.so.1",
    ];
    paths.into_iter().find(|path| Path::new(path).exists())
}

/// The wall clock jumps a day ahead and ten years back while a call waits for its deadline.
fn fault_85_clock_jumps(run: &Run<'_>) {
    let Some(library) = faketime() else {
        return run.note_skipped("a clock that jumps: with libfaketime");
    };
    let clock = tempfile::NamedTempFile::new().unwrap();
    let jump = |to: &str| std::fs::write(clock.path(), format!("{to}\n")).unwrap();
    jump("+0");
    let mut fixture = plan(run)
        .entry(ONE_SECOND)
        .variable("RUST_LOG", "trace")
        .variable("LD_PRELOAD", library)
        .variable("DONT_FAKE_MONOTONIC", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .variable("FAKETIME_NO_CACHE", "1")
        .variable(
            "FAKETIME_TIMESTAMP_FILE",
            &clock.path().display().to_string(),
        )
        .start();
    fixture.expect_success("act");
    for to in ["+1d", "-10y"] {
        run.set_variant(to);
        fixture.bad.on_tool("act", Reply::stall());
        let before = fixture.bad.runs("act");
        let begun = Instant::now();
        let call = fixture.client().start_call("act", json!({}));
        jump(to);
        fixture.expect_success("look");
        check_error(&fixture.client().answer(call), DEADLINE, 1);
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(1), "too early: {took:?}");
        assert!(took < Duration::from_secs(4), "too late: {took:?}");
        run.record_runs(fixture.bad.runs("act") - before);
        fixture.expect_success("act");
    }
    // The log shows that the process saw the clock jump.
    let log = fixture.end().log;
    let years: BTreeSet<&str> = log.lines().filter_map(|line| line.get(..4)).collect();
    assert!(years.len() > 1, "the clock stood still: {years:?}");
}

/// A log layer that panics when the gateway logs a retry, while `ARMED` is set.
struct PanicOnRetry;

static ARMED: AtomicBool = AtomicBool::new(false);
static SET: Once = Once::new();

impl<S: tracing::Subscriber> Layer<S> for PanicOnRetry {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let is_retry = event.metadata().fields().field("max_retries").is_some();
        if is_retry && ARMED.swap(false, Ordering::Relaxed) {
            panic!("injected by a test");
        }
    }
}

/// Nothing makes the binary panic from outside. The same gateway in this process can be made to,
/// through a log layer that panics.
fn fault_86_handler_panics(run: &Run<'_>) {
    run.note("in the process of the test, through its log");
    SET.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(PanicOnRetry);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    let bad = default_backend();
    let good = FakeBackend::start().tool("other");
    let toml = bad.entry("bad", "max_in_flight = 1") + &good.entry("good", "");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize();
    gateway.call("look", json!({})).result();
    bad.on_tool("look", Reply::status(500));
    ARMED.store(true, Ordering::Relaxed);
    let failed = gateway.start_call("look", json!({}));
    assert_eq!(gateway.call("other", json!({})).text(), "other {}");
    assert_eq!(gateway.answer(failed).code(), -32603);
    assert!(!ARMED.load(Ordering::Relaxed), "nothing panicked");
    // Its slot, the only one, is free again.
    assert_eq!(gateway.call("look", json!({})).text(), "look {}");
}
