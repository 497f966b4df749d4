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
/// Whose the rules are, for messages, but those of the administrator.
const USER: &str = "the user";

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
    let who = match backend.config.of_administrator {
        true => "the administrator's file",
        false => USER,
    };
    apply(&params, rules, who).map_err(|why| {
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

fn apply(params: &RawJson, rules: &[ArgRule], who: &str) -> Result<RawJson, String> {
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
    let Some(arguments) = checked(&given, rules, who)? else {
        return Ok(params.clone());
    };
    let arguments = arguments.into_bytes();
    Ok(match at {
        Some(at) => params.with_edits(vec![(at, arguments)]),
        None => params.with_members(&[("arguments", arguments)], &[]),
    })
}

/// An object with its guarded members as the config allows them; `None` if it is so already.
fn checked(object: &RawJson, rules: &[ArgRule], who: &str) -> Result<Option<RawJson>, String> {
    let members = object
        .members()
        .ok_or("its arguments have a name that can't be read, or too many of them")?;
    let mut found: Vec<Option<&RawValue>> = vec![None; rules.len()];
    for (name, value) in &members {
        let Some(which) = rules.iter().position(|rule| rule.is_meant_by(name)) else {
            continue;
        };
        let ArgRule {
            name: meant, key, ..
        } = &rules[which];
        if name != meant {
            return Err(format!(
                "the argument {name:?} is not taken beside {key:?}: leave it out"
            ));
        }
        if found[which].replace(value).is_some() {
            return Err(format!("the argument {key:?} stands twice"));
        }
    }
    let mut set = Vec::new();
    for (rule, given) in rules.iter().zip(found) {
        let value = match rule.usage() {
            ArgUse::Inside(inner) => inside(object, rule, given, inner, who)?,
            _ => allowed(rule, given, who)?.cloned(),
        };
        if let Some(value) = value
            && given.is_none_or(|given| given.get() != value.as_str())
        {
            set.push((rule.name.as_str(), value.into_bytes()));
        }
    }
    Ok((!set.is_empty()).then(|| object.with_members(&set, &[])))
}

/// An argument of `object` with what is guarded in it; `None` if it stays as it is.
fn inside(
    object: &RawJson,
    rule: &ArgRule,
    given: Option<&RawValue>,
    inner: &[ArgRule],
    who: &str,
) -> Result<Option<RawJson>, String> {
    let given = given.map(|given| object.part(given));
    // As with the arguments themselves, null is none.
    let given = given.filter(|given| given.as_str() != "null");
    let given = given.unwrap_or_else(|| RawJson::trusted("{}"));
    match given.is_object() {
        true => checked(&given, inner, who),
        false => Err(format!("the argument {:?} must be an object", rule.key)),
    }
}

/// The value that the backend gets, if it gets one.
fn allowed<'a>(
    rule: &'a ArgRule,
    given: Option<&RawValue>,
    who: &str,
) -> Result<Option<&'a RawJson>, String> {
    let key = &rule.key;
    let allowed = given.map(|given| rule.allowed(given.get()));
    match (rule.usage(), allowed) {
        (_, Some(Some(allowed))) => Ok(Some(allowed)),
        (ArgUse::Hidden | ArgUse::Inside(_), None) => Ok(None),
        (ArgUse::Fixed(value), None) => Ok(Some(value)),
        (ArgUse::Hidden | ArgUse::Inside(_), Some(None)) => Err(format!(
            "{who} does not allow the argument {key:?}: leave it out"
        )),
        (ArgUse::Fixed(_), Some(None)) => Err(format!(
            "{who} has set the argument {key:?} to another value: leave it out"
        )),
        (ArgUse::Choice, None) => {
            let values = values(rule);
            Err(format!(
                "the argument {key:?} is missing; it must be {values}"
            ))
        }
        (ArgUse::Choice, Some(None)) => Err(format!(
            "the argument {key:?} has a value that {who} does not allow; it must be {}",
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
    use serde_json::{Value, json};

    use super::*;

    fn applied(params: &str) -> Result<String, String> {
        let rules: [(&str, &[Value]); 3] = [
            ("owner", &[json!("me")]),
            ("n", &[json!(1), json!({ "a": 1, "b": 2 })]),
            ("force", &[]),
        ];
        applied_by(&rules, params)
    }

    fn applied_by(written: &[(&str, &[Value])], params: &str) -> Result<String, String> {
        let mut rules = Vec::new();
        for (key, values) in written {
            let rule = ArgRule::of_key(key, values.to_vec()).unwrap();
            rule.add(&mut rules).unwrap();
        }
        let params = RawJson::parse(params.to_owned().into()).unwrap();
        apply(&params, &rules, USER).map(|params| params.as_str().to_owned())
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
        for given in ["{}", r#"{"arguments":null}"#, r#"{"arguments":{}}"#] {
            let params = applied_by(&[("owner", &[json!("me")])], given);
            assert_eq!(params.as_deref(), Ok(r#"{"arguments":{"owner":"me"}}"#));
        }
    }

    #[test]
    fn arguments_within_others_are_held_as_those_at_the_top() {
        let rules: [(&str, &[Value]); 4] = [
            ("/repo/owner", &[json!("me")]),
            ("/repo/at/branch", &[json!("a"), json!("b")]),
            ("/repo/force", &[]),
            ("/options/token", &[]),
        ];
        let applied = |repo: &str| {
            let params = format!(r#"{{"arguments":{{"repo":{repo}, "owner": "you"}}}}"#);
            applied_by(&rules, &params)
        };
        let expected = r#"{"arguments":{"repo":{"x": 1.10,"at" :{ "branch":"a"},"owner":"me"}, "owner": "you"}}"#;
        for owner in ["", r#","owner":"me""#, r#","owner": "\u006de""#] {
            let params = applied(&format!(r#"{{"x": 1.10,"at" :{{ "branch":"a"}}{owner}}}"#));
            let params = params.unwrap();
            let [given, expected]: [Value; 2] =
                [&*params, expected].map(|text| serde_json::from_str(text).unwrap());
            assert_eq!(given, expected);
            assert!(
                params.contains(r#""x": 1.10,"at" :{ "branch":"a"}"#),
                "{params}"
            );
        }
        for (repo, why) in [
            (
                "null",
                r#"the argument "/repo/at/branch" is missing; it must be "a" or "b""#,
            ),
            ("{}", r#"the argument "/repo/at/branch" is missing"#),
            (
                r#"{"at":{"branch":"c"}}"#,
                r#""/repo/at/branch" has a value that"#,
            ),
            (
                r#"{"at":[{"branch":"a"}]}"#,
                r#"the argument "/repo/at" must be an object"#,
            ),
            (
                r#""{\"owner\":\"you\"}""#,
                r#"the argument "/repo" must be an object"#,
            ),
            (
                r#"{"owner":"you"}"#,
                r#"has set the argument "/repo/owner" to another value"#,
            ),
            (
                r#"{"Owner":"me"}"#,
                r#"the argument "Owner" is not taken beside "/repo/owner""#,
            ),
            (
                r#"{"at":{},"\u0061t":{}}"#,
                r#"the argument "/repo/at" stands twice"#,
            ),
            (
                r#"{},"Repo":{}"#,
                r#"the argument "Repo" is not taken beside "/repo""#,
            ),
            (
                r#"{"at":{"branch":"a"},"force":1}"#,
                r#"not allow the argument "/repo/force""#,
            ),
            (
                r#"{"at":{"branch":"a"}},"options":{"token":1}"#,
                r#""/options/token": leave it out"#,
            ),
            (
                r#"{"at":{"branch":"a"}},"options":1"#,
                r#""/options" must be an object"#,
            ),
        ] {
            let refused = applied(repo).unwrap_err();
            assert!(refused.contains(why), "{repo}: {refused}");
        }
        // What is missing altogether is made where a value is filled in, and nowhere else.
        let rules = [rules[0], rules[3]];
        for given in [r#"{"arguments":{}}"#, r#"{"arguments":{"repo":null}}"#] {
            let params = applied_by(&rules, given);
            assert_eq!(
                params.as_deref(),
                Ok(r#"{"arguments":{"repo":{"owner":"me"}}}"#)
            );
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
