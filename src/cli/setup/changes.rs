//! What a change of a client's file does, for people: entries by name, and ours in full.
//!
//! Owns that no other text of the file is shown: it may hold secrets.

use std::fmt::Write as _;

use crate::cli::terminal::{BAD, CAUTION, GOOD, one_line};
use crate::client_config::edit::{self, Entry};
use crate::client_config::servers::is_ours;
use crate::install::Plan;

/// What stands for a value that may be a secret.
const HIDDEN: &str = "\"…\"";

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
            Some(now) if now.raw != entry.raw => {
                let _ = writeln!(shown, "{CAUTION}~ {name}{CAUTION:#} {}", body(&now));
            }
            Some(_) => {}
        }
    }
    for entry in &new {
        if find(&old, &entry.name).is_none() {
            let name = one_line(&entry.name);
            let _ = writeln!(shown, "{GOOD}+ {name}{GOOD:#} {}", body(entry));
        }
    }
    shown.trim_end().to_owned()
}

/// An entry of ours without the values of its variables; of others nothing.
fn body(entry: &Entry) -> String {
    if !is_ours(entry) {
        return "(as it was)".to_owned();
    }
    let mut raw = entry.raw.clone();
    for key in ["env", "environment"] {
        let values = entry.value[key].as_object().into_iter().flatten();
        for value in values.filter_map(|(_, value)| value.as_str()) {
            let quoted = serde_json::Value::from(value).to_string();
            raw = raw.replace(&format!(": {quoted}"), &format!(": {HIDDEN}"));
            raw = raw.replace(&format!("= {quoted}"), &format!("= {HIDDEN}"));
        }
    }
    raw
}
