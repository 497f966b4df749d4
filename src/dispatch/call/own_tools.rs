//! The gateway's own tools: `search_tools`, `describe_tool`, `call_tool`, `read_more` and `gateway_status`.
//!
//! Owns their arguments and answers. `call_tool` becomes a call of the tool that it names, so that
//! everything on the way to a backend treats both alike. It must not know how tools are ranked.

use std::sync::Arc;

use serde_json::{Value, json};

use super::status_tool::status;
use crate::call_report::BackendId;
use crate::catalog::Entry;
use crate::catalog::search::{Found, Search, results};
use crate::config::{GATEWAY_STATUS, READ_MORE};
use crate::dispatch::answer::page;
use crate::dispatch::call_target::{CallTarget, missing};
use crate::dispatch::exchange::{Exchange, TaskEvent};
use crate::nearest::nearest_name;
use crate::protocol::era::modern::{self, ResultStamp};
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Kind, Notification, Outcome, RawJson};
use crate::snapshot::Snapshot;
use crate::tasks;

/// Results of a search that doesn't say how many.
const DEFAULT_LIMIT: usize = 5;
const MAX_LIMIT: usize = 50;
/// Most tools that are described at once.
const MAX_DESCRIBED: usize = 10;
/// Most servers that an answer names.
const MAX_SERVERS: usize = 20;

/// One of the gateway's own tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnTool {
    Search,
    Describe,
    Call,
    ReadMore,
    Status,
}

/// The own tool that a call is about, if there is one.
pub(super) fn own_tool(target: &CallTarget, snapshot: &Snapshot) -> Option<OwnTool> {
    let listing = &snapshot.config.gateway.tool_listing;
    if target.kind != Kind::Tool {
        return None;
    }
    match target.name.as_str() {
        READ_MORE if snapshot.has_read_more() => Some(OwnTool::ReadMore),
        GATEWAY_STATUS if listing.tells_status => Some(OwnTool::Status),
        _ if !snapshot.has_own_tools() => None,
        "search_tools" => Some(OwnTool::Search),
        "describe_tool" => Some(OwnTool::Describe),
        "call_tool" => Some(OwnTool::Call),
        _ => None,
    }
}

