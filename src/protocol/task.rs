//! Task ids (MCP 2025-11-25, basic/utilities/tasks; in the modern era the extension
//! `io.modelcontextprotocol/tasks`).
//!
//! Owns the mapping of task ids: a client sees `prefix:id`, so two backends may use the same id. The prefix
//! is the backend's and has no colon, so the mapping is reversible. Pure.

use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;

use super::message::each_element;
use super::raw::quoted;
use super::{Notification, Outcome, RawJson};

/// The key of `_meta` that names the task a message belongs to.
pub(crate) const RELATED: &str = "io.modelcontextprotocol/related-task";
/// What is searched for before the text is read: the key without its slash, which many servers write as
/// `\/`.
const RELATED_END: &[u8] = b"related-task";

/// The extension's name among a client's or server's `extensions`.
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The notification of a task's state of 2025-11-25, which tells of every task.
pub(crate) const STATUS: &str = "notifications/tasks/status";
/// The notification of the extension, for those who have subscribed to the task.
pub(crate) const STATE: &str = "notifications/tasks";

/// The id of the task that a notification of its state is about; `None` for any other notification.
pub(crate) fn of_notification(notification: &Notification) -> Option<String> {
    let params = notification.params.as_ref();
    let params = params.filter(|_| matches!(notification.method.as_str(), STATUS | STATE));
    params?.get("taskId")?.text()
}

/// Splits a client's task id into the backend's prefix and the backend's own task id.
pub(crate) fn split_id(task: &str) -> Option<(&str, &str)> {
    task.split_once(':')
}

/// An outcome with all task ids as clients see them.
pub(crate) fn outcome_for_client(outcome: Outcome, prefix: &str) -> Outcome {
    match outcome {
        Outcome::Result(result) => Outcome::Result(for_client(&result, prefix)),
        error @ Outcome::Error(_) => error,
    }
}

/// The state of a task of 2025-11-25 as one of the extension, under this id and with this status. It is
/// there for at most `kept`.
pub(crate) fn for_modern(state: &RawJson, id: &str, status: &str, kept: Duration) -> RawJson {
    let number = |key: &str| state.get(key)?.as_str().parse::<u64>().ok();
    let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    let ttl = number("ttl").map_or(kept, |ttl| ttl.min(kept));
    let poll = number("pollInterval").map(|ms| ("pollIntervalMs", ms.to_string().into()));
    let mut set: Vec<(&str, Bytes)> = vec![
        ("taskId", quoted(id)),
        ("status", quoted(status)),
        ("ttlMs", ttl.to_string().into()),
    ];
    set.extend(poll);
    state.with_members(&set, &["ttl", "pollInterval"])
}

/// A result, or the params of a notification, with all task ids as clients see them: in `taskId`,
/// `task`, `tasks` and the related task of `_meta`.
pub(crate) fn for_client(text: &RawJson, prefix: &str) -> RawJson {
    let name = |task: &str| Some(format!("{prefix}:{task}"));
    let mut set: Vec<(&str, Bytes)> = Vec::new();
    set.extend(renamed(text, &name).map(|task| ("taskId", task)));
    if let Some(task) = text.get("task") {
        set.extend(with_name(&task, &name).map(|task| ("task", task.into_bytes())));
    }
    let tasks = text.get("tasks");
    if let Some(tasks) = tasks.filter(|tasks| tasks.as_str().starts_with('[')) {
        let tasks = each_element(&tasks).map(|task| with_name(&task, &name).unwrap_or(task));
        set.push(("tasks", array(tasks)));
    }
    related(&text.with_members(&set, &[]), &name)
}

/// A message in which only `_meta` can name a task, with the task id as clients see it. A message
/// without one costs a single search.
pub(crate) fn related_for_client(text: Option<RawJson>, prefix: &str) -> Option<RawJson> {
    text.map(|text| related(&text, &|task| Some(format!("{prefix}:{task}"))))
}

/// The task that a message belongs to, by the sender's own id.
pub(crate) fn related_task(params: &RawJson) -> Option<String> {
    memmem::find(params.as_bytes(), RELATED_END)?;
    params.at(&["_meta", RELATED, "taskId"])?.text()
}

