//! Whether a client can compile a JSON Schema.
//!
//! Owns which keywords need which values (JSON Schema 2020-12 and draft-07, the two that the SDKs'
//! validators read), that references resolve within the schema and don't go round in a circle, and
//! that patterns are read alike everywhere. Stricter than any one validator: what is refused here is only left out.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::pattern::is_portable_pattern;

/// Most references in one schema: validators follow a chain of them by recursion.
const MAX_REFERENCES: usize = 256;

/// What the value of a keyword must be.
#[derive(Clone, Copy)]
enum Wants {
    Schema,
    Schemas,
    SchemaOrSchemas,
    /// Schemas by property name.
    SchemaMap,
    /// A schema or names for each property name.
    Dependencies,
    /// Schemas by pattern.
    PatternMap,
    Pattern,
    Names,
    NamesMap,
    Count,
    Number,
    Positive,
    Bool,
    Text,
    Choices,
    Type,
    Reference,
    /// Readers differ on what it does, or can't have it.
    Nothing,
}

const KEYWORDS: [(&str, Wants); 54] = [
    ("$ref", Wants::Reference),
    ("$schema", Wants::Text),
    ("$comment", Wants::Text),
    ("$defs", Wants::SchemaMap),
    ("definitions", Wants::SchemaMap),
    ("$id", Wants::Nothing),
    ("id", Wants::Nothing),
    ("$anchor", Wants::Nothing),
    ("$dynamicAnchor", Wants::Nothing),
    ("$dynamicRef", Wants::Nothing),
    ("$recursiveRef", Wants::Nothing),
    ("$recursiveAnchor", Wants::Nothing),
    ("$async", Wants::Nothing),
    ("$data", Wants::Nothing),
    ("type", Wants::Type),
    ("enum", Wants::Choices),
    ("nullable", Wants::Bool),
    ("title", Wants::Text),
    ("description", Wants::Text),
    ("format", Wants::Text),
    ("pattern", Wants::Pattern),
    ("minLength", Wants::Count),
    ("maxLength", Wants::Count),
    ("minimum", Wants::Number),
    ("maximum", Wants::Number),
    ("exclusiveMinimum", Wants::Number),
    ("exclusiveMaximum", Wants::Number),
    ("multipleOf", Wants::Positive),
    ("items", Wants::SchemaOrSchemas),
    ("prefixItems", Wants::Schemas),
    ("additionalItems", Wants::Schema),
    ("unevaluatedItems", Wants::Schema),
    ("contains", Wants::Schema),
    ("minContains", Wants::Count),
    ("maxContains", Wants::Count),
    ("minItems", Wants::Count),
    ("maxItems", Wants::Count),
    ("uniqueItems", Wants::Bool),
    ("properties", Wants::SchemaMap),
    ("patternProperties", Wants::PatternMap),
    ("additionalProperties", Wants::Schema),
    ("unevaluatedProperties", Wants::Schema),
    ("propertyNames", Wants::Schema),
    ("required", Wants::Names),
    ("dependentRequired", Wants::NamesMap),
    ("dependentSchemas", Wants::SchemaMap),
    ("dependencies", Wants::Dependencies),
    ("minProperties", Wants::Count),
    ("maxProperties", Wants::Count),
    ("allOf", Wants::Schemas),
    ("anyOf", Wants::Schemas),
    ("oneOf", Wants::Schemas),
    ("not", Wants::Schema),
    ("if", Wants::Schema),
];

const TYPES: [&str; 7] = [
    "object", "array", "string", "number", "integer", "boolean", "null",
];

/// Checks a schema and everything that it refers to.
///
/// # Errors
/// The first keyword that can't be used.
pub(super) fn check(root: &Value) -> Result<(), String> {
    let mut check = Check {
        root,
        seen: HashMap::new(),
        referred: vec![root],
        references: 0,
    };
    // References are followed here and not by recursion: a chain of them may be long.
    while let Some(schema) = check.referred.pop() {
        check.schema(schema)?;
    }
    match check.is_endless() {
        true => Err("has a schema that refers to itself for the same value".into()),
        false => Ok(()),
    }
}

struct Check<'a> {
    root: &'a Value,
    /// The schemas that were checked, or are, by their addresses.
    seen: HashMap<*const Value, &'a Value>,
    /// Schemas that are referred to, to be checked.
    referred: Vec<&'a Value>,
    references: usize,
}

impl<'a> Check<'a> {
    fn schema(&mut self, schema: &'a Value) -> Result<(), String> {
        match schema {
            Value::Bool(_) => Ok(()),
            Value::Object(members) => match self.seen.insert(schema, schema) {
                None => self.members(members),
                Some(_) => Ok(()),
            },
            _ => Err("has a schema in it that is neither an object nor true or false".into()),
        }
    }

