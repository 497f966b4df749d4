//! Clients of the older versions: each gets what its version defines, with backends of both eras.

use serde_json::json;

use crate::common::gateway::TestGateway;
use crate::era_matrix::table::{LEGACY, MODERN, OLDER};

#[test]
fn the_requested_version_is_negotiated() {
    for pair in OLDER {
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
fn an_unknown_version_is_answered_with_the_latest_legacy_one() {
    for asked in ["1999-01-01", MODERN, "2099-01-01", ""] {
        let mut gateway = TestGateway::with_config("");
        let hello = gateway.initialize_with(asked, json!({}));
        assert_eq!(hello.result()["protocolVersion"], LEGACY, "{asked}");
    }
}

#[test]
fn batches_work_in_one_version_only() {
    for pair in OLDER {
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
