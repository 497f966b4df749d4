//! A saved config takes effect while the gateway runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::PATIENCE;
use crate::common::canary;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{TestGateway, save};
use crate::common::process::{self, Process};
use crate::common::reply::Reply;

const LIST_CHANGED: &str = "notifications/tools/list_changed";

/// A change takes effect within this time.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn a_saved_config_takes_effect_within_a_second() {
    let (one, two) = (
        FakeBackend::start().tool("a"),
        FakeBackend::start().tool("b"),
    );
    let alone = one.entry("one", "");
    let both = alone.clone() + &two.entry("two", "");
    let mut gateway = TestGateway::with_config(&alone);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["a"]);
    let mut times = Vec::new();
    for _ in 0..2 {
        for (config, names) in [(&both, &["a", "b"][..]), (&alone, &["a"])] {
            let begun = Instant::now();
            gateway.save_config(config);
            gateway.next_notification(LIST_CHANGED);
            times.push(begun.elapsed());
            assert_eq!(gateway.tool_names(), names);
        }
    }
    // Any of them may be slow on a busy machine.
    assert!(times.iter().min().unwrap() < &SOON, "{times:?}");
    assert_eq!(one.requests_of("initialize").len(), 1, "it was not touched");
}

#[test]
fn a_reload_says_once_that_lists_have_changed() {
    let fakes: Vec<FakeBackend> = ["a", "b", "c", "d"]
        .map(|name| FakeBackend::start().tool(name))
        .into();
    let entry = |at: usize| fakes[at].entry(&format!("of-{at}"), "");
    let configs = [
        (entry(0) + &entry(1), ["a", "b"].as_slice()),
        (entry(1) + &entry(2) + &entry(3), &["b", "c", "d"]),
    ];
    let mut gateway = TestGateway::with_config(&configs[0].0);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), configs[0].1);
    // On a busy machine the new backends may take longer than is waited for them.
    let at_once = (1..20).find(|attempt| {
        let (config, names) = &configs[attempt % 2];
        gateway.save_config(config);
        gateway.next_notification(LIST_CHANGED);
        let at_once = gateway.tool_names() == *names;
        while gateway.tool_names() != *names {
            gateway.next_notification(LIST_CHANGED);
        }
        at_once
    });
    assert!(at_once.is_some(), "each reload is told of in parts");
    // Nothing else was said before the answer to a later request.
    let id = gateway.request("ping", json!({}));
    assert_eq!(*gateway.next_message().id(), id);
}

#[test]
fn rules_change_without_a_new_connection() {
    let fake = FakeBackend::start().tool("read").tool("drop");
    let mut gateway = TestGateway::with_config(&fake.entry("db", ""));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["read", "drop"]);
    gateway.save_config(&fake.entry("db", "tools.deny = [\"drop\"]"));
    gateway.next_notification(LIST_CHANGED);
    assert_eq!(gateway.tool_names(), ["read"]);
    assert_eq!(gateway.call("drop", json!({})).code(), -32603);
    gateway.save_config(&fake.entry("db", "tools.rename = { drop = \"erase\" }"));
    gateway.next_notification(LIST_CHANGED);
    assert_eq!(gateway.tool_names(), ["read", "erase"]);
    assert_eq!(gateway.call("erase", json!({})).text(), "drop {}");
    assert_eq!(fake.requests_of("initialize").len(), 1);
    assert_eq!(fake.requests_of("tools/list").len(), 1);
}

#[test]
fn names_keep_their_owners() {
    let (one, two) = (
        FakeBackend::start().tool("t"),
        FakeBackend::start().tool("t"),
    );
    let mut gateway = TestGateway::with_config(&(one.entry("one", "") + &two.entry("two", "")));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t", "two__t"]);
    // In another order, with another connection, and with one more.
    let three = FakeBackend::start().tool("t");
    let more = "headers = { X-More = \"yes\" }";
    gateway
        .save_config(&(two.entry("two", more) + &three.entry("three", "") + &one.entry("one", "")));
    gateway.wait_for_tool("three__t");
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    assert_eq!((one.runs("t"), two.runs("t")), (1, 0));
    assert_eq!(gateway.call("two__t", json!({})).text(), "t {}");
    assert_eq!((one.runs("t"), two.runs("t")), (1, 1));
}

