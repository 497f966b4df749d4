//! What each era may and may not be told.

use serde_json::Value;

use super::Message;
use super::request::{Asked, may_be_asked};

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Judges the response to this request.
pub(super) fn judge_response(asked: &Asked, message: &Message) {
    let line = &message.line;
    match (message.json.get("result"), asked.modern) {
        (Some(result), true) => judge_modern_result(asked, result, line),
        (Some(result), false) => judge_legacy_result(result, line),
        (None, modern) => judge_error(&message.json["error"], modern, line),
    }
}

fn judge_modern_result(asked: &Asked, result: &Value, line: &str) {
    let kind = result["resultType"].as_str();
    let kind = kind.unwrap_or_else(|| panic!("a modern result without resultType: {line}"));
    let has = |key: &str| result.get(key).is_some();
    if kind == "complete" && asked.is_cacheable() {
        assert!(result["ttlMs"].is_u64(), "no ttlMs: {line}");
        let scope = &result["cacheScope"];
        assert!(
            scope == "public" || scope == "private",
            "no cacheScope: {line}"
        );
    }
    if asked.is_listen() {
        let id = &result["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert!(!id.is_null(), "a listen that ends without its id: {line}");
    }
    match kind {
        "input_required" => {}
        "complete" => return,
        "task" => {
            let declared = &asked.capabilities["extensions"]["io.modelcontextprotocol/tasks"];
            return assert!(declared.is_object(), "a task for who knows none: {line}");
        }
        _ => panic!("no kind of result that there is: {line}"),
    }
    assert!(
        asked.takes_input(),
        "{} can't be asked back: {line}",
        asked.method
    );
    assert!(
        !has("ttlMs") && !has("cacheScope"),
        "a question to be cached: {line}"
    );
    let asks = result["inputRequests"].as_object();
    assert!(
        asks.is_some_and(|asks| !asks.is_empty()) || result["requestState"].is_string(),
        "a question that asks nothing: {line}"
    );
    for request in asks.into_iter().flatten() {
        let (method, params) = (&request.1["method"], &request.1["params"]);
        let method = method.as_str().unwrap_or_default();
        let may = method != "ping" && may_be_asked(&asked.capabilities, method, params);
        assert!(may, "the client did not say that it can {method}: {line}");
        let strange = request.1.get("id").is_some() || request.1.get("jsonrpc").is_some();
        assert!(!strange, "an input request is no JSON-RPC message: {line}");
    }
}

fn judge_legacy_result(result: &Value, line: &str) {
    for key in [
        "resultType",
        "ttlMs",
        "cacheScope",
        "inputRequests",
        "requestState",
    ] {
        assert!(
            result.get(key).is_none(),
            "{key} is not for a legacy client: {line}"
        );
    }
    let info = result["_meta"].get(SERVER_INFO);
    assert!(
        info.is_none(),
        "{SERVER_INFO} is not for a legacy client: {line}"
    );
}

fn judge_error(error: &Value, modern: bool, line: &str) {
    let code = error["code"].as_i64().unwrap_or_default();
    if !modern {
        let foreign = [-32020, -32021, -32022].contains(&code);
        assert!(!foreign, "a modern code for a legacy client: {line}");
        return;
    }
    assert!(code != -32002, "-32002 is not of this era: {line}");
    let reserved = (-32099..=-32020).contains(&code);
    assert!(
        !reserved || code == -32021 || code == -32022,
        "a code that is not for a modern client on stdio: {line}"
    );
    let data = &error["data"];
    if code == -32021 {
        let required = &data["requiredCapabilities"];
        assert!(required.is_object(), "which capabilities? {line}");
    }
    if code == -32022 {
        let fits = data["supported"].is_array() && data["requested"].is_string();
        assert!(fits, "which versions? {line}");
    }
}

/// Judges a request of the gateway's own. `None`: no client of the legacy era is there.
pub(super) fn judge_request(capabilities: Option<&Value>, message: &Message) {
    let line = &message.line;
    let capabilities =
        capabilities.unwrap_or_else(|| panic!("a request to a modern client: {line}"));
    let method = message.method().unwrap_or_default();
    assert!(
        may_be_asked(capabilities, method, message.params()),
        "the client did not say that it can {method}: {line}"
    );
}
