//! Edits of JSON files, with comments and trailing commas where a file has them.
//!
//! Owns which ranges of the text an edit replaces. The text around them is never written anew, so its order,
//! comments, indents and line ends stay.

mod page;

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::entry::{Layout, Node, quoted};
use super::splice::{Content, Entry, Splice};
use page::Page;

/// The file as it would be made for this entry alone.
pub(super) fn new_file(key: &str, name: &str, entry: &Node) -> String {
    let servers = Node::Map(vec![(name.to_owned(), entry.clone())]);
    let file = Node::Map(vec![(key.to_owned(), servers)]);
    let layout = Layout {
        indent: String::new(),
        unit: "  ".to_owned(),
        newline: "\n",
        compact: false,
    };
    format!("{}\n", file.json(&layout))
}

/// The document. A text without any value is an empty object.
///
/// # Errors
/// If it is not JSON, with the line, or no object. No text of the file is quoted, which may be a secret.
fn parse(text: &str) -> Result<Option<Object<'_>>, String> {
    const OPTIONS: ParseOptions = ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: true,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS);
    let parsed = parsed.map_err(|error| {
        format!(
            "it is not valid JSON: line {}, column {}",
            error.line_display(),
            error.column_display()
        )
    })?;
    match parsed.value {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err("it holds no JSON object".to_owned()),
    }
}

/// The last member of a name, which is the one that counts for readers of JSON.
fn member<'a, 'b>(object: &'b Object<'a>, name: &str) -> Option<&'b ObjectProp<'a>> {
    let mut members = object.properties.iter();
    members.rfind(|member| member.name.as_str() == name)
}

/// The path of the object that holds the servers.
///
/// # Errors
/// If something else than an object stands there.
fn container<'a, 'b>(
    root: &'b Object<'a>,
    key: &str,
) -> Result<Option<(&'b Object<'a>, Vec<&'b str>)>, String> {
    let Some(found) = member(root, key) else {
        return Ok(None);
    };
    let Value::Object(object) = &found.value else {
        return Err(format!("its {key:?} is no JSON object"));
    };
    // OpenCode 2 keeps its servers one level deeper. A server of that name has a type.
    if let Some(inner) = member(object, "servers").filter(|_| key == "mcp")
        && let Value::Object(servers) = &inner.value
        && member(servers, "type").is_none()
    {
        return Ok(Some((
            servers,
            vec![found.name.as_str(), inner.name.as_str()],
        )));
    }
    Ok(Some((object, vec![found.name.as_str()])))
}

/// Whether there is an object for servers.
pub(super) fn has_servers(text: &str, key: &str) -> bool {
    let root = parse(text).ok().flatten();
    root.is_some_and(|root| member(&root, key).is_some())
}

/// The servers, in the order of the file.
///
/// # Errors
/// If the text can't be read.
pub(super) fn entries(text: &str, key: &str) -> Result<Vec<Entry>, String> {
    let Some(root) = parse(text)? else {
        return Ok(Vec::new());
    };
    let Some((servers, _)) = container(&root, key)? else {
        return Ok(Vec::new());
    };
    let entries = servers.properties.iter().map(|server| {
        let range = server.value.range();
        Entry {
            name: server.name.as_str().to_owned(),
            value: value_of(&server.value),
            node: node_of(&server.value),
            raw: text[range.start..range.end].to_owned(),
            start: server.range.start,
        }
    });
    Ok(entries.collect())
}

