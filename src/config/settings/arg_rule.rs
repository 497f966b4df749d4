//! One entry of `tools.args`: an argument, and the values that it may have.
//!
//! Owns which names mean the argument, and which JSON is one of its values. It must not know where a
//! tool's arguments stand.

use serde_json::Value;

use crate::protocol::RawJson;
use crate::protocol::raw::same_value;

/// How much longer than the text of a value another text of it may be: it may have white space, and
/// each character may be escaped.
const ESCAPED: usize = 6;
const MAX_SPACE: usize = 1024;

/// An argument that is guarded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArgRule {
    /// Its name.
    pub(crate) name: String,
    folded: String,
    values: Vec<Allowed>,
}

/// A value that it may have.
#[derive(Debug, Clone, PartialEq)]
struct Allowed {
    value: Value,
    text: RawJson,
}

/// What the user says of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArgUse<'a> {
    /// No value: it is not given.
    Hidden,
    /// One value, which is filled in.
    Fixed(&'a RawJson),
    /// Several values, of which it is given one.
    Choice,
}

impl ArgRule {
    /// The rule for the argument of this name. A value that is there already is left out.
    pub(crate) fn new(name: &str, values: impl IntoIterator<Item = Value>) -> Self {
        let mut allowed: Vec<Allowed> = Vec::new();
        for value in values {
            if !allowed.iter().any(|known| same_value(&known.value, &value)) {
                let text = RawJson::of(&value);
                allowed.push(Allowed { value, text });
            }
        }
        Self {
            folded: folded(name),
            name: name.to_owned(),
            values: allowed,
        }
    }

    /// What may be done with it.
    pub(crate) fn usage(&self) -> ArgUse<'_> {
        match &self.values[..] {
            [] => ArgUse::Hidden,
            [only] => ArgUse::Fixed(&only.text),
            _ => ArgUse::Choice,
        }
    }

    /// Its values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter().map(|allowed| &allowed.value)
    }

    /// Whether a server could take an argument of this name for it: some don't tell upper from lower
    /// case.
    pub(crate) fn is_meant_by(&self, name: &str) -> bool {
        name == self.name || folded(name) == self.folded
    }

    /// The value that this JSON text is, as the config writes it; `None` if it is none of them.
    pub(crate) fn allowed(&self, text: &str) -> Option<&RawJson> {
        let longest = self
            .values
            .iter()
            .map(|allowed| allowed.text.as_bytes().len());
        if text.len() > longest.max()? * ESCAPED + MAX_SPACE {
            return None;
        }
        let given: Value = serde_json::from_str(text).ok()?;
        let mut values = self.values.iter();
        let allowed = values.find(|allowed| same_value(&allowed.value, &given));
        allowed.map(|allowed| &allowed.text)
    }
}

/// The name without the difference of upper and lower case. First to upper case: some letters, such
/// as `ſ`, have one of another letter.
pub(crate) fn folded(name: &str) -> String {
    let upper = name.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_number_of_different_values_says_what_may_be_done() {
        let rule = |values: Vec<Value>| ArgRule::new("a", values);
        assert_eq!(rule(vec![]).usage(), ArgUse::Hidden);
        let fixed = rule(vec![json!(1), json!(1.0)]);
        assert_eq!(fixed.usage(), ArgUse::Fixed(&RawJson::trusted("1")));
        assert_eq!(rule(vec![json!(1), json!("1")]).usage(), ArgUse::Choice);
    }

    #[test]
    fn a_value_is_recognized_however_it_is_written() {
        let rule = ArgRule::new("a", [json!("me"), json!({ "x": 1, "y": [2] })]);
        let allowed = |text: &str| rule.allowed(text).map(RawJson::as_str);
        assert_eq!(allowed(r#" "\u006d\u0065" "#), Some(r#""me""#));
        let object = r#"{ "y" : [2.0], "x": 1e0 }"#;
        assert_eq!(allowed(object), Some(r#"{"x":1,"y":[2]}"#));
        for text in [r#""Me""#, "null", r#"["me"]"#, r#"{"x":1}"#, "\"me"] {
            assert_eq!(allowed(text), None, "{text}");
        }
        let padded = format!("{}\"me\"", " ".repeat(9_999));
        assert_eq!(allowed(&padded), None, "it is not read");
    }

    #[test]
    fn a_name_that_differs_in_case_is_meant_too() {
        let rule = ArgRule::new("user_k", []);
        for name in ["user_k", "USER_K", "uſer_k", "user_\u{212a}"] {
            assert!(rule.is_meant_by(name), "{name}");
        }
        assert!(!rule.is_meant_by("userk") && !rule.is_meant_by("user_k "));
    }
}
