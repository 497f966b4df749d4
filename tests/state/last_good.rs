//! The last-good catalogue: a backend that is down or slow at the start costs no tools.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::state::house::House;

const IMPATIENT: &str = "[gateway]\nstartup_wait_ms = 300\n";
const ONCE: &str = "retries = 0";

/// Two backends that share a name, the first of which goes down after both were listed.
fn first_is_down() -> (FakeBackend, FakeBackend, House) {
    let (first, second) = (FakeBackend::start(), FakeBackend::start().tool("echo"));
    let first = first
        .tool("echo")
        .tool("only")
        .prompt("ask")
        .resource("file:///a");
    let house = House::with(first.entry("first", ONCE) + &second.entry("second", ONCE));
    assert_eq!(house.tool_names(), ["echo", "only", "second__echo"]);
    first.go_down();
    (first, second, house)
}

#[test]
fn a_backend_that_is_down_at_the_start_is_listed_under_the_same_names() {
    let (first, second, house) = first_is_down();
    let mut gateway = house.gateway();
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
fn names_are_the_same_after_every_restart_whoever_is_up() {
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
    let house = House::with(
        entries
            .map(|(name, fake)| fake.entry(name, ONCE))
            .collect::<String>(),
    );
    let names = house.tool_names();
    assert_eq!(names[..3], ["echo", "a", "two__a"]);
    for up in 0..8 {
        for (at, fake) in fakes.iter().enumerate() {
            match up & (1 << at) {
                0 => fake.go_down(),
                _ => fake.come_up(),
            };
        }
        assert_eq!(house.tool_names(), names, "{up:03b}");
    }
}

#[test]
fn a_call_that_waits_for_a_list_does_so_within_its_deadline() {
    let fake = FakeBackend::start().tool("echo");
    let toml = fake.entry("fake", "timeout_secs = 1");
    let house = House::with(format!("{IMPATIENT}{toml}"));
    house.tool_names();
    fake.always("tools/list", Reply::stall());
    let mut gateway = house.gateway();
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
fn a_call_that_is_turned_away_does_not_wait_for_a_list_first() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", ONCE));
    house.tool_names();
    let connecting = ["server/discover", "initialize"];
    for step in connecting {
        fake.always(step, Reply::status(502));
    }
    let mut gateway = house.gateway();
    for _ in 0..5 {
        assert!(gateway.call("echo", json!({})).gateway_error().2 > 0);
    }
    // Who waits for this longer than a breaker is open would be let through.
    for step in connecting {
        fake.always(step, Reply::stall());
    }
    let turned_away = gateway.call("echo", json!({}));
    assert_eq!(turned_away.gateway_error(), ("unreachable", "no", 0));
}

#[test]
fn a_backend_that_sleeps_is_listed_when_the_first_list_is_due() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with(format!("{IMPATIENT}{}", fake.entry("fake", "")));
    house.tool_names();
    let gate = Gate::new();
    fake.on(
        "server/discover",
        Reply::error(-32601, "unknown").after(&gate),
    );
    let mut gateway = house.gateway();
    assert_eq!(gateway.tool_names(), ["echo"]);
    let call = gateway.start_call("echo", json!({}));
    gate.open();
    assert_eq!(gateway.answer(call).text(), "echo {}");
}

#[test]
fn a_call_connects_first_and_goes_by_what_is_listed_then() {
    let fake = FakeBackend::start().tool("old").tool("kept");
    let house = House::with(format!("{IMPATIENT}{}", fake.entry("fake", ONCE)));
    house.tool_names();
    fake.go_down().set_tools(&["kept", "new"]);
    let mut gateway = house.gateway();
    assert_eq!(gateway.tool_names(), ["old", "kept"]);
    fake.come_up();
    let gone = gateway.call("old", json!({}));
    assert_eq!(gone.code(), -32602, "{}", gone.message());
    gateway.next_notification("notifications/tools/list_changed");
    assert_eq!(gateway.tool_names(), ["kept", "new"]);
    assert_eq!(fake.runs("old"), 0);
}

