//! The arguments of a call as they are given on the command line.
//!
//! Owns their forms: one JSON object, `@FILE` or `-` with one, or `key=value` pairs, each key once. The types
//! of values in pairs are read elsewhere.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::files;
use crate::protocol::RawJson;

/// What the command line gives.
#[derive(Debug)]
pub(in crate::cli) enum Arguments {
    /// A JSON object.
    Object(RawJson),
    /// `key=value` pairs, to be read by a schema. Each key is there once.
    Pairs(Vec<(String, String)>),
}

/// One JSON object, `@FILE` or `-` (stdin) that has one, or `key=value` pairs; nothing is the empty
/// object. A file or stdin may have `limit` bytes.
///
/// # Errors
/// The problem and the fix.
pub(in crate::cli) fn parse(args: &[String], limit: usize) -> Result<Arguments, String> {
    match args {
        [] => Ok(Arguments::Object(RawJson::trusted("{}"))),
        [stdin] if stdin == "-" => {
            let bytes = read_stdin(limit).map_err(|error| format!("stdin: {error}"))?;
            object(bytes, "stdin").map(Arguments::Object)
        }
        [file] if file.starts_with('@') => {
            let path = &file[1..];
            let bytes = files::read_up_to(Path::new(path), limit as u64)
                .map_err(|error| format!("{path}: can't be read: {error}"))?;
            object(bytes, path).map(Arguments::Object)
        }
        [object] if object.trim_start().starts_with(['{', '[']) => {
            let why = "a shell needs them in single quotes";
            json(object.clone().into())
                .map_err(|error| format!("the arguments are not JSON: {error}; {why}"))
                .and_then(|json| as_object(&json, "the arguments"))
                .map(Arguments::Object)
        }
        pairs => pairs_of(pairs).map(Arguments::Pairs),
    }
}

fn read_stdin(limit: usize) -> io::Result<Vec<u8>> {
    use io::Read;

    let mut bytes = Vec::new();
    let mut input = io::stdin().lock().take(limit as u64 + 1);
    input.read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn object(bytes: Vec<u8>, place: &str) -> Result<RawJson, String> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let json = json(Bytes::copy_from_slice(text));
    let json = json.map_err(|error| format!("{place}: not JSON: {error}"))?;
    as_object(&json, place)
}

fn json(text: Bytes) -> Result<RawJson, serde_json::Error> {
    RawJson::parse(text)
}

fn as_object(json: &RawJson, place: &str) -> Result<RawJson, String> {
    if json.is_object() {
        // A message is one line, and line ends in JSON are only between tokens.
        Ok(RawJson::trusted(json.as_str().replace(['\n', '\r'], " ")))
    } else {
        Err(format!(
            "{place} must be a JSON object, as in '{{\"key\": 1}}'"
        ))
    }
}

/// Splits `key=value` pairs.
///
/// # Errors
/// The argument that is none, or the key that is given twice.
pub(in crate::cli) fn pairs_of(args: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut keys = HashSet::new();
    let mut pairs = Vec::new();
    for arg in args {
        let Some((key, value)) = arg.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!(
                "the argument {arg:?} is neither key=value nor, alone, a JSON object, @FILE or -"
            ));
        };
        if !keys.insert(key) {
            return Err(format!("the argument {key:?} is given twice"));
        }
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Arguments, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        super::parse(&args, 100)
    }

    fn object(args: &[&str]) -> String {
        match parse(args).unwrap() {
            Arguments::Object(json) => json.as_str().to_owned(),
            Arguments::Pairs(pairs) => panic!("{pairs:?}"),
        }
    }

    #[test]
    fn an_object_is_taken_unchanged() {
        assert_eq!(
            object(&[r#" { "b":1.10,"a":2 } "#]),
            r#"{ "b":1.10,"a":2 }"#
        );
        assert_eq!(object(&["{\n\"a\":\r\n1}"]), "{ \"a\":  1}");
        assert_eq!(object(&[]), "{}");
    }

    #[test]
    fn a_file_is_read_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file.json");
        let arg = format!("@{}", file.display());
        std::fs::write(&file, "\u{feff}{\n\"a\": 1.10\n}\n").unwrap();
        assert_eq!(object(&[&arg]), "{ \"a\": 1.10 }");
        for (text, why) in [
            ("[1]", "must be a JSON object"),
            ("{\"a\":", "not JSON: EOF"),
            (&format!("\"{}\"", "x".repeat(100)), "can't be read: "),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = parse(&[&arg]).unwrap_err();
            assert!(
                error.contains("a file.json") && error.contains(why),
                "{error}"
            );
        }
        let error = parse(&["@/no/such.json"]).unwrap_err();
        assert!(
            error.starts_with("/no/such.json: can't be read: "),
            "{error}"
        );
    }

    #[test]
    fn pairs_keep_their_order_and_text() {
        let args = [
            "z=1",
            "s=SELECT a=1",
            "empty=",
            "at=@file",
            "dash=-",
            "path=C:\\x",
        ];
        let Arguments::Pairs(pairs) = parse(&args).unwrap() else {
            panic!("not pairs");
        };
        let joined: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(joined, args);
        assert_eq!(pairs[1], ("s".to_owned(), "SELECT a=1".to_owned()));
    }

    #[test]
    fn invalid_arguments_are_named_in_the_error() {
        for (args, message) in [
            (&["{\"a\":"][..], "the arguments are not JSON: EOF"),
            (&["[1]"], "the arguments must be a JSON object"),
            (&["word"], "the argument \"word\" is neither"),
            (&["=1"], "the argument \"=1\" is neither"),
            (&["a=1", "{}"], "the argument \"{}\" is neither"),
            (&["a=1", "-"], "the argument \"-\" is neither"),
            (&["@a", "@b"], "the argument \"@a\" is neither"),
            (&["a=1", "a=2"], "the argument \"a\" is given twice"),
        ] {
            let why = parse(args).unwrap_err();
            assert!(why.starts_with(message), "{why}");
        }
    }
}
