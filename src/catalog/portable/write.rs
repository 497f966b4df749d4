//! Writes a [`Form`] as a schema that every model's API takes.
//!
//! Owns what may be written (see [`super`] for the limits and their sources), and that what can't be
//! is told in the description.

use serde_json::{Value, json};

use super::form::{Form, Types};
use super::node::Node;
use crate::catalog::shapes::is_portable_pattern;

/// Most bytes of the rules in one description.
const MAX_RULES: usize = 2_000;
/// Most schemas that are written for one tool: alternatives repeat what holds for all of them.
const MAX_WRITTEN: usize = 4_000;

/// Writes the schemas of one tool.
struct Writer {
    left: usize,
}

/// The schema of a tool's arguments, the rules that belong to the tool's description, and how many
/// schemas were written.
pub(super) fn root(mut form: Form) -> (Node, Option<String>, usize) {
    let mut writer = Writer { left: MAX_WRITTEN };
    if !form.types.has("object") {
        form.rules.push("no arguments are taken".to_owned());
    }
    form.types = Types::named("object").unwrap_or(Types::ALL);
    let alternatives = std::mem::take(&mut form.alternatives);
    if !alternatives.is_empty() {
        form.rules.push(one_holds(&alternatives));
    }
    if let Some(choices) = form.choices.take() {
        form.rules.push(one_of(&choices));
    }
    merge_properties(&mut form, alternatives);
    form.default = None;
    let description = form.description.take();
    let mut rules = Vec::new();
    let mut schema = writer.of_type(&mut form, "object", &mut rules);
    rules.splice(0..0, std::mem::take(&mut form.rules));
    describe(&mut schema, description, Vec::new());
    let written = MAX_WRITTEN - writer.left;
    (Node::Object(schema), sentence(&rules), written)
}

/// Adds the properties of alternatives to those that are always there.
fn merge_properties(form: &mut Form, alternatives: Vec<Form>) {
    let always: Vec<String> = form
        .properties
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let mut found: Vec<(String, Vec<Form>)> = Vec::new();
    for alternative in alternatives {
        let nested = alternative.alternatives.into_iter();
        let nested = nested.flat_map(|nested| nested.properties);
        for (name, property) in alternative.properties.into_iter().chain(nested) {
            if always.contains(&name) || property.types.is_none() {
                continue;
            }
            match found.iter_mut().find(|(known, _)| *known == name) {
                Some((_, forms)) if forms.contains(&property) => {}
                Some((_, forms)) => forms.push(property),
                None => found.push((name, vec![property])),
            }
        }
    }
    for (name, mut forms) in found {
        let property = match forms.len() {
            1 => forms.swap_remove(0),
            _ => Form {
                alternatives: forms,
                ..Form::default()
            },
        };
        form.properties.push((name, property));
    }
}

