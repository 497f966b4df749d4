//! What each era's responses and requests may and must contain.

use serde_json::Value;

use super::Message;
use super::request::{ClientRequest, is_declared};

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Checks the response to this request.
pub(super) fn check_response(request: &ClientRequest, message: &Message) {
    let line = &message.line;
    match (message.json.get("result"), request.modern) {
        (Some(result), true) => check_modern_result(request, result, line),
        (Some(result), false) => check_legacy_result(result, line),
        (None, modern) => check_error(&message.json["error"], modern, line),
    }
}

fn check_modern_result(request: &ClientRequest, result: &Value, line: &str) {
    let kind = result["resultType"].as_str();
    let kind = kind.unwrap_or_else(|| panic!("a modern result without resultType: {line}"));
    let has = |key: &str| result.get(key).is_some();
    if kind == "complete" && request.is_cacheable() {
        assert!(result["ttlMs"].is_u64(), "no ttlMs: {line}");
        let scope = &result["cacheScope"];
        assert!(
            scope == "public" || scope == "private",
            "no cacheScope: {line}"
        );
    }
    if request.is_listen() {
        let id = &result["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert!(!id.is_null(), "no subscriptionId: {line}");
    }
    match kind {
        "input_required" => {}
        "complete" => return,
        "task" => {
            let declared = &request.capabilities["extensions"]["io.modelcontextprotocol/tasks"];
            return assert!(declared.is_object(), "a task without the extension: {line}");
        }
        _ => panic!("an unknown resultType: {line}"),
    }
    assert!(
        request.takes_input(),
        "{} can't be input_required: {line}",
        request.method
    );
    assert!(
        !has("ttlMs") && !has("cacheScope"),
        "cache hints with input_required: {line}"
    );
    let inputs = result["inputRequests"].as_object();
    assert!(
        inputs.is_some_and(|inputs| !inputs.is_empty()) || result["requestState"].is_string(),
        "neither inputRequests nor requestState: {line}"
    );
    for (_, input) in inputs.into_iter().flatten() {
        let method = input["method"].as_str().unwrap_or_default();
        let declared = is_declared(&request.capabilities, method, &input["params"]);
        assert!(
            method != "ping" && declared,
            "the client did not declare {method}: {line}"
        );
        let is_json_rpc = input.get("id").is_some() || input.get("jsonrpc").is_some();
        assert!(
            !is_json_rpc,
            "an input request is no JSON-RPC message: {line}"
        );
    }
}

fn check_legacy_result(result: &Value, line: &str) {
    for key in [
        "resultType",
        "ttlMs",
        "cacheScope",
        "inputRequests",
        "requestState",
    ] {
        assert!(
            result.get(key).is_none(),
            "{key} for a legacy client: {line}"
        );
    }
    let info = result["_meta"].get(SERVER_INFO);
    assert!(info.is_none(), "{SERVER_INFO} for a legacy client: {line}");
}

fn check_error(error: &Value, modern: bool, line: &str) {
    let code = error["code"].as_i64().unwrap_or_default();
    if !modern {
        let foreign = [-32020, -32021, -32022].contains(&code);
        assert!(!foreign, "a modern code for a legacy client: {line}");
        return;
    }
    assert!(code != -32002, "a legacy code for a modern client: {line}");
    let reserved = (-32099..=-32020).contains(&code);
    assert!(
        !reserved || code == -32021 || code == -32022,
        "a reserved code that stdio does not use: {line}"
    );
    let data = &error["data"];
    if code == -32021 {
        let required = &data["requiredCapabilities"];
        assert!(required.is_object(), "no requiredCapabilities: {line}");
    }
    if code == -32022 {
        let fits = data["supported"].is_array() && data["requested"].is_string();
        assert!(fits, "no supported or requested version: {line}");
    }
}

/// Checks a request of the gateway. `capabilities` are the legacy client's; `None` if there is no
/// legacy client.
pub(super) fn check_request(capabilities: Option<&Value>, message: &Message) {
    let line = &message.line;
    let capabilities =
        capabilities.unwrap_or_else(|| panic!("a request to a modern client: {line}"));
    let method = message.method().unwrap_or_default();
    assert!(
        is_declared(capabilities, method, message.params()),
        "the client did not declare {method}: {line}"
    );
}
