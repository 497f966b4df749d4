//! What a change of a client's file does, for people: entries by name, and ours in full.
//!
//! Owns that no other text of the file is shown, and of ours no value that may be a secret.

use std::fmt::Write as _;

use crate::cli::terminal::{BAD, CAUTION, GOOD, one_line};
use crate::client_config::clients::Format;
use crate::client_config::edit::{self, Entry};
use crate::client_config::entry::{Layout, Node};
use crate::client_config::servers::is_ours;
use crate::install::Plan;

/// What stands for a value that may be a secret.
const HIDDEN: &str = "…";
/// Members of an entry whose texts are no secrets. All other texts are hidden.
const SHOWN: [&str; 8] = [
    "type",
    "command",
    "args",
    "source",
    "name",
    "tools",
    "deferTools",
    "env_vars",
];
/// Flags of ours whose values are no secrets.
const SHOWN_FLAGS: [&str; 3] = ["--config", "--only", "--profile"];

/// The lines that say what would be changed.
pub(super) fn changes(plan: &Plan) -> String {
    let (old, new) = plan.texts();
    let client = plan.place().client;
    let read = |text: &str| edit::entries(client, text).unwrap_or_default();
    let (old, new) = (read(&old), read(&new));
    let find =
        |entries: &[Entry], name: &str| entries.iter().find(|entry| entry.name == name).cloned();
    let mut shown = String::new();
    for entry in &old {
        let name = one_line(&entry.name);
        match find(&new, &entry.name) {
            None => {
                let _ = writeln!(shown, "{BAD}- {name}{BAD:#}");
            }
            Some(now) if now.raw != entry.raw || now.value != entry.value => {
                let body = body(&now, client.format);
                let _ = writeln!(shown, "{CAUTION}~ {name}{CAUTION:#} {body}");
                if is_ours(entry) && is_ours(&now) {
                    for gone in gone(&entry.node, &now.node) {
                        let _ = writeln!(shown, "{BAD}  - {}{BAD:#}", one_line(&gone));
                    }
                }
            }
            Some(_) => {}
        }
    }
    for entry in &new {
        if find(&old, &entry.name).is_none() {
            let name = one_line(&entry.name);
            let body = body(entry, client.format);
            let _ = writeln!(shown, "{GOOD}+ {name}{GOOD:#} {body}");
        }
    }
    shown.trim_end().to_owned()
}

/// An entry of ours without what may be a secret; of others nothing.
fn body(entry: &Entry, format: Format) -> String {
    if !is_ours(entry) {
        return "(as it was)".to_owned();
    }
    let node = without_secrets(&entry.node);
    match format {
        Format::Toml => format!("\n{}", node.toml_lines("\n").trim_end()),
        Format::Json | Format::Yaml => node.json(&Layout {
            indent: "    ".to_owned(),
            unit: "  ".to_owned(),
            newline: "\n",
            compact: false,
        }),
    }
}

/// The members of an entry that are not there afterwards, or have another value.
fn gone(old: &Node, new: &Node) -> Vec<String> {
    let (Node::Map(old), Node::Map(new)) = (old, new) else {
        return Vec::new();
    };
    let mut gone = Vec::new();
    for (key, before) in old {
        let now = new.iter().find(|(known, _)| known == key);
        let now = now.map(|(_, now)| now);
        match (before, now) {
            (_, Some(now)) if now == before => {}
            (Node::Map(_), Some(inner @ Node::Map(_))) => {
                let inner = self::gone(before, inner).into_iter();
                gone.extend(inner.map(|inner| format!("{key}.{inner}")));
            }
            _ => gone.push(format!(
                "{key}: {}",
                shown(key, before).json(&Layout::line())
            )),
        }
    }
    gone
}

fn without_secrets(entry: &Node) -> Node {
    let Node::Map(members) = entry else {
        return hidden(entry);
    };
    let members = members.iter();
    Node::Map(
        members
            .map(|(key, node)| (key.clone(), shown(key, node)))
            .collect(),
    )
}

/// The value of a member of the entry, as far as it is shown.
fn shown(key: &str, node: &Node) -> Node {
    match node {
        Node::List(words) if key == "args" || key == "command" => {
            let mut before = (key == "command").then_some("--config");
            let mut shown = Vec::new();
            for word in words {
                let Node::Text(text) = word else {
                    shown.push(hidden(word));
                    continue;
                };
                let is_flag = text.starts_with("--") && !text.contains('=');
                let is_value = before.is_some_and(|flag| SHOWN_FLAGS.contains(&flag));
                shown.push(if is_flag || is_value {
                    word.clone()
                } else {
                    hidden(word)
                });
                before = Some(text);
            }
            Node::List(shown)
        }
        Node::Text(_) | Node::List(_) if SHOWN.contains(&key) => node.clone(),
        _ => hidden(node),
    }
}

/// A value without its texts.
fn hidden(node: &Node) -> Node {
    match node {
        Node::Text(_) => Node::Text(HIDDEN.to_owned()),
        Node::List(items) => Node::List(items.iter().map(hidden).collect()),
        Node::Map(members) => {
            let members = members.iter();
            Node::Map(
                members
                    .map(|(key, node)| (key.clone(), hidden(node)))
                    .collect(),
            )
        }
        Node::Flag(_) | Node::Number(_) | Node::Literal(_) => node.clone(),
    }
}
