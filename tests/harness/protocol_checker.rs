//! The protocol checker accepts valid exchanges and panics on violations.

use serde_json::{Value, json};

use crate::common::protocol_checker::ProtocolChecker;

#[test]
fn violations_of_json_rpc_are_reported() {
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let refusal = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#;
    let accepts = |sent: &[&str], received: &[&str]| {
        std::panic::catch_unwind(|| {
            let mut checker = ProtocolChecker::default();
            sent.iter().for_each(|line| checker.sent(line.as_bytes()));
            received
                .iter()
                .for_each(|line| drop(checker.received(line.as_bytes())));
            assert!(checker.unanswered().is_empty());
        })
        .is_ok()
    };
    for (valid, sent, received) in [
        (true, &[ask][..], &[answer][..]),
        (false, &[ask], &[]),
        (false, &[ask], &[answer, answer]),
        (true, &[ask, ask], &[answer, answer]),
        (false, &[], &[answer]),
        (true, &[ask, cancel], &[]),
        (true, &[ask, cancel], &[answer]),
        (false, &[ask, cancel], &[answer, answer]),
        (
            false,
            &[ask],
            &[r#"{"jsonrpc":"2.0","id":"1","result":{}}"#],
        ),
        (true, &["{"], &[refusal]),
        (false, &["{"], &[refusal, refusal]),
        (false, &[], &[refusal]),
        (false, &[], &["hello"]),
        (false, &[], &["[]"]),
        (
            false,
            &[ask],
            &[r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#],
        ),
        (false, &[ask], &[r#"{"id":1,"result":{}}"#]),
        (
            false,
            &[],
            &[r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#],
        ),
        (
            false,
            &[],
            &[r#"{"jsonrpc":"2.0","id":null,"method":"roots/list"}"#],
        ),
    ] {
        assert_eq!(accepts(sent, received), valid, "{sent:?} and {received:?}");
    }
}

/// Whether the checker accepts what was sent (→) and received (←), in this order.
fn accepts(exchange: &[(&str, Value)]) -> bool {
    std::panic::catch_unwind(|| {
        let mut checker = ProtocolChecker::default();
        for (direction, message) in exchange {
            let mut message = message.clone();
            message["jsonrpc"] = json!("2.0");
            let line = message.to_string();
            match *direction {
                "→" => checker.sent(line.as_bytes()),
                _ => drop(checker.received(line.as_bytes())),
            }
        }
    })
    .is_ok()
}

fn modern(id: Value, method: &str, mut params: Value) -> (&'static str, Value) {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    let can = &mut params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    *can = json!({ "elicitation": {} });
    ("→", json!({ "id": id, "method": method, "params": params }))
}

fn initialize(capabilities: Value) -> (&'static str, Value) {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities });
    (
        "→",
        json!({ "id": 0, "method": "initialize", "params": params }),
    )
}

fn ready() -> (&'static str, Value) {
    ("→", json!({ "method": "notifications/initialized" }))
}

fn result(id: Value, result: Value) -> (&'static str, Value) {
    ("←", json!({ "id": id, "result": result }))
}

fn error(id: Value, code: i64) -> (&'static str, Value) {
    (
        "←",
        json!({ "id": id, "error": { "code": code, "message": "no" } }),
    )
}

fn notification(method: &str, params: Value) -> (&'static str, Value) {
    ("←", json!({ "method": method, "params": params }))
}

#[test]
fn members_and_codes_of_the_other_era_are_reported() {
    let call = modern(json!(1), "tools/call", json!({}));
    let list = modern(json!(1), "tools/list", json!({}));
    let legacy_call = (
        "→",
        json!({ "id": 1, "method": "tools/call", "params": {} }),
    );
    let elicit = json!({ "a": { "method": "elicitation/create", "params": {} } });
    let sample = json!({ "a": { "method": "sampling/createMessage", "params": {} } });
    let asks = |requests: &Value| {
        result(
            json!(1),
            json!({ "resultType": "input_required", "inputRequests": requests }),
        )
    };
    let cached = json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "private" });
    for (valid, exchange) in [
        (
            true,
            vec![
                call.clone(),
                result(json!(1), json!({ "resultType": "complete" })),
            ],
        ),
        (false, vec![call.clone(), result(json!(1), json!({}))]),
        (true, vec![list.clone(), result(json!(1), cached)]),
        (
            false,
            vec![
                list.clone(),
                result(json!(1), json!({ "resultType": "complete" })),
            ],
        ),
        (true, vec![call.clone(), asks(&elicit)]),
        (false, vec![call.clone(), asks(&sample)]),
        (false, vec![list, asks(&elicit)]),
        (false, vec![call.clone(), asks(&Value::Null)]),
        (false, vec![legacy_call.clone(), asks(&elicit)]),
        (
            false,
            vec![legacy_call.clone(), result(json!(1), json!({ "ttlMs": 0 }))],
        ),
        (true, vec![legacy_call.clone(), error(json!(1), -32002)]),
        (false, vec![legacy_call, error(json!(1), -32021)]),
        (false, vec![call.clone(), error(json!(1), -32002)]),
        (false, vec![call.clone(), error(json!(1), -32020)]),
        (false, vec![call, error(json!(1), -32022)]),
    ] {
        assert_eq!(accepts(&exchange), valid, "{exchange:?}");
    }
}

#[test]
fn requests_that_a_client_may_not_get_are_reported() {
    let ask = ("←", json!({ "id": 7, "method": "roots/list" }));
    let can_roots = initialize(json!({ "roots": {} }));
    let cannot = initialize(json!({ "sampling": {} }));
    for (valid, exchange) in [
        (true, vec![can_roots.clone(), ready(), ask.clone()]),
        (false, vec![can_roots, ask.clone()]),
        (false, vec![cannot, ready(), ask.clone()]),
        (false, vec![modern(json!(1), "tools/call", json!({})), ask]),
    ] {
        assert_eq!(accepts(&exchange), valid, "{exchange:?}");
    }
}

#[test]
fn before_initialized_only_logs_and_pings_are_allowed() {
    let log = notification("notifications/message", json!({ "level": "info" }));
    let changed = notification("notifications/tools/list_changed", json!({}));
    let ping = ("←", json!({ "id": 7, "method": "ping" }));
    let initialize_sent = initialize(json!({}));
    let asked = ("→", json!({ "id": 1, "method": "tools/list" }));
    for (valid, exchange) in [
        (true, vec![initialize_sent.clone(), log, ping]),
        (false, vec![initialize_sent.clone(), changed.clone()]),
        (
            true,
            vec![initialize_sent.clone(), ready(), changed.clone()],
        ),
        (true, vec![initialize_sent, asked, changed.clone()]),
        (false, vec![ready(), changed]),
    ] {
        assert_eq!(accepts(&exchange), valid, "{exchange:?}");
    }
}

#[test]
fn progress_without_a_request_in_flight_or_without_increase_is_reported() {
    let call = modern(
        json!(1),
        "tools/call",
        json!({ "_meta": { "progressToken": "t" } }),
    );
    let progress = |token: Value, progress: f64| {
        notification(
            "notifications/progress",
            json!({ "progressToken": token, "progress": progress }),
        )
    };
    let done = result(json!(1), json!({ "resultType": "complete" }));
    let (one, two) = (progress(json!("t"), 1.0), progress(json!("t"), 2.0));
    for (valid, exchange) in [
        (
            true,
            vec![call.clone(), one.clone(), two.clone(), done.clone()],
        ),
        (false, vec![call.clone(), two.clone(), one.clone()]),
        (false, vec![call.clone(), one.clone(), one.clone()]),
        (false, vec![call.clone(), progress(json!(1), 1.0)]),
        (false, vec![call, done, one.clone()]),
        (false, vec![one]),
    ] {
        assert_eq!(accepts(&exchange), valid, "{exchange:?}");
    }
}

#[test]
fn notifications_outside_a_subscription_are_reported() {
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let listen = modern(json!(1), "subscriptions/listen", filter);
    let on = |id: Value, what: &str| {
        let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
        notification(
            &format!("notifications/{what}"),
            json!({ "_meta": meta, "notifications": {} }),
        )
    };
    let acknowledged = on(json!(1), "subscriptions/acknowledged");
    let changed = on(json!(1), "tools/list_changed");
    let bare = notification("notifications/tools/list_changed", json!({}));
    let cancelled = notification("notifications/cancelled", json!({ "requestId": 1 }));
    for (valid, exchange) in [
        (
            true,
            vec![
                listen.clone(),
                acknowledged.clone(),
                changed.clone(),
                cancelled.clone(),
            ],
        ),
        (false, vec![listen.clone(), changed.clone()]),
        (
            false,
            vec![listen.clone(), acknowledged.clone(), acknowledged.clone()],
        ),
        (
            false,
            vec![listen.clone(), on(json!("1"), "subscriptions/acknowledged")],
        ),
        (
            false,
            vec![
                listen.clone(),
                acknowledged.clone(),
                on(json!(1), "prompts/list_changed"),
            ],
        ),
        (false, vec![listen, acknowledged, bare.clone()]),
        (true, vec![initialize(json!({})), ready(), bare]),
        (false, vec![changed]),
        (false, vec![cancelled]),
    ] {
        assert_eq!(accepts(&exchange), valid, "{exchange:?}");
    }
}

#[test]
fn responses_and_progress_after_a_read_cancellation_are_reported() {
    let call = modern(
        json!(1),
        "tools/call",
        json!({ "_meta": { "progressToken": "t" } }),
    );
    let cancel = (
        "→",
        json!({ "method": "notifications/cancelled", "params": { "requestId": 1 } }),
    );
    let other = modern(json!(2), "tools/call", json!({}));
    let done = |id: u64| result(json!(id), json!({ "resultType": "complete" }));
    let progress = notification(
        "notifications/progress",
        json!({ "progressToken": "t", "progress": 1 }),
    );
    for (valid, exchange) in [
        (true, vec![call.clone(), cancel.clone(), done(1)]),
        (
            true,
            vec![
                call.clone(),
                other.clone(),
                cancel.clone(),
                done(2),
                done(1),
            ],
        ),
        (
            false,
            vec![
                call.clone(),
                cancel.clone(),
                other.clone(),
                done(2),
                done(1),
            ],
        ),
        (false, vec![call, cancel, other, done(2), progress]),
    ] {
        assert_eq!(accepts(&exchange), valid, "{exchange:?}");
    }
}

#[test]
fn log_messages_below_the_requested_level_are_reported() {
    let level = json!({ "_meta": { "io.modelcontextprotocol/logLevel": "warning" } });
    let call = modern(json!(1), "tools/call", level);
    let log = |level: &str| {
        notification(
            "notifications/message",
            json!({ "level": level, "data": 1 }),
        )
    };
    let silent = modern(json!(1), "tools/call", json!({}));
    for (valid, exchange) in [
        (true, vec![call.clone(), log("error")]),
        (false, vec![call, log("info")]),
        (false, vec![silent, log("error")]),
        (true, vec![initialize(json!({})), log("info")]),
    ] {
        assert_eq!(accepts(&exchange), valid, "{exchange:?}");
    }
}