    fn members(&mut self, members: &'a Map<String, Value>) -> Result<(), String> {
        for (name, value) in members {
            let known = KEYWORDS.iter().find(|(keyword, _)| keyword == name);
            let wants = match (known, &**name) {
                (Some((_, wants)), _) => *wants,
                (None, "then" | "else") => Wants::Schema,
                (None, _) => continue,
            };
            if !self.value(wants, value)? {
                return Err(format!("has a `{name}` that not every client can use"));
            }
        }
        // Ajv refuses it.
        match members.contains_key("nullable") && !members.contains_key("type") {
            true => Err("has a `nullable` without a type".into()),
            false => Ok(()),
        }
    }

    fn each(&mut self, schemas: impl IntoIterator<Item = &'a Value>) -> Result<(), String> {
        schemas
            .into_iter()
            .try_for_each(|schema| self.schema(schema))
    }

    /// Whether the value of a keyword can be used.
    fn value(&mut self, wants: Wants, value: &'a Value) -> Result<bool, String> {
        let is_names = |value: &Value| {
            let names = value.as_array();
            names.is_some_and(|names| names.iter().all(Value::is_string))
        };
        Ok(match (wants, value) {
            (Wants::Schema, schema) => {
                self.schema(schema)?;
                true
            }
            (Wants::Schemas | Wants::SchemaOrSchemas, Value::Array(schemas)) => {
                self.each(schemas)?;
                !schemas.is_empty()
            }
            (Wants::SchemaOrSchemas, schema) => {
                self.schema(schema)?;
                true
            }
            (Wants::SchemaMap, Value::Object(schemas)) => {
                self.each(schemas.values())?;
                true
            }
            (Wants::PatternMap, Value::Object(schemas)) => {
                self.each(schemas.values())?;
                schemas.keys().all(|pattern| is_portable_pattern(pattern))
            }
            (Wants::Dependencies, Value::Object(schemas)) => {
                self.each(schemas.values().filter(|value| !is_names(value)))?;
                true
            }
            (Wants::NamesMap, Value::Object(names)) => names.values().all(is_names),
            (Wants::Names, names) => is_names(names),
            (Wants::Pattern, Value::String(pattern)) => is_portable_pattern(pattern),
            (Wants::Count, count) => count.as_u64().is_some(),
            (Wants::Number, number) => number.is_number(),
            (Wants::Positive, number) => number.as_f64().is_some_and(|number| number > 0.0),
            (Wants::Bool, value) => value.is_boolean(),
            (Wants::Text, value) => value.is_string(),
            (Wants::Choices, Value::Array(values)) => !values.is_empty(),
            (Wants::Type, Value::Array(kinds)) => !kinds.is_empty() && kinds.iter().all(is_type),
            (Wants::Type, kind) => is_type(kind),
            (Wants::Reference, Value::String(reference)) => match self.target(reference) {
                Some(target) => {
                    self.referred.push(target);
                    self.references += 1;
                    self.references <= MAX_REFERENCES
                }
                None => false,
            },
            _ => false,
        })
    }

    /// Whether a schema that was checked applies itself to the same value again: compilers that follow
    /// references don't end, and what it would mean is not defined.
    fn is_endless(&self) -> bool {
        // Takes away each schema that none of the others applies, until there is none.
        let mut appliers: HashMap<*const Value, usize> = HashMap::new();
        for schema in self
            .seen
            .values()
            .flat_map(|schema| self.applied_by(schema))
        {
            *appliers.entry(schema).or_default() += 1;
        }
        let is_free = |schema: &&&Value| !appliers.contains_key(&std::ptr::from_ref(**schema));
        let mut free: Vec<&Value> = self.seen.values().filter(is_free).copied().collect();
        while let Some(schema) = free.pop() {
            for applied in self.applied_by(schema) {
                if let Some(count) = appliers.get_mut(&std::ptr::from_ref(applied)) {
                    *count -= 1;
                    if *count == 0 {
                        appliers.remove(&std::ptr::from_ref(applied));
                        free.push(applied);
                    }
                }
            }
        }
        !appliers.is_empty()
    }

    /// The schemas that this one applies to the same value as itself.
    fn applied_by(&self, schema: &'a Value) -> Vec<&'a Value> {
        let mut applied = Vec::new();
        for (name, value) in schema.as_object().into_iter().flatten() {
            match &**name {
                "$ref" => {
                    applied.extend(value.as_str().and_then(|reference| self.target(reference)))
                }
                "allOf" | "anyOf" | "oneOf" => {
                    applied.extend(value.as_array().into_iter().flatten())
                }
                "not" | "if" | "then" | "else" => applied.push(value),
                "dependentSchemas" | "dependencies" => {
                    applied.extend(value.as_object().into_iter().flat_map(Map::values));
                }
                _ => {}
            }
        }
        applied
    }

    /// What a reference within the schema points to.
    fn target(&self, reference: &str) -> Option<&'a Value> {
        let pointer = reference.strip_prefix('#')?;
        (!pointer.contains('%'))
            .then(|| self.root.pointer(pointer))
            .flatten()
    }
}

fn is_type(kind: &Value) -> bool {
    kind.as_str().is_some_and(|kind| TYPES.contains(&kind))
}
