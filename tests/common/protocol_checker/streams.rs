//! Notifications: progress, log messages, cancellations, and those of subscriptions.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::request::ClientRequest;
use super::{Message, RequestsById};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The progress of a legacy client's handshake.
#[derive(Clone, Copy)]
pub(super) struct LegacyClient {
    /// It has sent `initialize`.
    pub(super) initialized: bool,
    /// It has completed the handshake.
    pub(super) ready: bool,
}

/// Checks a notification.
pub(super) fn check(
    requests: &mut HashMap<String, RequestsById>,
    legacy: LegacyClient,
    message: &Message,
) {
    let line = &message.line;
    let id = &message.params()["_meta"][SUBSCRIPTION];
    if !id.is_null() {
        return check_subscribed(requests, id, message);
    }
    match message.method().unwrap_or_default() {
        "notifications/progress" => check_progress(requests, message),
        "notifications/message" => {
            let level = message.params()["level"].as_str().unwrap_or_default();
            let wanted = requests.values().any(|entry| {
                entry.is_open() && entry.request.modern && entry.request.wants_log(level)
            });
            assert!(
                legacy.initialized || wanted,
                "a log message for a client that requested none: {line}"
            );
        }
        "notifications/cancelled" => {
            let listen = requests.get(&message.params()["requestId"].to_string());
            let listens = listen.is_some_and(|entry| entry.request.is_listen());
            assert!(
                legacy.ready || listens,
                "the gateway may not cancel this: {line}"
            );
        }
        // An extension's of a backend, during a request.
        "notifications/x/step" => assert!(requests.values().any(RequestsById::is_open), "{line}"),
        method => {
            assert!(
                legacy.initialized,
                "{method} without a subscription: {line}"
            );
            assert!(legacy.ready, "{method} before the client is ready: {line}");
        }
    }
}

/// Progress must have the token of a request in flight, and increase.
fn check_progress(requests: &mut HashMap<String, RequestsById>, message: &Message) {
    let line = &message.line;
    let token = Some(&message.params()["progressToken"]);
    let progress = message.params()["progress"].as_f64();
    let progress = progress.unwrap_or_else(|| panic!("no progress: {line}"));
    let mut matching = requests
        .values_mut()
        .filter(|entry| entry.is_open() && entry.request.progress_token.as_ref() == token);
    let Some(entry) = matching.next() else {
        panic!("progress of no request in flight: {line}");
    };
    // When two requests share a token, it is unknown which of them this belongs to.
    if matching.next().is_none() {
        let increases = entry.progress.is_none_or(|before| before < progress);
        assert!(increases, "progress that doesn't increase: {line}");
    }
    entry.progress = Some(progress);
}

/// The first notification of a subscription acknowledges it; all others must match its filter.
fn check_subscribed(requests: &mut HashMap<String, RequestsById>, id: &Value, message: &Message) {
    let line = &message.line;
    let entry = requests.get_mut(&id.to_string());
    let entry = entry.filter(|entry| entry.is_open() && entry.request.is_listen());
    let entry = entry.unwrap_or_else(|| panic!("no such subscription: {line}"));
    let method = message.method().unwrap_or_default();
    if method == "notifications/subscriptions/acknowledged" {
        assert!(!entry.acknowledged, "acknowledged twice: {line}");
        entry.acknowledged = true;
        let honoured = &message.params()["notifications"];
        assert!(
            is_within(honoured, &entry.request.filter),
            "more than requested: {line}"
        );
    } else {
        assert!(entry.acknowledged, "before it was acknowledged: {line}");
        assert!(
            matches_filter(&entry.request, method, message.params()),
            "outside the filter: {line}"
        );
    }
}

fn is_within(honoured: &Value, requested: &Value) -> bool {
    let honoured = honoured.as_object().expect("an object of notifications");
    honoured
        .iter()
        .all(|(key, value)| match (value, &requested[key]) {
            (Value::Array(some), Value::Array(all)) => some.iter().all(|one| all.contains(one)),
            (value, requested) => value == requested || *value == false,
        })
}

fn matches_filter(listen: &ClientRequest, method: &str, params: &Value) -> bool {
    let filter = &listen.filter;
    let has = |key: &str, value: &Value| {
        filter[key]
            .as_array()
            .is_some_and(|all| all.contains(value))
    };
    match method {
        "notifications/tools/list_changed" => filter["toolsListChanged"] == true,
        "notifications/prompts/list_changed" => filter["promptsListChanged"] == true,
        "notifications/resources/list_changed" => filter["resourcesListChanged"] == true,
        "notifications/resources/updated" => {
            // A part of what was subscribed to may be named (server/resources).
            let uri = params["uri"].as_str().unwrap_or_default();
            let whole = uri.trim_end_matches("/part");
            has("resourceSubscriptions", &json!(uri)) || has("resourceSubscriptions", &json!(whole))
        }
        "notifications/tasks" => has("taskIds", &params["taskId"]),
        _ => false,
    }
}
