//! The arguments of a tool as the config allows them (`tools.args`).
//!
//! Owns which calls are refused for their arguments, and what is filled in. What is guarded reaches the
//! backend as the config writes it, so that no two readers can differ on it; every other byte is the
//! client's. It must not know schemas.

use serde_json::value::RawValue;

use crate::backend::HttpBackend;
use crate::catalog::Entry;
use crate::config::{ArgRule, ArgUse, folded};
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::{Class, GatewayData, RawJson, RpcError, Tally};

/// Most bytes of the values that a message names.
const MAX_NAMED: usize = 300;

/// The params of a call of this tool, with its guarded arguments as the config allows them.
///
/// # Errors
/// What a client is told of arguments that are not allowed.
pub(super) fn guarded(
    params: RawJson,
    tool: &Entry,
    backend: &HttpBackend,
) -> Result<RawJson, RpcError> {
    let Some(rules) = backend.config.tools.args_of(&tool.own_name) else {
        return Ok(params);
    };
    apply(&params, rules).map_err(|why| {
        let (backend, tool) = (backend.name(), &tool.exposed);
        tracing::warn!(backend, "a call of {tool} is refused: {why}");
        let message = format!("{backend}: {tool} was not called: {why}; the tool did not run");
        let data = GatewayData::new(Some(backend), Class::Refused, Tally::NONE);
        RpcError::new(INVALID_PARAMS, message).with_data(data)
    })
}

/// Refuses a member that a server which doesn't tell upper from lower case takes for the tool's name or
/// for its arguments.
fn check_members(params: &RawJson) -> Result<(), String> {
    let members = params
        .members()
        .ok_or("its params have a name that can't be read, or too many of them")?;
    for (name, _) in &members {
        let meant = ["arguments", "name"]
            .into_iter()
            .find(|meant| folded(name) == *meant);
        if let Some(meant) = meant.filter(|meant| name != meant) {
            return Err(format!(
                "the member {name:?} is not taken beside {meant:?}: leave it out"
            ));
        }
    }
    Ok(())
}

fn apply(params: &RawJson, rules: &[ArgRule]) -> Result<RawJson, String> {
    check_members(params)?;
    let [at] = params
        .locate_members(["arguments"])
        .map_err(|_| "\"arguments\" stands twice".to_owned())?;
    let given = at.clone().map(|at| params.slice(at));
    // Servers take null for no arguments.
    let given = given.filter(|given| given.as_str() != "null");
    let given = given.unwrap_or_else(|| RawJson::trusted("{}"));
    if !given.is_object() {
        return Err("its arguments must be an object".to_owned());
    }
    let members = given
        .members()
        .ok_or("its arguments have a name that can't be read, or too many of them")?;
    let mut found: Vec<Option<&RawValue>> = vec![None; rules.len()];
    for (name, value) in &members {
        let Some(which) = rules.iter().position(|rule| rule.is_meant_by(name)) else {
            continue;
        };
        let meant = &rules[which].name;
        if name != meant {
            return Err(format!(
                "the argument {name:?} is not taken beside {meant:?}: leave it out"
            ));
        }
        if found[which].replace(value).is_some() {
            return Err(format!("the argument {name:?} stands twice"));
        }
    }
    let mut set = Vec::new();
    for (rule, value) in rules.iter().zip(found) {
        if let Some(allowed) = allowed(rule, value)?
            && value.is_none_or(|value| value.get() != allowed.as_str())
        {
            set.push((rule.name.as_str(), allowed.clone().into_bytes()));
        }
    }
    if set.is_empty() {
        return Ok(params.clone());
    }
    let arguments = given.with_members(&set, &[]).into_bytes();
    Ok(match at {
        Some(at) => params.with_edits(vec![(at, arguments)]),
        None => params.with_members(&[("arguments", arguments)], &[]),
    })
}

/// The value that the backend gets, if it gets one.
fn allowed<'a>(rule: &'a ArgRule, given: Option<&RawValue>) -> Result<Option<&'a RawJson>, String> {
    let name = &rule.name;
    let allowed = given.map(|given| rule.allowed(given.get()));
    match (rule.usage(), allowed) {
        (_, Some(Some(allowed))) => Ok(Some(allowed)),
        (ArgUse::Hidden, None) => Ok(None),
        (ArgUse::Fixed(value), None) => Ok(Some(value)),
        (ArgUse::Hidden, Some(None)) => Err(format!(
            "the user does not allow the argument {name:?}: leave it out"
        )),
        (ArgUse::Fixed(_), Some(None)) => Err(format!(
            "the user has set the argument {name:?} to another value: leave it out"
        )),
        (ArgUse::Choice, None) => {
            let values = values(rule);
            Err(format!(
                "the argument {name:?} is missing; it must be {values}"
            ))
        }
        (ArgUse::Choice, Some(None)) => Err(format!(
            "the argument {name:?} has a value that the user does not allow; it must be {}",
            values(rule)
        )),
    }
}

