//! The configuration: valid files, the problems of invalid files, and the schema.
//!
//! Each file in `config/invalid` starts with its expected problems, one a line after `#! `.
//! `BLESS=1` rewrites those lines; review the difference before you commit it.

mod administrator;
mod machine;
mod trust;
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sentinel_gateway::config::{self, Config, Environment, Overrides, Problems};
use serde_json::Value;

/// In invalid files, the value of every key that could be a secret.
const CANARY: &str = "canary";

/// Loads a file as `--config` does, without environment variables.
fn load(path: &Path) -> Result<Config, Problems> {
    let overrides = Overrides {
        config: Some(path.to_owned()),
        ..Overrides::default()
    };
    let env =
        Environment::new(env!("CARGO_MANIFEST_DIR")).with_home("/home/me", "/home/me/.config");
    config::load(&overrides, &env)
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sentinel.toml")
}

fn as_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::to_value(toml::from_str::<toml::Table>(&text).unwrap()).unwrap()
}

#[test]
fn valid_files_load() {
    for path in files("tests/config/valid") {
        if let Err(problems) = load(&path) {
            panic!("{problems}");
        }
    }
}

#[test]
fn invalid_files_load_with_exactly_the_listed_problems() {
    for path in files("tests/config/invalid") {
        let text = fs::read_to_string(&path).unwrap();
        let problems = match load(&path) {
            Ok(_) => panic!("{} loads", path.display()),
            Err(problems) => problems.to_string(),
        };
        assert!(!problems.contains(CANARY), "a secret is in {problems}");

        let prefix = format!("{}:", path.display());
        let actual: Vec<_> = problems
            .lines()
            .map(|line| line.replace(&prefix, ""))
            .collect();
        if std::env::var_os("BLESS").is_some() {
            bless(&path, &text, actual.len());
            continue;
        }
        let expected: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#! "))
            .collect();
        assert_eq!(actual, expected, "{}", path.display());
    }
}

/// Writes a file's problems at its top. That moves its lines, so it is loaded once more.
fn bless(path: &Path, text: &str, count: usize) {
    let body: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("#! "))
        .collect();
    let body = body.join("\n") + "\n";
    fs::write(path, "#! \n".repeat(count) + &body).unwrap();
    let problems = load(path).map(|_| ()).unwrap_err().to_string();
    let prefix = format!("{}:", path.display());
    let header: String = problems
        .lines()
        .map(|line| format!("#! {}\n", line.replace(&prefix, "")))
        .collect();
    fs::write(path, header + &body).unwrap();
}

#[test]
fn the_shipped_file_loads_unchanged() {
    let config = load(&shipped()).unwrap();
    let backends: Vec<_> = config
        .backends
        .iter()
        .map(|backend| (&*backend.name, backend.shown_url.as_str()))
        .collect();
    assert_eq!(
        backends,
        [
            ("n8n", "http://127.0.0.1:5678/mcp/test"),
            ("sqlite", "http://127.0.0.1:3002/mcp"),
        ]
    );
    for backend in &config.backends {
        assert!(backend.url.is_ok() && backend.bearer.is_none() && backend.headers.is_empty());
    }
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

/// The keys in the shipped file's comments are valid too.
#[test]
fn the_shipped_file_can_be_uncommented() {
    let text = fs::read_to_string(shipped()).unwrap();
    let is_key = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_lowercase() || "_.".contains(c))
    };
    let mut seen_bearer = false;
    let mut uncommented = String::new();
    for line in text.lines() {
        let bare = line.strip_prefix("# ");
        let bare = bare.filter(|bare| is_key(bare) || bare.starts_with("[profiles."));
        // Only one of the three sources of a secret may be set.
        let second = bare.is_some_and(|bare| bare.starts_with("bearer"))
            && std::mem::replace(&mut seen_bearer, true);
        uncommented += bare.filter(|_| !second).unwrap_or(line);
        uncommented.push('\n');
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sentinel.toml");
    fs::write(&path, uncommented).unwrap();

    let config = load(&path).unwrap();
    assert!(config.backends[0].bearer.is_some());
    let shown = keys_of_document(&as_json(&path), &config::schema());
    let all = keys_of_schema(&config::schema());
    let unshown: Vec<_> = all.difference(&shown).map(String::as_str).collect();
    let forms = [
        "bearer.command",
        "bearer.file",
        "headers.*.command",
        "headers.*.env",
        "headers.*.file",
        "oauth.client_key_file", // in place of client_secret
        "oauth.client_key_id",
        "oauth.client_secret.command",
        "oauth.client_secret.file",
        "type",
    ];
    let of_backends = forms.map(|key| format!("backends.{key}"));
    let sealed = "gateway.auth_store.key_command".to_owned(); // in place of "file"
    let others = ["command", "file"].map(|key| format!("telemetry.headers.*.{key}"));
    assert_eq!(unshown, [&of_backends[..], &[sealed], &others].concat());
}

