//! Parses the arguments of a call: command-line arguments to one JSON object.

use std::collections::HashSet;

use bytes::Bytes;

use crate::protocol::RawJson;
use crate::protocol::raw::quoted;

/// Parses one JSON object or `key=value` pairs; no arguments are the empty object.
///
/// # Errors
/// The problem and the fix.
pub(super) fn parse(args: &[String]) -> Result<RawJson, String> {
    match args {
        [object] if object.trim_start().starts_with(['{', '[']) => json(object),
        pairs => from_pairs(pairs),
    }
}

fn json(text: &str) -> Result<RawJson, String> {
    let json = RawJson::parse(Bytes::copy_from_slice(text.as_bytes()));
    let json = json.map_err(|error| {
        format!("the arguments are not JSON: {error}; a shell needs them in single quotes")
    })?;
    if json.as_str().starts_with('{') {
        // A message is one line, and line ends in JSON are only between tokens.
        Ok(RawJson::trusted(json.as_str().replace(['\n', '\r'], " ")))
    } else {
        Err("the arguments must be a JSON object, as in '{\"key\": 1}'".into())
    }
}

fn from_pairs(args: &[String]) -> Result<RawJson, String> {
    let mut object = Vec::from(b"{");
    let mut keys = HashSet::new();
    for arg in args {
        let Some((key, value)) = arg.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!(
                "the argument {arg:?} is neither key=value nor, alone, a JSON object"
            ));
        };
        if !keys.insert(key) {
            return Err(format!("the argument {key:?} is given twice"));
        }
        if object.len() > 1 {
            object.push(b',');
        }
        object.extend_from_slice(&quoted(key));
        object.push(b':');
        object.extend_from_slice(&self::value(value));
    }
    object.push(b'}');
    Ok(RawJson::trusted(object))
}

/// A value that is JSON is taken as JSON, with its digits unchanged; any other is a string.
fn value(text: &str) -> Bytes {
    let json = RawJson::parse(Bytes::copy_from_slice(text.as_bytes()));
    json.map_or_else(
        |_| quoted(text),
        |json| Bytes::from(json.as_str().replace(['\n', '\r'], " ")),
    )
}

#[cfg(test)]
mod tests {
    fn parse(args: &[&str]) -> Result<String, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        super::parse(&args).map(|json| json.as_str().to_owned())
    }

    #[test]
    fn an_object_is_taken_unchanged() {
        assert_eq!(
            parse(&[r#" { "b":1.10,"a":2 } "#]).unwrap(),
            r#"{ "b":1.10,"a":2 }"#
        );
        assert_eq!(parse(&["{\n\"a\":\r\n1}"]).unwrap(), "{ \"a\":  1}");
        assert_eq!(parse(&[]).unwrap(), "{}");
    }

    #[test]
    fn pairs_keep_their_order_and_json_its_digits() {
        let args = [
            "z=1",
            "a=12345678901234567890.10",
            "t=true",
            "o={\"x\": [1]}",
            "s=SELECT a=1",
            "empty=",
            "q=\"1\"",
            "n=null",
            "path=C:\\x",
        ];
        assert_eq!(
            parse(&args).unwrap(),
            r#"{"z":1,"a":12345678901234567890.10,"t":true,"o":{"x": [1]},"s":"SELECT a=1","empty":"","q":"1","n":null,"path":"C:\\x"}"#
        );
    }

    #[test]
    fn invalid_arguments_are_named_in_the_error() {
        for (args, message) in [
            (&["{\"a\":"][..], "the arguments are not JSON: EOF"),
            (&["[1]"], "the arguments must be a JSON object"),
            (&["word"], "the argument \"word\" is neither"),
            (&["=1"], "the argument \"=1\" is neither"),
            (&["a=1", "{}"], "the argument \"{}\" is neither"),
            (&["a=1", "a=2"], "the argument \"a\" is given twice"),
        ] {
            let why = parse(args).unwrap_err();
            assert!(why.starts_with(message), "{why}");
        }
    }
}
