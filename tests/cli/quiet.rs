//! What is not written to stderr: clients show its lines as errors.

use super::*;
use crate::common::gate::Gate;

/// The gateway as a client starts it, without settings of the log.
fn as_clients_do(toml: &str) -> Process {
    Process::start_in(tempfile::tempdir().unwrap(), toml, &[], None)
}

#[test]
pub(crate) fn a_healthy_run_writes_nothing_to_stderr() {
    let server = || FakeBackend::start().tool("echo");
    for fake in [
        server(),
        server().sse(),
        server().with_get(),
        server().modern(),
    ] {
        let mut process = as_clients_do(&fake.entry("fake", ""));
        process.send(INITIALIZE);
        process.call("c", "echo");
        let answers = [process.answer(), process.answer()];
        assert!(answers[1]["result"].is_object(), "{answers:?}");
        assert_eq!(process.exit(), (Some(0), String::new()));
    }
}

#[test]
pub(crate) fn a_problem_is_still_written() {
    let mut process = as_clients_do(&FakeBackend::down().entry("gone", ""));
    process.send(INITIALIZE);
    process.send(r#"{"jsonrpc":"2.0","id":"l","method":"tools/list"}"#);
    let _ = [process.answer(), process.answer()];
    let (_, log) = process.exit();
    assert!(log.contains("backend is down"), "{log}");
    assert!(!log.contains("INFO"), "{log}");
}

#[test]
pub(crate) fn a_level_of_the_user_counts() {
    let fake = FakeBackend::start();
    for (arguments, log) in [(&["--log-level", "info"][..], None), (&[], Some("info"))] {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start_in(folder, &fake.entry("fake", ""), arguments, log);
        process.send(INITIALIZE);
        process.answer();
        let (_, log) = process.exit();
        assert!(log.contains("INFO serving"), "{log}");
    }
}

/// Ends in the ways a client has, and returns what was logged at `warn`.
fn logged_at_the_end(mut process: Process, signal: Option<&str>) -> String {
    if let Some(signal) = signal {
        let kill = std::process::Command::new("kill")
            .args(["-s", signal, &process.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        // Its stdin stays open until it has ended.
        assert!(process.child.wait().unwrap().success());
    }
    process.eof();
    process.exit().1
}

#[cfg(unix)]
#[test]
pub(crate) fn what_the_end_interrupts_is_not_reported() {
    for signal in [None, Some("TERM"), Some("INT")] {
        let waiting = ["a", "b", "c", "d", "e", "f"].map(|name| (name, FakeBackend::start()));
        let entries = waiting.iter().map(|(name, fake)| fake.entry(name, ""));
        let mut process = as_clients_do(&entries.collect::<String>());
        // They wait for the client's handshake, which never comes.
        for (_, fake) in &waiting {
            fake.wait_for_requests("server/discover", 1);
        }
        for _ in 0..10 {
            process.send(PING);
            process.answer();
        }
        assert_eq!(logged_at_the_end(process, signal), "", "{signal:?}");

        // Each request of a handshake, each list, and a call of each kind that are under way.
        let gate = Gate::new();
        let hold = |fake: &FakeBackend, kind: &str| {
            fake.on(kind, Reply::result(json!({})).after(&gate));
        };
        let kinds = [
            "initialize",
            "notifications/initialized",
            "tools/list",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
        ];
        let fakes = kinds.map(|kind| {
            let fake = FakeBackend::start().tool("t").prompt("p");
            let fake = fake.resource("x://1").template("x://{a}");
            hold(&fake, kind);
            fake
        });
        let called = FakeBackend::start().tool("u").prompt("q").resource("y://1");
        let calls = [
            ("tools/call", json!({ "name": "u" })),
            ("prompts/get", json!({ "name": "q" })),
            ("resources/read", json!({ "uri": "y://1" })),
        ];
        let probed = FakeBackend::start().refusing_modern(Reply::status(404).after(&gate));
        let entries = fakes.iter().enumerate();
        let entries: String = entries
            .map(|(at, fake)| fake.entry(&format!("b{at}"), ""))
            .collect();
        let toml = entries + &probed.entry("probed", "") + &called.entry("called", "");
        let mut process = as_clients_do(&format!("[gateway]\ndrain_ms = 50\n{toml}"));
        process.send(INITIALIZE);
        for (method, params) in &calls {
            hold(&called, method);
            let request =
                json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
            process.send(&request.to_string());
        }
        gate.wait_for(kinds.len() + 1 + calls.len());
        assert_eq!(logged_at_the_end(process, signal), "", "{signal:?}");
        gate.open();
    }
}

#[test]
pub(crate) fn a_wait_for_backends_that_the_end_cuts_short_is_not_reported() {
    let (gate, fake) = (Gate::new(), FakeBackend::start().tool("t"));
    let toml = fake.entry("fake", "");
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start_in(folder, &toml, &[], None);
    process.send(INITIALIZE);
    process.call("c", "t");
    let _ = [process.answer(), process.answer()];
    let (_, _, folder) = process.exit_with_folder();

    // Its listing is in the cache now.
    fake.always("initialize", Reply::result(json!({})).after(&gate));
    let mut process = Process::start_in(folder, &toml, &[], None);
    process.send(INITIALIZE);
    process.answer();
    gate.wait_for(1);
    assert_eq!(process.exit(), (Some(0), String::new()));
    gate.open();
}

#[test]
pub(crate) fn a_rule_that_matches_no_tool_is_logged_once() {
    let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    let fake = FakeBackend::start().tool_with("echo", json!({ "inputSchema": schema }));
    let changed =
        crate::common::message::notification("notifications/tools/list_changed", json!({}));
    let reply = Reply::sse()
        .event(changed)
        .event(crate::common::message::text("done"));
    fake.on_tool("echo", reply);
    let rules = "tools.deny = [\"ecko\"]\ntools.timeout_secs = { ecko = 5 }\n\
                 tools.args = { echo = { nosuch = [1] } }";
    let mut process = as_clients_do(&fake.entry("fake", rules));
    process.send(INITIALIZE);
    process.call("c", "echo");
    let _ = [process.answer(), process.answer()];
    // The change makes it list again.
    fake.wait_for_requests("tools/list", 2);
    let (_, log) = process.exit();
    let lines: Vec<&str> = log.lines().collect();
    let words = [
        "tools.deny: \"ecko\" matches no tool; did you mean \"echo\"?",
        "tools.timeout_secs: \"ecko\" matches no tool; did you mean \"echo\"?",
        "tools.args: \"echo.nosuch\" matches no argument",
    ];
    assert_eq!(lines.len(), words.len(), "{log}");
    for words in words {
        let words = format!("a rule of the config has no effect: {words}");
        assert!(log.contains(&words), "{words}: {log}");
    }
}
