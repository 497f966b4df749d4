//! Which tools a client sees, and what that costs.

use std::time::Instant;

use sentinel_gateway::catalog::search::estimate_tokens;
use serde_json::{Value, json};

use super::everyday;
use super::gateway::{SEARCH, call_tool, everyday_gateway, search, servers};
use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{notification, text as text_result};
use crate::common::reply::Reply;

const OWN: [&str; 3] = ["search_tools", "describe_tool", "call_tool"];

fn tokens_of(tools: &[Value]) -> usize {
    tools
        .iter()
        .map(|tool| estimate_tokens(&tool.to_string()))
        .sum()
}

/// Does the handshake of a client of this name.
fn initialize_as(gateway: &mut TestGateway, name: &str) {
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": name, "version": "1.0" },
    });
    gateway.ask("initialize", params);
    gateway.notify("notifications/initialized", json!({}));
}

/// Has the backend say during a call that its tools have changed.
fn announce(fake: &FakeBackend, gateway: &mut TestGateway, tool: &str) {
    let changed = notification("notifications/tools/list_changed", json!({}));
    fake.on_tool(tool, Reply::sse().event(changed).event(text_result("done")));
    assert_eq!(gateway.call(tool, json!({})).text(), "done");
}

#[test]
fn in_the_mode_all_the_gateway_has_no_tools_of_its_own() {
    let fake = FakeBackend::start().tool("search_tools").tool("a");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["search_tools", "a"]);
    let answer = gateway.call("search_tools", json!({ "query": "a" }));
    assert_eq!(answer.text(), r#"search_tools {"query":"a"}"#);
    assert_eq!(
        gateway.call("call_tool", call_tool("a", json!({}))).code(),
        -32602
    );
}

#[test]
fn the_names_of_the_gateways_own_tools_are_reserved() {
    let fake = FakeBackend::start().tool("search_tools").tool("call_tool");
    let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &fake.entry("one", "")));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), OWN);
    let found = search(&mut gateway, json!({ "server": "one" }));
    assert!(
        found.contains("- one__search_tools()") && found.contains("- one__call_tool()"),
        "{found}"
    );
    let answer = gateway.call("call_tool", call_tool("one__call_tool", json!({ "a": 1 })));
    assert_eq!(answer.text(), r#"call_tool {"a":1}"#);
}

#[test]
fn some_tools_are_listed_in_any_mode() {
    let wish = json!({ "_meta": { "anthropic/alwaysLoad": true } });
    let fake = FakeBackend::start()
        .tool("read_a")
        .tool("write")
        .tool_with("wishes", wish);
    let config = format!(
        "{SEARCH}always_listed = [\"read_*\"]\n{}",
        fake.entry("one", "")
    );
    let mut gateway = TestGateway::with_config(&config);
    gateway.initialize();
    let expected: Vec<&str> = OWN.into_iter().chain(["read_a", "wishes"]).collect();
    assert_eq!(gateway.tool_names(), expected);
    gateway.modern(json!({}));
    assert_eq!(gateway.tool_names(), expected);
}

#[test]
fn two_hundred_and_fifty_tools_are_listed_in_four_hundred_tokens() {
    let servers = servers();
    let more = (0..143).fold(FakeBackend::start(), |fake, at| {
        fake.tool(&format!("more_{at}"))
    });
    let entries = servers.iter().map(|(name, fake)| fake.entry(name, ""));
    let config = format!(
        "{SEARCH}{}{}",
        entries.collect::<String>(),
        more.entry("more", "")
    );
    let mut gateway = TestGateway::with_config(&config);
    gateway.initialize();
    for _ in 0..2 {
        let tools = gateway.list_tools();
        assert_eq!(tools.len(), 3);
        assert!(
            (150..=400).contains(&tokens_of(&tools)),
            "{}",
            tokens_of(&tools)
        );
        gateway.modern(json!({}));
    }
    // All of them can be found.
    let found = search(&mut gateway, json!({ "query": "more 142" }));
    assert!(found.contains("more_142"), "{found}");
}

#[test]
fn three_searches_and_the_list_save_most_of_the_tokens() {
    let servers = servers();
    let mut gateway = everyday_gateway(SEARCH, &servers);
    gateway.initialize();
    let list = tokens_of(&gateway.list_tools());
    let set = everyday();
    let answers = set.queries.iter().map(|query| {
        let answer = search(&mut gateway, json!({ "query": query.text }));
        estimate_tokens(&answer)
    });
    let mut answers: Vec<usize> = answers.collect();
    answers.sort_unstable();
    let median = answers[answers.len() / 2];
    assert!((50..=400).contains(&median), "{median}");
    let mut direct = everyday_gateway("", &servers);
    direct.initialize();
    let all = tokens_of(&direct.list_tools());
    let searching = list + 3 * median;
    assert!(searching * 100 <= all * 15, "{searching} of {all}");
}

#[test]
fn auto_searches_where_there_is_much_and_the_client_does_not() {
    let servers = servers();
    let auto =
        |limit: usize| format!("[gateway]\ntool_mode = \"auto\"\nauto_over_tokens = {limit}\n");
    for (name, limit, searches) in [
        ("some-client", 1_000, true),
        ("some-client", 100_000, false),
        ("claude-code", 1_000, false),
        ("codex-mcp-client", 1_000, false),
    ] {
        let mut gateway = everyday_gateway(&auto(limit), &servers);
        initialize_as(&mut gateway, name);
        let listed = gateway.tool_names().len();
        assert_eq!(listed == 3, searches, "{name}: {listed}");
    }
}

