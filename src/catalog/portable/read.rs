//! Reads a schema as a [`Form`].
//!
//! Owns what each keyword means, that references are replaced by what they refer to, and the bounds
//! of that. It must not know what APIs take.

use serde_json::Value;

use super::form::{Form, Types};
use super::node::Node;

/// Most schemas, values and names that are read for one tool: references multiply them.
const MAX_FORMS: usize = 2_000;
/// Most schemas within each other, references included. APIs refuse deeper ones; reading is recursive.
const MAX_DEPTH: usize = 24;
/// Most bytes of a schema that is quoted in a rule.
const MAX_SHOWN: usize = 300;

/// Reads schemas of one tool.
pub(super) struct Reader<'a> {
    root: &'a Node,
    /// The references that are being followed.
    following: Vec<&'a str>,
    forms: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: &'a Node) -> Self {
        Self {
            root,
            following: Vec::new(),
            forms: 0,
            depth: 0,
        }
    }

    /// How many schemas were read.
    pub(super) fn forms(&self) -> usize {
        self.forms
    }

    pub(super) fn read(&mut self, schema: &'a Node) -> Form {
        self.forms += 1;
        if self.forms > MAX_FORMS || self.depth == MAX_DEPTH {
            return Form::anything("its form is left out here, the server checks it".into());
        }
        match schema {
            Node::Leaf(Value::Bool(false)) => return Form::never(),
            Node::Object(_) => {}
            _ => return Form::default(),
        }
        let mut form = Form {
            written: shortened(schema),
            ..Form::default()
        };
        self.depth += 1;
        let mut also = Vec::new();
        for (name, value) in schema.members() {
            match &**name {
                "$ref" => also.push(self.reference(value)),
                "allOf" => also.extend(value.elements().iter().map(|schema| self.read(schema))),
                "anyOf" | "oneOf" => also.push(self.union(name, value)),
                _ => self.keyword(&mut form, name, value, schema),
            }
        }
        self.depth -= 1;
        also.into_iter().fold(form, Form::and)
    }

    fn reference(&mut self, value: &'a Node) -> Form {
        let reference = value.text().unwrap_or_default();
        let target = reference
            .strip_prefix('#')
            .and_then(|at| self.root.pointer(at));
        let Some(target) = target else {
            return Form::anything(format!("its form is defined by {}", shortened(value)));
        };
        if self.following.contains(&reference) {
            return Form::anything(format!("its form is {reference} again"));
        }
        self.following.push(reference);
        let form = self.read(target);
        self.following.pop();
        form
    }

    fn union(&mut self, name: &str, value: &'a Node) -> Form {
        let mut forms: Vec<Form> = value
            .elements()
            .iter()
            .map(|schema| self.read(schema))
            .collect();
        let mut rules = Vec::new();
        if name == "oneOf" && !are_apart(&forms) {
            rules.push("exactly one of its forms holds".to_owned());
        }
        // A form of `null` alone is a type more of the others.
        let has_null = forms.iter().any(|form| form.types == Types::NULL);
        forms.retain(|form| form.types != Types::NULL && !form.types.is_none());
        let Some(first) = forms.first_mut() else {
            let types = if has_null { Types::NULL } else { Types::NONE };
            return Form {
                types,
                is_typed: true,
                rules,
                ..Form::default()
            };
        };
        // `null` passes no other keyword than these.
        let takes_more = first.choices.is_none() && first.alternatives.is_empty();
        if has_null && first.is_typed && takes_more {
            first.types = first.types.or(Types::NULL);
        } else if has_null {
            rules.push("may be null".to_owned());
        }
        let mut form = match forms.len() {
            1 => forms.swap_remove(0),
            _ => Form {
                alternatives: forms,
                ..Form::default()
            },
        };
        form.rules.extend(rules);
        form
    }

    fn keyword(&mut self, form: &mut Form, name: &str, value: &'a Node, schema: &'a Node) {
        match name {
            "type" => types(form, value),
            "enum" => {
                // They are copied wherever they are referred to.
                self.forms += value.elements().len();
                choices(form, value.elements().to_vec());
            }
            "const" => choices(form, vec![value.clone()]),
            "description" => form.description = value.text().map(str::to_owned),
            "title" if form.description.is_none() && schema.get("description").is_none() => {
                form.description = value.text().map(str::to_owned);
            }
            "default" if *value != Node::Leaf(Value::Null) => form.default = Some(value.clone()),
            "pattern" => form.pattern = value.text().map(str::to_owned),
            "format" => form.format = value.text().map(str::to_owned),
            "required" => {
                self.forms += value.elements().len();
                let names = value.elements().iter().filter_map(Node::text);
                form.required.extend(names.map(str::to_owned));
            }
            "properties" => {
                for (name, schema) in value.members() {
                    let property = self.read(schema);
                    form.properties.push((name.clone(), property));
                }
            }
            "items" => self.items(form, value),
            "additionalProperties" | "unevaluatedProperties" => match value {
                Node::Leaf(Value::Bool(false)) => form.rules.push("no other properties".into()),
                Node::Leaf(_) => {}
                schema if schema.members().is_empty() => {}
                schema => form
                    .rules
                    .push(format!("other properties are {}", shortened(schema))),
            },
            "exclusiveMinimum" => exclusive(form, value, "minimum", 1.0, "greater than"),
            "exclusiveMaximum" => exclusive(form, value, "maximum", -1.0, "less than"),
            _ => other(form, name, value),
        }
    }

    fn items(&mut self, form: &mut Form, value: &'a Node) {
        match value {
            Node::Array(_) => form
                .rules
                .push(format!("items in this order: {}", shortened(value))),
            schema => {
                let items = self.read(schema);
                match items.types.is_none() {
                    true => form.limit("maxItems", Node::Leaf(0.into())),
                    false => form.items = Some(Box::new(items)),
                }
            }
        }
    }
}

