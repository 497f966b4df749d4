//! One entry of `tools.args`: an argument, and the values that it may have.
//!
//! Owns which names mean the argument, how a key leads to one within another, and which JSON is one
//! of its values. It must not know where a tool's arguments stand.

use serde_json::Value;

use crate::protocol::RawJson;
use crate::protocol::raw::same_value;

/// How much longer than the text of a value another text of it may be: it may have white space, and
/// each character may be escaped.
const ESCAPED: usize = 6;
const MAX_SPACE: usize = 1024;

/// Most names in the key of an argument within others.
const MAX_NAMES: usize = 12;

/// An argument that is guarded, or that has guarded ones within it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArgRule {
    /// Its name in the object that has it.
    pub(crate) name: String,
    /// Its key: the name, or a JSON Pointer (RFC 6901) from the tool's arguments.
    pub(crate) key: String,
    folded: String,
    values: Vec<Allowed>,
    inner: Vec<ArgRule>,
}

/// A value that it may have.
#[derive(Debug, Clone, PartialEq)]
struct Allowed {
    value: Value,
    text: RawJson,
}

/// What the user says of an argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ArgUse<'a> {
    /// No value: it is not given.
    Hidden,
    /// One value, which is filled in.
    Fixed(&'a RawJson),
    /// Several values, of which it is given one.
    Choice,
    /// Nothing of the argument itself: it is an object, and these are guarded in it.
    Inside(&'a [ArgRule]),
}

impl ArgRule {
    /// The rule for the argument that a key leads to: one that begins with `/` is a JSON Pointer, any
    /// other is a name. A value that is there already is left out.
    ///
    /// # Errors
    /// The key is not a JSON Pointer, or leads too deep.
    pub(crate) fn of_key(
        key: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Self, &'static str> {
        let Some(steps) = key.strip_prefix('/') else {
            return Ok(Self::new(key, key, values));
        };
        if steps.split('/').count() > MAX_NAMES {
            return Err("leads through more than 12 names");
        }
        let mut rule: Option<Self> = None;
        let mut values = Some(values);
        // From the last name to the first: what a name leads to is within it.
        let mut rest = key;
        while let Some((before, step)) = rest.rsplit_once('/') {
            let name = unescaped(step)?;
            let inner = rule.take();
            let mut outer = match values.take() {
                Some(values) => Self::new(&name, rest, values),
                None => Self::new(&name, rest, []),
            };
            outer.inner.extend(inner);
            rule = Some(outer);
            rest = before;
        }
        rule.ok_or("has no name")
    }

    /// Adds a rule to those of one object, or within one of them.
    ///
    /// # Errors
    /// The key of a rule for the same argument, or for one around it or within it.
    pub(crate) fn add(self, rules: &mut Vec<Self>) -> Result<(), String> {
        let same = rules.iter_mut().find(|other| other.is_meant_by(&self.name));
        match same {
            None => rules.push(self),
            Some(same)
                if same.name == self.name && !same.inner.is_empty() && !self.inner.is_empty() =>
            {
                for inner in self.inner {
                    inner.add(&mut same.inner)?;
                }
            }
            Some(same) => return Err(same.guarded()[0].1.key.clone()),
        }
        Ok(())
    }

    /// The arguments that it guards, each with the names that lead to it.
    pub(crate) fn guarded(&self) -> Vec<(Vec<&str>, &Self)> {
        if self.inner.is_empty() {
            return vec![(vec![&self.name], self)];
        }
        let inner = self.inner.iter().flat_map(Self::guarded);
        let within = inner.map(|(mut names, rule)| {
            names.insert(0, &self.name);
            (names, rule)
        });
        within.collect()
    }

    /// Whether a call must give it, or one within it.
    pub(crate) fn is_required(&self) -> bool {
        match self.usage() {
            ArgUse::Choice => true,
            ArgUse::Inside(inner) => inner.iter().any(Self::is_required),
            ArgUse::Hidden | ArgUse::Fixed(_) => false,
        }
    }

    fn new(name: &str, key: &str, values: impl IntoIterator<Item = Value>) -> Self {
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
            key: key.to_owned(),
            values: allowed,
            inner: Vec::new(),
        }
    }

    /// What may be done with it.
    pub(crate) fn usage(&self) -> ArgUse<'_> {
        match &self.values[..] {
            [] if !self.inner.is_empty() => ArgUse::Inside(&self.inner),
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

/// The name that a step of a JSON Pointer is written for.
fn unescaped(step: &str) -> Result<String, &'static str> {
    if step.is_empty() {
        return Err("has an empty name: it is written like \"/repo/owner\"");
    }
    let mut parts = step.split('~');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.try_fold(first, |name, part| match part.split_at_checked(1) {
        Some(("0", rest)) => Ok(name + "~" + rest),
        Some(("1", rest)) => Ok(name + "/" + rest),
        _ => Err("has a `~` that is not `~0` (for `~`) or `~1` (for `/`)"),
    })
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
        let rule = |values: Vec<Value>| ArgRule::of_key("a", values).unwrap();
        assert_eq!(rule(vec![]).usage(), ArgUse::Hidden);
        let fixed = rule(vec![json!(1), json!(1.0)]);
        assert_eq!(fixed.usage(), ArgUse::Fixed(&RawJson::trusted("1")));
        assert_eq!(rule(vec![json!(1), json!("1")]).usage(), ArgUse::Choice);
    }

    #[test]
    fn a_value_is_recognized_however_it_is_written() {
        let values = [json!("me"), json!({ "x": 1, "y": [2] })];
        let rule = ArgRule::of_key("a", values).unwrap();
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
        let rule = ArgRule::of_key("user_k", []).unwrap();
        for name in ["user_k", "USER_K", "uſer_k", "user_\u{212a}"] {
            assert!(rule.is_meant_by(name), "{name}");
        }
        assert!(!rule.is_meant_by("userk") && !rule.is_meant_by("user_k "));
    }

    fn added(keys: &[&str]) -> Result<Vec<ArgRule>, String> {
        let mut rules = Vec::new();
        for key in keys {
            let rule = ArgRule::of_key(key, [json!(1)]).map_err(str::to_owned)?;
            rule.add(&mut rules)?;
        }
        Ok(rules)
    }

    #[test]
    fn a_pointer_leads_to_an_argument_within_others() {
        let rules = added(&["/a/b", "a.b", "/a/c~1d/~0e", "/~1x", "f/g"]).unwrap();
        let guarded = rules.iter().flat_map(ArgRule::guarded);
        let guarded: Vec<_> = guarded.map(|(names, rule)| (names, &*rule.key)).collect();
        assert_eq!(
            guarded,
            [
                (vec!["a", "b"], "/a/b"),
                (vec!["a", "c/d", "~e"], "/a/c~1d/~0e"),
                (vec!["a.b"], "a.b"),
                (vec!["/x"], "/~1x"),
                (vec!["f/g"], "f/g"),
            ]
        );
        assert!(matches!(rules[0].usage(), ArgUse::Inside([_, _])));
        for (key, why) in [
            ("/", "empty name"),
            ("/a//b", "empty name"),
            ("/a~2", "`~`"),
            ("/a~", "`~`"),
            ("/1/2/3/4/5/6/7/8/9/10/11/12/13", "more than 12 names"),
        ] {
            let refused = ArgRule::of_key(key, []).unwrap_err();
            assert!(refused.contains(why), "{key}: {refused}");
        }
    }

    #[test]
    fn one_argument_has_one_rule() {
        for (one, other) in [
            ("a", "/a"),
            ("a", "A"),
            ("a", "/a/b"),
            ("/a/b", "a"),
            ("/a/b", "/A/c"),
            ("/a/b", "/a/B"),
            ("/a/b", "/a/b/c"),
        ] {
            assert_eq!(added(&[one, other]), Err(one.to_owned()), "{other}");
        }
        assert!(added(&["/a/b", "/a/c", "b"]).is_ok());
    }
}
