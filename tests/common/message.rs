//! JSON-RPC messages as a server writes them.
//!
//! `"$id"` stands for the id of the request that is being answered, `$text_of_id` for its text, and
//! `"$token"` for its progress token.

use serde_json::{Value, json};

/// A successful response.
pub fn result(result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": "$id", "result": result })
}

/// The result of a tool that returns this text.
pub fn text(text: &str) -> Value {
    result(json!({ "content": [{ "type": "text", "text": text }] }))
}

/// A result of the modern era with `resultType: "complete"`.
pub fn complete(mut result: Value) -> Value {
    result["resultType"] = json!("complete");
    self::result(result)
}

/// The result of a tool that returns this text, in the modern era.
pub fn complete_text(text: &str) -> Value {
    complete(json!({ "content": [{ "type": "text", "text": text }] }))
}

/// The result of a tool that returns this text, in the era of the request.
pub fn text_of_any_era(text: &str) -> Value {
    result(json!({ "content": [{ "type": "text", "text": text }], "resultType": "$era" }))
}

/// A result with `resultType: "input_required"`. `requests` maps a key to an object with `method`
/// and `params`; null omits `inputRequests`.
pub fn input_required(requests: &Value, state: Option<&str>) -> Value {
    let mut result = json!({ "resultType": "input_required" });
    if !requests.is_null() {
        result["inputRequests"] = requests.clone();
    }
    if let Some(state) = state {
        result["requestState"] = json!(state);
    }
    self::result(result)
}

/// An error response with `data`.
pub fn error_with(code: i64, message: &str, data: &Value) -> Value {
    let mut whole = error(code, message);
    whole["error"]["data"] = data.clone();
    whole
}

/// An error response.
pub fn error(code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": "$id", "error": { "code": code, "message": message } })
}

/// A progress notification for the request that is being answered.
pub fn progress(progress: f64) -> Value {
    notification(
        "notifications/progress",
        json!({ "progressToken": "$token", "progress": progress }),
    )
}

/// A notification.
pub fn notification(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// A request from the server to the client.
pub fn request(id: Value, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}
