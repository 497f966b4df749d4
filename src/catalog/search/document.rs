//! The searchable text of one tool.
//!
//! Owns its fields, which the index weighs, and the bounds on what a definition adds to them: nesting,
//! number of parameters, bytes of a text.

use serde_json::Value;

use crate::protocol::RawJson;
use crate::text::beginning;

/// Depth of nested objects whose parameters are searched.
const MAX_DEPTH: usize = 3;
/// Most parameters of one tool that are searched, nested ones included.
const MAX_PARAMETERS: usize = 200;
/// Most bytes of a description, or of the text of one parameter, that are searched.
const MAX_TEXT: usize = 4_000;

/// What is known of one tool, by field.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// The backend's name in the config.
    pub(super) server: String,
    /// The names that it has: the exposed one and the backend's own, if they differ.
    pub(super) name: String,
    /// Its title.
    pub(super) title: String,
    /// The first sentence of the description.
    pub(super) summary: String,
    /// The rest of it.
    pub(super) description: String,
    /// Names of the parameters.
    pub(super) parameters: String,
    /// Their descriptions and the values that they may have.
    pub(super) texts: String,
}

impl Document {
    /// The document of a tool that `server` lists. `own_name` is the name that the server has for it.
    /// What is not of the expected type is left out.
    pub fn of_tool(server: &str, own_name: &str, definition: &RawJson) -> Self {
        let text = |key: &str| definition.get(key).and_then(|value| value.text());
        let mut name = text("name").unwrap_or_default();
        if name != own_name {
            name.push(' ');
            name.push_str(own_name);
        }
        let title = text("title").or_else(|| definition.at(&["annotations", "title"])?.text());
        let description = text("description").unwrap_or_default();
        let description = beginning(&description, MAX_TEXT);
        let summary = first_sentence(description);
        let mut document = Self {
            server: server.to_owned(),
            name,
            title: title.unwrap_or_default(),
            summary: summary.to_owned(),
            description: description[summary.len()..].to_owned(),
            ..Self::default()
        };
        let schema = definition.get("inputSchema");
        if let Some(schema) = schema.and_then(|schema| schema.read::<Value>().ok()) {
            let mut left = MAX_PARAMETERS;
            document.add_parameters(&schema, MAX_DEPTH, &mut left);
        }
        document
    }

    fn add_parameters(&mut self, schema: &Value, depth: usize, left: &mut usize) {
        let schema = schema.get("items").unwrap_or(schema);
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        for (name, property) in properties {
            if *left == 0 {
                return;
            }
            *left -= 1;
            push(&mut self.parameters, name);
            if let Some(text) = property.get("description").and_then(Value::as_str) {
                push(&mut self.texts, beginning(text, MAX_TEXT));
            }
            let values = property.get("enum").and_then(Value::as_array);
            for value in values.into_iter().flatten().filter_map(Value::as_str) {
                push(&mut self.texts, value);
            }
            if depth > 0 {
                self.add_parameters(property, depth - 1, left);
            }
        }
    }
}

fn push(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

/// The first sentence or line of a text, with the white space before it.
pub(super) fn first_sentence(text: &str) -> &str {
    let start = text.len() - text.trim_start().len();
    let rest = &text[start..];
    let line = rest.find('\n').unwrap_or(rest.len());
    let sentence = [". ", "! ", "? "]
        .iter()
        .filter_map(|end| rest.find(end).map(|at| at + 1))
        .min();
    &text[..start + sentence.unwrap_or(line).min(line)]
}