/// The params of the call that these params of `call_tool` ask for. Everything beside name and
/// arguments stays.
///
/// # Errors
/// What is wrong with the arguments, for a model.
pub(super) fn unwrapped(params: &RawJson, snapshot: &Snapshot) -> Result<RawJson, String> {
    let wanted = params.get("arguments").filter(RawJson::is_object);
    let wanted = wanted.unwrap_or_else(|| RawJson::trusted("{}"));
    let name = wanted.get("name").and_then(|name| name.text());
    let name = name.ok_or(
        r#"call_tool needs "name", a string: that of a tool which search_tools has found"#,
    )?;
    if snapshot.config.gateway.tool_listing.reserves(&name) {
        return Err(format!(
            "call_tool runs tools of servers: call {name} itself"
        ));
    }
    let arguments = match wanted.get("arguments") {
        // Some models put them beside the name.
        None => wanted.with_members(&[], &["name"]),
        Some(arguments) => object(&arguments).ok_or_else(|| {
            format!(r#"call_tool: "arguments" must be an object with the arguments of {name}"#)
        })?,
    };
    let set = [
        ("name", quoted(&name)),
        ("arguments", arguments.into_bytes()),
    ];
    Ok(params.with_members(&set, &[]))
}

/// An object, or the text of one, which some models write.
fn object(arguments: &RawJson) -> Option<RawJson> {
    match arguments.as_str() {
        "null" | "\"\"" => Some(RawJson::trusted("{}")),
        _ if arguments.is_object() => Some(arguments.clone()),
        _ => RawJson::parse(arguments.text()?.into())
            .ok()
            .filter(RawJson::is_object),
    }
}

/// Serves a call of a tool that only reads.
pub(super) async fn serve(
    tool: OwnTool,
    params: &RawJson,
    exchange: &Exchange,
    snapshot: Arc<Snapshot>,
) -> Outcome {
    let arguments = params.get("arguments").and_then(|given| given.read().ok());
    let arguments: Value = arguments.unwrap_or_default();
    let snapshot = match tool == OwnTool::Search && !snapshot.is_indexed() {
        true => indexed(snapshot).await,
        false => snapshot,
    };
    let era = exchange.client.era;
    let text = match tool {
        OwnTool::ReadMore => {
            return answer_with(read_more(&arguments, &snapshot).await, era, &snapshot);
        }
        OwnTool::Status => status(&arguments, &snapshot).await,
        OwnTool::Search => search(&arguments, exchange, &snapshot).await,
        OwnTool::Describe | OwnTool::Call => describe(&arguments, era, &snapshot),
    };
    answer(text, era, &snapshot)
}

/// A text as the result of a tool; an error as one that the model sees.
pub(super) fn answer(text: Result<String, String>, era: Era, snapshot: &Snapshot) -> Outcome {
    let block = |text| json!([{ "type": "text", "text": text }]);
    answer_with(text.map(block), era, snapshot)
}

/// Content as the result of a tool.
fn answer_with(content: Result<Value, String>, era: Era, snapshot: &Snapshot) -> Outcome {
    let is_error = content.is_err();
    let content = content.unwrap_or_else(|why| json!([{ "type": "text", "text": why }]));
    let mut result = json!({ "content": content });
    if is_error {
        result["isError"] = true.into();
    }
    let result = RawJson::of(&result);
    Outcome::Result(match era {
        Era::Legacy => result,
        Era::Modern => modern::stamp_result(&result, ResultStamp::Complete, &snapshot.identity),
    })
}

async fn read_more(arguments: &Value, snapshot: &Snapshot) -> Result<Value, String> {
    let handle = arguments.get("handle").and_then(Value::as_str);
    let offset = arguments.get("offset").map_or(Some(0), number);
    match (handle, offset) {
        (Some(handle), Some(offset)) => page(handle, offset, &snapshot.kept_results).await,
        _ => Err(r#"read_more needs "handle", a string, and "offset", a number: the end of the result that was cut says both"#.into()),
    }
}

/// Builds the index on another thread, since backends decide how long it takes.
async fn indexed(snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
    let building = Arc::clone(&snapshot);
    let built = tasks::blocking(move || {
        building.tool_index();
    });
    // Where it fails, the search builds it.
    let _ = built.await;
    snapshot
}

async fn search(
    arguments: &Value,
    exchange: &Exchange,
    snapshot: &Snapshot,
) -> Result<String, String> {
    let text = |key: &str| arguments.get(key).and_then(Value::as_str);
    let query = text("query").unwrap_or_default();
    let server = text("server").filter(|server| !server.is_empty());
    if query.trim().is_empty() && server.is_none() {
        return Err(r#"search_tools needs "query": what the tool is to do, in a few words"#.into());
    }
    let backend = server.map(|server| backend(server, snapshot)).transpose()?;
    let limit = arguments.get("limit").and_then(number);
    let limit = limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let name = |id| {
        snapshot
            .backends
            .get(id)
            .map_or("", |backend| backend.name())
    };
    let search = Search {
        query,
        backend,
        limit,
        name: &name,
    };
    let found = snapshot.tool_index().search(&snapshot.catalog, &search);
    let mut found: Vec<&Entry> = found.into_iter().map(|(entry, _)| entry).collect();
    if query.trim().is_empty() {
        let all = snapshot.catalog.entries(Kind::Tool);
        let own = all.filter(|entry| Some(entry.backend) == backend);
        found = own.take(limit).collect();
    }
    if found.is_empty() {
        return Ok(nothing_found(query, backend.map(name), snapshot));
    }
    let activates = snapshot.activates(&exchange.client);
    if activates {
        activate(&found, exchange, snapshot).await;
    }
    let full = text("detail").is_some_and(|detail| detail == "full");
    let mut text = written(&found, full, exchange.client.era, snapshot);
    text += match (activates, full) {
        (true, _) => "They are in your list of tools now: call them by name.",
        (false, true) => "Run one with call_tool.",
        (false, false) => "Run one with call_tool; describe_tool shows one whole.",
    };
    Ok(text)
}

/// Lists these for the client under their own names, and waits until it has seen that.
async fn activate(found: &[&Entry], exchange: &Exchange, snapshot: &Snapshot) {
    let activated = &snapshot.views.activated;
    let names = found.iter().map(|entry| &entry.exposed);
    let Some(unlisted) = activated.add(names) else {
        return;
    };
    if unlisted.is_new {
        let _ = exchange.events.send(TaskEvent::Updated {
            notification: Notification {
                method: Kind::Tool.list_changed().to_owned(),
                params: None,
            },
        });
    }
    activated.relisted(unlisted).await;
}

/// A number, or the text of one.
fn number(value: &Value) -> Option<usize> {
    let text = value.as_str().and_then(|text| text.trim().parse().ok());
    text.or_else(|| usize::try_from(value.as_u64()?).ok())
}

fn backend(name: &str, snapshot: &Snapshot) -> Result<BackendId, String> {
    let mut backends = snapshot.backends.iter();
    match backends.find(|backend| backend.name().eq_ignore_ascii_case(name)) {
        Some(backend) => Ok(backend.id),
        None => Err(format!(
            "there is no server {name:?}; there are: {}",
            servers(snapshot)
        )),
    }
}

fn servers(snapshot: &Snapshot) -> String {
    let names = snapshot.backends.iter().map(|backend| backend.name());
    let names: Vec<&str> = names.take(MAX_SERVERS).collect();
    let more = match snapshot.backends.iter().len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

fn nothing_found(query: &str, server: Option<&str>, snapshot: &Snapshot) -> String {
    let missing = missing(snapshot, Kind::Tool);
    match server {
        Some(server) if query.trim().is_empty() => {
            format!("{server} has no tools{missing}.")
        }
        Some(server) => format!(
            "No tool of {server} has any of these words: {query:?}{missing}. Try other words for what it does, or leave out \"server\"."
        ),
        None => format!(
            "No tool has any of these words: {query:?}{missing}. Try other words for what it does, or a server alone: {}.",
            servers(snapshot)
        ),
    }
}

fn written(entries: &[&Entry], full: bool, era: Era, snapshot: &Snapshot) -> String {
    let label = |entry: &Entry| {
        let backend = snapshot.backends.get(entry.backend);
        let name = backend.map_or("", |backend| backend.name());
        match backend.is_some_and(|backend| backend.why_down().is_some()) {
            true => format!("{name} (down)"),
            false => name.to_owned(),
        }
    };
    let labels: Vec<String> = entries.iter().map(|entry| label(entry)).collect();
    let found = entries.iter().zip(&labels).map(|(entry, server)| Found {
        server,
        definition: match era {
            Era::Legacy => &entry.definition,
            Era::Modern => &entry.modern_definition,
        },
    });
    results(&found.collect::<Vec<_>>(), full)
}

fn describe(arguments: &Value, era: Era, snapshot: &Snapshot) -> Result<String, String> {
    let given = arguments.get("name").or_else(|| arguments.get("names"));
    let names: Vec<&str> = match given {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if names.is_empty() {
        return Err(
            r#"describe_tool needs "name": that of a tool which search_tools has found"#.into(),
        );
    }
    let catalog = &snapshot.catalog;
    let more = names.len().saturating_sub(MAX_DESCRIBED);
    let mut entries = Vec::new();
    for name in names.into_iter().take(MAX_DESCRIBED) {
        entries.push(catalog.resolve(Kind::Tool, name).ok_or_else(|| {
            let known = catalog.entries(Kind::Tool).map(|entry| &*entry.exposed);
            let meant = nearest_name(name, known);
            let meant = meant.map(|meant| format!("; did you mean {meant:?}?"));
            let meant = meant.unwrap_or_default();
            format!("there is no tool {name:?}{meant}; search_tools finds tools by what they do")
        })?);
    }
    let mut text = written(&entries, true, era, snapshot);
    if more > 0 {
        text += &format!("{more} more are left out: ask for {MAX_DESCRIBED} at a time.\n");
    }
    Ok(text)
}
