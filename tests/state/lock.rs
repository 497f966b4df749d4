//! `sentinel.lock`: when it is used, when it is written, and that no pin is lost.

use std::fs;

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::state::fixture::StateFixture;

const BLOCK: &str = "tools.pin = \"block\"";

/// The input of a client that calls one tool.
fn request(tool: &str) -> String {
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
    let params = json!({ "name": tool, "arguments": {} });
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params });
    format!("{initialize}\n{call}\n")
}

#[test]
fn two_gateways_keep_each_others_pins() {
    let (first, second) = (FakeBackend::start(), FakeBackend::start());
    let names: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    first.set_tools(&names);
    second.set_tools(&names);
    let fixture = StateFixture::with(first.entry("first", "") + &second.entry("second", ""));
    // Both use the same config, each with some of its backends, like two entries of a client.
    let run = |only| fixture.binary(&["--only", only], &request("no such tool"));
    std::thread::scope(|scope| {
        for only in ["first", "second", "first", "second"] {
            scope.spawn(move || {
                let ended = run(only);
                assert!(ended.out.contains("unknown tool"), "{}", ended.out);
            });
        }
    });
    assert_eq!(fixture.pins().len(), 80);
}

#[test]
fn an_unreadable_lock_is_an_error_with_block_and_a_warning_otherwise() {
    let fake = FakeBackend::start().tool("echo");
    let mut fixture = StateFixture::with(fake.entry("fake", BLOCK));
    fixture.tool_names();
    // With a merge conflict.
    let conflicted = fixture.lock().replacen('\n', "\n<<<<<<< ours\n", 1);
    for (broken, line) in [
        (conflicted.clone(), 2),
        (fixture.lock().replace("\"sha256\":\"", "\"sha256\":\"x"), 2),
        (fixture.lock().replace("\"version\":2", "\"version\":3"), 1),
        (String::new(), 1),
    ] {
        fs::write(fixture.path("sentinel.lock"), &broken).unwrap();
        let ended = fixture.binary(&["check"], "");
        assert_eq!(ended.code, 2, "{broken}");
        let position = format!("sentinel.lock:{line}: ");
        assert!(ended.err.contains(&position), "{position} in {}", ended.err);
    }
    fs::write(fixture.path("sentinel.lock"), &conflicted).unwrap();
    fixture.rewrite(fake.entry("fake", ""));
    let log = fixture.log_of_a_run();
    assert!(
        log.contains("WARN") && log.contains("sentinel.lock:2: "),
        "{log}"
    );
    assert_eq!(fixture.lock(), conflicted, "it is unchanged");
    let refused = fixture.binary(&["pin"], "");
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("sentinel.lock:2: "), "{}", refused.err);
    assert_eq!(fixture.lock(), conflicted);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_not_followed() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", ""));
    fs::write(fixture.path("target"), "precious").unwrap();
    std::os::unix::fs::symlink(fixture.path("target"), fixture.path("sentinel.lock")).unwrap();
    let log = fixture.log_of_a_run();
    assert!(log.contains("symbolic link"), "{log}");
    assert_eq!(
        fs::read_to_string(fixture.path("target")).unwrap(),
        "precious"
    );
}

#[cfg(unix)]
#[test]
fn the_lock_has_the_same_permissions_as_the_config() {
    use std::os::unix::fs::PermissionsExt;

    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", ""));
    fixture.tool_names();
    let of = |name| {
        fs::metadata(fixture.path(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(of("sentinel.lock"), of("sentinel.toml"));
}

#[test]
fn an_untrusted_config_gets_no_lock() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", ""));
    fs::write(fixture.path("sentinel.toml"), fake.entry("fake", "")).unwrap();
    assert_eq!(fixture.binary_without_config(&["call", "echo"], "").code, 0);
    let flag = format!("flag={}", fake.url());
    let flags_only = ["--backend", &flag, "--only", "flag", "call", "echo"];
    assert_eq!(fixture.binary_without_config(&flags_only, "").code, 0);
    assert!(!fixture.path("sentinel.lock").exists());
    let refused = fixture.binary_without_config(&["pin"], "");
    assert_eq!(refused.code, 2);
    let why = "only found in the working folder";
    assert!(refused.err.contains(why), "{}", refused.err);
}

#[test]
fn an_unwritable_folder_costs_one_log_line() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with("");
    // The folder is removed while the gateway runs, since permissions don't stop root.
    let inner = fixture.path("inner");
    let config = inner.join("sentinel.toml");
    fs::create_dir(&inner).unwrap();
    fs::write(&config, fake.entry("fake", "")).unwrap();
    let gate = Gate::new();
    let tools = json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] });
    fake.on("tools/list", Reply::result(tools).after(&gate));
    let arguments = ["--config", config.to_str().unwrap()];
    let ended = std::thread::scope(|scope| {
        let running = scope.spawn(|| fixture.binary_without_config(&arguments, &request("echo")));
        gate.wait_for(1);
        fs::remove_dir_all(&inner).unwrap();
        gate.open();
        running.join().unwrap()
    });
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("echo {}"), "{}", ended.out);
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(lines.len(), 1, "{}", ended.err);
    assert!(lines[0].contains("sentinel.lock"), "{}", ended.err);
}
