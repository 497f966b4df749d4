//! What the client sees of the backends' lists, and when.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{notification, text};
use crate::common::reply::Reply;

/// A short wait of the first list for backends that never connect.
const IMPATIENT: &str = "[gateway]\nstartup_wait_ms = 700\n";

fn initialized(toml: &str) -> TestGateway {
    let mut gateway = TestGateway::with_config(toml);
    gateway.initialize();
    gateway
}

/// A tool's reply with `list_changed` on its stream.
fn changed() -> Reply {
    let changed = notification("notifications/tools/list_changed", json!({}));
    Reply::sse().event(changed).event(text("done"))
}

#[test]
fn fault_68_a_backend_without_handshake_is_down_with_a_reason_and_the_rest_is_listed() {
    let good = FakeBackend::start().tool("echo");
    let refusing = FakeBackend::start().tool("never");
    refusing.always("initialize", Reply::error(-32000, "not today"));
    let foreign = FakeBackend::start().tool("never").version("1999-01-01");
    let silent = FakeBackend::start().tool("never");
    silent.always("initialize", Reply::stall());
    let mut gateway = initialized(
        &[
            IMPATIENT.to_owned(),
            refusing.entry("refusing", ""),
            foreign.entry("foreign", ""),
            silent.entry("silent", ""),
            good.entry("good", ""),
        ]
        .concat(),
    );
    assert_eq!(gateway.tool_names(), ["echo"]);
    assert_eq!(gateway.call("echo", json!({})).text(), "echo {}");
    let unknown = gateway.call("never", json!({}));
    assert_eq!(unknown.code(), -32602);
    for reason in [
        "3 backends are down",
        "refusing (the server refuses initialize",
        "foreign (it answers initialize with protocol version 1999-01-01",
        "silent (",
    ] {
        assert!(unknown.message().contains(reason), "{}", unknown.message());
    }
    assert!(!unknown.message().contains("good"));
}

#[test]
fn a_call_waits_for_a_backend_that_is_still_connecting_when_the_first_list_is_answered() {
    let gate = Gate::new();
    let slow = FakeBackend::start().tool("echo").without_sessions();
    let hello = json!({ "protocolVersion": "2025-11-25", "serverInfo": { "name": "slow" },
        "capabilities": { "tools": {} } });
    slow.on("initialize", Reply::result(hello).after(&gate));
    let mut gateway = initialized(&[IMPATIENT.to_owned(), slow.entry("slow", "")].concat());
    assert!(gateway.tool_names().is_empty());
    let id = gateway.start_call("echo", json!({}));
    gateway.ask("ping", json!({})).result();
    gate.open();
    assert_eq!(gateway.answer(id).text(), "echo {}");
}

#[test]
fn fault_68_a_handshake_that_is_never_answered_fails_with_a_reason() {
    let fake = FakeBackend::start().tool("echo");
    let times = "timeout_secs = 1\ntools.timeout_secs = { echo = 30 }";
    let mut gateway = initialized(&fake.entry("fake", times));
    gateway.call("echo", json!({})).result();
    fake.forget_sessions().on("initialize", Reply::stall());
    let answer = gateway.call("echo", json!({}));
    assert_eq!(answer.gateway_error().1, "no");
    let why = "fake: the server does not answer initialize within 1 s";
    assert!(answer.message().contains(why), "{}", answer.message());
    assert_eq!(fake.runs("echo"), 1);
}

#[test]
fn fault_69_a_list_that_fails_keeps_its_last_content() {
    let fake = FakeBackend::start().tool("old");
    fake.on_tool("old", changed());
    let mut gateway = initialized(&fake.entry("fake", "retries = 0"));
    assert_eq!(gateway.tool_names(), ["old"]);
    fake.set_tools(&["new"])
        .on("tools/list", Reply::status(500));
    gateway.call("old", json!({})).result();
    fake.wait_for_requests("tools/list", 2);
    assert_eq!(gateway.tool_names(), ["old"]);
    gateway.wait_for_tool("new");
    assert_eq!(fake.requests_of("tools/list").len(), 3);
}

/// Codex goes on without any tool after a second.
#[test]
fn a_client_that_lists_once_gets_its_list_though_a_server_is_silent() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let healthy = FakeBackend::start().tool("a");
    let silent = format!("[[backends]]\nname = \"silent\"\nurl = \"{url}\"\n");
    let first_list = |client: &str| {
        let mut gateway = TestGateway::with_config(&(healthy.entry("healthy", "") + &silent));
        let about = json!({ "name": client, "version": "1" });
        let params =
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about });
        let begun = Instant::now();
        gateway.ask("initialize", params);
        assert_eq!(gateway.tool_names(), ["a"]);
        begun.elapsed()
    };
    assert!(first_list("claude-code") >= Duration::from_secs(2));
    assert!(first_list("codex-mcp-client") < Duration::from_secs(2));
}

