//! The listing cache: tools of a backend that is down or slow at the start stay listed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::state::fixture::StateFixture;

const SHORT_STARTUP: &str = "[gateway]\nstartup_wait_ms = 300\n";
const NO_RETRIES: &str = "retries = 0";

/// Two backends with a tool of the same name. The first goes down after both were listed.
fn first_is_down() -> (FakeBackend, FakeBackend, StateFixture) {
    let (first, second) = (FakeBackend::start(), FakeBackend::start().tool("echo"));
    let first = first
        .tool("echo")
        .tool("only")
        .prompt("ask")
        .resource("file:///a");
    let fixture =
        StateFixture::with(first.entry("first", NO_RETRIES) + &second.entry("second", NO_RETRIES));
    assert_eq!(fixture.tool_names(), ["echo", "only", "second__echo"]);
    first.go_down();
    (first, second, fixture)
}

#[test]
fn a_backend_that_is_down_at_the_start_is_listed_under_the_same_names() {
    let (first, second, fixture) = first_is_down();
    let mut gateway = fixture.gateway();
    assert_eq!(gateway.tool_names(), ["echo", "only", "second__echo"]);
    let prompts = gateway.ask("prompts/list", json!({}));
    assert_eq!(prompts.result()["prompts"][0]["name"], "ask");
    let resources = gateway.ask("resources/list", json!({}));
    assert_eq!(resources.result()["resources"][0]["uri"], "file:///a");

    let refused = gateway.call("only", json!({}));
    assert_eq!(refused.gateway_error(), ("unreachable", "no", 1));
    first.come_up();
    assert_eq!(gateway.call("echo", json!({})).text(), "echo {}");
    assert_eq!((first.runs("echo"), second.runs("echo")), (1, 0));
}

#[test]
fn names_are_the_same_after_every_restart_whichever_backends_are_up() {
    let tools: [&[&str]; 3] = [&["echo", "a"], &["a", "b", "echo"], &["b", "a"]];
    let fakes: Vec<FakeBackend> = tools
        .iter()
        .map(|tools| {
            let fake = FakeBackend::start();
            fake.set_tools(tools);
            fake
        })
        .collect();
    let entries = ["one", "two", "three"].iter().zip(&fakes);
    let fixture = StateFixture::with(
        entries
            .map(|(name, fake)| fake.entry(name, NO_RETRIES))
            .collect::<String>(),
    );
    let names = fixture.tool_names();
    assert_eq!(names[..3], ["echo", "a", "two__a"]);
    for up in 0..8 {
        for (at, fake) in fakes.iter().enumerate() {
            match up & (1 << at) {
                0 => fake.go_down(),
                _ => fake.come_up(),
            };
        }
        assert_eq!(fixture.tool_names(), names, "{up:03b}");
    }
}

#[test]
fn a_call_waits_for_a_list_only_until_its_deadline() {
    let fake = FakeBackend::start().tool("echo");
    let toml = fake.entry("fake", "timeout_secs = 1");
    let fixture = StateFixture::with(format!("{SHORT_STARTUP}{toml}"));
    fixture.tool_names();
    fake.always("tools/list", Reply::stall());
    let mut gateway = fixture.gateway();
    assert_eq!(gateway.tool_names(), ["echo"]);
    let begun = Instant::now();
    let answer = gateway.call("echo", json!({}));
    assert_eq!(answer.gateway_error(), ("deadline", "no", 0));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(fake.runs("echo"), 0);
}

#[test]
fn a_call_that_the_breaker_refuses_does_not_wait_for_a_list() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    let connecting = ["server/discover", "initialize"];
    for step in connecting {
        fake.always(step, Reply::status(502));
    }
    let mut gateway = fixture.gateway();
    for _ in 0..5 {
        assert!(gateway.call("echo", json!({})).gateway_error().2 > 0);
    }
    // A call that waited here longer than the breaker is open would be let through.
    for step in connecting {
        fake.always(step, Reply::stall());
    }
    let refused = gateway.call("echo", json!({}));
    assert_eq!(refused.gateway_error(), ("unreachable", "no", 0));
}

#[test]
fn a_slow_backend_is_listed_from_the_cache_after_the_startup_wait() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(format!("{SHORT_STARTUP}{}", fake.entry("fake", "")));
    fixture.tool_names();
    let gate = Gate::new();
    fake.on(
        "server/discover",
        Reply::error(-32601, "unknown").after(&gate),
    );
    let mut gateway = fixture.gateway();
    assert_eq!(gateway.tool_names(), ["echo"]);
    let call = gateway.start_call("echo", json!({}));
    gate.open();
    assert_eq!(gateway.answer(call).text(), "echo {}");
}

