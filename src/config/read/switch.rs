//! Switches in the text of sentinel.toml: `enabled` and `tools.deny`.
//!
//! Owns where a switch is written: as a range that is replaced, so that comments and every other byte
//! stay. What comes of it is read again and compared with what was meant. Pure; it must not know
//! which file the text is from.

use std::cmp::Reverse;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};
use toml::value::{Array, Table, Value};

use crate::client_config::entry::toml_key;
use crate::text::escape_glob;

/// What is switched.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Switch<'a> {
    /// The whole gateway.
    All,
    /// A backend, by its name.
    Backend(&'a str),
    /// A tool, by its backend's name and its own.
    Tool(&'a str, &'a str),
}

/// A replacement in a text.
struct Edit {
    at: Range<usize>,
    text: String,
}

/// The text with the switch set; `None` where it is so already.
///
/// # Errors
/// What is not there, or can't be edited, for a message.
pub(crate) fn set(text: &str, switch: Switch<'_>, on: bool) -> Result<Option<String>, String> {
    let document = DeTable::parse(text).map_err(not_toml)?;
    let root = document.get_ref();
    let mut meant: Table = text.parse().map_err(not_toml)?;
    let mut edits = match switch {
        Switch::All => Vec::from_iter(all(text, root, &mut meant, on)),
        Switch::Backend(name) => {
            let at = position(root, name)?;
            let (entry, meant) = (entry(root, at), entry_of(&mut meant, at));
            let edit = entry
                .zip(meant)
                .and_then(|(entry, meant)| set_enabled(text, entry, meant, on));
            Vec::from_iter(edit)
        }
        Switch::Tool(name, tool) => {
            let at = position(root, name)?;
            let (entry, meant) = (entry(root, at), entry_of(&mut meant, at));
            let pattern = escape_glob(tool);
            let (entry, meant) = entry.zip(meant).ok_or("it has no such backend")?;
            match on {
                true => allow(text, entry, meant, &pattern).unwrap_or_default(),
                false => Vec::from_iter(deny(text, entry, meant, &pattern)?),
            }
        }
    };
    if edits.is_empty() {
        return Ok(None);
    }
    let mut edited = text.to_owned();
    // From the end, so that the places of those before it stay.
    edits.sort_unstable_by_key(|edit| Reverse(edit.at.start));
    for Edit { at, text: new } in edits {
        edited.replace_range(at, &new);
    }
    match edited.parse::<Table>() {
        // The same pattern may stand there twice.
        Ok(read) if read == meant && on => Ok(Some(set(&edited, switch, on)?.unwrap_or(edited))),
        Ok(read) if read == meant => Ok(Some(edited)),
        _ => Err(BY_HAND.to_owned()),
    }
}

/// The text with a further key of a backend, in this table of it or in none.
///
/// # Errors
/// As [`set`], and if it has the key already.
pub(crate) fn add(
    text: &str,
    backend: &str,
    (table, key): (&str, &str),
    value: &str,
) -> Result<String, String> {
    let document = DeTable::parse(text).map_err(not_toml)?;
    let at = position(document.get_ref(), backend)?;
    let entry = entry(document.get_ref(), at).ok_or(BY_HAND)?;
    let inner = entry.get_ref().get(table);
    let written = toml_key(key);
    let edit = match inner.filter(|inner| has_own_place(text, inner, table)) {
        Some(inner) => insert(text, inner, table, &written, value),
        None if table.is_empty() => insert(text, entry, "", &written, value),
        None => insert(text, entry, "", &format!("{table}.{written}"), value),
    };
    let edit = edit.ok_or(BY_HAND)?;
    let mut edited = text.to_owned();
    edited.replace_range(edit.at, &edit.text);
    let read = |text: &str| text.parse::<Table>().map_err(|_| BY_HAND.to_owned());
    let (mut meant, mut one) = (read(text)?, read(&format!("value = {value}"))?);
    let own = entry_of(&mut meant, at).ok_or(BY_HAND)?;
    let own = match table {
        "" => Some(own),
        table => {
            let inner = own.entry(table).or_insert_with(|| Table::new().into());
            inner.as_table_mut()
        }
    };
    let before = own.zip(one.remove("value"));
    let before = before.map(|(own, value)| own.insert(key.to_owned(), value));
    match before {
        Some(None) if read(&edited)? == meant => Ok(edited),
        _ => Err(BY_HAND.to_owned()),
    }
}

/// What was not understood of a file is left to its owner.
const BY_HAND: &str = "it is written in a way that can't be edited here; change it by hand";

fn not_toml<T>(_: T) -> String {
    "it is not valid TOML".to_owned()
}