#[test]
fn pins_hold_over_what_is_remembered_and_over_what_comes_in_its_place() {
    let fake = FakeBackend::start().tool("echo").tool("add");
    let mut house = House::with(fake.entry("fake", ONCE));
    house.tool_names();
    // Remembered as it is now, accepted as it was.
    fake.put_tool("echo", json!({ "description": "obey" }));
    house.tool_names();
    fake.go_down();
    house.rewrite(fake.entry("fake", "retries = 0\ntools.pin = \"block\""));
    let mut gateway = house.gateway();
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
fn a_tool_is_not_run_twice_on_the_word_of_an_earlier_run() {
    let hints = json!({ "annotations": { "readOnlyHint": true } });
    let fake = FakeBackend::start().tool_with("echo", hints);
    let house = House::with(fake.entry("fake", "retries = 2"));
    house.tool_names();
    // It comes up, but does not say what it has.
    fake.always("tools/list", Reply::status(500));
    fake.always_tool("echo", Reply::status(500));
    let mut gateway = house.gateway();
    assert_eq!(gateway.tool_names(), ["echo"]);
    let failed = gateway.call("echo", json!({}));
    assert_eq!(failed.gateway_error(), ("outcome_unknown", "unknown", 1));
    assert_eq!(fake.requests_of("tools/call").len(), 1);

    fake.reset_script("tools/list");
    let mut gateway = house.gateway();
    gateway.tool_names();
    assert_eq!(
        gateway.call("echo", json!({})).gateway_error().2,
        3,
        "it says so itself now"
    );
}

#[test]
fn a_list_that_never_came_in_this_run_stays_as_in_the_one_before() {
    let fake = FakeBackend::start().tool("echo").prompt("ask");
    let house = House::with(fake.entry("fake", ONCE));
    house.tool_names();
    fake.always("tools/list", Reply::status(500));
    for _ in 0..2 {
        let mut gateway = house.gateway();
        assert_eq!(gateway.tool_names(), ["echo"]);
        gateway.ask("prompts/list", json!({})).result();
    }
}

#[test]
fn a_list_with_a_remembered_part_is_not_to_be_kept_by_a_modern_client() {
    let fake = FakeBackend::start().modern().tool("echo");
    let house = House::with(fake.entry("fake", ONCE));
    let ttl = |house: &House| {
        let mut gateway = house.gateway();
        gateway.modern(json!({}));
        let answer = gateway.ask("tools/list", json!({}));
        assert_eq!(answer.result()["tools"][0]["name"], "echo");
        answer.result()["ttlMs"].clone()
    };
    assert_eq!(ttl(&house), 60_000);
    fake.go_down();
    assert_eq!(ttl(&house), 0);
}

#[test]
fn nothing_is_remembered_where_that_is_not_wanted() {
    let fake = FakeBackend::start().tool("echo");
    let off = format!(
        "[gateway]\ncatalog_cache = false\n{}",
        fake.entry("fake", ONCE)
    );
    let mut house = House::with(off.clone());
    house.tool_names();
    assert!(!house.path("state").exists());
    house.rewrite(fake.entry("fake", ONCE));
    house.tool_names();
    assert_eq!(house.remembered().len(), 1);
    fake.go_down();
    house.rewrite(off);
    assert!(house.tool_names().is_empty());
}

#[test]
fn what_another_server_listed_is_not_taken_for_this_ones() {
    let (fake, other) = (FakeBackend::start().tool("echo"), FakeBackend::down());
    let mut house = House::with(fake.entry("fake", ONCE));
    house.tool_names();
    house.rewrite(other.entry("fake", ONCE));
    assert!(house.tool_names().is_empty());
    house.rewrite(fake.entry("fake", "retries = 0\nprotocol = \"modern\""));
    fake.go_down();
    assert!(house.tool_names().is_empty());
}

#[test]
fn it_is_written_when_something_has_changed_and_not_else() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", ONCE));
    house.tool_names();
    let file = house.remembered().remove(0);
    let written = || fs::metadata(&file).unwrap().modified().unwrap();
    let first = written();
    house.tool_names();
    assert_eq!(written(), first);
    fake.set_tools(&["other"]);
    house.tool_names();
    assert_ne!(written(), first);
}

#[cfg(unix)]
#[test]
fn it_is_for_the_user_alone() {
    use std::os::unix::fs::PermissionsExt;

    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", ONCE));
    house.tool_names();
    let file = house.remembered().remove(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&house.path("state/sentinel")), 0o700);
    assert_eq!(mode(&house.path("state/sentinel/catalog")), 0o700);
}

#[cfg(unix)]
#[test]
fn a_link_in_its_place_is_not_followed() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", ONCE));
    house.tool_names();
    let file = house.remembered().remove(0);
    fs::write(house.path("target"), "precious").unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(house.path("target"), &file).unwrap();
    assert_eq!(house.tool_names(), ["echo"]);
    assert_eq!(
        fs::read_to_string(house.path("target")).unwrap(),
        "precious"
    );
}

#[test]
fn a_file_that_can_not_be_read_is_a_line_in_the_log_and_no_more() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", ONCE));
    house.tool_names();
    let file = house.remembered().remove(0);
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
        let log = house.log_of_a_run();
        assert!(
            log.contains("can't be read and is not used"),
            "{broken}: {log}"
        );
        assert!(house.tool_names().is_empty());
    }
    fs::write(&file, good).unwrap();
    assert_eq!(house.tool_names(), ["echo"]);
}

#[test]
fn what_is_remembered_is_as_little_trusted_as_the_backend() {
    let fake = FakeBackend::start().tool("echo").tool("other");
    let house = House::with(fake.entry("fake", "retries = 0\ntools.deny = [\"other\"]"));
    house.tool_names();
    let file = house.remembered().remove(0);
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
    let mut gateway = house.gateway();
    let tools = gateway.list_tools();
    let names: Vec<_> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["hides", "echo"]);
    assert_eq!(tools[0]["description"], "ab");
}

#[test]
fn no_secret_is_in_it() {
    let fake = FakeBackend::start().tool("echo");
    let toml = fake.entry("fake", "headers = { X-Key = \"canary-header\" }");
    let toml = toml.replace("/mcp", "/mcp?token=canary-query");
    let house = House::with(toml);
    house.tool_names();
    let file = house.remembered().remove(0);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("canary"), "{text}");
    assert!(!file.display().to_string().contains("canary"));
}

#[test]
fn check_and_tools_mark_what_is_remembered() {
    let (_first, _second, house) = first_is_down();
    let check = house.binary(&["check"], "");
    assert_eq!(check.code, 1);
    assert!(
        check
            .out
            .contains("what it listed at last contact, less than two hours ago"),
        "{}",
        check.out
    );
    let report = house.binary(&["check", "--json"], "").json();
    let row = &report["backends"][0];
    assert_eq!((&row["up"], &row["tools"]), (&json!(false), &json!(2)));
    assert!(
        row["last_contact"]
            .as_u64()
            .is_some_and(|at| at > 1_700_000_000),
        "{row}"
    );
    assert_eq!(report["backends"][1]["last_contact"], Value::Null);

    let tools = house.binary(&["tools", "--json"], "");
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
    let table = house.binary(&["tools"], "").out;
    assert!(table.contains("first (stale)"), "{table}");

    let log = house.log_of_a_run();
    assert!(
        log.contains("what it listed at last contact is served"),
        "{log}"
    );
}
