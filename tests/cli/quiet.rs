//! What is not written to stderr: clients show its lines as errors.

use super::*;
use crate::common::gate::Gate;

/// The gateway as a client starts it, without settings of the log.
fn as_clients_do(toml: &str) -> Process {
    Process::start_in(tempfile::tempdir().unwrap(), toml, &[], None)
}

#[test]
pub(crate) fn a_healthy_run_writes_nothing_to_stderr() {
    let fake = FakeBackend::start().tool("echo");
    let mut process = as_clients_do(&fake.entry("fake", ""));
    process.send(INITIALIZE);
    process.call("c", "echo");
    let answers = [process.answer(), process.answer()];
    assert!(answers[1]["result"].is_object(), "{answers:?}");
    assert_eq!(process.exit(), (Some(0), String::new()));
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

/// Ends in both ways a client has, and returns what was logged at `warn`.
fn logged_at_the_end(mut process: Process, by_signal: bool) -> String {
    if by_signal {
        let kill = std::process::Command::new("kill")
            .args(["-s", "TERM", &process.child.id().to_string()])
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
    for by_signal in [false, true] {
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
        assert_eq!(logged_at_the_end(process, by_signal), "", "{by_signal}");

        // Handshakes, a list and a call that are under way.
        let gate = Gate::new();
        let [probe, list, call] = [0; 3].map(|_| FakeBackend::start().tool("t").tool("u"));
        probe.on("initialize", Reply::result(json!({})).after(&gate));
        list.on("tools/list", Reply::result(json!({})).after(&gate));
        call.on_tool("t", Reply::result(json!({})).after(&gate));
        let toml = probe.entry("probe", "") + &list.entry("list", "") + &call.entry("call", "");
        let mut process = as_clients_do(&format!("[gateway]\ndrain_ms = 50\n{toml}"));
        process.send(INITIALIZE);
        process.call("c", "t");
        gate.wait_for(3);
        assert_eq!(logged_at_the_end(process, by_signal), "", "{by_signal}");
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
    let fake = FakeBackend::start().tool("echo");
    let changed =
        crate::common::message::notification("notifications/tools/list_changed", json!({}));
    let reply = Reply::sse()
        .event(changed)
        .event(crate::common::message::text("done"));
    fake.on_tool("echo", reply);
    let mut process = as_clients_do(&fake.entry("fake", "tools.deny = [\"ecko\"]"));
    process.send(INITIALIZE);
    process.call("c", "echo");
    let _ = [process.answer(), process.answer()];
    // The change makes it list again.
    fake.wait_for_requests("tools/list", 2);
    let (_, log) = process.exit();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 1, "{log}");
    let words = "a rule of the config has no effect: tools.deny: \"ecko\" matches no tool; did you mean \"echo\"?";
    assert!(lines[0].contains(words), "{log}");
}
