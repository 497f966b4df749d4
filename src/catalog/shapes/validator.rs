//! Whether a value surely is valid against a schema.
//!
//! Owns a part of JSON Schema that is enough for most output schemas. Where a schema says more than
//! this part knows, the answer is no: it decides only what an error result may keep.

use serde_json::{Map, Value};

/// Most schemas that are looked at for one value: references can multiply them.
const FUEL: u32 = 10_000;
/// Most schemas within each other: references can go on without end.
const MAX_DEPTH: u32 = 128;

/// Whether a value surely is valid.
pub(super) fn is_surely_valid(schema: &Value, value: &Value) -> bool {
    let mut validator = Validator {
        root: schema,
        fuel: FUEL,
        depth: 0,
    };
    validator.fits(schema, value) == Some(true)
}

struct Validator<'a> {
    root: &'a Value,
    fuel: u32,
    depth: u32,
}

impl<'a> Validator<'a> {
    /// `None` where it is not known.
    fn fits(&mut self, schema: &'a Value, value: &Value) -> Option<bool> {
        self.fuel = self.fuel.checked_sub(1)?;
        let keywords = match schema {
            Value::Bool(all) => return Some(*all),
            Value::Object(keywords) if self.depth < MAX_DEPTH => keywords,
            _ => return None,
        };
        self.depth += 1;
        let fits = self.all(keywords.iter(), |validator, (name, wanted)| {
            validator.keyword(keywords, name, wanted, value)
        });
        self.depth -= 1;
        fits
    }

    /// Whether all of them hold: no as soon as one doesn't.
    fn all<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        mut holds: impl FnMut(&mut Self, T) -> Option<bool>,
    ) -> Option<bool> {
        let mut outcome = Some(true);
        for item in items {
            match holds(self, item) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => outcome = None,
            }
        }
        outcome
    }

    fn keyword(
        &mut self,
        keywords: &'a Map<String, Value>,
        name: &str,
        wanted: &'a Value,
        value: &Value,
    ) -> Option<bool> {
        if let Some(fits) = limit(name, wanted, value) {
            return fits;
        }
        match name {
            "type" => Some(match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            }),
            "enum" => Some(wanted.as_array()?.contains(value)),
            "const" => Some(wanted == value),
            "required" => {
                let names = wanted.as_array()?.iter().filter_map(Value::as_str);
                let has = |object: &Map<String, Value>| {
                    names.clone().all(|name| object.contains_key(name))
                };
                Some(value.as_object().is_none_or(has))
            }
            "properties" => self.properties(wanted.as_object()?, value),
            "additionalProperties" => self.additional(keywords, wanted, value),
            "items" if wanted.is_array() => None,
            "items" => {
                let list = value.as_array().into_iter().flatten();
                self.all(list, |validator, item| validator.fits(wanted, item))
            }
            "allOf" => {
                let schemas = wanted.as_array()?.iter();
                self.all(schemas, |validator, schema| validator.fits(schema, value))
            }
            "anyOf" => Some(self.how_many(wanted, value)? > 0),
            "oneOf" => Some(self.how_many(wanted, value)? == 1),
            "not" => Some(!self.fits(wanted, value)?),
            "$ref" => {
                let target = self.root.pointer(wanted.as_str()?.strip_prefix('#')?)?;
                self.fits(target, value)
            }
            "pattern" | "format" => (!value.is_string()).then_some(true),
            "multipleOf" => (!value.is_number()).then_some(true),
            "prefixItems" | "additionalItems" | "unevaluatedItems" | "contains" | "uniqueItems" => {
                (!value.is_array()).then_some(true)
            }
            "patternProperties"
            | "propertyNames"
            | "unevaluatedProperties"
            | "dependentRequired"
            | "dependentSchemas"
            | "dependencies"
            | "minProperties"
            | "maxProperties" => (!value.is_object()).then_some(true),
            "nullable" | "if" => None,
            _ => Some(true),
        }
    }

    fn properties(&mut self, schemas: &'a Map<String, Value>, value: &Value) -> Option<bool> {
        let members = value.as_object().into_iter().flatten();
        self.all(members, |validator, (name, value)| {
            match schemas.get(name) {
                Some(schema) => validator.fits(schema, value),
                None => Some(true),
            }
        })
    }

    fn additional(
        &mut self,
        keywords: &'a Map<String, Value>,
        schema: &'a Value,
        value: &Value,
    ) -> Option<bool> {
        if keywords.contains_key("patternProperties") {
            return None;
        }
        let named = keywords.get("properties").and_then(Value::as_object);
        let is_named = |name: &str| named.is_some_and(|named| named.contains_key(name));
        let members = value.as_object().into_iter().flatten();
        self.all(
            members.filter(|(name, _)| !is_named(name)),
            |validator, (_, value)| validator.fits(schema, value),
        )
    }

    fn how_many(&mut self, schemas: &'a Value, value: &Value) -> Option<usize> {
        let mut count = 0;
        for schema in schemas.as_array()? {
            count += usize::from(self.fits(schema, value)?);
        }
        Some(count)
    }
}

/// Whether a value is within a limit: one of the keywords that compare a number. `None` for any other
/// keyword.
fn limit(name: &str, wanted: &Value, value: &Value) -> Option<Option<bool>> {
    let number = || value.as_f64();
    let chars = || value.as_str().map(|text| text.chars().count() as f64);
    let items = || value.as_array().map(|list| list.len() as f64);
    let (measured, holds): (Option<f64>, fn(f64, f64) -> bool) = match name {
        "minimum" => (number(), |n, limit| n >= limit),
        "maximum" => (number(), |n, limit| n <= limit),
        "exclusiveMinimum" => (number(), |n, limit| n > limit),
        "exclusiveMaximum" => (number(), |n, limit| n < limit),
        "minLength" => (chars(), |n, limit| n >= limit),
        "maxLength" => (chars(), |n, limit| n <= limit),
        "minItems" => (items(), |n, limit| n >= limit),
        "maxItems" => (items(), |n, limit| n <= limit),
        _ => return None,
    };
    Some(match measured {
        Some(measured) => wanted.as_f64().map(|limit| holds(measured, limit)),
        // It is of another type, which the keyword says nothing about.
        None => Some(true),
    })
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}