/// Whether the text has a backend of this name.
pub(crate) fn has_backend(text: &str, name: &str) -> bool {
    let document = DeTable::parse(text);
    document.is_ok_and(|document| position(document.get_ref(), name).is_ok())
}

/// The text with an entry for this backend at its end.
pub(crate) fn with_entry(text: &str, name: &str, url: &str) -> String {
    let newline = newline_of(text);
    let gap = match text {
        "" => "",
        _ if text.ends_with('\n') => newline,
        _ => &newline.repeat(2),
    };
    let [name, url] = [name, url].map(|text| Value::String(text.to_owned()).to_string());
    format!("{text}{gap}[[backends]]{newline}name = {name}{newline}url = {url}{newline}")
}

fn all(text: &str, root: &DeTable<'_>, meant: &mut Table, on: bool) -> Option<Edit> {
    let gateway = meant
        .entry("gateway")
        .or_insert_with(|| Table::new().into());
    let now = gateway.as_table_mut()?;
    match root.get("gateway") {
        Some(written) => set_enabled(text, written, now, on),
        None if on => None,
        None => {
            now.insert("enabled".to_owned(), Value::Boolean(false));
            let newline = newline_of(text);
            let end = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                newline
            };
            Some(Edit {
                at: text.len()..text.len(),
                text: format!("{end}{newline}[gateway]{newline}enabled = false{newline}"),
            })
        }
    }
}

/// The place of a backend among the entries.
fn position(root: &DeTable<'_>, name: &str) -> Result<usize, String> {
    let entries = root
        .get("backends")
        .and_then(|entries| entries.get_ref().as_array());
    let is_it = |entry: &Spanned<DeValue<'_>>| {
        let own = entry
            .get_ref()
            .get("name")
            .and_then(|own| own.get_ref().as_str());
        own == Some(name)
    };
    let place = entries.and_then(|entries| entries.iter().position(is_it));
    place.ok_or_else(|| format!("it has no backend named {name:?}"))
}

fn entry<'a, 'b>(root: &'a DeTable<'b>, at: usize) -> Option<&'a Spanned<DeValue<'b>>> {
    root.get("backends")?.get_ref().as_array()?.get(at)
}

fn entry_of(root: &mut Table, at: usize) -> Option<&mut Table> {
    root.get_mut("backends")?
        .as_array_mut()?
        .get_mut(at)?
        .as_table_mut()
}

fn set_enabled(
    text: &str,
    table: &Spanned<DeValue<'_>>,
    meant: &mut Table,
    on: bool,
) -> Option<Edit> {
    let written = table.get_ref().as_table()?.get("enabled");
    let is_on = written.is_none_or(|written| written.get_ref().as_bool() != Some(false));
    if is_on == on {
        return None;
    }
    meant.insert("enabled".to_owned(), Value::Boolean(on));
    match written {
        Some(written) => Some(Edit {
            at: written.span(),
            text: on.to_string(),
        }),
        None => insert(text, table, "gateway", "enabled", &on.to_string()),
    }
}

fn deny(
    text: &str,
    entry: &Spanned<DeValue<'_>>,
    meant: &mut Table,
    pattern: &str,
) -> Result<Option<Edit>, String> {
    let tools = entry.get_ref().get("tools");
    let denied = tools.and_then(|tools| tools.get_ref().get("deny"));
    if positions(denied, pattern).next().is_some() {
        return Ok(None);
    }
    let rules = meant.entry("tools").or_insert_with(|| Table::new().into());
    let rules = rules.as_table_mut().ok_or("tools is no table")?;
    let list = rules.entry("deny").or_insert_with(|| Array::new().into());
    let list = list.as_array_mut().ok_or("tools.deny is no list")?;
    list.push(Value::String(pattern.to_owned()));
    let quoted = Value::String(pattern.to_owned()).to_string();
    let last = array(denied).and_then(|denied| denied.iter().last());
    Ok(match (denied, last, tools) {
        (Some(_), Some(last), _) => Some(Edit {
            at: last.span().end..last.span().end,
            text: format!(", {quoted}"),
        }),
        (Some(denied), None, _) => Some(Edit {
            at: denied.span().start + 1..denied.span().start + 1,
            text: quoted,
        }),
        (None, _, Some(tools)) if has_own_place(text, tools, "tools") => {
            insert(text, tools, "tools", "deny", &format!("[{quoted}]"))
        }
        (None, ..) => insert(text, entry, "", "tools.deny", &format!("[{quoted}]")),
    })
}

