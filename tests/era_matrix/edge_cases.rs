//! Edge cases: the eras combined with renamed tools, the gateway's own errors, deadlines, startup,
//! and members of wrong types.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::error;
use crate::common::reply::Reply;
use crate::era_matrix::table::{LEGACY, MODERN, PAIRS, Pair};

#[test]
fn a_backend_gets_its_own_tool_name_in_body_and_header() {
    for pair in PAIRS {
        let fakes = [
            pair.fake().tool("same"),
            pair.fake().tool("same").prompt("p"),
        ];
        let renamed = "tools.rename = { \"same\" = \"other\" }";
        for (toml, name) in [
            (
                fakes[0].entry("a", "") + &fakes[1].entry("b", ""),
                "b__same",
            ),
            (fakes[1].entry("b", renamed), "other"),
        ] {
            let mut gateway = pair.gateway_with(&toml, json!({}));
            assert_eq!(gateway.call(name, json!({})).text(), "same {}");
            let call = fakes[1].next_request("tools/call");
            assert_eq!(call.tool(), "same");
            let header = pair.modern_backend().then_some("same");
            assert_eq!(call.header("mcp-name"), header);
        }
    }
}

/// For clients that hide errors from the model. The protocol checker checks each era's members.
#[test]
fn errors_of_the_gateway_can_be_results_in_both_eras() {
    for pair in PAIRS {
        let fake = pair.fake().tool("t");
        let toml =
            "[gateway]\ntool_errors = \"result\"\n".to_owned() + &fake.entry("fake", "retries = 0");
        let mut gateway = pair.gateway_with(&toml, json!({}));
        fake.on_tool("t", Reply::hang_up());
        for tool in ["t", "unknown"] {
            let answer = gateway.call(tool, json!({}));
            assert_eq!(answer.result()["isError"], true, "{pair:?}");
        }
    }
}

#[test]
fn a_call_that_exceeds_its_deadline_is_cancelled_by_the_rules_of_its_backends_era() {
    for pair in [Pair::new(MODERN, LEGACY), Pair::new(LEGACY, MODERN)] {
        let fake = pair.fake().tool("slow");
        let gate = Gate::new();
        fake.on_tool("slow", Reply::sse().hold(&gate).event(pair.text("late")));
        let toml = fake.entry("fake", "tools.timeout_secs = { slow = 1 }");
        let mut gateway = pair.gateway_with(&toml, json!({}));
        assert_eq!(
            gateway.call("slow", json!({})).gateway_error().0,
            "deadline"
        );
        gate.wait_for_disconnects(1);
        if !pair.modern_backend() {
            fake.next_request("notifications/cancelled");
        }
        assert_eq!(fake.runs("slow"), 1);
    }
}

/// Codes that the modern era has removed or reserves.
#[test]
fn reserved_error_codes_of_a_backend_do_not_reach_a_modern_client() {
    for backend in [LEGACY, MODERN] {
        let pair = Pair::new(MODERN, backend);
        let fake = pair.fake().tool("t").resource("a:b");
        let mut gateway = pair.gateway(&fake);
        for code in [-32002, -32020, -32022, -32042, -32050, -32099] {
            // `always_tool`, because some codes cause a retry.
            fake.always_tool("t", Reply::json(&error(code, "as the backend says")));
            let answer = gateway.call("t", json!({}));
            fake.reset_script("tools/call t");
            assert!(
                answer.message().contains("as the backend says"),
                "{answer:?}"
            );
        }
        // These are a backend's own codes and pass unchanged.
        for code in [-32000, -32019, -32100, -1, 7] {
            fake.on_tool("t", Reply::json(&error(code, "as the backend says")));
            assert_eq!(gateway.call("t", json!({})).code(), code);
        }
    }
}

#[test]
fn a_json_rpc_error_with_an_http_error_status_is_passed_on() {
    for client in [LEGACY, MODERN] {
        let pair = Pair::new(client, MODERN);
        let fake = pair.fake().tool("t");
        let mut gateway = pair.gateway(&fake);
        for status in [400, 404, 422] {
            let bad = error(-32602, "arguments.n must be a number");
            fake.on_tool("t", Reply::json_as(status, &bad));
            let answer = gateway.call("t", json!({}));
            assert_eq!(answer.code(), -32602, "{status}");
            assert_eq!(answer.message(), "arguments.n must be a number");
        }
        assert_eq!(fake.requests_of("tools/call").len(), 3);
    }
}