#[test]
fn fault_82_a_call_ends_on_the_connection_it_began_on() {
    let fake = FakeBackend::start().tool("slow").tool("fast");
    let mut gateway = TestGateway::with_config(&fake.entry("db", ""));
    gateway.initialize();
    gateway.tool_names();
    let gate = Gate::new();
    fake.on_tool("slow", Reply::text("at last").after(&gate));
    let call = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    gateway.save_config(&fake.entry("db", "headers = { X-New = \"yes\" }"));
    fake.wait_for_requests("initialize", 2);
    gateway.call("fast", json!({}));
    assert_eq!(header(&fake, "tools/call", 1), Some("yes".to_owned()));
    assert!(
        fake.requests_of("DELETE").is_empty(),
        "the old session is in use"
    );
    gate.open();
    assert_eq!(gateway.answer(call).text(), "at last");
    fake.wait_for_requests("DELETE", 1);
    assert_eq!(header(&fake, "DELETE", 0), None);
    assert_eq!((fake.runs("slow"), fake.runs("fast")), (1, 1));
}

/// The value of `X-New` in a request.
fn header(fake: &FakeBackend, kind: &str, nth: usize) -> Option<String> {
    let requests = fake.requests_of(kind);
    requests[nth].header("x-new").map(str::to_owned)
}

/// The backend of a call is connected for the first time, or anew, and is replaced once more while the call
/// waits for it.
#[test]
fn fault_82_a_call_waits_for_what_its_backend_becomes() {
    for is_new in [false, true] {
        let (old, new) = (FakeBackend::start().tool("t"), FakeBackend::start());
        let mut gateway = TestGateway::with_config(&old.entry("db", ""));
        gateway.initialize();
        assert_eq!(gateway.tool_names(), ["t"]);
        let (fake, tool) = if is_new { (&new, "u") } else { (&old, "t") };
        let gate = Gate::new();
        let tools = json!({ "tools": [{ "name": tool, "inputSchema": { "type": "object" } }] });
        for _ in 0..2 {
            fake.on("tools/list", Reply::result(tools.clone()).after(&gate));
        }
        fake.set_tools(&[tool]);
        let save = |gateway: &mut TestGateway, header: &str| {
            let entry = |name| fake.entry(name, &format!("headers = {{ X-New = \"{header}\" }}"));
            gateway.save_config(&match is_new {
                false => entry("db"),
                true => old.entry("db", "") + &entry("another"),
            });
        };
        save(&mut gateway, "first");
        gate.wait_for(1);
        let call = gateway.start_call(tool, json!({}));
        save(&mut gateway, "second");
        gate.wait_for(2);
        gate.open();
        gateway.answer(call).result();
        assert_eq!(header(fake, "tools/call", 0), Some("second".to_owned()));
        assert_eq!(fake.runs(tool), 1);
    }
}

#[test]
fn fault_82_a_bad_config_changes_nothing_and_a_good_one_after_it_does() {
    let fake = FakeBackend::start().tool("a");
    let other = FakeBackend::start().tool("b");
    let mut gateway = TestGateway::with_config(&fake.entry("one", ""));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["a"]);
    for bad in ["[[backends]", "nonsense = 1", &fake.entry("NO", "")] {
        gateway.save_config(bad);
        let begun = Instant::now();
        while begun.elapsed() < SOON {
            assert_eq!(gateway.tool_names(), ["a"]);
            assert_eq!(gateway.call("a", json!({})).text(), "a {}");
        }
    }
    gateway.save_config(&other.entry("two", ""));
    gateway.wait_for_tool("b");
    assert_eq!(gateway.tool_names(), ["b"]);
}