/// Takes a pattern out of the list, with one comma. Comments stay, since each may be about a rule that does.
fn allow(
    text: &str,
    entry: &Spanned<DeValue<'_>>,
    meant: &mut Table,
    pattern: &str,
) -> Option<Vec<Edit>> {
    let denied = entry.get_ref().get("tools")?.get_ref().get("deny")?;
    let list = array(Some(denied))?;
    let at = positions(Some(denied), pattern).next()?;
    let span = |at: usize| list.get(at).map(Spanned::span);
    let own = span(at)?;
    let end = span(at + 1).map_or(denied.span().end, |next| next.start);
    let before = at.checked_sub(1).and_then(span);
    let comma = comma_in(text, own.end..end)
        .or_else(|| before.and_then(|before| comma_in(text, before.end..own.start)));
    let rules = meant.get_mut("tools")?.get_mut("deny")?.as_array_mut()?;
    rules.remove(at);
    let is_blank = |gap: &Range<usize>| text[gap.clone()].trim().is_empty();
    let (removed, further) = match comma {
        Some(comma) if comma >= own.end && is_blank(&(own.end..comma)) => {
            (own.start..comma + 1, None)
        }
        Some(comma) if comma < own.start && is_blank(&(comma + 1..own.start)) => {
            (comma..own.end, None)
        }
        Some(comma) => (own, Some(comma..comma + 1)),
        None => (own, None),
    };
    let removed = [Some(removed), further].into_iter().flatten();
    let edits = removed.map(|range| Edit {
        at: with_space(text, range),
        text: String::new(),
    });
    Some(edits.collect())
}

/// The first comma between two items of a list, where nothing but space and comments is beside it.
fn comma_in(text: &str, gap: Range<usize>) -> Option<usize> {
    let mut in_comment = false;
    let mut letters = text[gap.clone()].char_indices();
    let comma = letters.find(|(_, letter)| {
        match letter {
            '#' => in_comment = true,
            '\n' => in_comment = false,
            _ => {}
        }
        *letter == ',' && !in_comment
    });
    comma.map(|(at, _)| gap.start + at)
}

/// The range with the space that would be too much without it: its whole line if nothing else is there.
fn with_space(text: &str, range: Range<usize>) -> Range<usize> {
    let is_space = |letter: char| [' ', '\t'].contains(&letter);
    let before = text[..range.start].trim_end_matches(is_space);
    let after = text[range.end..].trim_start_matches(is_space);
    let (start, end) = (before.len(), text.len() - after.len());
    let line_end = ["\r\n", "\n"].iter().find(|end| after.starts_with(**end));
    match line_end {
        Some(line_end) if before.ends_with('\n') => start..end + line_end.len(),
        Some(_) => start..range.end,
        None if after.starts_with(']') && !before.ends_with('\n') => start..range.end,
        None if start < range.start || before.ends_with(['[', '\n']) => range.start..end,
        None => range,
    }
}

fn array<'a, 'b>(value: Option<&'a Spanned<DeValue<'b>>>) -> Option<&'a DeArray<'b>> {
    value?.get_ref().as_array()
}

/// Where the pattern stands in a list.
fn positions<'a>(
    list: Option<&'a Spanned<DeValue<'_>>>,
    pattern: &'a str,
) -> impl Iterator<Item = usize> {
    let items = array(list)
        .into_iter()
        .flat_map(|list| list.iter().enumerate());
    let is_it = move |item: &Spanned<DeValue<'_>>| item.get_ref().as_str() == Some(pattern);
    items.filter(move |(_, item)| is_it(item)).map(|(at, _)| at)
}

/// Whether a table has a header of its own or braces, where keys can be put; else its keys are dotted.
fn has_own_place(text: &str, table: &Spanned<DeValue<'_>>, name: &str) -> bool {
    let written = &text[table.span()];
    let header = written.trim_matches(['[', ']', ' ', '\t']);
    written.starts_with('{') || written.starts_with('[') && header.ends_with(name)
}

/// Puts a key into a table: below its name, if it has one, else below its header or at its beginning.
/// `path` is that of a table at the root, in case its keys are dotted.
fn insert(
    text: &str,
    table: &Spanned<DeValue<'_>>,
    path: &str,
    key: &str,
    value: &str,
) -> Option<Edit> {
    let span = table.span();
    let newline = newline_of(text);
    let members = table.get_ref().as_table()?;
    let name = members.get("name").map(|name| name.span().end);
    let written = &text[span.clone()];
    if written.starts_with('{') {
        let more = if members.is_empty() { " " } else { "," };
        let at = span.start + 1;
        return Some(Edit {
            at: at..at,
            text: format!(" {key} = {value}{more}"),
        });
    }
    if written.starts_with('[') {
        let begun = name.unwrap_or(span.end);
        let line = text[begun..]
            .find('\n')
            .map_or(text.len(), |length| begun + length);
        let at = line - usize::from(text[..line].ends_with('\r'));
        return Some(Edit {
            at: at..at,
            text: format!("{newline}{key} = {value}"),
        });
    }
    let line = text[..span.start]
        .rfind('\n')
        .map_or(0, |before| before + 1);
    Some(Edit {
        at: line..line,
        text: format!("{path}.{key} = {value}{newline}"),
    })
}

