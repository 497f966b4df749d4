//! Clients of the older versions: each gets what its version has, whatever the backend speaks.

use serde_json::json;

use crate::common::gateway::TestGateway;
use crate::common::message::request;
use crate::common::reply::Reply;
use crate::table::{LEGACY, MODERN, Pair};

const OLDER: [&str; 3] = ["2024-11-05", "2025-03-26", "2025-06-18"];

fn older() -> impl Iterator<Item = Pair> {
    let backends = [LEGACY, MODERN];
    OLDER
        .into_iter()
        .flat_map(move |client| backends.map(|backend| Pair::new(client, backend)))
}

#[test]
fn the_version_that_a_client_asks_for_is_spoken() {
    for pair in older() {
        let fake = pair.fake().tool("echo");
        let mut gateway = TestGateway::over(&fake);
        let hello = gateway.initialize_with(pair.client, json!({}));
        assert_eq!(hello.result()["protocolVersion"], pair.client);
        let completes = hello.result()["capabilities"].get("completions").is_some();
        assert_eq!(completes, pair.client >= "2025-03-26", "{pair:?}");
        assert_eq!(gateway.tool_names(), ["echo"]);
        assert_eq!(gateway.call("echo", json!({})).text(), "echo {}");
    }
}

#[test]
fn a_version_that_nobody_knows_is_answered_with_the_latest_legacy_one() {
    for asked in ["1999-01-01", MODERN, "2099-01-01", ""] {
        let mut gateway = TestGateway::with_config("");
        let hello = gateway.initialize_with(asked, json!({}));
        assert_eq!(hello.result()["protocolVersion"], LEGACY, "{asked}");
    }
}

#[test]
fn batches_are_of_one_version_alone() {
    for pair in older() {
        let fake = pair.fake().tool("echo");
        let mut gateway = pair.gateway(&fake);
        let call = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call",
            "params": { "name": "echo", "arguments": {} } });
        if pair.client == "2025-03-26" {
            gateway.send_raw(json!([call]).to_string());
            assert_eq!(gateway.answer("a").text(), "echo {}");
        } else {
            gateway.send_raw("[1]");
            assert_eq!(gateway.answer(json!(null)).code(), -32600, "{pair:?}");
        }
    }
}

#[test]
fn sampling_is_of_every_version() {
    for pair in older() {
        let fake = pair.fake().tool("ask");
        let params = json!({ "messages": [], "maxTokens": 1 });
        let gate = crate::common::gate::Gate::new();
        if pair.modern_backend() {
            let asks = json!({ "k": { "method": "sampling/createMessage", "params": params } });
            fake.on_tool("ask", Reply::input_required(&asks, None));
            fake.on_tool("ask", Reply::json(&pair.text("done")));
        } else {
            let ask = request(json!("s"), "sampling/createMessage", params);
            let stream = Reply::sse().event(ask).hold(&gate);
            fake.on_tool("ask", stream.event(pair.text("done")));
        }
        let mut gateway = pair.gateway_for(&fake, json!({ "sampling": {} }));
        let id = gateway.start_call("ask", json!({}));
        let question = gateway.next_request("sampling/createMessage");
        gateway.respond(&question, json!({ "model": "m" }));
        if !pair.modern_backend() {
            assert_eq!(fake.next_request("response").message["id"], "s");
        }
        gate.open();
        assert_eq!(gateway.answer(id).text(), "done");
        assert_eq!(fake.runs("ask"), 1);
    }
}
