//! The parameters of a tool or a prompt, read from its definition.
//!
//! Owns what can be said of a JSON Schema to a person: the names it knows, the types a value may
//! have, and how a `key=value` of the command line becomes JSON. It validates nothing beyond that:
//! the server does. Schemas come from servers: references and branches are followed within bounds.

pub(super) mod arguments;
mod branches;
mod types;
mod value;

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::nearest::nearest;
use crate::protocol::RawJson;
use crate::protocol::raw::quoted;
use branches::{MAX_DEPTH, branches};
pub(super) use types::Types;

/// Most schemas of one definition that are looked at.
const MAX_SCHEMAS: usize = 10_000;

/// What a definition says of its arguments.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Those of a tool by name, those of a prompt in the order of its definition.
    pub(super) known: Vec<Parameter>,
    /// Other names are allowed too.
    is_open: bool,
}

/// One parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) types: Types,
    pub(super) required: bool,
    pub(super) description: Option<String>,
    /// The default value as JSON.
    pub(super) default: Option<String>,
}

impl Parameters {
    /// The parameters of a tool, by its `inputSchema`.
    pub(super) fn of_tool(definition: &RawJson) -> Self {
        let schema = definition.get("inputSchema");
        let schema = schema.and_then(|schema| schema.read::<Value>().ok());
        let root = schema.unwrap_or(Value::Null);
        let mut reading = Reading {
            root: &root,
            left: MAX_SCHEMAS,
            parameters: Self::default(),
            required: HashSet::new(),
        };
        reading.object(&root, 0);
        let (mut parameters, required) = (reading.parameters, reading.required);
        // A schema without properties says nothing of them.
        let is_closed = root.get("additionalProperties") == Some(&Value::Bool(false));
        parameters.is_open |= parameters.known.is_empty() && !is_closed;
        for parameter in &mut parameters.known {
            parameter.required = required.contains(parameter.name.as_str());
        }
        parameters
    }

    /// The parameters of a prompt: its values are strings.
    pub(super) fn of_prompt(definition: &RawJson) -> Self {
        let arguments = definition.get("arguments");
        let arguments: Vec<Map<String, Value>> = arguments
            .and_then(|arguments| arguments.read().ok())
            .unwrap_or_default();
        let known = arguments.iter().filter_map(|argument| {
            Some(Parameter {
                name: argument.get("name")?.as_str()?.to_owned(),
                types: Types::STRING,
                required: argument.get("required") == Some(&Value::Bool(true)),
                description: text(argument.get("description")),
                default: None,
            })
        });
        Self {
            known: known.collect(),
            is_open: false,
        }
    }

    /// The arguments that these `key=value` pairs are.
    ///
    /// # Errors
    /// The key that isn't known, or the value that isn't of its type, and the fix.
    pub(super) fn arguments(&self, pairs: &[(String, String)]) -> Result<RawJson, String> {
        let mut object = Vec::from(b"{");
        for (key, text) in pairs {
            let known = self.known.iter().find(|parameter| parameter.name == *key);
            let types = match known {
                Some(parameter) => &parameter.types,
                None if self.is_open => &Types::ANY,
                None => return Err(self.unknown(key)),
            };
            if object.len() > 1 {
                object.push(b',');
            }
            object.extend_from_slice(&quoted(key));
            object.push(b':');
            object.extend_from_slice(&value::parse(key, text, types)?);
        }
        object.push(b'}');
        Ok(RawJson::trusted(object))
    }

    fn unknown(&self, key: &str) -> String {
        let names = || self.known.iter().map(|parameter| parameter.name.as_str());
        if let Some(meant) = nearest(key, names()) {
            return format!("there is no argument {key:?}; did you mean {meant:?}?");
        }
        match names().collect::<Vec<_>>().as_slice() {
            [] => format!("there is no argument {key:?}: it takes none"),
            names => format!(
                "there is no argument {key:?}; it takes {}",
                names.join(", ")
            ),
        }
    }
}

/// One pass over a schema.
struct Reading<'a> {
    root: &'a Value,
    /// How many more schemas may be looked at.
    left: usize,
    parameters: Parameters,
    required: HashSet<&'a str>,
}

impl<'a> Reading<'a> {
    /// The properties of an object's schema, its branches and references included.
    fn object(&mut self, schema: &'a Value, depth: usize) {
        if depth > MAX_DEPTH || self.left == 0 {
            return;
        }
        self.left -= 1;
        let open = |key: &str| {
            schema
                .get(key)
                .is_some_and(|more| *more != Value::Bool(false))
        };
        self.parameters.is_open |= open("additionalProperties")
            || open("unevaluatedProperties")
            || schema.get("patternProperties").is_some();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            self.property(name, property);
        }
        // What a branch requires is an alternative.
        if depth == 0 {
            let required = schema.get("required").and_then(Value::as_array);
            let names = required.into_iter().flatten().filter_map(Value::as_str);
            self.required.extend(names);
        }
        for branch in branches(schema, self.root) {
            self.object(branch, depth + 1);
        }
    }

    fn property(&mut self, name: &str, property: &'a Value) {
        let types = Types::of(property, self.root, &mut self.left);
        let known = &mut self.parameters.known;
        match known.iter_mut().find(|parameter| parameter.name == name) {
            // Another branch has it too.
            Some(parameter) => parameter.types.extend(&types),
            None => known.push(Parameter {
                name: name.to_owned(),
                types,
                required: false,
                description: text(property.get("description").or(property.get("title"))),
                default: property.get("default").map(Value::to_string),
            }),
        }
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests;
