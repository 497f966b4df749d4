//! Which types a value may have, by its schema.
//!
//! Owns [`Types`]: the set of types, the values of `enum` and `const`, and both in words. A schema that says
//! nothing allows everything.

use std::fmt;

use serde_json::Value;

use super::branches::{MAX_DEPTH, branches};

/// Most choices that are shown.
const MAX_CHOICES: usize = 8;

/// The types that a schema allows; none where it says nothing about types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Types {
    kinds: u8,
    /// The values of `enum` and `const`, as JSON.
    choices: Vec<String>,
}

/// A type of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Type {
    String = 1,
    Number = 2,
    Integer = 4,
    Boolean = 8,
    Array = 16,
    Object = 32,
    Null = 64,
}

/// Each type, its name in a schema, and in messages.
const NAMES: [(Type, &str, &str); 7] = [
    (Type::String, "string", "a string"),
    (Type::Number, "number", "a number"),
    (Type::Integer, "integer", "an integer"),
    (Type::Boolean, "boolean", "true or false"),
    (Type::Array, "array", "an array as JSON, as in '[1, 2]'"),
    (
        Type::Object,
        "object",
        "an object as JSON, as in '{\"a\": 1}'",
    ),
    (Type::Null, "null", "null"),
];

impl Types {
    /// Nothing is known.
    pub(super) const ANY: Self = Self {
        kinds: 0,
        choices: Vec::new(),
    };

    /// A string and nothing else.
    pub(super) const STRING: Self = Self {
        kinds: Type::String as u8,
        choices: Vec::new(),
    };

    /// The types that a schema within `root` allows; `left` is how many more schemas may be looked
    /// at.
    pub(super) fn of(schema: &Value, root: &Value, left: &mut usize) -> Self {
        let mut types = Self::default();
        types.collect(schema, root, 0, left);
        types
    }

    fn collect(&mut self, schema: &Value, root: &Value, depth: usize, left: &mut usize) {
        if depth > MAX_DEPTH || *left == 0 {
            return;
        }
        *left -= 1;
        let named = match schema.get("type") {
            Some(Value::Array(types)) => types.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        for name in named.iter().filter_map(Value::as_str) {
            let known = NAMES.iter().find(|(_, known, _)| *known == name);
            self.kinds |= known.map_or(0, |(kind, ..)| *kind as u8);
        }
        let listed = schema.get("enum").and_then(Value::as_array);
        let listed = listed.into_iter().flatten();
        for choice in listed.chain(schema.get("const")) {
            if named.is_empty() {
                self.kinds |= kind_of(choice) as u8;
            }
            self.choices.push(choice.to_string());
        }
        for branch in branches(schema, root) {
            self.collect(branch, root, depth + 1, left);
        }
    }

    /// Adds the types that another schema allows.
    pub(super) fn extend(&mut self, other: &Self) {
        // Where one says nothing, any value is allowed.
        self.kinds = match (self.kinds, other.kinds) {
            (0, _) | (_, 0) => 0,
            (own, other) => own | other,
        };
        self.choices.extend(other.choices.iter().cloned());
    }

    /// Whether nothing is known.
    pub(super) fn is_any(&self) -> bool {
        self.kinds == 0
    }

    /// Whether a string is the only type.
    pub(super) fn is_string(&self) -> bool {
        self.kinds == Type::String as u8
    }

    pub(super) fn allow(&self, kind: Type) -> bool {
        self.kinds & kind as u8 != 0
    }

    /// Whether this value has one of the types.
    pub(super) fn allow_value(&self, value: &Value) -> bool {
        match kind_of(value) {
            Type::Integer => self.allow(Type::Integer) || self.allow(Type::Number),
            // 3.0 is an integer (JSON Schema, "type").
            Type::Number => {
                let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
                self.allow(Type::Number) || is_whole && self.allow(Type::Integer)
            }
            kind => self.allow(kind),
        }
    }

    /// What a value must be, in words.
    pub(super) fn in_words(&self) -> String {
        let names = NAMES.iter().filter(|(kind, ..)| self.allow(*kind));
        let names: Vec<&str> = names.map(|(_, _, words)| *words).collect();
        names.join(" or ")
    }

    /// A value to type in its place, as in `5`.
    pub(in crate::cli) fn example(&self) -> String {
        if let Some(choice) = self.choices.first() {
            let text = serde_json::from_str(choice);
            return text.unwrap_or_else(|_| choice.clone());
        }
        let examples = [
            (Type::Integer, "1"),
            (Type::Number, "1.5"),
            (Type::Boolean, "true"),
            (Type::Array, "[]"),
            (Type::Object, "{}"),
        ];
        let found = examples.iter().find(|(kind, _)| self.allow(*kind));
        let is_text = self.is_any() || self.allow(Type::String);
        found
            .filter(|_| !is_text)
            .map_or("TEXT", |(_, text)| text)
            .to_owned()
    }
}

/// As in `string or null`; the choices, if there are a few.
impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.choices.is_empty() {
            let shown = self.choices.len().min(MAX_CHOICES);
            f.write_str(&self.choices[..shown].join(", "))?;
            return match self.choices.len() - shown {
                0 => Ok(()),
                more => write!(f, " and {more} more"),
            };
        }
        let names = NAMES.iter().filter(|(kind, ..)| self.allow(*kind));
        let names: Vec<&str> = names.map(|(_, name, _)| *name).collect();
        f.write_str(if names.is_empty() { "any" } else { "" })?;
        f.write_str(&names.join(" or "))
    }
}

fn kind_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Boolean,
        Value::Number(number) if number.is_f64() => Type::Number,
        Value::Number(_) => Type::Integer,
        Value::String(_) => Type::String,
        Value::Array(_) => Type::Array,
        Value::Object(_) => Type::Object,
    }
}
