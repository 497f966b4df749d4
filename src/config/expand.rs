//! `${VAR}` and `${VAR:-default}`: replaced once by what the environment says, never again.

use super::environment::Environment;

/// Why a text can't be expanded. Neither holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unexpanded {
    /// The text itself is wrong, whatever the environment.
    Malformed(&'static str),
    /// A variable has no value that could be used.
    Unset(String),
}

/// Whether there is anything to expand.
pub(super) fn has_variables(text: &str) -> bool {
    text.contains("${")
}

/// `text` with its variables replaced.
pub(super) fn expand(text: &str, env: &Environment) -> Result<String, Unexpanded> {
    let mut expanded = String::with_capacity(text.len());
    let mut unset = None;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let (inside, after) = after
            .split_once('}')
            .ok_or(Unexpanded::Malformed("a `${` has no closing `}`"))?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_variable_name(name) {
            return Err(Unexpanded::Malformed(
                "what stands in `${…}` isn't the name of a variable; write ${VAR} or ${VAR:-default}",
            ));
        }
        if default.is_some_and(has_variables) {
            return Err(Unexpanded::Malformed(
                "the default in a `${VAR:-default}` can't hold another `${…}`",
            ));
        }
        match (variable(name, env), default) {
            (Ok(value), _) => expanded.push_str(&value),
            (Err(VariableError::NotSet(_)), Some(default)) => expanded.push_str(default),
            (Err(error), _) => unset = unset.or(Some(error.to_string())),
        }
        rest = after;
    }
    expanded.push_str(rest);
    match unset {
        Some(reason) => Err(Unexpanded::Unset(reason)),
        None => Ok(expanded),
    }
}

/// The values that the variables in `text` have.
pub(super) fn values(text: &str, env: &Environment) -> Vec<String> {
    let inside = text.split("${").skip(1);
    let inside = inside.filter_map(|part| part.split_once('}'));
    let names = inside.map(|(inside, _)| inside.split(":-").next().unwrap_or_default());
    names.filter_map(|name| variable(name, env).ok()).collect()
}

/// Why a variable has no value that could be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum VariableError {
    /// Not set, or empty.
    #[error(
        "the environment variable {0} is not set; set it where the gateway is started (in a client's config: under \"env\")"
    )]
    NotSet(String),
    /// It reads `${…}` itself.
    #[error(
        "the environment variable {0} holds a literal ${{…}}: whatever started the gateway passed it on without filling it in; put the value itself there, or leave {0} out of the client's \"env\""
    )]
    Literal(String),
}

/// The value of one variable, without a trailing line end.
pub(super) fn variable(name: &str, env: &Environment) -> Result<String, VariableError> {
    let value = env.variable(name).unwrap_or_default();
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err(VariableError::NotSet(name.to_owned()));
    }
    let literal = value
        .split_once("${")
        .is_some_and(|(_, after)| after.contains('}'));
    if literal {
        return Err(VariableError::Literal(name.to_owned()));
    }
    Ok(value.to_owned())
}

/// Whether `name` can be the name of a variable: `[A-Za-z_][A-Za-z0-9_]*`.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Environment {
        Environment::new("/").with_variables(|name| {
            let value = match name {
                "HOST" => "example.com",
                "NESTED" => "${HOST}",
                "EMPTY" => "",
                "LINE" => "value\r\n",
                "MONEY" => "$HOST ${ $",
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    fn expanded(text: &str) -> Result<String, Unexpanded> {
        expand(text, &env())
    }

    #[test]
    fn values_are_those_of_variables_alone() {
        for (text, expected) in [
            ("plain", &[][..]),
            ("a ${HOST} b ${LINE}${UNSET}", &["example.com", "value"]),
            ("${UNSET:-default}${HOST:-default}", &["example.com"]),
            ("${HOST", &[]),
        ] {
            assert_eq!(values(text, &env()), expected, "{text}");
        }
    }

    #[test]
    fn variables_are_replaced_once() {
        for (text, expected) in [
            ("plain $HOST {HOST} $$", "plain $HOST {HOST} $$"),
            ("a ${HOST} b ${HOST}", "a example.com b example.com"),
            ("${UNSET:-default}", "default"),
            ("${EMPTY:-default}", "default"),
            ("${HOST:-default}", "example.com"),
            ("${UNSET:-}x", "x"),
            ("${UNSET:-http://h:1/a?b=c}", "http://h:1/a?b=c"),
            ("${LINE}", "value"),
            ("${MONEY}", "$HOST ${ $"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, name) in [("${UNSET}", "UNSET"), ("${HOST}${EMPTY}${UNSET}", "EMPTY")] {
            let Err(Unexpanded::Unset(reason)) = expanded(text) else {
                panic!("{text} expanded");
            };
            assert!(reason.contains(&format!("{name} is not set")), "{reason}");
        }
    }

    #[test]
    fn a_value_passed_literally_is_named_and_has_no_default() {
        for text in ["${NESTED}", "${NESTED:-default}"] {
            let Err(Unexpanded::Unset(reason)) = expanded(text) else {
                panic!("{text} expanded");
            };
            assert!(reason.contains("NESTED holds a literal ${…}"), "{reason}");
        }
    }

    #[test]
    fn malformed_whatever_the_environment() {
        for text in [
            "${",
            "${HOST",
            "${}",
            "${A B}",
            "${1A}",
            "${UNSET} ${",
            "${UNSET:-${HOST}}",
        ] {
            assert!(
                matches!(expanded(text), Err(Unexpanded::Malformed(_))),
                "{text}"
            );
        }
    }
}
