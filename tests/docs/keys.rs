//! The tables of all keys in `docs/configuration.md`, made from the schema of the config.

use std::path::Path;

use sentinel_gateway::config;
use serde_json::{Map, Value};

use super::markdown::Page;
use super::root;

const PAGE: &str = "docs/configuration.md";
const BEGIN: &str =
    "<!-- The tables up to the end mark are made from the schema by tests/docs/keys.rs. -->\n";
const END: &str = "<!-- end -->";

/// A member of a schema, as an object; empty if there is none.
fn object<'a>(schema: &'a Value, name: &str) -> &'a Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    schema[name].as_object().unwrap_or(&EMPTY)
}

/// `env`, `file` and `command`.
fn is_secret(schema: &Value) -> bool {
    object(schema, "properties")
        .keys()
        .eq(["command", "env", "file"])
}

/// The table of the keys of a section, in which `required` come first.
fn table(section: &Value) -> String {
    let mut rows = String::from("| key | value | default | meaning |\n|---|---|---|---|\n");
    let required = |key: &str| {
        let names = section["required"].as_array();
        names.is_some_and(|names| names.iter().any(|name| name == key))
    };
    let mut keys: Vec<_> = object(section, "properties").iter().collect();
    keys.sort_by_key(|(key, _)| !required(key));
    for (key, schema) in keys {
        add_rows(&mut rows, key, schema, required(key));
    }
    rows
}

/// The row of a key, or, of a key that is a table of keys, one row for each of these.
fn add_rows(rows: &mut String, key: &str, schema: &Value, required: bool) {
    let nested = |schema: &Value| !object(schema, "properties").is_empty() && !is_secret(schema);
    if nested(schema) {
        for (inner, schema) in object(schema, "properties") {
            add_rows(rows, &format!("{key}.{inner}"), schema, false);
        }
        return;
    }
    let default = match &schema["default"] {
        _ if required => "required".to_owned(),
        Value::Null => "none".to_owned(),
        value if value == &Value::Array(Vec::new()) => "none".to_owned(),
        value if value == &Value::Object(Map::new()) => "none".to_owned(),
        value => format!("`{value}`"),
    };
    *rows += &format!(
        "| `{key}` | {} | {default} | {} |\n",
        value_of(schema),
        meaning(schema)
    );
    for form in schema["anyOf"].as_array().into_iter().flatten() {
        if nested(form) {
            add_rows(rows, key, form, false);
        }
    }
}

/// What may stand behind `=`.
fn value_of(schema: &Value) -> String {
    if *schema == Value::Bool(true) {
        return "a value".to_owned();
    }
    if is_secret(schema) {
        return "a secret".to_owned();
    }
    for forms in ["oneOf", "anyOf"] {
        if let Some(forms) = schema[forms].as_array() {
            let forms: Vec<_> = forms.iter().map(value_of).collect();
            return forms.join(", ");
        }
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{constant}`");
    }
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => "`true`, `false`".to_owned(),
        "integer" => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
            (Some(least), Some(most)) => format!("{} to {}", grouped(least), grouped(most)),
            bounds => panic!("a number without bounds: {bounds:?}"),
        },
        "number" => "a number".to_owned(),
        "string" => "text".to_owned(),
        "array" => format!("list of: {}", value_of(&schema["items"])),
        "object" if object(schema, "properties").is_empty() => {
            format!("table of: {}", value_of(&schema["additionalProperties"]))
        }
        "object" => "table".to_owned(),
        other => panic!("no word for the type {other:?}"),
    }
}

/// A number with commas between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text += std::str::from_utf8(group).unwrap();
    }
    text
}

/// The description, and those of its values.
fn meaning(schema: &Value) -> String {
    let mut text = schema["description"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for value in schema["oneOf"].as_array().into_iter().flatten() {
        let meaning = value["description"].as_str().unwrap_or_default();
        text += &format!(" `{}`: {meaning}", value["const"]);
    }
    text.replace('\n', " ").replace('|', "\\|")
}

/// All tables: one for each section of the file.
fn tables() -> String {
    let schema = config::schema();
    let mut text = String::new();
    let mut sections: Vec<_> = object(&schema, "properties").iter().collect();
    sections.sort_by_key(|(name, _)| (*name != "gateway", *name != "backends"));
    for (name, section) in sections {
        let named = &section["additionalProperties"];
        let (heading, keys) = match section["items"].is_object() {
            true => (format!("[[{name}]]"), &section["items"]),
            false if named.is_object() => (format!("[{name}.NAME]"), named),
            false => (format!("[{name}]"), section),
        };
        let about = section["description"].as_str().unwrap_or_default();
        text += &format!("\n### `{heading}`\n\n{about}\n\n{}", table(keys));
    }
    text + "\n"
}

#[test]
fn the_tables_of_keys_are_those_of_the_schema() {
    let page = Page::read(Path::new(PAGE)).text;
    let (before, rest) = page.split_once(BEGIN).expect("the page has the begin mark");
    let (written, after) = rest.split_once(END).expect("the page has the end mark");
    let tables = tables();
    if std::env::var_os("BLESS").is_some() {
        let page = format!("{before}{BEGIN}{tables}{END}{after}");
        std::fs::write(root().join(PAGE), page).unwrap();
        return;
    }
    assert!(
        written == tables,
        "{PAGE} is out of date: BLESS=1 cargo test --test gateway_integration_test docs::"
    );
}

#[test]
fn every_key_of_the_schema_has_a_row() {
    let tables = tables();
    for key in [
        "startup_wait_ms",
        "url",
        "tools.pin",
        "tools.retry",
        "oauth",
        "oauth.grant",
        "bearer",
    ] {
        let rows = tables
            .lines()
            .filter(|line| line.starts_with(&format!("| `{key}` |")));
        assert_eq!(rows.count(), 1, "{key}");
    }
    assert_eq!(grouped(4_294_967_295), "4,294,967,295");
    assert_eq!(grouped(600), "600");
}
