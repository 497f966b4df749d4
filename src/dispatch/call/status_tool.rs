//! What `gateway_status` answers: which servers are connected, and why others are not.
//!
//! Owns the words, which are for a model: what it can't do itself is said as what a person types.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;

use crate::snapshot::Snapshot;
use crate::status::{BackendStatus, State, backends};
use crate::tasks;

/// Most servers that are described, and most characters of why one is down.
const MAX_SERVERS: usize = 50;
const MAX_WHY: usize = 400;

/// All servers, those that can't be called first; or the one that the arguments name.
///
/// # Errors
/// There is no such server.
pub(super) async fn status(arguments: &Value, snapshot: &Arc<Snapshot>) -> Result<String, String> {
    // On another thread: backends decide how many tools there are to be counted.
    let gathered = Arc::clone(snapshot);
    let gathering = tasks::blocking(move || backends(&gathered));
    let mut all = gathering.await.unwrap_or_default();
    let up = all.iter().filter(|backend| is_well(backend)).count();
    let mut text = format!("{up} of {} servers can be called.\n", all.len());
    let server = arguments.get("server").and_then(Value::as_str);
    if let Some(server) = server.filter(|server| !server.is_empty()) {
        all.retain(|backend| backend.name.eq_ignore_ascii_case(server));
        if all.is_empty() {
            return Err(format!(
                "there is no server {server:?}; without \"server\" all are shown"
            ));
        }
    }
    let (well, mut all): (Vec<_>, Vec<_>) = all.into_iter().partition(is_well);
    all.extend(well);
    for backend in all.iter().take(MAX_SERVERS) {
        // Can't fail: it is a string.
        let _ = writeln!(text, "- {}: {}", backend.name, line(backend));
    }
    if all.len() > MAX_SERVERS {
        let _ = writeln!(text, "and {} more", all.len() - MAX_SERVERS);
    }
    Ok(text)
}

fn is_well(backend: &BackendStatus) -> bool {
    backend.state == State::Up && !backend.refuses_calls
}

fn line(backend: &BackendStatus) -> String {
    let why = backend.why.as_deref().unwrap_or("the reason is not known");
    let why: String = why.chars().take(MAX_WHY).collect();
    match backend.state {
        State::Up if backend.refuses_calls => {
            let last = backend.last_error.as_ref().map(|error| &*error.message);
            let last: String = last.unwrap_or_default().chars().take(MAX_WHY).collect();
            format!(
                "connected, but its last calls have failed, and calls are refused for now: {last}"
            )
        }
        State::Up => format!("connected, tools: {}", backend.tools),
        State::Connecting => format!("being connected: {why}"),
        State::Down if backend.awaits_sign_in => {
            format!("down until the user signs in: {why}")
        }
        State::Down | State::Unknown => format!("down: {why}"),
        State::Disabled => why,
    }
}
