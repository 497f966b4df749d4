//! The arguments of a call, from the words of a command line to one JSON object.

use std::collections::HashSet;

use bytes::Bytes;

use crate::protocol::RawJson;
use crate::protocol::raw::quoted;

/// One JSON object, or `key=value` words; none at all is the empty object.
///
/// # Errors
/// What can't be read so, and how to write it.
pub(super) fn read(words: &[String]) -> Result<RawJson, String> {
    match words {
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
        // JSON has line ends only between tokens, and a message is one line.
        Ok(RawJson::trusted(json.as_str().replace(['\n', '\r'], " ")))
    } else {
        Err("the arguments must be a JSON object, as in '{\"key\": 1}'".into())
    }
}

fn from_pairs(words: &[String]) -> Result<RawJson, String> {
    let mut object = Vec::from(b"{");
    let mut keys = HashSet::new();
    for word in words {
        let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!(
                "the argument {word:?} is neither key=value nor, alone, a JSON object"
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

/// A value that is JSON is taken as such, digit for digit; any other is a string.
fn value(text: &str) -> Bytes {
    let json = RawJson::parse(Bytes::copy_from_slice(text.as_bytes()));
    json.map_or_else(
        |_| quoted(text),
        |json| Bytes::from(json.as_str().replace(['\n', '\r'], " ")),
    )
}

#[cfg(test)]
mod tests {
    fn read(words: &[&str]) -> Result<String, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        super::read(&words).map(|json| json.as_str().to_owned())
    }

    #[test]
    fn an_object_is_taken_as_it_is() {
        assert_eq!(
            read(&[r#" { "b":1.10,"a":2 } "#]).unwrap(),
            r#"{ "b":1.10,"a":2 }"#
        );
        assert_eq!(read(&["{\n\"a\":\r\n1}"]).unwrap(), "{ \"a\":  1}");
        assert_eq!(read(&[]).unwrap(), "{}");
    }

    #[test]
    fn pairs_keep_their_order_and_json_its_digits() {
        let words = [
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
            read(&words).unwrap(),
            r#"{"z":1,"a":12345678901234567890.10,"t":true,"o":{"x": [1]},"s":"SELECT a=1","empty":"","q":"1","n":null,"path":"C:\\x"}"#
        );
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        for (words, complaint) in [
            (&["{\"a\":"][..], "the arguments are not JSON: EOF"),
            (&["[1]"], "the arguments must be a JSON object"),
            (&["word"], "the argument \"word\" is neither"),
            (&["=1"], "the argument \"=1\" is neither"),
            (&["a=1", "{}"], "the argument \"{}\" is neither"),
            (&["a=1", "a=2"], "the argument \"a\" is given twice"),
        ] {
            let why = read(words).unwrap_err();
            assert!(why.starts_with(complaint), "{why}");
        }
    }
}
