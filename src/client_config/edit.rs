//! Reads and edits the servers of a client's file, in any format, as text.
//!
//! Owns that an edit changes nothing else: each is compared with the text before it, read back.

use super::clients::{Client, Format};
use super::splice::Splice;
pub(crate) use super::splice::{Content, Entry};
use super::{json, toml};

const CHANGES_MORE: &str = "an edit would change more than the entry: change it by hand";

const BOM: &str = "\u{feff}";

/// Splits the mark at the beginning off, which some editors write.
fn without_bom(text: &str) -> (&str, &str) {
    match text.strip_prefix(BOM) {
        Some(rest) => (BOM, rest),
        None => ("", text),
    }
}

/// The servers of a client's file, in its order.
///
/// # Errors
/// Why it can't be read, without text of the file.
pub(crate) fn entries(client: &Client, text: &str) -> Result<Vec<Entry>, String> {
    let (_, text) = without_bom(text);
    match client.format {
        Format::Json => json::entries(text, client.key),
        Format::Toml => toml::entries(text, client.key),
        Format::Yaml => Err(not_edited(client)),
    }
}

/// The servers under this key of a JSON file; `None` if it has no such key.
///
/// # Errors
/// Why it can't be read, without text of the file.
pub(crate) fn json_entries(text: &str, key: &str) -> Result<Option<Vec<Entry>>, String> {
    let (_, text) = without_bom(text);
    let entries = json::entries(text, key)?;
    Ok(json::has_servers(text, key).then_some(entries))
}

/// The text with this entry, in the place of the one of that name or after the others.
///
/// # Errors
/// Why it can't be written, without text of the file.
pub(crate) fn set(
    client: &Client,
    text: &str,
    name: &str,
    content: &Content<'_>,
) -> Result<String, String> {
    let edited = edit(client, text, &[name], |text| match client.format {
        Format::Json => json::set(text, client.key, name, content),
        Format::Toml => toml::set(text, client.key, name, content),
        Format::Yaml => Err(not_edited(client)),
    })?;
    let found = entries(client, &edited)?;
    match found.iter().any(|entry| entry.name == name) {
        true => Ok(edited),
        false => Err(CHANGES_MORE.to_owned()),
    }
}

/// The text without the entry of this name. Unchanged where there is none.
///
/// # Errors
/// Why it can't be removed, without text of the file.
pub(crate) fn remove(client: &Client, text: &str, name: &str) -> Result<String, String> {
    edit(client, text, &[name], |text| match client.format {
        Format::Json => json::remove(text, client.key, name),
        Format::Toml => toml::remove(text, client.key, name),
        Format::Yaml => Err(not_edited(client)),
    })
}

/// The text without the object of all servers, if that is empty.
///
/// # Errors
/// Why it can't be removed, without text of the file.
pub(crate) fn remove_empty(client: &Client, text: &str) -> Result<String, String> {
    edit(client, text, &[], |text| match client.format {
        Format::Json => json::remove_empty(text, client.key),
        Format::Toml | Format::Yaml => Ok(Vec::new()),
    })
}

/// Whether the file has a place for servers, which may be empty.
pub(crate) fn has_servers(client: &Client, text: &str) -> bool {
    let (_, text) = without_bom(text);
    match client.format {
        Format::Json => json::has_servers(text, client.key),
        Format::Toml | Format::Yaml => true,
    }
}

/// Whether a new entry, which follows at the end, adds a line end to the text before it.
pub(crate) fn adds_line_end(client: &Client, text: &str) -> bool {
    let (_, text) = without_bom(text);
    client.format == Format::Toml && !text.is_empty() && !text.ends_with('\n')
}

/// The text without the line end of its last line.
pub(crate) fn without_line_end(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.strip_suffix('\r').unwrap_or(line)
}

fn edit(
    client: &Client,
    text: &str,
    names: &[&str],
    splices: impl FnOnce(&str) -> Result<Vec<Splice>, String>,
) -> Result<String, String> {
    let (bom, text) = without_bom(text);
    let mut splices = splices(text)?;
    splices.sort_by_key(|splice| splice.range.start);
    let mut edited = bom.to_owned();
    let mut at = 0;
    for splice in &splices {
        edited.push_str(&text[at..splice.range.start]);
        edited.push_str(&splice.text);
        at = splice.range.end;
    }
    edited.push_str(&text[at..]);
    let rest = |text: &str| match client.format {
        Format::Json => json::rest(text, client.key, names),
        Format::Toml => toml::rest(text, client.key, names),
        Format::Yaml => Err(not_edited(client)),
    };
    let before = rest(text)?;
    if rest(without_bom(&edited).1).as_ref() != Ok(&before) {
        return Err(CHANGES_MORE.to_owned());
    }
    Ok(edited)
}

fn not_edited(client: &Client) -> String {
    format!("files of {} are YAML, which is not edited", client.name)
}

#[cfg(test)]
mod tests;
