//! Edits of TOML files.
//!
//! Owns where an entry stands in such a file: in tables with headers, or inline on one line. Any other form is
//! left to the user. As with JSON, the text around an edit stays as it is.

use std::ops::Range;

use ::toml::de::{DeTable, DeValue};
use ::toml::{Spanned, Table};

use super::entry::{Node, toml_key};
use super::splice::{Content, Entry, Splice, newline_of};

/// # Errors
/// If it is not TOML, with the line. No text of the file is quoted, which may be a secret.
fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, String> {
    DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        format!("it is not valid TOML: line {line}")
    })
}

fn values(text: &str) -> Result<Table, String> {
    text.parse().map_err(|_| "it is not valid TOML".to_owned())
}

/// The servers, in the order of the file.
///
/// # Errors
/// If the text can't be read.
pub(super) fn entries(text: &str, key: &str) -> Result<Vec<Entry>, String> {
    let document = parse(text)?;
    let values = values(text)?;
    let Some(servers) = servers(document.get_ref(), key)? else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::new();
    for (name, value) in servers.iter() {
        let name: &str = name.get_ref();
        let places = places(text, servers, name);
        let raw = places.map_or_else(String::new, |places| places.raw(text));
        let (start, node) = (value.span().start, node_of(text, value));
        let value = values.get(key).and_then(|servers| servers.get(name));
        let value = value.and_then(|value| serde_json::to_value(value).ok());
        entries.push((
            start,
            Entry {
                name: name.to_owned(),
                value: value.unwrap_or_default(),
                node,
                raw,
                start,
            },
        ));
    }
    entries.sort_unstable_by_key(|(start, _)| *start);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// A value with its members in the order of the file.
fn node_of(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    match value.get_ref() {
        DeValue::String(text) => Node::Text(text.clone().into_owned()),
        DeValue::Boolean(flag) => Node::Flag(*flag),
        DeValue::Array(items) => Node::List(items.iter().map(|item| node_of(text, item)).collect()),
        DeValue::Table(table) => {
            let mut members: Vec<_> = table.iter().collect();
            members.sort_unstable_by_key(|(key, _)| key.span().start);
            let members = members.into_iter();
            Node::Map(
                members
                    .map(|(key, value)| (key.get_ref().to_string(), node_of(text, value)))
                    .collect(),
            )
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
            Node::Literal(text[value.span()].to_owned())
        }
    }
}

/// The whole document without these servers, for comparison.
///
/// # Errors
/// If the text can't be read.
pub(super) fn rest(text: &str, key: &str, names: &[&str]) -> Result<serde_json::Value, String> {
    let mut values = values(text)?;
    if let Some(servers) = values.get_mut(key).and_then(|value| value.as_table_mut()) {
        servers.retain(|name, _| !names.contains(&name));
        if servers.is_empty() {
            values.remove(key);
        }
    }
    serde_json::to_value(values).map_err(|_| "it can't be compared".to_owned())
}

/// Writes an entry, in the place of the one of that name or at the end.
///
/// # Errors
/// If the text can't be read, or has the entry in a form that isn't edited.
pub(super) fn set(
    text: &str,
    key: &str,
    name: &str,
    content: &Content<'_>,
) -> Result<Vec<Splice>, String> {
    let document = parse(text)?;
    let newline = newline_of(text);
    let section = match content {
        Content::Node(node) => {
            let head = format!("[{}.{}]{newline}", toml_key(key), toml_key(name));
            head + node.toml_lines(newline).trim_end()
        }
        Content::Raw(raw) => (*raw).to_owned(),
    };
    let servers = servers(document.get_ref(), key)?;
    let found = servers.filter(|servers| servers.contains_key(name));
    match found.map(|servers| places(text, servers, name)) {
        Some(Some(Places::Sections(sections))) => {
            let (first, others) = sections.split_first().ok_or_else(by_hand)?;
            let first = Splice {
                range: first.clone(),
                text: section,
            };
            let others = others.iter().map(|section| remove_lines(text, section));
            Ok(Vec::from_iter(std::iter::once(first).chain(others)))
        }
        Some(Some(Places::Inline { value, .. })) => match content {
            Content::Node(node) => Ok(vec![Splice {
                range: value,
                text: node.toml(),
            }]),
            Content::Raw(_) => Err(by_hand()),
        },
        Some(None) => Err(by_hand()),
        None => {
            let mut before = String::new();
            if !text.is_empty() && !text.ends_with('\n') {
                before.push_str(newline);
            }
            if !text.trim().is_empty() {
                before.push_str(newline);
            }
            let all = format!("{before}{section}{newline}");
            Ok(vec![Splice::insert(text.len(), all)])
        }
    }
}

/// Removes the entry of this name; nothing where there is none.
///
/// # Errors
/// If the text can't be read, or has the entry in a form that isn't edited.
pub(super) fn remove(text: &str, key: &str, name: &str) -> Result<Vec<Splice>, String> {
    let document = parse(text)?;
    let servers = servers(document.get_ref(), key)?;
    let Some(servers) = servers.filter(|servers| servers.contains_key(name)) else {
        return Ok(Vec::new());
    };
    match places(text, servers, name).ok_or_else(by_hand)? {
        Places::Sections(sections) => Ok(sections
            .iter()
            .map(|section| remove_lines(text, section))
            .collect()),
        Places::Inline { line, .. } => Ok(vec![remove_lines(text, &line)]),
    }
}

fn by_hand() -> String {
    "the entry there is written in a form that is not edited: change it by hand".to_owned()
}

/// The table of servers.
///
/// # Errors
/// If something else than a table stands there.
fn servers<'a, 'b>(
    document: &'b DeTable<'a>,
    key: &str,
) -> Result<Option<&'b DeTable<'a>>, String> {
    match document.get(key).map(Spanned::get_ref) {
        None => Ok(None),
        Some(DeValue::Table(servers)) => Ok(Some(servers)),
        Some(_) => Err(format!("its {key:?} is no table")),
    }
}

/// Where an entry stands.
enum Places {
    /// Tables with headers, in the order of the file, without the line end of the last line.
    Sections(Vec<Range<usize>>),
    /// `name = { … }`
    Inline {
        line: Range<usize>,
        value: Range<usize>,
    },
}

impl Places {
    fn raw(&self, text: &str) -> String {
        match self {
            Self::Sections(sections) => {
                let sections: Vec<&str> = sections
                    .iter()
                    .map(|section| &text[section.clone()])
                    .collect();
                sections.join(newline_of(text))
            }
            // Without the header of its table it can only come back by the backup.
            Self::Inline { .. } => String::new(),
        }
    }
}

/// `None` where its keys are dotted.
fn places(text: &str, servers: &DeTable<'_>, name: &str) -> Option<Places> {
    let (key, value) = servers.get_key_value(name)?;
    let span = value.span();
    if text[span.clone()].starts_with('{') {
        return Some(Places::Inline {
            line: key.span().start..line_end(text, span.end),
            value: span,
        });
    }
    let mut sections = Vec::new();
    if !sections_of(text, value, &mut sections) && !text[span].starts_with('[') {
        return None;
    }
    sections.sort_unstable_by_key(|section| section.start);
    Some(Places::Sections(sections))
}

/// Collects the sections of a table and of the tables in it. Returns whether all that it holds is in
/// sections of its own.
fn sections_of(text: &str, value: &Spanned<DeValue<'_>>, sections: &mut Vec<Range<usize>>) -> bool {
    let span = value.span();
    let is_header = |span: &Range<usize>| text[span.clone()].starts_with('[');
    let (mut end, mut bare) = (span.end, false);
    if let DeValue::Table(table) = value.get_ref() {
        for (_, inner) in table.iter() {
            let in_sections = match inner.get_ref() {
                DeValue::Table(_) => {
                    is_header(&inner.span()) || {
                        let mut own = Vec::new();
                        let all = sections_of(text, inner, &mut own);
                        all && !own.is_empty()
                    }
                }
                DeValue::Array(_) => text[inner.span()].starts_with("[["),
                _ => false,
            };
            if in_sections {
                collect(text, inner, sections);
            } else {
                bare = true;
                end = end.max(last_end(inner));
            }
        }
    }
    if is_header(&span) {
        sections.push(span.start..line_end(text, end));
    }
    !bare
}

fn collect(text: &str, value: &Spanned<DeValue<'_>>, sections: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().for_each(|item| {
            sections_of(text, item, sections);
        }),
        _ => {
            sections_of(text, value, sections);
        }
    }
}

/// The end of the last value in it.
fn last_end(value: &Spanned<DeValue<'_>>) -> usize {
    match value.get_ref() {
        DeValue::Table(table) => {
            let ends = table.iter().map(|(_, inner)| last_end(inner));
            ends.max().unwrap_or(0).max(value.span().end)
        }
        _ => value.span().end,
    }
}

/// The end of the line of this place, without its line end.
fn line_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let line = rest.split('\n').next().unwrap_or_default();
    at + line.trim_end_matches('\r').len()
}

/// Removes lines with their line end, and an empty line before them.
fn remove_lines(text: &str, lines: &Range<usize>) -> Splice {
    let rest = &text[lines.end..];
    let newline = rest.len()
        - rest
            .strip_prefix("\r\n")
            .or(rest.strip_prefix('\n'))
            .unwrap_or(rest)
            .len();
    let before = &text[..lines.start];
    let start = ["\r\n\r\n", "\n\n"]
        .iter()
        .find(|empty| before.ends_with(**empty))
        .map_or(lines.start, |empty| lines.start - empty.len() / 2);
    Splice::remove(start..lines.end + newline)
}
