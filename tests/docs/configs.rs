//! Every config in the pages loads as it stands, so no key in it is misspelt or gone.
//!
//! A block of TOML is a whole file. One that says ```` ```toml fragment ```` is a part of one: keys
//! of a backend, of `oauth`, or of `[gateway]`, or backends of their own. Inline code of the form
//! `key = value` is such a part, too.

use std::path::Path;

use sentinel_gateway::config::{self, Environment, Overrides};

use super::user_pages;

/// What a fragment may be a part of.
const AROUND: [&str; 6] = [
    "",
    "[gateway]\n",
    "[[backends]]\nname = \"example\"\nurl = \"https://example.com/mcp\"\n",
    "[[backends]]\nurl = \"https://example.com/mcp\"\n",
    "[[backends]]\nname = \"example\"\nurl = \"https://example.com/mcp\"\n[backends.oauth]\n",
    "[[backends]]\nname = \"example\"\nurl = \"https://example.com/mcp\"\n[backends.oauth]\n\
     client_id = \"x\"\nclient_secret = { env = \"SECRET\" }\n",
];

/// Loads a config as `--config` does; the problems as text.
fn load(toml: &str, folder: &Path) -> Result<(), String> {
    let file = folder.join("sentinel.toml");
    std::fs::write(&file, toml).unwrap();
    let overrides = Overrides {
        config: Some(file),
        ..Overrides::default()
    };
    let env = Environment::new(folder).with_home(folder, folder);
    config::load(&overrides, &env)
        .map(drop)
        .map_err(|problems| problems.to_string())
}

/// Whether it loads as a part of a config; else every attempt's problems.
fn load_fragment(toml: &str, folder: &Path) -> Result<(), String> {
    let mut problems = String::new();
    for around in AROUND {
        match load(&format!("{around}{toml}"), folder) {
            Ok(()) => return Ok(()),
            Err(error) => problems += &format!("{error}\n"),
        }
    }
    Err(problems)
}

/// Inline code that sets a key: `key = value`, with `…` for what is left out.
fn sets_a_key(code: &str) -> bool {
    let Some((key, value)) = code.split_once(" = ") else {
        return false;
    };
    let is_key = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    key.chars().all(is_key) && !key.is_empty() && !value.is_empty()
}

#[test]
fn every_config_loads() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in user_pages() {
        for block in page.blocks() {
            let outcome = match &*block.info {
                "toml" => load(&block.text, folder.path()),
                "toml fragment" => load_fragment(&block.text, folder.path()),
                info => {
                    assert!(!info.starts_with("toml"), "{}: {info}", block.place);
                    continue;
                }
            };
            seen += 1;
            wrong.extend(
                outcome
                    .err()
                    .map(|problems| format!("{}\n{problems}", block.place)),
            );
        }
        for (line, code) in page.spans() {
            if !sets_a_key(code) {
                continue;
            }
            seen += 1;
            let outcome = load_fragment(code, folder.path());
            wrong.extend(
                outcome
                    .err()
                    .map(|problems| format!("{}: {code}\n{problems}", page.place(line))),
            );
        }
    }
    assert!(seen > 5, "only {seen} configs were found");
    assert!(wrong.is_empty(), "don't load:\n{}", wrong.join("\n"));
}

#[test]
fn a_misspelt_key_is_told_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let backend = "[[backends]]\nname = \"a\"\nurl = \"https://example.com/mcp\"\n";
    assert!(load(backend, folder.path()).is_ok());
    assert!(load(&format!("{backend}timeout_sec = 3\n"), folder.path()).is_err());
    assert!(load_fragment("timeout_secs = 3", folder.path()).is_ok());
    assert!(load_fragment("timeout_sec = 3", folder.path()).is_err());
    assert!(sets_a_key("tools.pin = \"block\"") && !sets_a_key("query=SELECT 1"));
}

#[test]
fn every_json_block_is_json() {
    for page in user_pages() {
        for block in page.blocks().iter().filter(|block| block.info == "json") {
            let read = serde_json::from_str::<serde_json::Value>(&block.text);
            assert!(read.is_ok(), "{}: {read:?}", block.place);
        }
    }
}