/// A client's response to a server request, with the related task under the backend's own id.
pub(crate) fn related_for_backend(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Result(result) => Outcome::Result(related(&result, &|task| {
            split_id(task).map(|(_, own)| own.to_owned())
        })),
        error @ Outcome::Error(_) => error,
    }
}

fn related(text: &RawJson, name: &dyn Fn(&str) -> Option<String>) -> RawJson {
    if memmem::find(text.as_bytes(), RELATED_END).is_none() {
        return text.clone();
    }
    let Some(meta) = text.get("_meta") else {
        return text.clone();
    };
    let task = meta.get(RELATED).and_then(|task| with_name(&task, name));
    let Some(task) = task else {
        return text.clone();
    };
    let meta = meta.with_members(&[(RELATED, task.into_bytes())], &[]);
    text.with_members(&[("_meta", meta.into_bytes())], &[])
}

/// An object with its `taskId` mapped; `None` if it has none.
fn with_name(task: &RawJson, name: &dyn Fn(&str) -> Option<String>) -> Option<RawJson> {
    let id = renamed(task, name)?;
    Some(task.with_members(&[("taskId", id)], &[]))
}

fn renamed(task: &RawJson, name: &dyn Fn(&str) -> Option<String>) -> Option<Bytes> {
    let id = task.get("taskId")?.text()?;
    name(&id).map(|id| quoted(&id))
}

/// A JSON array of these values, as text.
pub(crate) fn array(items: impl Iterator<Item = RawJson>) -> Bytes {
    let items: Vec<Bytes> = items.map(RawJson::into_bytes).collect();
    [&b"["[..], &items.join(&b','), b"]"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_ids_are_prefixed_with_their_backend_in_every_place() {
        for (own, shown) in [
            (
                r#"{"taskId":"a","n":1.10}"#,
                r#"{"taskId":"db:a","n":1.10}"#,
            ),
            (
                r#"{"task":{"taskId":"a:b"}}"#,
                r#"{"task":{"taskId":"db:a:b"}}"#,
            ),
            (
                r#"{"tasks":[{"taskId":"a"},{"taskId":"b"}]}"#,
                r#"{"tasks":[{"taskId":"db:a"},{"taskId":"db:b"}]}"#,
            ),
            (
                r#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"a"}},"content":[]}"#,
                r#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"db:a"}},"content":[]}"#,
            ),
            // As many servers write slashes.
            (
                r#"{"_meta":{"io.modelcontextprotocol\/related-task":{"taskId":"a"}},"content":[]}"#,
                r#"{"_meta":{"io.modelcontextprotocol\/related-task":{"taskId":"db:a"}},"content":[]}"#,
            ),
            (
                r#"{"content":[{"taskId":"a"}]}"#,
                r#"{"content":[{"taskId":"a"}]}"#,
            ),
            (r#"{"taskId":7}"#, r#"{"taskId":7}"#),
        ] {
            let shown_now = for_client(&RawJson::trusted(own), "db");
            assert_eq!(shown_now.as_str(), shown);
        }
        assert_eq!(split_id("db:a:b"), Some(("db", "a:b")));
        assert_eq!(split_id("a"), None);
    }

    #[test]
    fn the_task_of_a_message_is_found_however_its_key_is_written() {
        for (params, task) in [
            (
                r#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"a"}}}"#,
                Some("a"),
            ),
            (
                r#"{"_meta":{"io.modelcontextprotocol\/related-task":{"taskId":"a"}}}"#,
                Some("a"),
            ),
            (r#"{"_meta":{"related-task":{"taskId":"a"}}}"#, None),
            (r#"{"message":"related-task"}"#, None),
        ] {
            let found = related_task(&RawJson::trusted(params));
            assert_eq!(found.as_deref(), task, "{params}");
        }
    }

    #[test]
    fn a_response_to_a_server_request_has_the_backends_own_task_id() {
        let answer = r#"{"action":"accept","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"db:a"}}}"#;
        let Outcome::Result(back) = related_for_backend(Outcome::Result(RawJson::trusted(answer)))
        else {
            panic!("a result stays one")
        };
        assert!(back.as_str().contains(r#"{"taskId":"a"}"#), "{back:?}");
    }
}
