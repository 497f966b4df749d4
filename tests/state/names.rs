//! The names of tools from run to run: they follow the config and the lock, not who is up.

use std::fs;

use serde_json::json;

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::state::fixture::StateFixture;

const SHORT_STARTUP: &str = "[gateway]\nstartup_wait_ms = 300\n";
const NO_RETRIES: &str = "retries = 0";

/// `first` and `second`, whose tool `search` was seen in an earlier run; `first` has come since.
fn second_was_first() -> (FakeBackend, FakeBackend, StateFixture) {
    let (first, second) = (FakeBackend::start(), FakeBackend::start());
    second.set_tools(&["search", "add"]);
    let toml = [
        SHORT_STARTUP,
        &first.entry("first", NO_RETRIES),
        &second.entry("second", NO_RETRIES),
    ];
    let fixture = StateFixture::with(toml.concat());
    assert_eq!(fixture.tool_names(), ["search", "add"]);
    assert_eq!(fixture.pin("second", "search")["name"], "search");
    first.set_tools(&["search"]);
    (first, second, fixture)
}

/// As another person with the same config and lock has it.
fn without_cache(fixture: &StateFixture) {
    fs::remove_dir_all(fixture.path("state")).unwrap();
}

#[test]
fn a_name_is_kept_for_a_backend_that_is_down_without_a_cached_listing() {
    let (first, second, fixture) = second_was_first();
    without_cache(&fixture);
    second.go_down();
    let mut gateway = fixture.gateway();
    assert_eq!(gateway.tool_names(), ["first__search"]);
    second.come_up();
    // A call makes it connect.
    gateway.call("add", json!({}));
    gateway.next_notification("notifications/tools/list_changed");
    assert_eq!(gateway.tool_names(), ["first__search", "search", "add"]);
    gateway.call("search", json!({})).result();
    assert_eq!((first.runs("search"), second.runs("search")), (0, 1));
}

#[test]
fn two_people_with_one_config_and_lock_get_the_same_names_in_the_same_order() {
    let (_first, second, fixture) = second_was_first();
    let names = fixture.tool_names();
    assert_eq!(names, ["first__search", "search", "add"]);
    let lock = fixture.lock();
    // One is slow to connect, and the cache is another one or none.
    for is_slow in [false, true] {
        without_cache(&fixture);
        let gate = Gate::new();
        if is_slow {
            let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
            let tools = json!({ "tools": [tool("search"), tool("add")] });
            second.on("tools/list", Reply::result(tools).after(&gate));
        }
        let mut gateway = fixture.gateway();
        if is_slow {
            assert_eq!(gateway.tool_names(), ["first__search"]);
            gate.open();
            gateway.next_notification("notifications/tools/list_changed");
        }
        assert_eq!(gateway.tool_names(), names, "slow: {is_slow}");
        drop(gateway);
        assert_eq!(fixture.lock(), lock);
    }
}

#[test]
fn a_name_that_is_taken_over_is_in_the_log_and_in_check_until_it_is_accepted() {
    let (_first, second, fixture) = second_was_first();
    second.set_tools(&["add"]);
    let reported = |text: &str| text.contains("search") && text.contains("second");
    let check = |is_reported: bool| {
        let check = fixture.binary(&["check"], "");
        let note = "note: first: tools/list: search is a name that second had before";
        assert_eq!(check.out.contains(note), is_reported, "{}", check.out);
        let shown = fixture.binary(&["pin", "--dry-run"], "");
        assert_eq!(
            shown
                .out
                .contains("name search: first/search has it, second had it before"),
            is_reported,
            "{}",
            shown.out
        );
    };
    check(true);
    // The first run writes the tool down, later ones report the takeover all the same.
    for _ in 0..2 {
        let log = fixture.log_of_a_run();
        let lines = log
            .lines()
            .filter(|line| line.contains("takes over a name"));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 1, "{log}");
        assert!(lines[0].contains("WARN") && reported(lines[0]), "{log}");
        assert_eq!(fixture.tool_names(), ["search", "add"]);
        assert_eq!(fixture.pin("first", "search")["name"], "search");
        assert_eq!(fixture.pin("second", "search")["lost"], "search");
        check(true);
    }
    // It comes back too late.
    second.set_tools(&["search", "add"]);
    assert_eq!(fixture.tool_names(), ["search", "second__search", "add"]);

    let json = fixture.binary(&["pin", "--dry-run", "--json"], "").json();
    assert_eq!(
        json["names"],
        json!([{ "name": "search", "backend": "first", "tool": "search", "before": "second" }])
    );
    let accepted = fixture.binary(&["pin", "first/search"], "");
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    check(false);
    let log = fixture.log_of_a_run();
    assert!(!log.contains("takes over"), "{log}");
    assert_eq!(fixture.tool_names(), ["search", "second__search", "add"]);
}

#[test]
fn a_run_that_ends_before_all_have_listed_gives_no_names_away() {
    let (first, second) = (FakeBackend::start(), FakeBackend::start());
    first.set_tools(&["search"]);
    second.set_tools(&["search", "add"]);
    let toml = [
        "[gateway]\nstartup_wait_ms = 60000\n",
        &first.entry("first", NO_RETRIES),
        &second.entry("second", NO_RETRIES),
    ];
    let fixture = StateFixture::with(toml.concat());
    let gate = Gate::new();
    let tools = json!({ "tools": [{ "name": "search", "inputSchema": { "type": "object" } }] });
    first.on("tools/list", Reply::result(tools).after(&gate));
    let mut gateway = fixture.gateway();
    second.wait_for_requests("tools/list", 1);
    // It is saved beside what is being done.
    let begun = std::time::Instant::now();
    while fixture.cache_files().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "nothing was saved");
        std::thread::yield_now();
    }
    gateway.eof();
    gateway.exit();
    gate.open();
    assert_eq!(fixture.tool_names(), ["search", "second__search", "add"]);
}

#[test]
fn a_command_for_some_backends_gives_no_names_away() {
    for command in [&["check"][..], &["tools"], &["call", "add", "{}"]] {
        let (first, second) = (FakeBackend::start(), FakeBackend::start());
        first.set_tools(&["search"]);
        second.set_tools(&["search", "add"]);
        let toml = first.entry("first", NO_RETRIES) + &second.entry("second", NO_RETRIES);
        let fixture = StateFixture::with(toml);
        let ended = fixture.binary(&[command, &["--only", "second"]].concat(), "");
        assert_eq!(ended.code, 0, "{command:?}: {}", ended.err);
        assert_eq!(fixture.tool_names(), ["search", "second__search", "add"]);
    }
}
