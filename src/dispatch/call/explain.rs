//! What a model is told of a `call_tool` that failed: it has seen a signature, if anything.
//!
//! Owns the comparison of arguments with a schema by name alone. It must not know why the call failed.

use serde_json::{Value, json};

use super::listed::blocked;
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
pub(super) async fn explained(
    answer: Result<Answer, RpcError>,
    target: &CallTarget,
    snapshot: &Snapshot,
    params: &RawJson,
) -> Result<Answer, RpcError> {
    let Some(entry) = snapshot.catalog.resolve(Kind::Tool, &target.name) else {
        // What is blocked or switched off is not found by searching.
        let is_held =
            blocked(target, snapshot).is_some() || target.switched_off(snapshot).is_some();
        return answer.map_err(|mut error| {
            if !is_held {
                error.message += "; search_tools finds tools by what they do";
            }
            error
        });
    };
    let mut answer = answer?;
    let (definition, arguments) = (entry.definition.clone(), params.get("arguments"));
    let is_small = answer.is_small();
    let explain = move |outcome| with_wants(outcome, &definition, arguments.as_ref());
    answer.outcome = match snapshot.backends.get(entry.backend).filter(|_| !is_small) {
        // Rare, and a large future.
        Some(backend) => Box::pin(backend.edited(answer.outcome, explain)).await,
        None => explain(answer.outcome),
    };
    Ok(answer)
}

/// An outcome that is an error, with what the schema wants.
fn with_wants(outcome: Outcome, definition: &RawJson, arguments: Option<&RawJson>) -> Outcome {
    match outcome {
        Outcome::Error(error) if code_of(&error) == Some(INVALID_PARAMS) => {
            let Some(message) = error.get("message").and_then(|message| message.text()) else {
                return Outcome::Error(error);
            };
            let wants = misfit(definition, arguments).unwrap_or_else(|| takes(definition));
            let message = quoted(&format!("{message}; {wants}"));
            Outcome::Error(error.with_members(&[("message", message)], &[]))
        }
        Outcome::Result(result) if is_tool_error(&result) => {
            Outcome::Result(match misfit(definition, arguments) {
                Some(wants) => with_text(&result, &wants),
                None => result,
            })
        }
        outcome => outcome,
    }
}

/// The result with one more block of text. What it has is not changed.
fn with_text(result: &RawJson, text: &str) -> RawJson {
    let content = result.get("content");
    let content = content.as_ref().map_or("[]", RawJson::as_str);
    let Some(others) = content
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return result.clone();
    };
    let comma = if others.trim().is_empty() { "" } else { "," };
    let block = json!({ "type": "text", "text": text });
    let content = format!("[{others}{comma}{block}]");
    result.with_members(&[("content", content.into())], &[])
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
    let known = known.filter(|_| !names_others(&schema));
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

/// Whether a schema takes arguments that its `properties` don't name.
fn names_others(schema: &Value) -> bool {
    const ELSEWHERE: [&str; 9] = [
        "$ref",
        "$dynamicRef",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "dependentSchemas",
        "dependencies",
        "patternProperties",
    ];
    let more = schema.get("additionalProperties");
    more.is_some_and(|more| more != &Value::Bool(false))
        || ELSEWHERE
            .iter()
            .any(|keyword| schema.get(keyword).is_some())
}

fn takes(definition: &RawJson) -> String {
    let name = definition.get("name").and_then(|name| name.text());
    format!(
        "it takes {}{}",
        name.unwrap_or_default(),
        parameters(definition)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVE: &str = r#"{"name":"move","inputSchema":{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}}"#;

    fn explained_result(result: &'static str, arguments: &'static str) -> String {
        let outcome = Outcome::Result(RawJson::trusted(result));
        let arguments = RawJson::trusted(arguments);
        let shown = with_wants(outcome, &RawJson::trusted(MOVE), Some(&arguments));
        shown.text().as_str().to_owned()
    }

    #[test]
    fn what_a_tool_says_of_its_failure_keeps_its_bytes() {
        let wants = r#"{"text":"missing: id; it takes move(id: string)","type":"text"}"#;
        for (before, after) in [
            (r#"[ {"type":"text","text":"\ud83d"} ]"#, ","),
            (r#"[{"type":"x","n":1.10,"m":12345678901234567890}]"#, ","),
            ("[ ]", ""),
        ] {
            let result = format!(r#"{{"isError":true,"content":{before},"n":1.10}}"#);
            let shown = explained_result(Box::leak(result.into_boxed_str()), "{}");
            let open = before.strip_suffix(']').unwrap();
            assert_eq!(
                shown,
                format!(r#"{{"isError":true,"content":{open}{after}{wants}],"n":1.10}}"#)
            );
        }
        let odd = r#"{"isError":true,"content":7}"#;
        assert_eq!(explained_result(odd, "{}"), odd);
        let unreadable = r#"{"code":-32602,"message":7}"#;
        let error = Outcome::Error(RawJson::trusted(unreadable));
        let shown = with_wants(error, &RawJson::trusted(MOVE), None);
        assert_eq!(shown.text().as_str(), unreadable);
    }

    #[test]
    fn an_argument_is_unknown_only_where_the_properties_are_all() {
        let unknown = |more: &str| {
            let schema = format!(r#"{{"properties":{{"a":{{}}}}{more}}}"#);
            let definition = format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
            let given = RawJson::trusted(r#"{"b":1}"#);
            let misfit = misfit(&RawJson::trusted(definition), Some(&given));
            misfit.is_some_and(|misfit| misfit.contains("unknown: b"))
        };
        assert!(unknown(""));
        assert!(unknown(r#","additionalProperties":false"#));
        for more in [
            r#","additionalProperties":true"#,
            r#","additionalProperties":{"type":"string"}"#,
            r#","patternProperties":{"b":{}}"#,
            r#","oneOf":[{"properties":{"b":{}}}]"#,
            r##","$ref":"#/$defs/x""##,
        ] {
            assert!(!unknown(more), "{more}");
        }
    }
}