/// The values, as many as fit into a message.
fn values(rule: &ArgRule) -> String {
    let mut text = String::new();
    for value in rule.values() {
        let value = value.to_string();
        if text.len() + value.len() > MAX_NAMED {
            return match text.is_empty() {
                true => "one of the values in its schema".to_owned(),
                false => format!("{text} or another value in its schema"),
            };
        }
        let separator = if text.is_empty() { "" } else { " or " };
        text = format!("{text}{separator}{value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Vec<ArgRule> {
        vec![
            ArgRule::new("owner", [json!("me")]),
            ArgRule::new("n", [json!(1), json!({ "a": 1, "b": 2 })]),
            ArgRule::new("force", []),
        ]
    }

    fn applied(params: &str) -> Result<String, String> {
        let params = RawJson::parse(params.to_owned().into()).unwrap();
        apply(&params, &rules()).map(|params| params.as_str().to_owned())
    }

    #[test]
    fn what_is_missing_is_filled_in_and_every_other_byte_stays() {
        for (given, expected) in [
            (
                r#"{"name":"t", "arguments" : { "x": 1.10, "n":1 } ,"_meta":{}}"#,
                r#"{"name":"t", "arguments" : { "x": 1.10, "n":1 ,"owner":"me"} ,"_meta":{}}"#,
            ),
            (
                r#"{"arguments":{"owner":"me","n":1,"\ud83d\ude00":2e400}}"#,
                r#"{"arguments":{"owner":"me","n":1,"\ud83d\ude00":2e400}}"#,
            ),
            // As the config writes them.
            (
                r#"{"arguments":{"\u006fwner": "\u006de","n":{"b":2.0, "a":1}}}"#,
                r#"{"arguments":{"\u006fwner": "me","n":{"a":1,"b":2}}}"#,
            ),
            (
                r#"{"arguments":{"n":1.0}}"#,
                r#"{"arguments":{"n":1,"owner":"me"}}"#,
            ),
        ] {
            assert_eq!(applied(given).as_deref(), Ok(expected));
        }
        let only_fixed = [ArgRule::new("owner", [json!("me")])];
        for given in ["{}", r#"{"arguments":null}"#, r#"{"arguments":{}}"#] {
            let params = RawJson::parse(given.to_owned().into()).unwrap();
            let params = apply(&params, &only_fixed).unwrap();
            assert_eq!(params.as_str(), r#"{"arguments":{"owner":"me"}}"#);
        }
    }

    #[test]
    fn arguments_that_could_be_read_as_a_guarded_one_are_refused() {
        for (arguments, why) in [
            (
                r#"{"n":1,"owner":"you"}"#,
                r#"set the argument "owner" to another value"#,
            ),
            (
                r#"{"n":1,"owner":null}"#,
                r#"set the argument "owner" to another value"#,
            ),
            (
                r#"{"n":1,"owner":"me","owner":"you"}"#,
                r#""owner" stands twice"#,
            ),
            (
                r#"{"n":1,"owner":"me","\u006fwner":"me"}"#,
                r#""owner" stands twice"#,
            ),
            (
                r#"{"n":1,"Owner":"you"}"#,
                r#""Owner" is not taken beside "owner""#,
            ),
            (
                r#"{"n":1,"FORCE":true}"#,
                r#""FORCE" is not taken beside "force""#,
            ),
            (
                r#"{"n":1,"force":false}"#,
                r#"does not allow the argument "force""#,
            ),
            (
                r#"{"owner":"me"}"#,
                r#""n" is missing; it must be 1 or {"a":1,"b":2}"#,
            ),
            (
                r#"{"n":"1"}"#,
                r#""n" has a value that the user does not allow"#,
            ),
            (
                r#"{"n":[1]}"#,
                r#""n" has a value that the user does not allow"#,
            ),
            (r#"{"n":{"a":1,"b":2,"c":3}}"#, "does not allow; it must be"),
            (r#"{"n":1,"\ud800":2}"#, "a name that can't be read"),
            ("[]", "must be an object"),
            (r#""{}""#, "must be an object"),
        ] {
            let refused = applied(&format!("{{\"arguments\":{arguments}}}")).unwrap_err();
            assert!(refused.contains(why), "{arguments}: {refused}");
        }
        let twice = r#"{"arguments":{"n":1},"argument\u0073":{"n":1}}"#;
        assert!(applied(twice).unwrap_err().contains("stands twice"));
        let deep = format!("{{\"n\":{}1{}}}", "[".repeat(9_999), "]".repeat(9_999));
        let refused = applied(&format!("{{\"arguments\":{deep}}}"));
        assert!(refused.is_err());
    }
}
