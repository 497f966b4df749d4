//! `gateway_status`: the tool by which a model learns which servers are connected.

use sentinel_gateway::config::Overrides;
use serde_json::json;
use tempfile::TempDir;

use crate::common::fake::FakeBackend;
use crate::common::gateway::{ADMINISTRATORS_FILE, TestGateway, save, save_administrators};
use crate::common::reply::Reply;

const LIST_CHANGED: &str = "notifications/tools/list_changed";

fn with_tool(rest: &str) -> String {
    format!("[gateway]\ngateway_status = true\n{rest}")
}

#[test]
fn it_says_which_servers_are_down_and_why() {
    let (one, gone) = (FakeBackend::start().tool("t"), FakeBackend::down());
    let locked = FakeBackend::start();
    let refusal = Reply::status(401).header("www-authenticate", "Bearer");
    locked.always("initialize", refusal);
    let toml = with_tool("")
        + &one.entry("one", "")
        + &gone.entry("gone", "")
        + &locked.entry("locked", "")
        + &one.entry("off", "enabled = false");
    for modern in [false, true] {
        let mut gateway = TestGateway::with_config(&toml);
        match modern {
            true => drop(gateway.modern(json!({}))),
            false => drop(gateway.initialize()),
        }
        assert_eq!(gateway.tool_names(), ["t", "gateway_status"]);
        let answer = gateway.call("gateway_status", json!({}));
        let lines: Vec<&str> = answer.text().lines().collect();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[0], "1 of 4 servers can be called.");
        assert!(lines[1].starts_with("- gone: down: "), "{lines:?}");
        assert!(lines[1].contains("is the server running?"), "{lines:?}");
        assert!(lines[2].starts_with("- locked: down"), "{lines:?}");
        assert!(lines[2].contains("401"), "{lines:?}");
        assert!(
            lines[3].starts_with("- off: switched off: sentinel-gateway enable off"),
            "{lines:?}"
        );
        assert_eq!(lines[4], "- one: connected, tools: 1");

        let answer = gateway.call("gateway_status", json!({ "server": "One" }));
        let expected = "1 of 4 servers can be called.\n- one: connected, tools: 1\n";
        assert_eq!(answer.text(), expected);
        let answer = gateway.call("gateway_status", json!({ "server": "two" }));
        assert_eq!(answer.result()["isError"], true);
        assert!(answer.text().contains("there is no server \"two\""));
    }
}

/// Nothing that the user could type switches it on.
#[test]
fn a_server_that_the_administrator_has_switched_off_is_not_called_the_users() {
    let one = FakeBackend::start().tool("t");
    let folder = TempDir::new().unwrap();
    save_administrators(folder.path(), &one.entry("off", "enabled = false"));
    save(folder.path(), &with_tool(""));
    let flags = Overrides {
        config: Some(folder.path().join("sentinel.toml")),
        ..Overrides::default()
    };
    let mut gateway = TestGateway::administered(folder.path(), &flags);
    gateway.initialize();
    let text = gateway.call("gateway_status", json!({})).text().to_owned();
    let file = folder.path().join(ADMINISTRATORS_FILE);
    let line = format!(
        "- off: the administrator's file {} has switched it off\n",
        file.display()
    );
    assert!(text.contains(&line), "{text}");
}

#[test]
fn a_server_whose_calls_fail_is_not_called_well() {
    let one = FakeBackend::start().tool("t");
    one.always_tool("t", Reply::status(500));
    let mut gateway = TestGateway::with_config(&with_tool(&one.entry("one", "retries = 0")));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t", "gateway_status"]);
    for _ in 0..5 {
        gateway.call("t", json!({}));
    }
    let answer = gateway.call("gateway_status", json!({}));
    let text = answer.text();
    assert!(
        text.starts_with("0 of 1 servers can be called.\n- one: connected, but"),
        "{text}"
    );
    assert!(text.contains("500"), "{text}");
}

#[test]
fn it_is_off_by_default_switched_while_the_gateway_runs_and_its_name_is_reserved() {
    let one = FakeBackend::start().tool("t").tool("gateway_status");
    let without = one.entry("one", "");
    let mut gateway = TestGateway::with_config(&without);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t", "gateway_status"]);
    let own = |gateway: &mut TestGateway, name: &str| {
        let answer = gateway.call(name, json!({}));
        assert_eq!(answer.text(), "gateway_status {}");
    };
    own(&mut gateway, "gateway_status");
    gateway.save_config(&with_tool(&without));
    gateway.next_notification(LIST_CHANGED);
    let names = gateway.tool_names();
    assert_eq!(names, ["t", "one__gateway_status", "gateway_status"]);
    own(&mut gateway, "one__gateway_status");
    let text = gateway.call("gateway_status", json!({})).text().to_owned();
    assert!(text.starts_with("1 of 1 servers"), "{text}");
    gateway.save_config(&without);
    gateway.next_notification(LIST_CHANGED);
    // A name stays its owner's.
    assert_eq!(gateway.tool_names(), ["t", "one__gateway_status"]);
}

#[test]
fn clients_that_search_get_it_beside_the_tools_that_search() {
    let one = FakeBackend::start().tool("t");
    let search = "tool_mode = \"search\"\n";
    let limit = "tools.max_result_tokens = { \"*\" = 300 }";
    let toml = with_tool(search) + &one.entry("one", limit);
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize();
    let own = [
        "search_tools",
        "describe_tool",
        "call_tool",
        "gateway_status",
        "read_more",
    ];
    assert_eq!(gateway.tool_names(), own);
    let text = gateway.call("gateway_status", json!({})).text().to_owned();
    assert!(text.contains("- one: connected, tools: 1"), "{text}");
    let wrapped = json!({ "name": "gateway_status", "arguments": {} });
    let answer = gateway.call("call_tool", wrapped);
    assert!(answer.text().contains("call gateway_status itself"));
}