impl Writer {
    /// Whether so many schemas more may be written.
    fn charge(&mut self, schemas: usize) -> bool {
        let left = self.left.checked_sub(schemas);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// A schema anywhere below the root.
    fn schema(&mut self, mut form: Form) -> Node {
        if !self.charge(1) {
            form = Form::text();
            form.rules
                .push("its form is left out here, the server checks it".to_owned());
        }
        if form.types.is_none() {
            let rules = vec!["no value is taken".to_owned()];
            let mut members = vec![("type".to_owned(), leaf("string"))];
            describe(&mut members, form.description, rules);
            return Node::Object(members);
        }
        if !form.alternatives.is_empty() {
            return self.union(form);
        }
        if form.is_open() {
            form.rules.push("any JSON value".to_owned());
        }
        let names = form.types.without_null().names();
        match (&names[..], guessed(&form)) {
            (_, Some(name)) if !form.is_typed => {
                form.rules
                    .push("values of other types are taken too".to_owned());
                self.single(form, name)
            }
            ([], _) => {
                form.rules.push("always null".to_owned());
                self.single(form, "string")
            }
            ([name], _) => self.single(form, name),
            _ if !self.charge(form.weight() * names.len()) => {
                form.rules
                    .push(format!("its type is one of {}", names.join(", ")));
                self.single(form, names[0])
            }
            _ => self.by_type(form, &names),
        }
    }

    /// One schema for each type. Gemini takes nothing beside `anyOf`.
    fn by_type(&mut self, mut form: Form, names: &[&'static str]) -> Node {
        form.default = None;
        // Said once, with the first.
        let mut said = Some((std::mem::take(&mut form.rules), form.description.take()));
        let mut branches = Vec::with_capacity(names.len());
        for name in names {
            let mut one = form.clone();
            one.types = Types::named(name).unwrap_or(Types::NONE);
            if let Some(choices) = &mut one.choices {
                choices.retain(|choice| !Types::of(choice).and(one.types).is_none());
            }
            if let Some((rules, description)) = said.take() {
                (one.rules, one.description) = (rules, description);
                if form.types.has_null() && form.is_typed {
                    one.types = one.types.or(Types::NULL);
                }
            }
            if *name == "array" && !form.is_typed {
                // Any value, which the rule says: the items of its arrays end it.
                one.items = Some(Box::new(Form::text()));
            }
            branches.push(self.single(one, name));
        }
        Node::Object(vec![("anyOf".to_owned(), Node::Array(branches))])
    }

    /// Alternatives, each with all that holds for all of them.
    fn union(&mut self, mut form: Form) -> Node {
        let alternatives = std::mem::take(&mut form.alternatives);
        if !self.charge(form.weight() * alternatives.len()) {
            form.rules.push(one_holds(&alternatives));
            return self.schema(form);
        }
        form.default = None;
        // Said once, with the first.
        let mut said = Some((std::mem::take(&mut form.rules), form.description.take()));
        let mut branches = Vec::new();
        for alternative in alternatives {
            let mut one = form.clone().and(alternative);
            if one.types.is_none() {
                continue;
            }
            if let Some((rules, description)) = said.take() {
                one.rules.splice(0..0, rules);
                one.description = match (description, one.description) {
                    (Some(ours), Some(theirs)) => Some(format!("{ours}\n\n{theirs}")),
                    (ours, theirs) => ours.or(theirs),
                };
            }
            match self.schema(one) {
                // A union in a union is one.
                Node::Object(mut members) if members.len() == 1 && members[0].0 == "anyOf" => {
                    if let Some((_, Node::Array(inner))) = members.pop() {
                        branches.extend(inner);
                    }
                }
                schema => branches.push(schema),
            }
        }
        match branches.len() {
            0 => self.schema(Form::never()),
            1 => branches.swap_remove(0),
            _ => Node::Object(vec![("anyOf".to_owned(), Node::Array(branches))]),
        }
    }

    /// A schema of one type, and perhaps null.
    fn single(&mut self, mut form: Form, name: &'static str) -> Node {
        let mut rules = std::mem::take(&mut form.rules);
        let description = form.description.take();
        let mut members = self.of_type(&mut form, name, &mut rules);
        if form.types.has_null() && form.is_typed {
            members.push(("nullable".to_owned(), Node::Leaf(Value::Bool(true))));
            if !form.types.without_null().is_none() {
                rules.push(MAY_BE_NULL.to_owned());
            }
        }
        if let Some(default) = form.default {
            members.push(("default".to_owned(), default));
        }
        describe(&mut members, description, rules);
        Node::Object(members)
    }

    /// The keywords of one type.
    fn of_type(
        &mut self,
        form: &mut Form,
        name: &'static str,
        rules: &mut Vec<String>,
    ) -> Vec<(String, Node)> {
        let mut members = vec![("type".to_owned(), leaf(name))];
        let mut put = |name: &str, value: Node| members.push((name.to_owned(), value));
        if let Some(choices) = &form.choices {
            let values: Vec<Node> = choices
                .iter()
                .filter(|choice| Types::of(choice) != Types::NULL)
                .cloned()
                .collect();
            let are_words = values
                .iter()
                .all(|value| value.text().is_some_and(|text| !text.is_empty()));
            match name == "string" && are_words && !values.is_empty() {
                true => put("enum", Node::Array(values)),
                false => rules.push(one_of(choices)),
            }
        }
        for (limit, value) in &form.limits {
            let about = match *limit {
                "minimum" | "maximum" => ["integer", "number"],
                "minLength" | "maxLength" => ["string", "string"],
                _ => ["array", "array"],
            };
            if about.contains(&name) {
                put(limit, value.clone());
            }
        }
        match name {
            "string" => {
                match &form.pattern {
                    Some(pattern) if is_portable_pattern(pattern) && !pattern.contains("(?") => {
                        put("pattern", leaf(pattern));
                    }
                    Some(pattern) => rules.push(format!("matches the pattern {pattern}")),
                    None => {}
                }
                match form.format.as_deref() {
                    Some("date-time") => put("format", leaf("date-time")),
                    Some(format) => rules.push(format!("format {format}")),
                    None => {}
                }
            }
            "array" => {
                let items = form.items.take().map_or_else(Form::default, |items| *items);
                put("items", self.schema(items));
            }
            "object" => self.properties(form, &mut members, rules),
            _ => {}
        }
        members
    }

    /// The properties of an object, and which are required. Claude takes only names of some characters,
    /// Gemini requires only names that are properties.
    fn properties(
        &mut self,
        form: &mut Form,
        members: &mut Vec<(String, Node)>,
        rules: &mut Vec<String>,
    ) {
        let mut properties = Vec::new();
        let mut known = std::mem::take(&mut form.properties);
        for name in &form.required {
            if !known.iter().any(|(known, _)| known == name) {
                known.push((name.clone(), Form::default()));
            }
        }
        for (name, property) in known {
            if property.types.is_none() {
                rules.push(format!("{name} is not given"));
            } else if is_property_name(&name) {
                properties.push((name, self.schema(property)));
            } else {
                let written = &property.written;
                rules.push(format!("also takes the property {name:?}: {written}"));
            }
        }
        let required = form.required.iter();
        let required = required.filter(|name| properties.iter().any(|(known, _)| known == *name));
        let required: Vec<Node> = required.map(|name| leaf(name)).collect();
        let unlisted = form.required.iter().filter(|name| !is_property_name(name));
        for name in unlisted {
            rules.push(format!("{name:?} is required"));
        }
        members.push(("properties".to_owned(), Node::Object(properties)));
        if !required.is_empty() {
            members.push(("required".to_owned(), Node::Array(required)));
        }
    }
}

const MAY_BE_NULL: &str = "may be null";

/// The type that a schema without one is about.
fn guessed(form: &Form) -> Option<&'static str> {
    let limited = |names: [&str; 2]| form.limits.iter().any(|(name, _)| names.contains(name));
    if !form.properties.is_empty() || !form.required.is_empty() {
        Some("object")
    } else if form.items.is_some() || limited(["minItems", "maxItems"]) {
        Some("array")
    } else if form.pattern.is_some() || form.format.is_some() || limited(["minLength", "maxLength"])
    {
        Some("string")
    } else if limited(["minimum", "maximum"]) {
        Some("number")
    } else {
        None
    }
}

fn is_property_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain)
}