#[test]
fn secrets_from_files_are_read_again() {
    secret_is_read_again(|file| format!("{{ file = {} }}", Value::from(file)));
}

#[cfg(unix)]
#[test]
fn secrets_from_commands_are_read_again() {
    secret_is_read_again(|file| format!("{{ command = {} }}", Value::from(vec!["cat", file])));
}

/// Though nothing in the config has changed. `source` says in TOML how the secret in this file is had.
fn secret_is_read_again(source: impl Fn(&str) -> String) {
    let fake = FakeBackend::start().tool("a");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "first-key-of-all").unwrap();
    let source = source(file.to_str().unwrap());
    let config = fake.entry("one", &format!("headers = {{ X-New = {source} }}"));
    let mut gateway = TestGateway::with_config(&config);
    gateway.initialize();
    gateway.call("a", json!({}));
    assert_eq!(header(&fake, "tools/call", 0).unwrap(), "first-key-of-all");
    std::fs::write(&file, "second-key-of-all").unwrap();
    gateway.save_config(&format!("# the key has changed\n{config}"));
    let begun = Instant::now();
    let mut calls = 1;
    while header(&fake, "tools/call", calls - 1).unwrap() != "second-key-of-all" {
        assert!(begun.elapsed() < PATIENCE);
        gateway.call("a", json!({}));
        calls += 1;
    }
    assert_eq!(fake.requests_of("initialize").len(), 1);
}

#[test]
fn a_config_that_was_merely_found_is_not_loaded_again() {
    use sentinel_gateway::config::{Environment, Overrides, diff, load};

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sentinel.toml"), "").unwrap();
    let found = load(&Overrides::default(), &Environment::new(folder.path())).unwrap();
    let named = Overrides {
        config: Some("sentinel.toml".into()),
        ..Overrides::default()
    };
    let named = load(&named, &Environment::new(folder.path())).unwrap();
    assert!(!found.may_change() && named.may_change());
    assert!(diff(&found, named).is_empty());
}