/// The whole document without these servers, for comparison.
///
/// # Errors
/// If the text can't be read.
pub(super) fn rest(text: &str, key: &str, names: &[&str]) -> Result<serde_json::Value, String> {
    let Some(root) = parse(text)? else {
        return Ok(serde_json::json!({}));
    };
    let path: Vec<String> = match container(&root, key)? {
        Some((_, path)) => path.into_iter().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let mut document = value_of(&Value::Object(root));
    let mut inner = Some(&mut document);
    for part in &path {
        inner = inner.and_then(|value| value.get_mut(part));
    }
    if let Some(servers) = inner.and_then(serde_json::Value::as_object_mut) {
        servers.retain(|name, _| !names.contains(&name.as_str()));
        if servers.is_empty() && path.len() == 1 {
            document.as_object_mut().map(|root| root.remove(&path[0]));
        }
    }
    Ok(document)
}

/// Writes an entry, in the place of the one of that name or after the others.
///
/// # Errors
/// If the text can't be read.
pub(super) fn set(
    text: &str,
    key: &str,
    name: &str,
    content: &Content<'_>,
) -> Result<Vec<Splice>, String> {
    let Some(root) = parse(text)? else {
        let Content::Node(node) = content else {
            let inside = format!("{{\n  {}: {{\n    {}: ", quoted(key), quoted(name));
            let file = format!("{inside}{}\n  }}\n}}\n", content.json(&Layout::default()));
            return Ok(vec![Splice::insert(text.len(), file)]);
        };
        return Ok(vec![Splice::insert(text.len(), new_file(key, name, node))]);
    };
    let page = Page::of(text, &root);
    let Some((servers, _)) = container(&root, key)? else {
        return Ok(page.insert(&root, key, |layout| {
            let inner = layout.deeper();
            let (name, entry) = (quoted(name), content.json(&inner));
            if layout.compact {
                return format!("{{{name}: {entry}}}");
            }
            let newline = layout.newline;
            format!(
                "{{{newline}{}{name}: {entry}{newline}{}}}",
                inner.indent, layout.indent
            )
        }));
    };
    match member(servers, name) {
        Some(found) => {
            let range = found.value.range();
            let layout = page.layout(
                page.indent_at(found.range.start),
                page.is_own_line(found.range.start),
            );
            Ok(vec![Splice {
                range: range.start..range.end,
                text: content.json(&layout),
            }])
        }
        None => Ok(page.insert(servers, name, |layout| content.json(layout))),
    }
}

/// Removes the entry of this name; nothing where there is none.
///
/// # Errors
/// If the text can't be read.
pub(super) fn remove(text: &str, key: &str, name: &str) -> Result<Vec<Splice>, String> {
    let Some(root) = parse(text)? else {
        return Ok(Vec::new());
    };
    let Some((servers, _)) = container(&root, key)? else {
        return Ok(Vec::new());
    };
    let names = servers.properties.iter();
    let index = names
        .enumerate()
        .rfind(|(_, member)| member.name.as_str() == name);
    Ok(index.map_or_else(Vec::new, |(index, _)| {
        Page::of(text, &root).remove(servers, index)
    }))
}

/// Removes the object of all servers if it holds none; for one that was made for our entry.
///
/// # Errors
/// If the text can't be read.
pub(super) fn remove_empty(text: &str, key: &str) -> Result<Vec<Splice>, String> {
    let Some(root) = parse(text)? else {
        return Ok(Vec::new());
    };
    let index = root
        .properties
        .iter()
        .rposition(|member| member.name.as_str() == key);
    let is_empty = |index: &usize| {
        let value = &root.properties[*index].value;
        value.as_object().is_some_and(|servers| {
            let range = servers.range;
            servers.properties.is_empty() && text[range.start + 1..range.end - 1].trim().is_empty()
        })
    };
    Ok(index
        .filter(is_empty)
        .map_or_else(Vec::new, |index| Page::of(text, &root).remove(&root, index)))
}

/// A value as a [`Node`], with its members in order. Of members with the same name the last one
/// counts.
fn node_of(value: &Value<'_>) -> Node {
    match value {
        Value::StringLit(text) => Node::Text(text.value.clone().into_owned()),
        Value::NumberLit(number) => Node::Literal(number.value.to_owned()),
        Value::BooleanLit(flag) => Node::Flag(flag.value),
        Value::NullKeyword(_) => Node::Literal("null".to_owned()),
        Value::Array(array) => Node::List(array.elements.iter().map(node_of).collect()),
        Value::Object(object) => {
            let members = object.properties.iter();
            let members = members.filter(|each| {
                let last = member(object, each.name.as_str());
                last.is_some_and(|last| last.range == each.range)
            });
            let of = |each: &ObjectProp<'_>| (each.name.as_str().to_owned(), node_of(&each.value));
            Node::Map(members.map(of).collect())
        }
    }
}

/// A value as serde_json has it. Of members with the same name the last one counts.
fn value_of(value: &Value<'_>) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::StringLit(text) => Json::String(text.value.clone().into_owned()),
        Value::NumberLit(number) => serde_json::from_str(number.value)
            .unwrap_or_else(|_| Json::String(number.value.to_owned())),
        Value::BooleanLit(flag) => Json::Bool(flag.value),
        Value::NullKeyword(_) => Json::Null,
        Value::Array(array) => Json::Array(array.elements.iter().map(value_of).collect()),
        Value::Object(object) => Json::Object(
            object
                .properties
                .iter()
                .map(|member| (member.name.as_str().to_owned(), value_of(&member.value)))
                .collect(),
        ),
    }
}
