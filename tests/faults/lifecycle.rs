//! F. The life of the gateway and its backends.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::process::Process;
use crate::common::reply::Reply;
use crate::rig::{DEADLINE, ONE_SECOND, Rig, UNREACHABLE, judge, plan, usual};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "78" TwoBackends "all down at start" => "initialize is answered, the list empty, list_changed when one comes", fault_78_all_down_at_start;
    "79" Config "flapping" => "breaker", fault_79_flapping;
    "80" Nothing "restart between calls, 100 waiters" => "one re-initialize", fault_80_restart;
    "81" TwoBackends "one hangs" => "the others' p99 unchanged", fault_81_one_hangs;
    "82" Config "reload mid-call; a bad config" => "the call ends as it began; the old one stays", fault_82_reload, pending "reload";
    "83" Config "10k at once" => "caps, fair queue, exactly 10k answers", fault_83_ten_thousand_at_once;
    "84" Config "cancel before, during, after, twice, unknown" => "at most one response, slot freed", fault_84_cancel;
    "85" Config "clock jumps" => "monotonic deadlines", fault_85_clock_jumps;
    "86" Config "a handler panics" => "-32603 for that call only", fault_86_handler_panics;
};

fn fault_78_all_down_at_start(run: &Run<'_>) {
    let parts = plan(run).parts();
    let backends = parts.backends;
    backends.bad.go_down();
    backends.good.go_down();
    let mut process = Process::start(parts.command, parts.folder, run.subject.patience());
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

/// Up and down and up again: no call is lost, none runs twice, and what is up is used again. One
/// that stays down is left alone.
fn fault_79_flapping(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let refused = UNREACHABLE.saying("connection refused");
    let left_alone = UNREACHABLE.saying("not called, because its last 5 calls failed");
    for calls in [1, 3, 5] {
        run.at(&format!("down for {calls} calls"));
        rig.works("act");
        rig.dies();
        let before = rig.bad.runs("act");
        for _ in 0..calls {
            rig.fails("act", refused, 2);
        }
        if calls == 5 {
            // A second later one is let through again.
            rig.fails("act", left_alone, 0);
            rig.fails("look", left_alone, 0);
        }
        rig.bad.come_up();
        rig.client().call_until_success("act");
        run.ran(rig.bad.runs("act") - before);
    }
}

fn fault_80_restart(run: &Run<'_>) {
    const CALLS: usize = 100;
    let mut rig = plan(run).start();
    rig.works("act");
    let before = rig.bad.runs("act");
    rig.bad.go_down().forget_sessions().come_up();
    let ids: Vec<u64> = (0..CALLS)
        .map(|n| rig.client().start_call("act", json!({ "n": n })))
        .collect();
    for (n, id) in ids.into_iter().enumerate() {
        let answer = rig.client().answer(id);
        if rig.is_ours() {
            assert_eq!(answer.text(), format!(r#"act {{"n":{n}}}"#));
        }
    }
    let ran = rig.bad.runs("act") - before;
    run.ran(ran.div_ceil(CALLS));
    rig.expects(|| (ran, rig.handshakes()) == (CALLS, 2), "one new session");
}

/// What 99 of 100 calls to the good backend take at most.
fn p99(rig: &mut Rig<'_>) -> Duration {
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            rig.good_works();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[197]
}

fn fault_81_one_hangs(run: &Run<'_>) {
    let mut rig = plan(run).entry("max_in_flight = 20").start();
    let gate = Gate::new();
    rig.bad
        .always_tool("act", Reply::text("at last").after(&gate));
    let alone = p99(&mut rig);
    let ids: Vec<u64> = (0..100)
        .map(|_| rig.client().start_call("act", json!({})))
        .collect();
    gate.wait_for(20);
    let beside = p99(&mut rig);
    // Machines are shared and noisy: a wait for the other backend would be for ever.
    let most = alone * 10 + Duration::from_millis(200);
    assert!(beside < most, "{alone:?}, then {beside:?}");
    run.note(format!("{alone:.1?} alone, {beside:.1?} beside"));
    gate.open();
    for id in ids {
        assert_eq!(rig.client().answer(id).text(), "at last");
    }
}

fn fault_82_reload(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let gate = Gate::new();
    rig.bad
        .on_tool("act", Reply::text("as it began").after(&gate));
    let call = rig.client().start_call("act", json!({}));
    gate.wait_for(1);
    let config = rig.process().folder().join("sentinel.toml");
    std::fs::write(config, "nonsense").unwrap();
    rig.process().signal("HUP");
    rig.good_works();
    gate.open();
    assert_eq!(rig.client().answer(call).text(), "as it began");
    rig.works("act");
}

fn fault_83_ten_thousand_at_once(run: &Run<'_>) {
    const CALLS: usize = 10_000;
    const ROOM: usize = 500;
    let mut rig = plan(run)
        .gateway(&format!("max_in_flight = {ROOM}"))
        .entry("max_in_flight = 50")
        .start();
    rig.works("act");
    rig.settle();
    let gate = Gate::new();
    rig.bad.always_tool("act", Reply::text("done").after(&gate));
    let before = rig.bad.runs("act");
    for _ in 0..CALLS {
        rig.client().start_call("act", json!({}));
    }
    for _ in 0..CALLS - ROOM {
        let refusal = rig.client().next_message();
        let data = &refusal.json["error"]["data"];
        assert_eq!(
            (&data["class"], &data["executed"]),
            (&json!("overloaded"), &json!("no"))
        );
    }
    gate.open();
    for _ in 0..ROOM {
        let answer = rig.client().next_message();
        assert!(answer.json["result"].is_object(), "{}", answer.line);
    }
    assert_eq!(rig.bad.runs("act") - before, ROOM);
    rig.bad.reset_script("tools/call act");
    drop(rig);

    run.at("order");
    let mut rig = plan(run).entry("max_in_flight = 1").start();
    rig.works("act");
    let seen = rig.bad.requests_of("tools/call").len();
    let ids: Vec<u64> = (0..50)
        .map(|n| rig.client().start_call("act", json!({ "n": n })))
        .collect();
    for id in ids {
        rig.client().answer(id).result();
    }
    let came = rig.bad.requests_of("tools/call").into_iter().skip(seen);
    let order = came.map(|call| call.params()["arguments"]["n"].as_u64());
    assert!(order.eq((0..50).map(Some)), "not first come, first served");
}

fn fault_84_cancel(run: &Run<'_>) {
    let mut rig = plan(run).entry("max_in_flight = 1").start();
    let gate = Gate::new();
    rig.bad.on_tool("act", Reply::text("too late").after(&gate));
    rig.client().cancel(77_777);
    let during = rig.client().start_call("act", json!({}));
    gate.wait_for(1);
    let before = rig.client().start_call("act", json!({ "queued": true }));
    let after = rig.client().start_call("look", json!({}));
    rig.client().cancel(before);
    rig.client().cancel(during);
    rig.client().cancel(during);
    // Its place is free, and the one in the queue is never sent.
    assert_eq!(rig.client().answer(after).text(), "look {}");
    rig.client().cancel(after);
    let cancelled = rig.bad.next_request("notifications/cancelled");
    let call = &rig.bad.requests_of("tools/call")[0].message["id"];
    assert_eq!(cancelled.params()["requestId"], *call);
    gate.open();
    rig.good_works();
    assert_eq!(rig.sent("act"), 1);
    assert_eq!(rig.bad.requests_of("notifications/cancelled").len(), 1);
    run.ran(rig.bad.runs("act"));
    // The id is free again.
    rig.client().request_as(during, "ping", json!({}));
    rig.client().answer(during).result();
}

/// Where systems have the library that gives a process a clock of its own.
fn faketime() -> Option<&'static str> {
    let places = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/faketime/libfaketime.so.1",
        "/usr/lib64/faketime/libfaketime.so.1",
    ];
    places.into_iter().find(|place| Path::new(place).exists())
}

/// The wall clock jumps a day ahead and ten years back while a call runs into its deadline.
fn fault_85_clock_jumps(run: &Run<'_>) {
    let Some(library) = faketime() else {
        return run.elsewhere("a clock that jumps: with libfaketime");
    };
    let clock = tempfile::NamedTempFile::new().unwrap();
    let jump = |to: &str| std::fs::write(clock.path(), format!("{to}\n")).unwrap();
    jump("+0");
    let mut rig = plan(run)
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
    rig.works("act");
    for to in ["+1d", "-10y"] {
        run.at(to);
        rig.bad.on_tool("act", Reply::stall());
        let before = rig.bad.runs("act");
        let begun = Instant::now();
        let call = rig.client().start_call("act", json!({}));
        jump(to);
        rig.works("look");
        judge(&rig.client().answer(call), DEADLINE, 1);
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(1), "too early: {took:?}");
        assert!(took < Duration::from_secs(4), "too late: {took:?}");
        run.ran(rig.bad.runs("act") - before);
        rig.works("act");
    }
    // Its log shows that it saw the clock jump.
    let log = rig.end().log;
    let years: BTreeSet<&str> = log.lines().filter_map(|line| line.get(..4)).collect();
    assert!(years.len() > 1, "the clock stood still: {years:?}");
}

/// Panics where the gateway logs a retry, while it is armed.
struct Trap;

static ARMED: AtomicBool = AtomicBool::new(false);
static SET: Once = Once::new();

impl<S: tracing::Subscriber> Layer<S> for Trap {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let is_retry = event.metadata().fields().field("max_retries").is_some();
        if is_retry && ARMED.swap(false, Ordering::Relaxed) {
            panic!("planted by a test");
        }
    }
}

/// The binary has nothing by which it could be made to panic. The same gateway in this process
/// has: a log that does.
fn fault_86_handler_panics(run: &Run<'_>) {
    run.note("in the process of the test, through its log");
    SET.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Trap);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    let bad = usual();
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
    // Its place in the queue of one is free.
    assert_eq!(gateway.call("look", json!({})).text(), "look {}");
}