fn newline_of(text: &str) -> &'static str {
    match text.contains("\r\n") {
        true => "\r\n",
        false => "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n[[backends]] # first\nname = \"a\" # its name\nurl = 'u'\n\n\
        [[backends]]\nname = 'b'\nenabled = true # yes\ntools.deny = [\n  \"x\", # why\n  \"y\",\n]\n\
        [backends.tools.rename]\nq = \"r\"\n\n[[backends]]\nname = 'c'\n[backends.tools]\nallow = []\n";

    fn off(text: &str, switch: Switch<'_>) -> String {
        set(text, switch, false).unwrap().expect("a change")
    }

    /// Off and on again gives this text; setting it twice changes nothing.
    fn there_and_back(text: &str, switch: Switch<'_>) -> String {
        let off = off(text, switch);
        assert_eq!(set(&off, switch, false), Ok(None));
        let on = set(&off, switch, true).unwrap().expect("a change");
        assert_eq!(set(&on, switch, true), Ok(None));
        on
    }

    #[test]
    fn a_backend_is_switched_where_it_is_written() {
        let a = off(FILE, Switch::Backend("a"));
        let expected = "name = \"a\" # its name\nenabled = false\nurl";
        assert!(a.contains(expected) && a.len() == FILE.len() + 16, "{a}");
        let b = off(FILE, Switch::Backend("b"));
        assert_eq!(
            b,
            FILE.replace("enabled = true # yes", "enabled = false # yes")
        );
        assert_eq!(there_and_back(FILE, Switch::Backend("b")), FILE);
        let inline = "backends = [{name = 'a', url = 'u'}, {name = 'b'}] # c\n";
        let expected = inline.replace("{name = 'b'}", "{ enabled = false,name = 'b'}");
        assert_eq!(off(inline, Switch::Backend("b")), expected);
        let missing = set(FILE, Switch::Backend("z"), false).unwrap_err();
        assert_eq!(missing, "it has no backend named \"z\"");
    }

    #[test]
    fn a_key_is_added_beside_those_that_are_there() {
        let file = "# mine\n[[backends]]\nname = 'a' # its name\nheaders = { X = 'x' }\n\n\
            [[backends]]\nname = 'b'\nheaders.X = 'x' # why\n\n[[backends]]\nname = 'c'\n[backends.headers]\nX = 'x'\n";
        let add = |backend, table, key| add(file, backend, (table, key), "{ env = \"V\" }");
        for (backend, before, after) in [
            ("a", "{ X = 'x'", "{ \"Y Z\" = { env = \"V\" }, X = 'x'"),
            (
                "b",
                "name = 'b'\n",
                "name = 'b'\nheaders.\"Y Z\" = { env = \"V\" }\n",
            ),
            (
                "c",
                "[backends.headers]\n",
                "[backends.headers]\n\"Y Z\" = { env = \"V\" }\n",
            ),
        ] {
            let expected = file.replace(before, after);
            assert_eq!(add(backend, "headers", "Y Z"), Ok(expected), "{backend}");
            assert!(add(backend, "headers", "X").is_err(), "{backend}");
            let top = add(backend, "", "bearer").unwrap();
            let named = format!("name = '{backend}'");
            let (_, rest) = top.split_once(&named).unwrap();
            let line = rest.lines().nth(1);
            assert_eq!(line, Some("bearer = { env = \"V\" }"));
        }
        let none = "[[backends]]\nname = 'a'\n";
        let made = super::add(none, "a", ("headers", "X"), "'x'").unwrap();
        assert_eq!(made, format!("{none}headers.X = 'x'\n"));
        assert!(add("z", "", "bearer").is_err());
    }

    #[test]
    fn a_tool_is_denied_by_a_pattern_of_its_own() {
        let tool = |backend| Switch::Tool(backend, "drop[1]");
        let pattern = escape_glob("drop[1]");
        for (backend, expected) in [
            (
                "a",
                format!("# its name\ntools.deny = [\"{pattern}\"]\nurl"),
            ),
            ("b", format!("\"x\", # why\n  \"y\", \"{pattern}\",\n]")),
            (
                "c",
                format!("[backends.tools]\ndeny = [\"{pattern}\"]\nallow"),
            ),
        ] {
            let denied = off(FILE, tool(backend));
            assert!(denied.contains(&expected), "{denied}");
            let back = there_and_back(FILE, tool(backend));
            assert!(!back.contains("drop") && back.contains("\"x\", # why\n  \"y\""));
        }
        assert_eq!(there_and_back(FILE, tool("b")), FILE);
        let first = set(FILE, Switch::Tool("b", "x"), true).unwrap().unwrap();
        assert_eq!(first, FILE.replace("\"x\", # why", "# why"));
        // Comments say something of the rules that stay, wherever they stand.
        let on = |tool: &str, list: &str| {
            let text = |list: &str| format!("[[backends]]\nname = \"db\"\ntools.deny = {list}\n");
            let on = set(&text(list), Switch::Tool("db", tool), true);
            let on = on.unwrap().expect("a change");
            let (start, end) = (text("").len() - 1, on.len() - 1);
            on[start..end].to_owned()
        };
        for (tool, before, after) in [
            ("a", "[\"a\"]", "[]"),
            ("a", "[\"a\", \"b\"]", "[\"b\"]"),
            ("b", "[\"a\", \"b\"]", "[\"a\"]"),
            ("b", "[\"a\", \"b\",]", "[\"a\",]"),
            ("b", "[\"a\", \"b\", \"c\"]", "[\"a\", \"c\"]"),
            ("a", "[ \"a\" , \"b\" ]", "[ \"b\" ]"),
            (
                "export",
                "[\n  \"drop\", # prod, never\n  \"export\",\n]",
                "[\n  \"drop\", # prod, never\n]",
            ),
            (
                "export",
                "[\n  \"drop\", # prod, never\n  \"export\"\n]",
                "[\n  \"drop\" # prod, never\n]",
            ),
            (
                "drop",
                "[\n  \"drop\",\n  # of the \"team\", not mine\n  \"export\",\n]",
                "[\n  # of the \"team\", not mine\n  \"export\",\n]",
            ),
            (
                "drop",
                "[\n  \"drop\" # one, two\n  , \"export\"\n]",
                "[\n  # one, two\n  \"export\"\n]",
            ),
            ("x", "[\"x\", \"y\", \"x\"]", "[\"y\"]"),
        ] {
            assert_eq!(on(tool, before), after, "{before}");
        }
        let dos = FILE.replace('\n', "\r\n");
        assert_eq!(
            off(&dos, tool("a")).replace("\r\n", "\n"),
            off(FILE, tool("a"))
        );
    }

    #[test]
    fn a_backend_of_another_file_gets_an_entry_to_switch() {
        for text in ["", "# mine", FILE, &FILE.replace('\n', "\r\n")] {
            assert!(!has_backend(text, "team"));
            let added = with_entry(text, "team", "http://h/mcp");
            assert!(added.starts_with(text) && has_backend(&added, "team"));
            let denied = off(&added, Switch::Tool("team", "drop"));
            let denied: Table = off(&denied, Switch::Backend("team")).parse().unwrap();
            let entry = denied["backends"].as_array().unwrap().last().unwrap();
            assert_eq!(entry["enabled"].as_bool(), Some(false));
            assert_eq!(entry["url"].as_str(), Some("http://h/mcp"));
            assert_eq!(entry["tools"]["deny"][0].as_str(), Some("drop"));
        }
        // An inline list has no room for a table of its own.
        let inline = "backends = [{name = 'a', url = 'u'}]\n";
        assert!(
            set(
                &with_entry(inline, "team", "u"),
                Switch::Backend("team"),
                false
            )
            .is_err()
        );
    }

    #[test]
    fn the_whole_gateway_is_switched_in_any_form_of_its_table() {
        for (text, expected) in [
            ("", "\n[gateway]\nenabled = false\n"),
            (
                "[[backends]]",
                "[[backends]]\n\n[gateway]\nenabled = false\n",
            ),
            ("[gateway] # c\n", "[gateway] # c\nenabled = false\n"),
            (
                "[gateway]\nname = 'x'",
                "[gateway]\nname = 'x'\nenabled = false",
            ),
            (
                "gateway = { name = 'x' }\n",
                "gateway = { enabled = false, name = 'x' }\n",
            ),
            (
                "gateway.name = 'x'\n",
                "gateway.enabled = false\ngateway.name = 'x'\n",
            ),
        ] {
            assert_eq!(off(text, Switch::All), expected);
            there_and_back(text, Switch::All);
        }
    }
}