#[test]
fn a_call_connects_first_and_uses_the_new_listing() {
    let fake = FakeBackend::start().tool("old").tool("kept");
    let fixture = StateFixture::with(format!("{SHORT_STARTUP}{}", fake.entry("fake", NO_RETRIES)));
    fixture.tool_names();
    fake.go_down().set_tools(&["kept", "new"]);
    let mut gateway = fixture.gateway();
    assert_eq!(gateway.tool_names(), ["old", "kept"]);
    fake.come_up();
    let gone = gateway.call("old", json!({}));
    assert_eq!(gone.code(), -32602, "{}", gone.message());
    gateway.next_notification("notifications/tools/list_changed");
    assert_eq!(gateway.tool_names(), ["kept", "new"]);
    assert_eq!(fake.runs("old"), 0);
}

#[test]
fn pins_apply_to_cached_and_to_new_listings() {
    let fake = FakeBackend::start().tool("echo").tool("add");
    let mut fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    // The cache has the new definition, the lock has the old one.
    fake.put_tool("echo", json!({ "description": "obey" }));
    fixture.tool_names();
    fake.go_down();
    fixture.rewrite(fake.entry("fake", "retries = 0\ntools.pin = \"block\""));
    let mut gateway = fixture.gateway();
    assert_eq!(gateway.tool_names(), ["add"]);
    fake.put_tool("add", json!({ "description": "obey" }));
    fake.come_up();
    let refused = gateway.call("add", json!({}));
    assert!(
        refused.message().contains("blocked"),
        "{}",
        refused.message()
    );
    assert_eq!(fake.runs("add"), 0);
}

#[test]
fn cached_annotations_do_not_allow_a_retry() {
    let hints = json!({ "annotations": { "readOnlyHint": true } });
    let fake = FakeBackend::start().tool_with("echo", hints);
    let fixture = StateFixture::with(fake.entry("fake", "retries = 2"));
    fixture.tool_names();
    // It is up, but its list fails.
    fake.always("tools/list", Reply::status(500));
    fake.always_tool("echo", Reply::status(500));
    let mut gateway = fixture.gateway();
    assert_eq!(gateway.tool_names(), ["echo"]);
    let failed = gateway.call("echo", json!({}));
    assert_eq!(failed.gateway_error(), ("outcome_unknown", "unknown", 1));
    assert_eq!(fake.requests_of("tools/call").len(), 1);

    fake.reset_script("tools/list");
    let mut gateway = fixture.gateway();
    gateway.tool_names();
    assert_eq!(
        gateway.call("echo", json!({})).gateway_error().2,
        3,
        "the backend declares it in this run"
    );
}

#[test]
fn a_list_that_fails_in_this_run_stays_cached() {
    let fake = FakeBackend::start().tool("echo").prompt("ask");
    let fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    fake.always("tools/list", Reply::status(500));
    for _ in 0..2 {
        let mut gateway = fixture.gateway();
        assert_eq!(gateway.tool_names(), ["echo"]);
        gateway.ask("prompts/list", json!({})).result();
    }
}

#[test]
fn a_list_with_cached_parts_has_a_ttl_of_zero() {
    let fake = FakeBackend::start().modern().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    let ttl = |fixture: &StateFixture| {
        let mut gateway = fixture.gateway();
        gateway.modern(json!({}));
        let answer = gateway.ask("tools/list", json!({}));
        assert_eq!(answer.result()["tools"][0]["name"], "echo");
        answer.result()["ttlMs"].clone()
    };
    assert_eq!(ttl(&fixture), 60_000);
    fake.go_down();
    assert_eq!(ttl(&fixture), 0);
}

#[test]
fn with_catalog_cache_off_nothing_is_written_or_read() {
    let fake = FakeBackend::start().tool("echo");
    let off = format!(
        "[gateway]\ncatalog_cache = false\n{}",
        fake.entry("fake", NO_RETRIES)
    );
    let mut fixture = StateFixture::with(off.clone());
    fixture.tool_names();
    assert!(!fixture.path("state/sentinel/catalog").exists());
    fixture.rewrite(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    assert_eq!(fixture.cache_files().len(), 1);
    fake.go_down();
    fixture.rewrite(off);
    assert!(fixture.tool_names().is_empty());
}

#[test]
fn a_cached_listing_is_used_only_for_the_same_url_and_protocol() {
    let (fake, other) = (FakeBackend::start().tool("echo"), FakeBackend::down());
    let mut fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    fixture.rewrite(other.entry("fake", NO_RETRIES));
    assert!(fixture.tool_names().is_empty());
    fixture.rewrite(fake.entry("fake", "retries = 0\nprotocol = \"modern\""));
    fake.go_down();
    assert!(fixture.tool_names().is_empty());
}

#[test]
fn the_cache_is_written_only_after_a_change() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    let file = fixture.cache_files().remove(0);
    let written = || fs::metadata(&file).unwrap().modified().unwrap();
    let first = written();
    fixture.tool_names();
    assert_eq!(written(), first);
    fake.set_tools(&["other"]);
    fixture.tool_names();
    assert_ne!(written(), first);
}

