//! JSON in a canonical form: equal for values that a reader can't tell apart.
//!
//! Owns the order of members and the spelling of strings. Numbers stay as they are written: two that
//! are one double may be two numbers to a reader. It must not know what the JSON is.

use crate::protocol::RawJson;
use crate::protocol::json_scan::{skip_space, string_end};
use crate::protocol::raw::quoted;

/// The value with sorted members, duplicates included, and without white space.
pub(in crate::catalog::pins) fn canonical(value: &RawJson) -> String {
    let mut text = String::with_capacity(value.as_bytes().len());
    Reader::of(value).value().write(&mut text, None);
    text
}

/// The value in canonical form, on several lines for a person.
pub(super) fn indented(value: &RawJson) -> String {
    let mut text = String::with_capacity(2 * value.as_bytes().len());
    Reader::of(value).value().write(&mut text, Some(0));
    text
}

enum Value<'a> {
    /// A number, `true`, `false` or `null`, as it is written.
    Token(&'a str),
    /// With its quotes, spelled as serde_json spells it.
    Text(String),
    Array(Vec<Self>),
    /// By name; members of one name in the order they came.
    Object(Vec<(String, Self)>),
}

impl Value<'_> {
    /// `indent` is the depth on several lines, `None` on one.
    fn write(&self, text: &mut String, indent: Option<usize>) {
        let deeper = indent.map(|depth| depth + 1);
        let line = |text: &mut String, depth: Option<usize>| {
            if let Some(depth) = depth {
                text.push('\n');
                text.extend(std::iter::repeat_n("  ", depth));
            }
        };
        match self {
            Value::Token(token) => text.push_str(token),
            Value::Text(string) => text.push_str(string),
            Value::Array(values) if values.is_empty() => text.push_str("[]"),
            Value::Object(members) if members.is_empty() => text.push_str("{}"),
            Value::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    text.push(if at == 0 { '[' } else { ',' });
                    line(text, deeper);
                    value.write(text, deeper);
                }
                line(text, indent);
                text.push(']');
            }
            Value::Object(members) => {
                for (at, (name, value)) in members.iter().enumerate() {
                    text.push(if at == 0 { '{' } else { ',' });
                    line(text, deeper);
                    text.push_str(name);
                    text.push_str(if indent.is_some() { ": " } else { ":" });
                    value.write(text, deeper);
                }
                line(text, indent);
                text.push('}');
            }
        }
    }
}

/// Reads text that is known to be JSON, of bounded depth: definitions are cleaned before.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn of(value: &'a RawJson) -> Self {
        Self {
            text: value.as_str(),
            at: 0,
        }
    }

    fn value(&mut self) -> Value<'a> {
        match self.next() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => Value::Text(self.string()),
            _ => self.token(),
        }
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        self.at = skip_space(self.text.as_bytes(), self.at);
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes the next byte where it is this one.
    fn took(&mut self, byte: u8) -> bool {
        let is_next = self.next() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn array(&mut self) -> Value<'a> {
        self.at += 1;
        let mut values = Vec::new();
        while !self.took(b']') && self.next().is_some() {
            values.push(self.value());
            self.took(b',');
        }
        Value::Array(values)
    }

    fn object(&mut self) -> Value<'a> {
        self.at += 1;
        let mut members: Vec<(String, String, Value<'a>)> = Vec::new();
        while !self.took(b'}') && self.next() == Some(b'"') {
            let name = self.string();
            self.took(b':');
            let decoded = serde_json::from_str(&name).unwrap_or_default();
            members.push((decoded, name, self.value()));
            self.took(b',');
        }
        // Stable: members with the same name keep their order.
        members.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let members = members.into_iter();
        Value::Object(members.map(|(_, name, value)| (name, value)).collect())
    }

    /// A string as serde_json spells it; one that it can't read, as it is written.
    fn string(&mut self) -> String {
        let end = string_end(self.text.as_bytes(), self.at).unwrap_or(self.text.len());
        let written = &self.text[self.at..end];
        self.at = end;
        match serde_json::from_str::<String>(written) {
            Ok(text) => String::from_utf8_lossy(&quoted(&text)).into_owned(),
            Err(_) => written.to_owned(),
        }
    }

    fn token(&mut self) -> Value<'a> {
        let rest = &self.text[self.at..];
        let is_end = |c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace();
        let token = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        // Never without progress, whatever the text.
        self.at += token.len().max(1);
        Value::Token(token)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&RawJson::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap())
    }

    #[test]
    fn order_space_and_spelling_of_strings_do_not_count() {
        assert_eq!(
            of(r#" { "b" : [ 1 , { } , [ ] ] , "\u0061" : "\u00e9\/\n" , "a" : null } "#),
            r#"{"a":"é/\n","a":null,"b":[1,{},[]]}"#
        );
        assert_eq!(of("true"), "true");
        assert_eq!(of(r#""""#), r#""""#);
    }

    #[test]
    fn every_digit_of_a_number_counts() {
        let numbers = [
            "1",
            "1.0",
            "1.00",
            "1e0",
            "1E0",
            "0.1",
            "0.10",
            "-0",
            "0",
            "1e400",
            "1e401",
            "12345678901234567890",
            "12345678901234567891",
            "0.1000000000000000055511151231257827",
            "9007199254740993",
            "9007199254740992",
        ];
        for (at, one) in numbers.iter().enumerate() {
            assert_eq!(of(one), *one);
            for other in &numbers[at + 1..] {
                assert_ne!(of(&format!("[{one}]")), of(&format!("[{other}]")));
            }
        }
    }

    #[test]
    fn it_is_indented_like_serde_json_does_it() {
        let text = r#"{"a":[1,{"b":[]}],"c":{},"d":"x"}"#;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let expected = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(indented(&RawJson::trusted(text)), expected);
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// serde_json's map is sorted.
        #[test]
        fn it_is_what_serde_json_writes(value in value()) {
            prop_assert_eq!(of(&format!("{value:#}")), value.to_string());
        }
    }
}