#[test]
fn the_choice_of_auto_does_not_change_within_a_run() {
    let fake = FakeBackend::start().tool("a");
    let auto = "[gateway]\ntool_mode = \"auto\"\nauto_over_tokens = 300\n";
    let mut gateway = TestGateway::with_config(&(auto.to_owned() + &fake.entry("one", "")));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["a"]);
    let long = json!({ "description": "long ".repeat(1_000) });
    fake.put_tool("b", long);
    announce(&fake, &mut gateway, "a");
    gateway.wait_for_tool("b");
    assert_eq!(gateway.tool_names(), ["a", "b"]);
    // Its own tools answer, whatever was listed.
    assert!(search(&mut gateway, json!({ "query": "long" })).contains("- b()"));
}

/// A first start can't know what a slow backend will list; the next one knows it from the last contact.
#[test]
fn auto_counts_what_slow_backends_have_listed_in_an_earlier_run() {
    let (fast, slow) = (FakeBackend::start().tool("a"), FakeBackend::start());
    let long = json!({ "description": "long ".repeat(1_000) });
    slow.put_tool("b", long.clone());
    let config = "[gateway]\ntool_mode = \"auto\"\nauto_over_tokens = 300\nstartup_wait_ms = 100\n"
        .to_owned()
        + &fast.entry("fast", "")
        + &slow.entry("slow", "");
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let mut tool = json!({ "name": "b", "inputSchema": { "type": "object" } });
    tool["description"] = long["description"].clone();
    let list = Reply::result(json!({ "tools": [tool] }));
    slow.on("tools/list", list.after(&gate));
    let mut gateway = TestGateway::with_state(folder.path(), &config);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["a"]);
    gate.open();
    gateway.wait_for_tool("b");
    assert_eq!(gateway.tool_names(), ["a", "b"], "the choice stays");
    drop(gateway);
    // It is not even connected, or does not list.
    for held in ["initialize", "tools/list"] {
        let gate = Gate::new();
        slow.on(held, Reply::status(503).after(&gate));
        let mut gateway = TestGateway::with_state(folder.path(), &config);
        gateway.initialize();
        assert_eq!(gateway.tool_names(), OWN, "{held}");
        gateway.modern(json!({}));
        assert_eq!(gateway.tool_names(), OWN, "{held}");
        let found = search(&mut gateway, json!({ "query": "long" }));
        assert!(found.contains("- b()"), "{found}");
        gate.open();
    }
}

#[test]
fn a_hidden_tool_changes_the_results_but_not_the_list() {
    let fake = FakeBackend::start().tool("a");
    let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &fake.entry("one", "")));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), OWN);
    fake.put_tool(
        "weather",
        json!({ "description": "Says whether it rains." }),
    );
    announce(&fake, &mut gateway, "a");
    let begun = Instant::now();
    while !search(&mut gateway, json!({ "query": "rain" })).contains("- weather()") {
        assert!(begun.elapsed() < PATIENCE, "never found");
    }
    assert_eq!(gateway.tool_names(), OWN);
    let said = gateway.transcript();
    let announced = said.contains("notifications/tools/list_changed");
    assert!(!announced, "{said}");
}

#[test]
fn a_tool_that_is_found_joins_the_list_where_that_is_wanted() {
    let fake = FakeBackend::start().tool("move_file").tool("send_mail");
    let config = format!(
        "{SEARCH}search_exposes = \"activate\"\n{}",
        fake.entry("one", "")
    );
    let mut gateway = TestGateway::with_config(&config);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["search_tools", "describe_tool"]);
    let found = search(&mut gateway, json!({ "query": "mail" }));
    assert!(
        found.contains("- send_mail()") && found.contains("by name"),
        "{found}"
    );
    gateway.next_notification("notifications/tools/list_changed");
    assert_eq!(
        gateway.tool_names(),
        ["search_tools", "describe_tool", "send_mail"]
    );
    assert_eq!(gateway.call("send_mail", json!({})).text(), "send_mail {}");
    // A list of the modern era may not depend on earlier calls.
    gateway.modern(json!({}));
    assert_eq!(gateway.tool_names(), OWN);
    let found = search(&mut gateway, json!({ "query": "move" }));
    assert!(found.contains("call_tool"), "{found}");
    assert_eq!(gateway.tool_names(), OWN);
}

#[test]
fn a_found_tool_is_listed_before_its_search_is_answered() {
    let fake = FakeBackend::start().tool("move_file").tool("send_mail");
    let entry = fake.entry("one", "");
    let config = format!("{SEARCH}search_exposes = \"activate\"\n{entry}");
    let mut gateway = TestGateway::with_config(&config);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), OWN[..2]);
    let search = gateway.start_call("search_tools", json!({ "query": "mail" }));
    gateway.next_notification("notifications/tools/list_changed");
    let list = gateway.request("tools/list", json!({}));
    // What is answered first is what the client has when its model goes on.
    let ids = [(); 2].map(|()| gateway.next_message().id().clone());
    assert_eq!(ids, [json!(list), json!(search)]);
}

#[test]
fn a_client_that_ignores_changes_of_its_list_gets_call_tool() {
    let fake = FakeBackend::start().tool("move_file").tool("send_mail");
    let entry = fake.entry("one", "");
    let config = format!("{SEARCH}search_exposes = \"activate\"\n{entry}");
    let mut gateway = TestGateway::with_config(&config);
    initialize_as(&mut gateway, "codex-mcp-client");
    assert_eq!(gateway.tool_names(), OWN);
    let found = search(&mut gateway, json!({ "query": "mail" }));
    assert!(found.contains("call_tool"), "{found}");
    let answer = gateway.call("call_tool", call_tool("send_mail", json!({})));
    assert_eq!(answer.text(), "send_mail {}");
    assert_eq!(gateway.tool_names(), OWN);
}
