//! Expansion of `${VAR}` and `${VAR:-default}`.
//!
//! Owns the syntax, and what a variable that is not set or not expanded means. A value is not expanded again,
//! and no message holds one.

use std::ops::Range;

use crate::config::environment::Environment;

/// A text with its variables expanded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text.
    pub(super) text: String,
    /// The parts of it that are values of variables, in order. A default is none.
    pub(super) values: Vec<Range<usize>>,
}

/// Why a text can't be expanded. Holds no value of a variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unexpanded {
    /// The text is malformed, independent of the environment.
    Malformed(&'static str),
    /// A variable has no usable value; with a message for people.
    Unset(String),
}

/// Whether the text holds a `${`.
pub(super) fn has_variables(text: &str) -> bool {
    text.contains("${")
}

/// Expands the variables in `text`.
pub(super) fn expand(text: &str, env: &Environment) -> Result<Expanded, Unexpanded> {
    let mut expanded = Expanded::default();
    let mut unset = None;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.text.push_str(before);
        let (inside, after) = after
            .split_once('}')
            .ok_or(Unexpanded::Malformed("a `${` has no closing `}`"))?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_variable_name(name) {
            return Err(Unexpanded::Malformed(
                "a `${…}` must hold the name of a variable; write ${VAR} or ${VAR:-default}",
            ));
        }
        if default.is_some_and(has_variables) {
            return Err(Unexpanded::Malformed(
                "the default in a `${VAR:-default}` can't hold another `${…}`",
            ));
        }
        match (variable(name, env), default) {
            (Ok(value), _) => {
                let start = expanded.text.len();
                expanded.text.push_str(&value);
                expanded.values.push(start..expanded.text.len());
            }
            (Err(VariableError::NotSet(_)), Some(default)) => expanded.text.push_str(default),
            (Err(error), _) => unset = unset.or(Some(error.to_string())),
        }
        rest = after;
    }
    expanded.text.push_str(rest);
    match unset {
        Some(reason) => Err(Unexpanded::Unset(reason)),
        None => Ok(expanded),
    }
}

/// Why a variable has no usable value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum VariableError {
    /// Not set, or empty.
    #[error(
        "the environment variable {0} is not set; set it where the gateway is started (in a client's config: under \"env\")"
    )]
    NotSet(String),
    /// Its value holds a literal `${…}`.
    #[error(
        "the environment variable {0} holds a literal ${{…}}: the program that started the gateway did not expand it; put the value itself there, or leave {0} out of the client's \"env\""
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

/// Whether `name` is a valid variable name: `[A-Za-z_][A-Za-z0-9_]*`.
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
        expand(text, &env()).map(|expanded| expanded.text)
    }

    #[test]
    fn values_are_where_variables_were() {
        for (text, expected) in [
            ("plain", &[][..]),
            (
                "a ${HOST} b ${LINE}${UNSET:-default}",
                &["example.com", "value"],
            ),
            ("${UNSET:-default}${HOST:-default}", &["example.com"]),
        ] {
            let Expanded { text, values } = expand(text, &env()).unwrap();
            let values: Vec<_> = values.into_iter().map(|value| &text[value]).collect();
            assert_eq!(values, expected, "{text}");
        }
    }

    #[test]
    fn variables_are_expanded_once() {
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
    fn an_unset_variable_is_named_in_the_error() {
        for (text, name) in [("${UNSET}", "UNSET"), ("${HOST}${EMPTY}${UNSET}", "EMPTY")] {
            let Err(Unexpanded::Unset(reason)) = expanded(text) else {
                panic!("{text} expanded");
            };
            assert!(reason.contains(&format!("{name} is not set")), "{reason}");
        }
    }

    #[test]
    fn a_variable_with_a_literal_placeholder_is_an_error_even_with_a_default() {
        for text in ["${NESTED}", "${NESTED:-default}"] {
            let Err(Unexpanded::Unset(reason)) = expanded(text) else {
                panic!("{text} expanded");
            };
            assert!(reason.contains("NESTED holds a literal ${…}"), "{reason}");
        }
    }

    #[test]
    fn malformed_text_is_an_error_in_every_environment() {
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