#[test]
fn fault_70_a_repeated_cursor_ends_the_list() {
    let fake = FakeBackend::start();
    let page = |tool: &str| {
        json!({ "tools": [{ "name": tool, "inputSchema": {} }],
        "nextCursor": "again" })
    };
    fake.on("tools/list", Reply::result(page("one")));
    fake.always("tools/list", Reply::result(page("two")));
    let mut gateway = initialized(&fake.entry("fake", ""));
    assert_eq!(gateway.tool_names(), ["one", "two"]);
    assert_eq!(fake.requests_of("tools/list").len(), 2);
}

#[test]
fn fault_70_an_empty_cursor_is_not_the_end() {
    let fake = FakeBackend::start().tool("last");
    let page = json!({ "tools": [{ "name": "first", "inputSchema": {} }], "nextCursor": "" });
    let last = json!({ "tools": [{ "name": "last", "inputSchema": {} }] });
    fake.on("tools/list", Reply::result(page));
    fake.on("tools/list", Reply::result(last));
    let mut gateway = initialized(&fake.entry("fake", ""));
    assert_eq!(gateway.tool_names(), ["first", "last"]);
    assert_eq!(fake.requests_of("tools/list")[1].params()["cursor"], "");
}

#[test]
fn fault_70_a_list_ends_at_ten_thousand_tools() {
    let fake = FakeBackend::start().page_size(5_000);
    let names: Vec<String> = (0..10_001).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    fake.set_tools(&names);
    let patient = "[gateway]\nstartup_wait_ms = 20000\n".to_owned();
    let mut gateway = initialized(&(patient + &fake.entry("fake", "")));
    assert_eq!(gateway.tool_names(), names[..10_000]);
}

#[test]
fn fault_71_duplicate_names_are_prefixed_across_backends_and_listed_once_within_one() {
    let page = json!({ "tools": [
        { "name": "same", "description": "first", "inputSchema": {} },
        { "name": "same", "description": "second", "inputSchema": {} },
    ] });
    let (one, two) = (FakeBackend::start(), FakeBackend::start());
    one.always("tools/list", Reply::result(page))
        .set_tools(&["same"]);
    two.set_tools(&["same", "own"]);
    let mut gateway = initialized(&(one.entry("one", "") + &two.entry("two", "")));
    let tools = gateway.list_tools();
    let names: Vec<&Value> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["same", "two__same", "own"]);
    assert_eq!(tools[0]["description"], "first");
    for name in ["same", "two__same"] {
        assert_eq!(gateway.call(name, json!({})).text(), "same {}");
    }
    assert_eq!((one.runs("same"), two.runs("same")), (1, 1));
}

#[test]
fn fault_72_hostile_names_are_rejected_and_texts_cleaned() {
    let long = "x".repeat(129);
    let hostile = ["a\nb", "\u{1b}[31mred", "\u{202e}abc", "a\u{200b}b", &long];
    let fake = FakeBackend::start().tool_with(
        "fine",
        json!({ "description": "a\u{1b}[31m\u{202e}b\u{e0041}c\nd" }),
    );
    let fake = hostile.iter().fold(fake, |fake, name| fake.tool(name));
    let mut gateway = initialized(&fake.entry("fake", ""));
    let tools = gateway.list_tools();
    assert_eq!(tools.len(), 1, "{tools:?}");
    let description = tools[0]["description"].as_str().unwrap();
    assert!(
        !description.contains(['\u{1b}', '\u{202e}', '\u{e0041}']),
        "{description:?}"
    );
    assert!(description.ends_with("bc\nd"), "{description:?}");
    for name in hostile {
        assert_eq!(gateway.call(name, json!({})).code(), -32602);
        assert_eq!(fake.runs(name), 0);
    }
}

#[test]
fn fault_78_all_backends_down_gives_an_empty_list_until_one_connects() {
    let (one, two) = (FakeBackend::down().tool("one"), FakeBackend::down());
    let mut gateway = TestGateway::with_config(&(one.entry("one", "") + &two.entry("two", "")));
    gateway.initialize().result();
    assert!(gateway.tool_names().is_empty());
    one.come_up();
    gateway.next_notification("notifications/tools/list_changed");
    assert_eq!(gateway.tool_names(), ["one"]);
    assert_eq!(gateway.call("one", json!({})).text(), "one {}");
}

#[test]
fn a_backend_that_connects_late_is_announced_with_list_changed() {
    let (good, late) = (
        FakeBackend::start().tool("good"),
        FakeBackend::start().tool("late"),
    );
    let gate = Gate::new();
    let hello = json!({ "protocolVersion": "2025-11-25", "serverInfo": { "name": "late" },
        "capabilities": { "tools": {} } });
    let late = late.without_sessions();
    late.on("initialize", Reply::result(hello).after(&gate));
    let toml = [
        IMPATIENT.into(),
        late.entry("late", ""),
        good.entry("good", ""),
    ]
    .concat();
    let mut gateway = initialized(&toml);
    assert_eq!(gateway.tool_names(), ["good"]);
    gate.open();
    gateway.next_notification("notifications/tools/list_changed");
    assert_eq!(gateway.tool_names(), ["late", "good"]);
}