#[test]
fn the_schema_has_exactly_the_keys_that_are_read() {
    let every_key = files("tests/config/valid")
        .into_iter()
        .find(|path| path.ends_with("every-key.toml"))
        .unwrap();
    load(&every_key).unwrap();
    assert_eq!(
        keys_of_document(&as_json(&every_key), &config::schema()),
        keys_of_schema(&config::schema())
    );
}

#[test]
fn the_schema_accepts_every_valid_file() {
    let schema = jsonschema::validator_for(&config::schema()).unwrap();
    for path in files("tests/config/valid").into_iter().chain([shipped()]) {
        let errors: Vec<_> = schema
            .iter_errors(&as_json(&path))
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_a_schema_can_express() {
    let schema = jsonschema::validator_for(&config::schema()).unwrap();
    // A schema can't express relations of two keys, a range with a hole, or checks inside a string.
    let not_expressible = [
        "args",
        "buffers",
        "buffers-both",
        "headers",
        "limits",
        "name-max",
        "tools",
        "urls",
    ];
    let not_json = ["huge-number", "same-key-twice", "syntax"];
    for path in files("tests/config/invalid") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if !not_json.contains(&name) {
            let refused = !schema.is_valid(&as_json(&path));
            assert_eq!(refused, !not_expressible.contains(&name), "{name}");
        }
    }
}

#[test]
fn the_schema_refuses_an_unknown_key_in_every_table() {
    let schema = jsonschema::validator_for(&config::schema()).unwrap();
    for pointer in [
        "",
        "/gateway",
        "/backends/0",
        "/backends/0/bearer",
        "/backends/0/headers/X-Key",
        "/backends/0/tools",
    ] {
        let mut document = as_json(&files("tests/config/valid")[0]);
        assert!(schema.is_valid(&document));
        document.pointer_mut(pointer).unwrap()["unknown"] = 1.into();
        assert!(!schema.is_valid(&document), "{pointer:?}");
    }
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn walk(schema: &Value, path: &str) {
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            assert!(schema["description"].is_string(), "{path}");
            walk(schema, &path);
        }
        if schema["items"].is_object() {
            walk(&schema["items"], path);
        }
    }
    walk(&config::schema(), "");
}

#[test]
fn the_schema_is_printed_as_json() {
    let mut printed = Vec::new();
    sentinel_gateway::cli::schema::print(&mut printed).unwrap();
    assert!(printed.ends_with(b"}\n"));
    let printed: Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(printed, config::schema());
}

/// Every key that a document may have, as a dotted path; `*` stands for a key that the user chooses.
fn keys_of_schema(schema: &Value) -> BTreeSet<String> {
    fn walk(schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            keys.insert(path.trim_start_matches('.').to_owned());
            walk(schema, &path, keys);
        }
        for one in schema["anyOf"].as_array().into_iter().flatten() {
            walk(one, path, keys);
        }
        if schema["items"].is_object() {
            walk(&schema["items"], path, keys);
        }
        if schema["additionalProperties"].is_object() {
            walk(&schema["additionalProperties"], &format!("{path}.*"), keys);
        }
    }
    let mut keys = BTreeSet::new();
    walk(schema, "", &mut keys);
    keys
}

/// Every key that a document has, in the form of [`keys_of_schema`].
fn keys_of_document(document: &Value, schema: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            let alternatives = schema["anyOf"].as_array().into_iter().flatten();
            let object = alternatives
                .chain([schema])
                .find(|one| one["type"] == "object")
                .unwrap();
            if let Some(schema) = object["properties"].get(key) {
                let path = format!("{path}.{key}");
                keys.insert(path.trim_start_matches('.').to_owned());
                walk(value, schema, &path, keys);
            } else {
                let schema = &object["additionalProperties"];
                walk(value, schema, &format!("{path}.*"), keys);
            }
        }
        for value in value.as_array().into_iter().flatten() {
            walk(value, &schema["items"], path, keys);
        }
    }
    let mut keys = BTreeSet::new();
    walk(document, schema, "", &mut keys);
    keys
}