/// Keywords that are kept, and those that become rules. Others say nothing about values.
fn other(form: &mut Form, name: &str, value: &Node) {
    const LIMITS: [&str; 6] = [
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
    ];
    const RULES: [&str; 19] = [
        "not",
        "if",
        "then",
        "else",
        "multipleOf",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "prefixItems",
        "additionalItems",
        "unevaluatedItems",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
    ];
    if let Some(limit) = LIMITS.into_iter().find(|limit| *limit == name) {
        if value.number().is_some() {
            form.limit(limit, value.clone());
        }
    } else if RULES.contains(&name) && *value != Node::Leaf(Value::Bool(false)) {
        form.rules.push(format!("{name} {}", shortened(value)));
    } else if name == "$dynamicRef" || name == "$recursiveRef" {
        form.rules
            .push(format!("its form is {} again", shortened(value)));
    }
}

fn types(form: &mut Form, value: &Node) {
    let names = match value {
        Node::Array(names) => names.iter().filter_map(Node::text).collect(),
        name => Vec::from_iter(name.text()),
    };
    let named = names.into_iter().filter_map(Types::named);
    let Some(named) = named.reduce(Types::or) else {
        return;
    };
    form.types = form.types.and(named);
    form.is_typed = true;
}

fn choices(form: &mut Form, values: Vec<Node>) {
    let types = values.iter().map(Types::of).fold(Types::NONE, Types::or);
    let only = Form {
        types: types.or(Types::NONE),
        is_typed: true,
        choices: Some(values),
        ..Form::default()
    };
    let written = std::mem::take(&mut form.written);
    *form = std::mem::take(form).and(only);
    form.written = written;
}

/// An exclusive limit: of integers the next one, else the limit with a rule.
fn exclusive(form: &mut Form, value: &Node, name: &'static str, step: f64, words: &str) {
    if let Node::Leaf(Value::Bool(is_exclusive)) = value {
        // As draft 4 wrote it.
        if *is_exclusive {
            form.rules.push(format!("{words} the {name}"));
        }
        return;
    }
    let Some(limit) = value.number() else {
        return;
    };
    // Whether only integers are taken is known once all keywords are read: the rule is true for both.
    form.rules.push(format!("{words} {}", shortened(value)));
    let is_whole = limit.fract() == 0.0 && limit.abs() < 1e15;
    let of_integers = form.types.names() == ["integer"] && is_whole;
    let next = if of_integers { limit + step } else { limit };
    let next = match is_whole {
        true => Value::from(next as i64),
        false => Value::from(next),
    };
    form.limit(name, Node::Leaf(next));
}

/// Whether no value can have two of these forms, since no two share a type.
fn are_apart(forms: &[Form]) -> bool {
    let mut seen = Types::NONE;
    forms.iter().all(|form| {
        let shared = !seen.and(form.types).is_none();
        seen = seen.or(form.types);
        !shared
    })
}

/// A value as it is written, shortened.
pub(super) fn shortened(value: &Node) -> String {
    value.shortened(MAX_SHOWN)
}