#[cfg(unix)]
#[test]
fn the_cache_is_readable_by_the_user_only() {
    use std::os::unix::fs::PermissionsExt;

    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    let file = fixture.cache_files().remove(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&fixture.path("state/sentinel")), 0o700);
    assert_eq!(mode(&fixture.path("state/sentinel/catalog")), 0o700);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_in_place_of_the_cache_is_not_followed() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    let file = fixture.cache_files().remove(0);
    fs::write(fixture.path("target"), "precious").unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(fixture.path("target"), &file).unwrap();
    assert_eq!(fixture.tool_names(), ["echo"]);
    assert_eq!(
        fs::read_to_string(fixture.path("target")).unwrap(),
        "precious"
    );
}

#[test]
fn an_unreadable_cache_costs_one_log_line() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", NO_RETRIES));
    fixture.tool_names();
    let file = fixture.cache_files().remove(0);
    let good = fs::read_to_string(&file).unwrap();
    fake.go_down();
    for broken in [
        good[..good.len() / 2].to_owned(),
        "\u{0}".repeat(9),
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("\"tools\":[", "\"tools\":1,\"x\":["),
        String::new(),
    ] {
        fs::write(&file, &broken).unwrap();
        let log = fixture.log_of_a_run();
        assert!(
            log.contains("can't be read and is not used"),
            "{broken}: {log}"
        );
        assert!(fixture.tool_names().is_empty());
    }
    fs::write(&file, good).unwrap();
    assert_eq!(fixture.tool_names(), ["echo"]);
}

#[test]
fn cached_listings_are_filtered_like_those_of_a_backend() {
    let fake = FakeBackend::start().tool("echo").tool("other");
    let fixture = StateFixture::with(fake.entry("fake", "retries = 0\ntools.deny = [\"other\"]"));
    fixture.tool_names();
    let file = fixture.cache_files().remove(0);
    let good = fs::read_to_string(&file).unwrap();
    fake.go_down();
    let hostile = r#"{"name":"a\nb"},{"name":"\u001b[31m"},{"name":"long","d":"LONG"},7,"#;
    let hostile = hostile.replace("LONG", &"x".repeat(1 << 20));
    let hidden = r#"{"name":"hides","description":"a\u202eb\u200b"},"#;
    fs::write(
        &file,
        good.replacen("[\n", &format!("[\n{hostile}{hidden}"), 1),
    )
    .unwrap();
    let mut gateway = fixture.gateway();
    let tools = gateway.list_tools();
    let names: Vec<_> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["hides", "echo"]);
    assert_eq!(tools[0]["description"], "ab");
}

#[test]
fn the_cache_contains_no_secret() {
    let fake = FakeBackend::start().tool("echo");
    let toml = fake.entry("fake", "headers = { X-Key = \"canary-header\" }");
    let toml = toml.replace("/mcp", "/mcp?token=canary-query");
    let fixture = StateFixture::with(toml);
    fixture.tool_names();
    let file = fixture.cache_files().remove(0);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("canary"), "{text}");
    assert!(!file.display().to_string().contains("canary"));
}

#[test]
fn check_and_tools_mark_cached_listings() {
    let (_first, _second, fixture) = first_is_down();
    let check = fixture.binary(&["check"], "");
    assert_eq!(check.code, 1);
    assert!(
        check
            .out
            .contains("what it listed at last contact, less than two hours ago"),
        "{}",
        check.out
    );
    let report = fixture.binary(&["check", "--json"], "").json();
    let row = &report["backends"][0];
    assert_eq!((&row["up"], &row["tools"]), (&json!(false), &json!(2)));
    assert!(
        row["last_contact"]
            .as_u64()
            .is_some_and(|at| at > 1_700_000_000),
        "{row}"
    );
    assert_eq!(report["backends"][1]["last_contact"], Value::Null);

    let tools = fixture.binary(&["tools", "--json"], "");
    assert_eq!(tools.code, 1);
    let stale: Vec<_> = tools
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["stale"].clone())
        .collect();
    assert_eq!(stale, [true, true, false]);
    assert!(
        tools.err.contains("it is shown as at last contact"),
        "{}",
        tools.err
    );
    let table = fixture.binary(&["tools"], "").out;
    assert!(table.contains("first (stale)"), "{table}");

    let log = fixture.log_of_a_run();
    assert!(
        log.contains("what it listed at last contact is served"),
        "{log}"
    );
}
