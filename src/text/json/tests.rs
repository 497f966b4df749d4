//! Tests of cleaning JSON.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::text::hidden::visible;

fn raw(text: &str) -> RawJson {
    RawJson::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

/// Without a secret.
fn clean(json: &RawJson) -> Result<RawJson, Unclean> {
    clean_json(json, &Scrubber::default())
}

fn cleaned(text: &str) -> String {
    clean(&raw(text)).unwrap().as_str().to_owned()
}

const SECRET: &str = "tok-0123456789abcdef";

/// With [`SECRET`].
fn scrubbed(text: &str) -> Result<String, Unclean> {
    let scrubber = Scrubber::default();
    scrubber.learn(SECRET, Reach::Everywhere);
    scrubber.learn("sometimes a word", Reach::Quotes);
    scrubber.learn("12345678901", Reach::Everywhere);
    scrubber.learn("back\\slash\\", Reach::Everywhere);
    let clean = clean_json(&raw(text), &scrubber)?;
    Ok(clean.as_str().to_owned())
}

#[test]
fn row_72_hostile_characters_are_removed_raw_and_escaped() {
    for hostile in [
        "\u{7f}",
        "\u{85}",
        "\u{202e}",
        "\u{2066}",
        "\u{200e}",
        "\u{61c}",
        "\u{200b}",
        "\u{200d}",
        "\u{feff}",
        "\u{2060}",
        "\u{e0041}",
        "\u{e0100}",
        "\\u0000",
        "\\u001b",
        "\\u009B",
        "\\r",
        "\\b",
        "\\f",
        "\\u202E",
        "\\u200b",
        "\\uFEFF",
        "\\udb40\\udc41",
        "\\uDB40\\uDC7F",
        "\\ud800",
        "\\udc00",
        "\\ud800\\ud800",
        "\\ud800x\\udc00",
    ] {
        let text = format!(r#"{{"a":["say {hostile}no"],"b":1}}"#);
        let x = if hostile.contains('x') { "x" } else { "" };
        assert_eq!(
            cleaned(&text),
            format!(r#"{{"a":["say {x}no"],"b":1}}"#),
            "{hostile:?}"
        );
    }
}

#[test]
fn a_definition_without_hostile_characters_is_not_copied() {
    let text = r#"{ "π" : 1.10,"t":"tab\t line\n \u000a quote\" \\u200b \/ \\","n":2e400, "s":"é 日本 😀 \ud83d\ude00 \u00e9","e":"" }"#;
    let raw = raw(text);
    let same = clean(&raw).unwrap();
    assert_eq!(same.as_str(), text);
    assert_eq!(
        same.as_bytes().as_ptr(),
        raw.as_bytes().as_ptr(),
        "not copied"
    );
}

#[test]
fn lone_surrogates_never_form_a_pair_after_a_removal() {
    assert_eq!(cleaned(r#"["\udb40\u200b\udc41"]"#), r#"[""]"#);
    assert_eq!(
        cleaned(r#"["\ud83d\ud83d\ude00\ude00"]"#),
        r#"["\ud83d\ude00"]"#
    );
}

#[test]
fn a_hostile_member_name_is_refused_at_any_depth() {
    for text in [
        r#"{"a\u200b":1}"#,
        "{\"p\":[{\"a\u{202e}\" \n : \"x\"}]}",
        r#"{"\ud800":1}"#,
        r#"{"p":{"\u001b[2J":{}}}"#,
    ] {
        assert_eq!(clean(&raw(text)), Err(Unclean::HiddenKey), "{text}");
    }
}

#[test]
fn secrets_become_asterisks_however_they_are_escaped() {
    for (text, expected) in [
        (r#"{"a":"<tok-0123456789abcdef>"}"#, r#"{"a":"<***>"}"#),
        (
            r#"["tok-0123456789abcdef, tok-0123456789abcdef"]"#,
            r#"["***, ***"]"#,
        ),
        (r#"["é TOK\u002d0123456789\u0061bcdef!"]"#, r#"["é ***!"]"#),
        (r#"["x\ntok%2D01234%3567\n89abcdefy"]"#, r#"["x\n***y"]"#),
        (r#"["\\u0074ok-0123456789abcdef\""]"#, r#"["***\""]"#),
        ("[\"tok-01234\u{200b}56789\u{e0041}abcdef\"]", r#"["***"]"#),
        (r#"["a\\nback\\slash\\\n"]"#, r#"["a\\n***\n"]"#),
        (
            r#"{"n":12345678901,"m":-1.5e3,"o":"12345678901"}"#,
            r#"{"n":0,"m":-1.5e3,"o":"***"}"#,
        ),
        (
            r#"["sometimes a word","0123456789abcde","tok-01"]"#,
            r#"["sometimes a word","0123456789abcde","tok-01"]"#,
        ),
    ] {
        let scrubbed = scrubbed(text).unwrap();
        assert_eq!(scrubbed, expected, "{text}");
        raw(&scrubbed);
    }
}

#[test]
fn a_secret_in_the_name_of_a_member_is_refused() {
    for text in [
        r#"{"tok-0123456789abcdef":1}"#,
        r#"{"a":{"x tok\u002d0123456789abcdef":1}}"#,
        r#"{"a":{"\u200btok-0123456789abcdef":1}}"#,
    ] {
        assert_eq!(scrubbed(text), Err(Unclean::SecretKey), "{text}");
    }
    assert_eq!(scrubbed(r#"{"\u200b":1}"#), Err(Unclean::HiddenKey));
}

#[test]
fn line_ends_between_tokens_become_spaces() {
    assert_eq!(
        cleaned("{\r\n  \"a\":\n[1,\n\t2]\n}"),
        "{    \"a\": [1, \t2] }"
    );
}

#[test]
fn row_73_the_deepest_definition_still_parses_inside_a_list_result() {
    let nested = |levels: usize| raw(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    let deepest = clean(&nested(MAX_DEPTH)).unwrap();
    let message = format!(r#"{{"result":{{"tools":[{}]}}}}"#, deepest.as_str());
    assert!(serde_json::from_str::<serde_json::Value>(&message).is_ok());
    assert_eq!(clean(&nested(MAX_DEPTH + 1)), Err(Unclean::TooDeep));
    assert_eq!(clean(&nested(100_000)), Err(Unclean::TooDeep));
}

/// The inside of a string, made of plain and hostile parts in any order.
fn inside() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\\ud83d"),
        Just("\\ude00"),
        Just("\\udb40"),
        Just("\\udc41"),
        Just("\\\\"),
        Just("\\\""),
        Just("\\n"),
        Just("\\u200b"),
        Just("\u{200d}"),
        Just("u200b"),
        Just("\u{e0041}"),
        Just("é"),
        Just("a"),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cleaning_is_idempotent_and_leaves_nothing_hostile(value in inside(), other in any::<String>()) {
        let text = format!(r#"{{"a":"{value}","b":{}}}"#, serde_json::to_string(&other).unwrap());
        let once = cleaned(&text);
        prop_assert_eq!(&cleaned(&once), &once);
        let back: serde_json::Value = serde_json::from_str(&once).unwrap();
        let shown = back["a"].as_str().unwrap();
        prop_assert_eq!(visible(shown), shown);
        prop_assert_eq!(back["b"].as_str().unwrap(), visible(&other));
    }

    #[test]
    fn what_is_scrubbed_is_valid_and_holds_no_secret(before in inside(), after in inside(), pieces in prop::collection::vec(0..5_usize, SECRET.len())) {
        let spell = |(c, how): (char, usize)| match how {
            0 => c.to_string(),
            1 => format!("\\u{:04x}", u32::from(c)),
            2 => format!("%{:02X}", u32::from(c)),
            3 => format!("%{:02x}\\u200b", u32::from(c)),
            _ => format!("{c}\u{200b}"),
        };
        let secret: String = SECRET.chars().zip(pieces).map(spell).collect();
        let scrubbed = scrubbed(&format!(r#"["{before} {secret} {after}"]"#)).unwrap();
        let strings: Vec<String> = serde_json::from_str(&scrubbed).unwrap();
        prop_assert!(strings[0].contains(" *** "), "{}", scrubbed);
        prop_assert!(!strings[0].contains("abcdef"), "{}", scrubbed);
    }

    #[test]
    fn text_without_hostile_characters_is_untouched(value in any::<String>(), pretty in any::<bool>()) {
        let seen = visible(&value);
        let value = serde_json::json!({ "d": seen, "n": [1, null, { "k": seen }] });
        let raw = raw(&if pretty { format!("{value:#}").replace('\n', " ") } else { value.to_string() });
        prop_assert_eq!(clean(&raw).unwrap().as_bytes().as_ptr(), raw.as_bytes().as_ptr());
    }
}
