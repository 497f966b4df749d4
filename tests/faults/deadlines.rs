//! Section H: the deadline of a call is over every step of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::Answer;
use crate::common::message;
use crate::common::process::Process;
use crate::common::reply::Reply;
use crate::fixture::{Fixture, default_backend, plan_with};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "99" Config "a step of a call that never ends: listing again, a log level, a parked call, a queue, a command" => "the call is answered at its deadline", fault_99_deadline_over_every_step;
};

/// The deadline of each call, and when its answer must be there on a busy machine. Two limits in a
/// row would take longer.
const DEADLINE: &str = "timeout_secs = 1";
const LONGEST: Duration = Duration::from_millis(1_900);

/// A step that takes too long.
struct Step {
    name: &'static str,
    bad: FakeBackend,
    entry: &'static str,
    /// Begins the requests of which the last gets to the step, and returns their ids.
    begin: fn(&mut Fixture<'_>) -> Vec<u64>,
    check: fn(&Answer),
}

fn step(
    name: &'static str,
    bad: FakeBackend,
    begin: fn(&mut Fixture<'_>) -> Vec<u64>,
    check: fn(&Answer),
) -> Step {
    Step {
        name,
        bad,
        entry: "",
        begin,
        check,
    }
}

fn not_sent(answer: &Answer) {
    assert_eq!(answer.gateway_error().0, "deadline", "{}", answer.0.line);
    assert_eq!(answer.gateway_error().1, "no", "{}", answer.0.line);
}

fn no_answer(answer: &Answer) {
    assert_eq!(answer.gateway_error().0, "deadline", "{}", answer.0.line);
    assert_eq!(answer.gateway_error().1, "unknown", "{}", answer.0.line);
}

fn succeeds(answer: &Answer) {
    answer.result();
}

/// The backend's own error, since there is no time to do better.
fn header_mismatch(answer: &Answer) {
    assert_eq!(answer.message(), "wrong headers");
}

fn call(fixture: &mut Fixture<'_>, tool: &str) -> Vec<u64> {
    vec![fixture.client().start_call(tool, json!({}))]
}

fn request(fixture: &mut Fixture<'_>, method: &str, params: Value) -> Vec<u64> {
    vec![fixture.client().request(method, params)]
}

fn fault_99_deadline_over_every_step(run: &Run<'_>) {
    for step in calls()
        .into_iter()
        .chain(of_modern_clients())
        .chain(other_requests())
    {
        run.set_variant(step.name);
        let entry = format!("{DEADLINE}\n{}", step.entry);
        let mut fixture = plan_with(run, Arc::new(step.bad)).entry(&entry).start();
        fixture.expect_success("look");
        let begun = Instant::now();
        let mut requests = (step.begin)(&mut fixture);
        let answer = fixture.client().answer(requests.pop().unwrap());
        let took = begun.elapsed();
        for request in requests {
            fixture.client().answer(request);
        }
        assert!(took < LONGEST, "{took:?}: {}", answer.0.line);
        (step.check)(&answer);
        fixture.client().legacy();
    }
    at_the_start(run);
}

/// A call before any backend has connected or failed.
fn at_the_start(run: &Run<'_>) {
    run.set_variant("the first connection");
    let bad = default_backend();
    bad.always("server/discover", Reply::stall());
    bad.always("initialize", Reply::stall());
    let parts = plan_with(run, Arc::new(bad))
        .gateway("startup_wait_ms = 20000")
        .entry("timeout_secs = 1\nconnect_timeout_secs = 5")
        .parts();
    let mut process = Process::start(parts.command, parts.folder, run.subject.timeout());
    parts.backends.good.go_down();
    process.client.initialize().result();
    let begun = Instant::now();
    process.client.call("act", json!({})).error();
    let took = begun.elapsed();
    // The silent backend has failed by then: it too has one second.
    assert!(took < 2 * LONGEST, "{took:?}");
    run.end(process);
}

fn calls() -> [Step; 6] {
    let queue = |bad: FakeBackend| Step {
        // The call before it holds the queue for longer than this one waits.
        entry: "max_in_flight = 1\ntools.timeout_secs = { look = 3 }",
        ..step(
            "the queue",
            bad,
            |fixture| {
                let held = Reply::text("late").after(&Gate::new());
                fixture.bad.on_tool("look", held);
                let first = call(fixture, "look");
                fixture.bad.wait_for_requests("tools/call", 2);
                [first, call(fixture, "act")].concat()
            },
            |answer| assert_eq!(answer.gateway_error().0, "deadline"),
        )
    };
    let command = |bad: FakeBackend| Step {
        // The second run takes longer than any call.
        entry: "bearer = { command = ['sh', '-c', 'test -e ran && sleep 9; touch ran; echo x'] }",
        ..step(
            "the secret's command after a 401",
            bad,
            |fixture| {
                fixture.bad.always_tool("act", Reply::status(401));
                call(fixture, "act")
            },
            |answer| assert_eq!(answer.gateway_error().0, "deadline"),
        )
    };
    [
        queue(default_backend()),
        command(default_backend()),
        step(
            "the answer",
            default_backend(),
            |fixture| {
                fixture.bad.on_tool("act", Reply::stall());
                call(fixture, "act")
            },
            no_answer,
        ),
        step(
            "a new session",
            default_backend(),
            |fixture| {
                fixture
                    .bad
                    .forget_sessions()
                    .always("initialize", Reply::stall());
                call(fixture, "act")
            },
            not_sent,
        ),
        step(
            "the rest of a stream",
            default_backend(),
            |fixture| {
                let beginning = Reply::sse().priming_event("e-1", 10);
                fixture.bad.on_tool("act", beginning);
                fixture.bad.always("GET", Reply::stall());
                call(fixture, "act")
            },
            no_answer,
        ),
        step(
            "waits between attempts",
            default_backend(),
            |fixture| {
                fixture.bad.always_tool("look", Reply::status(500));
                call(fixture, "look")
            },
            |answer| assert_eq!(answer.gateway_error().1, "unknown"),
        ),
    ]
}

/// Steps of calls that modern clients make, or modern backends get.
fn of_modern_clients() -> [Step; 4] {
    let mismatch = || {
        let bad = default_backend().modern();
        let refusal = message::error(-32020, "wrong headers");
        bad.always_tool("act", Reply::json_as(400, &refusal));
        bad
    };
    let logging = default_backend().capabilities(json!({ "logging": {} }));
    [
        step(
            "listing again after -32020",
            mismatch(),
            |fixture| {
                fixture.bad.always("tools/list", Reply::stall());
                call(fixture, "act")
            },
            header_mismatch,
        ),
        step(
            "the call after listing again",
            mismatch(),
            |fixture| {
                let refusal = message::error(-32020, "wrong headers");
                fixture.bad.on_tool("act", Reply::json_as(400, &refusal));
                fixture.bad.always_tool("act", Reply::stall());
                call(fixture, "act")
            },
            no_answer,
        ),
        step(
            "setting a log level",
            logging,
            |fixture| {
                fixture.bad.always("logging/setLevel", Reply::stall());
                let level = json!({ "io.modelcontextprotocol/logLevel": "debug" });
                let params = json!({ "name": "act", "arguments": {}, "_meta": level });
                fixture.client().modern(json!({}));
                request(fixture, "tools/call", params)
            },
            succeeds,
        ),
        step(
            "a call that was parked",
            default_backend(),
            |fixture| {
                let form = json!({ "message": "?", "requestedSchema": {} });
                let ask = message::request(json!(1), "elicitation/create", form);
                fixture
                    .bad
                    .on_tool("act", Reply::sse().event(ask).then_stall());
                let params = json!({ "name": "act", "arguments": {} });
                let client = fixture
                    .client()
                    .modern(json!({ "elicitation": { "form": {} } }));
                let first = client.request("tools/call", params.clone());
                let asked = client.answer(first);
                let (key, _) = asked.input_request();
                let answers = json!({ key: { "action": "decline" } });
                vec![client.retry("tools/call", &params, &asked, answers)]
            },
            no_answer,
        ),
    ]
}

fn other_requests() -> [Step; 5] {
    let tasks = || {
        let tasks = json!({ "tasks": { "list": {}, "requests": { "tools": { "call": {} } } } });
        default_backend().capabilities(tasks)
    };
    let subscribing = || {
        let bad = default_backend().resource("a:b");
        bad.capabilities(json!({ "resources": { "subscribe": true } }))
    };
    // Each page is in time.
    let mut pages = 0;
    let paging = tasks().respond_with(move |request| {
        (request.kind() == "tasks/list").then(|| {
            pages += 1;
            let page = json!({ "tasks": [], "nextCursor": pages.to_string() });
            Reply::sse()
                .pause(Duration::from_millis(300))
                .event(message::result(page))
        })
    });
    [
        step(
            "pages of tasks",
            paging,
            |fixture| request(fixture, "tasks/list", json!({})),
            succeeds,
        ),
        step(
            "a task",
            tasks(),
            |fixture| {
                fixture.bad.always("tasks/get", Reply::stall());
                let params = json!({ "taskId": fixture.bad.task_id("bad", "1") });
                request(fixture, "tasks/get", params)
            },
            no_answer,
        ),
        step(
            "a resource",
            subscribing(),
            |fixture| {
                fixture.bad.always("resources/read", Reply::stall());
                request(fixture, "resources/read", json!({ "uri": "a:b" }))
            },
            no_answer,
        ),
        step(
            "a subscription",
            subscribing(),
            |fixture| {
                fixture.bad.always("resources/subscribe", Reply::stall());
                request(fixture, "resources/subscribe", json!({ "uri": "a:b" }))
            },
            |answer| assert_eq!(answer.gateway_error().0, "deadline"),
        ),
        step(
            "a subscription behind another",
            subscribing(),
            |fixture| {
                fixture.bad.always("resources/subscribe", Reply::stall());
                let params = json!({ "uri": "a:b" });
                let subscribe = |_| request(fixture, "resources/subscribe", params.clone());
                (0..4).flat_map(subscribe).collect()
            },
            |answer| assert_eq!(answer.gateway_error().0, "deadline"),
        ),
    ]
}