#[test]
fn discover_is_answered_while_all_backends_are_down_or_silent() {
    let silent = FakeBackend::start();
    silent.always("server/discover", Reply::stall());
    let down = FakeBackend::down();
    let toml = silent.entry("silent", "") + &down.entry("down", "");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.modern(json!({}));
    let first = gateway.discover();
    assert_eq!(first.0.at, 0);
    let capabilities = &first.result()["capabilities"];
    for kind in ["tools", "prompts", "resources"] {
        assert_eq!(capabilities[kind]["listChanged"], true, "{capabilities}");
    }
    assert!(capabilities["logging"].is_object() && capabilities["completions"].is_object());
    gateway.eof();
}

/// Each request gets one response, and the next request is served.
#[test]
fn members_of_a_wrong_type_are_answered_once() {
    for pair in PAIRS {
        let fake = pair.fake().tool("t").prompt("p").resource("a:b");
        let mut gateway = pair.gateway(&fake);
        let values = [
            json!(null),
            json!(7),
            json!("x"),
            json!([]),
            json!({ "a": [] }),
        ];
        for value in &values {
            for params in [
                json!({ "name": "t", "arguments": value }),
                json!({ "name": value }),
                json!({ "name": "t", "inputResponses": value }),
                json!({ "name": "t", "requestState": value }),
                json!({ "name": "t", "inputResponses": {}, "requestState": value }),
                json!({ "name": "t", "task": value }),
                json!({ "name": "t", "_meta": { "progressToken": value } }),
                json!({ "uri": value }),
                json!({ "cursor": value }),
                json!({ "ref": value, "argument": value }),
                json!({ "taskId": value, "inputResponses": value }),
                json!({ "notifications": { "resourceSubscriptions": value, "taskIds": value } }),
                json!({ "level": value }),
            ] {
                for method in METHODS {
                    let id = gateway.request(method, params.clone());
                    if method != "subscriptions/listen" {
                        gateway.answer(id);
                    } else if let Some(id) = acknowledged(&mut gateway, id) {
                        gateway.cancel(id);
                    }
                }
            }
        }
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        // The gateway forwards some of the client's invalid members to the fake backend.
        fake.violations();
    }
}

const METHODS: [&str; 15] = [
    "tools/call",
    "tools/list",
    "prompts/get",
    "prompts/list",
    "resources/read",
    "resources/list",
    "resources/templates/list",
    "resources/subscribe",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "server/discover",
];

/// The id, if the subscription was acknowledged; `None` if it was refused.
fn acknowledged(gateway: &mut TestGateway, id: u64) -> Option<u64> {
    loop {
        let message = gateway.next_message();
        if message.is_response() {
            assert!(*message.id() == json!(id) && message.json.get("error").is_some());
            return None;
        }
        if message.method() == Some("notifications/subscriptions/acknowledged") {
            return Some(id);
        }
    }
}

#[test]
fn metadata_of_any_shape_is_answered_once() {
    let fake = FakeBackend::start().tool("t").modern();
    let mut gateway = TestGateway::over(&fake);
    let prefix = "io.modelcontextprotocol/";
    for value in [
        json!(null),
        json!(7),
        json!("x"),
        json!([]),
        json!({ "a": 1 }),
    ] {
        for key in [
            "protocolVersion",
            "clientInfo",
            "clientCapabilities",
            "logLevel",
            "x",
        ] {
            let mut meta = json!({});
            meta[format!("{prefix}protocolVersion")] = json!(MODERN);
            meta[format!("{prefix}clientCapabilities")] = json!({});
            meta[format!("{prefix}{key}")] = value.clone();
            let id = gateway.request("tools/call", json!({ "name": "t", "_meta": meta }));
            gateway.answer(id);
        }
        for params in [json!({ "_meta": value }), value] {
            let line = json!({ "jsonrpc": "2.0", "id": "m", "method": "tools/list",
                "params": params });
            gateway.send_raw(line.to_string());
            gateway.answer("m").error();
        }
    }
    gateway.modern(json!({}));
    gateway.call("t", json!({})).result();
}