/// Calls that go out one after another while all 50 backends get new connections, new rules and other
/// neighbours: none is lost, refused or run twice.
#[test]
fn fifty_backends_are_reloaded_under_load_without_a_lost_call() {
    const BACKENDS: usize = 50;
    const PENDING: usize = 25;
    let fakes: Vec<FakeBackend> = (0..5)
        .map(|_| FakeBackend::start().tool("echo").without_recording())
        .collect();
    let config = |round: usize| -> String {
        let entry = |at: usize| {
            let more = match (at + round) % 5 {
                0 => format!("headers = {{ X-Round = \"{round}\" }}"),
                1 => format!("timeout_secs = {}", 100 + round),
                2 => format!("tools.describe = {{ echo = \"in round {round}\" }}"),
                _ => String::new(),
            };
            fakes[at % 5].entry(&format!("b{at}"), &more)
        };
        let last = if round.is_multiple_of(2) {
            BACKENDS
        } else {
            BACKENDS - 1
        };
        "[gateway]\ntool_names = \"prefixed\"\n".to_owned()
            + &(0..last).map(entry).collect::<String>()
    };
    let mut gateway = TestGateway::with_config(&config(0));
    gateway.initialize();
    assert_eq!(gateway.tool_names().len(), BACKENDS);
    let mut calls = 0;
    for round in 1..=4 {
        gateway.save_config(&config(round));
        let mut changed = false;
        let begun = Instant::now();
        // Until the last backend has come or gone, and for a while after it.
        while !changed || begun.elapsed() < SOON {
            assert!(begun.elapsed() < PATIENCE, "round {round} is not taken");
            let ids: Vec<u64> = (0..PENDING)
                .map(|at| {
                    // Not the one that comes and goes.
                    let backend = (calls + at) % (BACKENDS - 1);
                    gateway.start_call(&format!("b{backend}__echo"), json!({ "n": calls + at }))
                })
                .collect();
            for (at, id) in ids.into_iter().enumerate() {
                let expected = format!(r#"echo {{"n":{}}}"#, calls + at);
                assert_eq!(gateway.answer(id).text(), expected);
            }
            calls += PENDING;
            let there = gateway.tool_names().len();
            changed |= there == BACKENDS - round % 2;
        }
    }
    let ran: usize = fakes.iter().map(|fake| fake.runs("echo")).sum();
    assert_eq!(ran, calls);
}

/// From when a change of 50 backends is noticed until new calls go by it, with at least a thousand calls a second beside.
/// `RELOAD_MS` is the most that half of the changes may take; `.ci/run` sets it to 100 for the release build. Without it a build
/// that is not optimized has ten times as long, on a machine that may be busy.
#[test]
fn a_change_of_fifty_backends_takes_effect_soon_under_load() {
    const BACKENDS: usize = 50;
    const ROUNDS: usize = 4;
    const CALLS_A_ROUND: usize = 1_000;
    let aim = std::env::var("RELOAD_MS").ok();
    let aim: Option<u64> = aim.map(|aim| aim.parse().expect("RELOAD_MS is a number"));
    let fakes: Vec<FakeBackend> = (0..5)
        .map(|_| FakeBackend::start().tool("echo").without_recording())
        .collect();
    let config = |round: usize| -> String {
        let entries = (0..BACKENDS).map(|at| {
            let more = match at % 2 {
                0 => format!("headers = {{ X-Round = \"{round}\" }}"),
                _ => format!("timeout_secs = {}", 100 + round),
            };
            fakes[at % 5].entry(&format!("b{at}"), &more)
        });
        let gateway = "[gateway]\ntool_names = \"prefixed\"\n".to_owned();
        gateway + &entries.collect::<String>()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = process::gateway(&folder, &config(0));
    command.args(["--log-level", "debug"]);
    let mut gateway = Process::start(command, folder, PATIENCE);
    gateway.client.initialize();
    assert_eq!(gateway.client.tool_names().len(), BACKENDS);
    let (mut calls, started) = (0, Instant::now());
    for round in 1..=ROUNDS {
        save(
            gateway.folder(),
            &canary::plant(&config(round), gateway.folder()),
        );
        let begun = Instant::now();
        let mut of_round = 0;
        while of_round < CALLS_A_ROUND || begun.elapsed() < SOON {
            let ids: Vec<u64> = (0..25)
                .map(|at| {
                    let tool = format!("b{}__echo", (calls + at) % BACKENDS);
                    gateway.client.start_call(&tool, json!({ "n": calls + at }))
                })
                .collect();
            for (at, id) in ids.into_iter().enumerate() {
                let expected = format!(r#"echo {{"n":{}}}"#, calls + at);
                assert_eq!(gateway.client.answer(id).text(), expected);
            }
            calls += 25;
            of_round += 25;
        }
    }
    let a_second = calls as f64 / started.elapsed().as_secs_f64();
    let log = gateway.end().log;
    let times = log.lines().filter_map(|line| {
        let (_, after) = line.split_once("took_ms=")?;
        after.split_whitespace().next()?.parse::<u64>().ok()
    });
    let mut times: Vec<u64> = times.collect();
    times.sort_unstable();
    assert_eq!(times.len(), ROUNDS, "{log}");
    eprintln!("{BACKENDS} backends, {a_second:.0} calls a second: {times:?} ms each");
    match aim {
        Some(aim) => {
            assert!(times[ROUNDS / 2] <= aim, "{times:?}");
            assert!(a_second >= 1_000.0, "only {a_second:.0} calls a second");
        }
        None => assert!(times[0] <= 1_000, "{times:?}"),
    }
    let ran: usize = fakes.iter().map(|fake| fake.runs("echo")).sum();
    assert_eq!(ran, calls, "none is lost, and none runs twice");
}
