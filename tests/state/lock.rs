//! `sentinel.lock`: when it is trusted, when it is written, and that nothing in it is lost.

use std::fs;

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::state::house::House;

const BLOCK: &str = "tools.pin = \"block\"";

#[test]
fn two_gateways_lose_nothing_of_each_others() {
    let (first, second) = (FakeBackend::start(), FakeBackend::start());
    let names: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    first.set_tools(&names);
    second.set_tools(&names);
    let house = House::with(first.entry("first", "") + &second.entry("second", ""));
    // The same file, each with a part of it, as two entries of a client have them.
    let run = |only| house.binary(&["--only", only, "call", "no such tool"], "");
    std::thread::scope(|scope| {
        for only in ["first", "second", "first", "second"] {
            scope.spawn(move || {
                let ended = run(only);
                assert!(ended.err.contains("unknown tool"), "{}", ended.err);
            });
        }
    });
    assert_eq!(house.pins().len(), 80);
}

#[test]
fn a_lock_that_can_not_be_read_stops_what_is_to_block_and_no_other() {
    let fake = FakeBackend::start().tool("echo");
    let mut house = House::with(fake.entry("fake", BLOCK));
    house.tool_names();
    // As a merge leaves it.
    let torn = house.lock().replacen('\n', "\n<<<<<<< ours\n", 1);
    for (broken, line) in [
        (torn.clone(), 2),
        (house.lock().replace("\"sha256\":\"", "\"sha256\":\"x"), 2),
        (house.lock().replace("\"version\":1", "\"version\":2"), 1),
        (String::new(), 1),
    ] {
        fs::write(house.path("sentinel.lock"), &broken).unwrap();
        let ended = house.binary(&["check"], "");
        assert_eq!(ended.code, 2, "{broken}");
        let place = format!("sentinel.lock:{line}: ");
        assert!(ended.err.contains(&place), "{place} in {}", ended.err);
    }
    fs::write(house.path("sentinel.lock"), &torn).unwrap();
    house.rewrite(fake.entry("fake", ""));
    let log = house.log_of_a_run();
    assert!(
        log.contains("WARN") && log.contains("sentinel.lock:2: "),
        "{log}"
    );
    assert_eq!(house.lock(), torn, "it is left alone");
    let refused = house.binary(&["pin"], "");
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("sentinel.lock:2: "), "{}", refused.err);
    assert_eq!(house.lock(), torn);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_not_followed() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", ""));
    fs::write(house.path("target"), "precious").unwrap();
    std::os::unix::fs::symlink(house.path("target"), house.path("sentinel.lock")).unwrap();
    let log = house.log_of_a_run();
    assert!(log.contains("symbolic link"), "{log}");
    assert_eq!(
        fs::read_to_string(house.path("target")).unwrap(),
        "precious"
    );
}

#[cfg(unix)]
#[test]
fn the_lock_may_be_read_by_others_as_the_config_may() {
    use std::os::unix::fs::PermissionsExt;

    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", ""));
    house.tool_names();
    let of = |name| fs::metadata(house.path(name)).unwrap().permissions().mode();
    assert_eq!(of("sentinel.lock"), of("sentinel.toml"));
}

#[test]
fn a_config_merely_found_gets_no_lock() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", ""));
    fs::write(house.path("sentinel.toml"), fake.entry("fake", "")).unwrap();
    assert_eq!(house.anywhere(&["call", "echo"], "").code, 0);
    let flag = format!("flag={}", fake.url());
    let alone = ["--backend", &flag, "--only", "flag", "call", "echo"];
    assert_eq!(house.anywhere(&alone, "").code, 0);
    assert!(!house.path("sentinel.lock").exists());
    let refused = house.anywhere(&["pin"], "");
    assert_eq!(refused.code, 2);
    let why = "only found in the working folder";
    assert!(refused.err.contains(why), "{}", refused.err);
}

#[test]
fn a_folder_that_can_not_be_written_costs_a_line_in_the_log() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with("");
    // Whoever runs this may be allowed everything, so the folder goes while the gateway runs.
    let inner = house.path("inner");
    let config = inner.join("sentinel.toml");
    fs::create_dir(&inner).unwrap();
    fs::write(&config, fake.entry("fake", "")).unwrap();
    let gate = Gate::new();
    let tools = json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] });
    fake.on("tools/list", Reply::result(tools).after(&gate));
    let arguments = ["--config", config.to_str().unwrap(), "--log-level", "warn"];
    let call = [&arguments[..], &["call", "echo"]].concat();
    let ended = std::thread::scope(|scope| {
        let running = scope.spawn(|| house.anywhere(&call, ""));
        gate.wait_for(1);
        fs::remove_dir_all(&inner).unwrap();
        gate.open();
        running.join().unwrap()
    });
    assert_eq!((ended.code, ended.out.as_str()), (0, "echo {}\n"));
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(lines.len(), 1, "{}", ended.err);
    assert!(lines[0].contains("sentinel.lock"), "{}", ended.err);
}