#[test]
fn the_order_of_the_config_decides_names_and_not_the_order_of_connecting() {
    let (first, second) = (FakeBackend::start(), FakeBackend::start());
    first.set_tools(&["same"]);
    second.set_tools(&["same"]);
    let gate = Gate::new();
    let first = first.without_sessions();
    let hello = json!({ "protocolVersion": "2025-11-25", "serverInfo": { "name": "first" },
        "capabilities": { "tools": {} } });
    first.on("initialize", Reply::result(hello).after(&gate));
    let mut gateway = initialized(&(first.entry("first", "") + &second.entry("second", "")));
    second.next_request("tools/list");
    gate.open();
    assert_eq!(gateway.tool_names(), ["same", "second__same"]);
    gateway.call("same", json!({})).result();
    assert_eq!((first.runs("same"), second.runs("same")), (1, 0));
}

#[test]
fn a_listed_name_stays_when_an_earlier_backend_connects_later() {
    let (early, late) = (FakeBackend::start().tool("same"), FakeBackend::start());
    late.set_tools(&["same"]);
    let gate = Gate::new();
    let hello = json!({ "protocolVersion": "2025-11-25", "serverInfo": { "name": "late" },
        "capabilities": { "tools": {} } });
    let late = late.without_sessions();
    late.on("initialize", Reply::result(hello).after(&gate));
    let toml = [
        IMPATIENT.into(),
        late.entry("late", ""),
        early.entry("early", ""),
    ]
    .concat();
    let mut gateway = initialized(&toml);
    assert_eq!(gateway.tool_names(), ["same"]);
    gate.open();
    gateway.wait_for_tool("late__same");
    gateway.call("same", json!({})).result();
    assert_eq!((early.runs("same"), late.runs("same")), (1, 0));
}

#[test]
fn an_unknown_tool_names_the_backend_that_is_down() {
    let (good, down) = (FakeBackend::start().tool("echo"), FakeBackend::down());
    let mut gateway = initialized(&(good.entry("good", "") + &down.entry("n8n", "")));
    let answer = gateway.call("Calculator", json!({}));
    assert_eq!(answer.code(), -32602);
    let message = answer.message();
    assert!(
        message.contains("unknown tool \"Calculator\"; n8n is down"),
        "{message}"
    );
    assert!(message.contains("is the server running?"), "{message}");
    assert_eq!(answer.gateway_error(), ("refused", "no", 0));
}

#[test]
fn tools_of_a_backend_that_went_down_stay_listed_and_are_unreachable() {
    let fake = FakeBackend::start().tool("echo");
    let mut gateway = initialized(&fake.entry("fake", "retries = 1"));
    assert_eq!(gateway.tool_names(), ["echo"]);
    fake.go_down();
    // The first call may still use the old connection, and lose it.
    gateway.call("echo", json!({})).error();
    let answer = gateway.call("echo", json!({}));
    assert_eq!(answer.gateway_error(), ("unreachable", "no", 2));
    assert!(
        answer.message().ends_with("the tool did not run"),
        "{}",
        answer.message()
    );
    assert_eq!(gateway.tool_names(), ["echo"]);
    fake.come_up();
    assert_eq!(gateway.call("echo", json!({})).text(), "echo {}");
}

/// Another server may have the page's URI, too, and come before it.
#[test]
fn a_tool_names_its_page_when_it_is_known_whose_it_is() {
    let gate = Gate::new();
    let pages = json!({ "_meta": { "ui": { "resourceUri": "ui://app", "visibility": ["model"] },
        "ui/resourceUri": "ui://app", "other": 1 } });
    let slow = FakeBackend::start().tool("slow").resource("ui://app");
    let resources = json!({ "resources": [{ "uri": "ui://app", "name": "app" }] });
    slow.on("resources/list", Reply::result(resources).after(&gate));
    let fast = FakeBackend::start()
        .tool_with("fast", pages)
        .resource("ui://app");
    let wait = "[gateway]\nstartup_wait_ms = 60000\n".to_owned();
    let mut gateway = initialized(&[wait, slow.entry("slow", ""), fast.entry("fast", "")].concat());
    let meta = |gateway: &mut TestGateway| {
        let tools = gateway.ask("tools/list", json!({})).result()["tools"].clone();
        let tools = tools.as_array().unwrap().clone();
        let mut fast = tools.into_iter().filter(|tool| tool["name"] == "fast");
        let mut meta = fast.next().unwrap()["_meta"].clone();
        meta.as_object_mut()
            .unwrap()
            .retain(|key, _| !key.contains("sentinel"));
        meta
    };
    let without = json!({ "ui": { "visibility": ["model"] }, "other": 1 });
    assert_eq!(meta(&mut gateway), without);
    gate.open();
    gateway.next_notification("notifications/tools/list_changed");
    let shown = meta(&mut gateway);
    assert_eq!(shown["ui"]["resourceUri"], "ui://fast/app");
    assert_eq!(shown["ui/resourceUri"], "ui://fast/app");
}
