//! Checks the scanner against serde_json.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// Whether the whole text is one value: according to this module, and to serde_json.
fn both(text: &str) -> (bool, bool) {
    let bytes = text.as_bytes();
    let ours = value_end(bytes, 0).is_some_and(|end| skip_space(bytes, end) == bytes.len());
    (ours, serde_json::from_str::<&RawValue>(text).is_ok())
}

#[test]
fn valid_and_invalid_values_are_told_apart() {
    for text in [
        "0",
        "-0",
        "01",
        "1.",
        "1.5e+3",
        "1e",
        "-",
        ".5",
        "+1",
        "tru",
        "true",
        "nulll",
        "\"\"",
        "\"\\u00e\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"a\nb\"",
        "\"",
        "[]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{}",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":[{\"b\":null}]}",
        "[1}",
        "",
        " ",
        "{\"a\" : \t1 , \"a\" : [ ] }",
        "[[[[]]]]",
        "{\"\\\"\":\"\\\\\"}",
    ] {
        let (ours, theirs) = both(text);
        assert_eq!(ours, theirs, "{text:?}");
    }
}

#[test]
fn closing_brackets_must_match_at_any_depth() {
    for levels in [1, 31, 32, 33, 64, 100] {
        let text = format!("{}1{}", "[{\"a\":".repeat(levels), "}]".repeat(levels));
        let crossed = text.replacen("}]", "]}", 1);
        let ours = |text: &str| value_end(text.as_bytes(), 0) == Some(text.len());
        assert!(ours(&text), "{levels}");
        assert!(!ours(&crossed), "{levels}");
    }
}

#[test]
fn an_invalid_escape_is_found_at_any_position() {
    for before in 0..2 * BLOCK {
        for (escape, valid) in [("\\y", false), ("\\u12g4", false), ("\\u12a4", true)] {
            let (head, tail) = ("x".repeat(before), "x".repeat(2 * BLOCK));
            let text = format!("\"{head}{escape}{tail}\"");
            assert_eq!(string_end(text.as_bytes(), 0).is_some(), valid, "{text}");
        }
    }
}

#[test]
fn deep_nesting_does_not_recurse() {
    let text = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(value_end(text.as_bytes(), 0), Some(text.len()));
}

proptest! {
    #[test]
    fn it_agrees_with_serde_json(text in r#"[\[\]{}:,"\\a0-2eEu.+tfn \-]{0,24}"#) {
        let (ours, theirs) = both(&text);
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn it_agrees_on_strings_over_several_blocks(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "\\\\", "\\", "\\\"", "\\n", "\\u0041", "\\u00g1", "\\x", "a", "plain text of some length",
                "ä", "\t",
            ]),
            0..40,
        ),
        plain in 0_usize..70,
    ) {
        let text = format!("\"{}{}\"", "-".repeat(plain), pieces.concat());
        let (ours, theirs) = both(&text);
        prop_assert_eq!(ours, theirs, "{}", text);
        let valid = text.replace("\\x", "").replace("\\u00g1", "").replace('\t', "");
        let (ours, theirs) = both(&valid);
        prop_assert_eq!(ours, theirs, "{}", valid);
    }

    #[test]
    fn it_agrees_on_sequences_of_tokens(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "{", "}", "[", "]", ":", ",", "\"a\"", "\"\\u0041\"", "1", "-2.5e3", "true", "null", " ",
            ]),
            0..16,
        )
    ) {
        let (ours, theirs) = both(&tokens.concat());
        prop_assert_eq!(ours, theirs);
    }
}
