//! What a model is told of a `call_tool` that failed: it has seen a signature, if anything.
//!
//! Owns the comparison of arguments with a schema by name alone. It must not know why the call failed.

use serde_json::{Value, json};

use crate::backend::Answer;
use crate::catalog::search::{parameters, required};
use crate::dispatch::call_target::CallTarget;
use crate::protocol::error::{INVALID_PARAMS, code_of, is_tool_error};
use crate::protocol::raw::quoted;
use crate::protocol::{Kind, Outcome, RawJson, RpcError};
use crate::snapshot::Snapshot;

/// Most names of one kind that are named.
const MAX_NAMED: usize = 8;

/// The answer to `call_tool`: where it failed and its arguments don't fit the schema, with what the
/// schema wants.
pub(super) fn explained(
    answer: Result<Answer, RpcError>,
    target: &CallTarget,
    snapshot: &Snapshot,
    params: &RawJson,
) -> Result<Answer, RpcError> {
    let Some(entry) = snapshot.catalog.resolve(Kind::Tool, &target.name) else {
        return answer.map_err(|mut error| {
            error.message += "; search_tools finds tools by what they do";
            error
        });
    };
    let mut answer = answer?;
    let misfit = || misfit(&entry.definition, params.get("arguments").as_ref());
    answer.outcome = match answer.outcome {
        Outcome::Error(error) if code_of(&error) == Some(INVALID_PARAMS) => {
            let message = error.get("message").and_then(|message| message.text());
            let wants = misfit().unwrap_or_else(|| takes(&entry.definition));
            let message = format!("{}; {wants}", message.unwrap_or_default());
            Outcome::Error(error.with_members(&[("message", quoted(&message))], &[]))
        }
        Outcome::Result(result) if is_tool_error(&result) => Outcome::Result(match misfit() {
            Some(wants) => with_text(&result, &wants),
            None => result,
        }),
        outcome => outcome,
    };
    Ok(answer)
}

/// The result with one more block of text.
fn with_text(result: &RawJson, text: &str) -> RawJson {
    let content = result.get("content");
    let content: Option<Vec<Value>> = content.and_then(|content| content.read().ok());
    let mut content = content.unwrap_or_default();
    content.push(json!({ "type": "text", "text": text }));
    result.with_members(&[("content", RawJson::of(&content).into_bytes())], &[])
}

/// How the names of the arguments differ from those of the schema; `None` if they don't.
fn misfit(definition: &RawJson, arguments: Option<&RawJson>) -> Option<String> {
    let schema: Value = definition.get("inputSchema")?.read().ok()?;
    let given: Value = arguments.and_then(|given| given.read().ok())?;
    let given = given.as_object()?;
    let missing = required(&schema);
    let missing = missing
        .into_iter()
        .filter(|name| !given.contains_key(*name));
    let known = schema.get("properties").and_then(Value::as_object);
    let unknown = given.keys().map(String::as_str);
    let unknown = unknown.filter(|name| known.is_some_and(|known| !known.contains_key(*name)));
    let missing: Vec<&str> = missing.take(MAX_NAMED).collect();
    let unknown: Vec<&str> = unknown.take(MAX_NAMED).collect();
    let part = |what: &str, names: &[&str]| match names {
        [] => String::new(),
        names => format!("{what}: {}; ", names.join(", ")),
    };
    match missing.is_empty() && unknown.is_empty() {
        true => None,
        false => Some(format!(
            "{}{}{}",
            part("missing", &missing),
            part("unknown", &unknown),
            takes(definition)
        )),
    }
}

fn takes(definition: &RawJson) -> String {
    let name = definition.get("name").and_then(|name| name.text());
    format!(
        "it takes {}{}",
        name.unwrap_or_default(),
        parameters(definition)
    )
}
