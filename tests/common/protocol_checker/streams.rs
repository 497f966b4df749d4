//! What comes between requests and responses: progress, logs, and what was subscribed to.

use std::collections::HashMap;

use serde_json::Value;

use super::request::Asked;
use super::{Account, Message};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// How far a client of the legacy era has come in its handshake.
#[derive(Clone, Copy)]
pub(super) struct Client {
    pub(super) met: bool,
    pub(super) ready: bool,
}

/// Judges a notification.
pub(super) fn judge(accounts: &mut HashMap<String, Account>, legacy: Client, message: &Message) {
    let line = &message.line;
    let id = &message.params()["_meta"][SUBSCRIPTION];
    if !id.is_null() {
        return judge_subscribed(accounts, id, message);
    }
    match message.method().unwrap_or_default() {
        "notifications/progress" => judge_progress(accounts, message),
        "notifications/message" => {
            let level = message.params()["level"].as_str().unwrap_or_default();
            let wanted = accounts.values().any(|account| {
                account.is_open() && account.request.modern && account.request.wants_log(level)
            });
            assert!(
                legacy.met || wanted,
                "a log message that nobody asked for: {line}"
            );
        }
        "notifications/cancelled" => {
            let listen = accounts.get(&message.params()["requestId"].to_string());
            let listens = listen.is_some_and(|account| account.request.is_listen());
            assert!(
                legacy.ready || listens,
                "the gateway may not cancel this: {line}"
            );
        }
        method => {
            assert!(
                legacy.met,
                "{method} without having been subscribed to: {line}"
            );
            assert!(legacy.ready, "{method} before the client is ready: {line}");
        }
    }
}

/// Progress is for a request in flight, under its token, and grows.
fn judge_progress(accounts: &mut HashMap<String, Account>, message: &Message) {
    let line = &message.line;
    let token = Some(&message.params()["progressToken"]);
    let progress = message.params()["progress"].as_f64();
    let progress = progress.unwrap_or_else(|| panic!("no progress: {line}"));
    let mut theirs = accounts
        .values_mut()
        .filter(|account| account.is_open() && account.request.progress_token.as_ref() == token);
    let Some(account) = theirs.next() else {
        panic!("progress of no request in flight: {line}");
    };
    // A client that uses a token twice can't tell whose progress it is, and neither can we.
    if theirs.next().is_none() {
        let grows = account.progress.is_none_or(|before| before < progress);
        assert!(grows, "progress that doesn't grow: {line}");
    }
    account.progress = Some(progress);
}

/// The first says what is honoured; what follows was asked for.
fn judge_subscribed(accounts: &mut HashMap<String, Account>, id: &Value, message: &Message) {
    let line = &message.line;
    let account = accounts.get_mut(&id.to_string());
    let account = account.filter(|account| account.is_open() && account.request.is_listen());
    let account = account.unwrap_or_else(|| panic!("of no subscription: {line}"));
    let method = message.method().unwrap_or_default();
    if method == "notifications/subscriptions/acknowledged" {
        assert!(!account.acknowledged, "acknowledged twice: {line}");
        account.acknowledged = true;
        let honoured = &message.params()["notifications"];
        assert!(
            is_within(honoured, &account.request.filter),
            "more than asked for: {line}"
        );
    } else {
        assert!(account.acknowledged, "before it was acknowledged: {line}");
        assert!(
            was_asked_for(&account.request, method, message.params()),
            "unasked: {line}"
        );
    }
}

fn is_within(honoured: &Value, asked: &Value) -> bool {
    let honoured = honoured.as_object().expect("an object of notifications");
    honoured
        .iter()
        .all(|(key, value)| match (value, &asked[key]) {
            (Value::Array(some), Value::Array(all)) => some.iter().all(|one| all.contains(one)),
            (value, asked) => value == asked || *value == false,
        })
}

fn was_asked_for(listen: &Asked, method: &str, params: &Value) -> bool {
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
        "notifications/resources/updated" => has("resourceSubscriptions", &params["uri"]),
        "notifications/tasks" => has("taskIds", &params["taskId"]),
        _ => false,
    }
}