/// Adds the description, with the rules at its end.
fn describe(members: &mut Vec<(String, Node)>, description: Option<String>, rules: Vec<String>) {
    let text = match (description, sentence(&rules)) {
        (Some(description), Some(rules)) => Some(format!("{description}\n\n{rules}")),
        (description, rules) => description.or(rules),
    };
    if let Some(text) = text {
        members.insert(
            1.min(members.len()),
            ("description".to_owned(), leaf(&text)),
        );
    }
}

/// The rules in words; the server checks them all, so that a long list may be cut.
fn sentence(rules: &[String]) -> Option<String> {
    let mut text = String::new();
    for (at, rule) in rules.iter().enumerate() {
        if text.len() + rule.len() > MAX_RULES {
            text.push_str("; and more, which the server checks");
            break;
        }
        text.push_str(if at == 0 { "Rules: " } else { "; " });
        text.push_str(rule);
    }
    match text.starts_with("; ") {
        true => Some(format!("Rules: {}", &text[2..])),
        false => (!text.is_empty()).then_some(text),
    }
}

fn one_holds(alternatives: &[Form]) -> String {
    let written = alternatives.iter().map(|form| &*form.written);
    let written: Vec<&str> = written.take(20).collect();
    let more = if alternatives.len() > 20 {
        " or more"
    } else {
        ""
    };
    format!("one of these holds: {}{more}", written.join(" or "))
}

fn one_of(choices: &[Node]) -> String {
    format!(
        "one of {}",
        super::read::shortened(&Node::Array(choices.to_vec()))
    )
}

fn leaf(text: &str) -> Node {
    Node::Leaf(json!(text))
}
