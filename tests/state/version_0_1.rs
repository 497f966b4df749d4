//! What version 0.1 wrote is read by every later version: its config, its lock, and its listings of
//! the last contact.
//!
//! The files in `version-0.1/` were written by 0.1 itself, with two servers that list the tools below.

use std::fs;
use std::path::Path;

use sentinel_gateway::config::{Environment, Overrides, load};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::common::fake::FakeBackend;
use crate::common::reply::Reply;
use crate::state::fixture::StateFixture;

/// The names that 0.1 gave to the tools of `notes` and `mail`.
const NAMES: [&str; 6] = [
    "search",
    "add_note",
    "report",
    "caf__menu",
    "mail__search",
    "send",
];
const SEARCH: &str = r#"{"name":"search","title":"Search","description":"Finds notes by their words","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]},"annotations":{"readOnlyHint":true}}"#;
/// As it was before the user accepted [`SEARCH`].
const EARLIER_SEARCH: &str = r#"{"name":"search","title":"Search","description":"Finds notes","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}}"#;
const ADD: &str = r#"{"description":"Adds a note","_meta":{"build":8},"name":"add","inputSchema":{"type":"object","properties":{"n":{"type":"number","minimum":1.0,"maximum":1e300,"default":12345678901234567890123}}}}"#;
const MENU: &str = r#"{"name":"café menu","description":"Lists \"dishes\"\nline two","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":{"a":{"minimum":-5,"type":"integer"},"b":{"type":"boolean"}}}}"#;
const MAIL: &str = r#"{"name":"search","description":"Finds mails","inputSchema":{"type":"object"}},{"name":"send","description":"Sends a mail","inputSchema":{"type":"object"}}"#;

/// Larger than what the lock keeps as text: only its hash is there.
fn report(maximum: &str) -> String {
    let description = "x".repeat(70_000);
    format!(
        r#"{{"name":"report","description":"{description}","inputSchema":{{"type":"object","properties":{{"share":{{"type":"number","maximum":{maximum}}}}}}}}}"#
    )
}

fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state/version-0.1");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// A server that lists these tools in exactly these bytes.
fn listing(tools: &str) -> FakeBackend {
    let tools = tools.to_owned();
    FakeBackend::start().respond_with(move |request| {
        let id = &request.message["id"];
        (request.kind() == "tools/list").then(|| {
            Reply::status(200)
                .header("content-type", "application/json")
                .body(format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{tools}]}}}}"#
                ))
        })
    })
}

/// The config of 0.1 with these servers, beside its lock.
fn with_lock(notes: &FakeBackend, mail: &FakeBackend) -> StateFixture {
    let toml = file("sentinel.toml")
        .replace("http://127.0.0.1:18931/mcp", &notes.url())
        .replace("http://127.0.0.1:18932/mcp", &mail.url())
        // The binary is run without variables.
        .replace("bearer = { env = \"NOTES_TOKEN\" }\n", "");
    let fixture = StateFixture::with(toml);
    fs::write(fixture.path("sentinel.lock"), file("sentinel.lock")).unwrap();
    fixture
}

#[test]
pub(crate) fn its_config_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sentinel.toml");
    fs::write(&path, file("sentinel.toml")).unwrap();
    fs::write(folder.path().join("sentinel.lock"), file("sentinel.lock")).unwrap();
    let overrides = Overrides {
        config: Some(path),
        ..Overrides::default()
    };
    let environment = Environment::new(folder.path())
        .with_variables(|name| (name == "NOTES_TOKEN").then(|| "canary".to_owned()));
    let config = load(&overrides, &environment).unwrap_or_else(|problems| panic!("{problems}"));
    let names: Vec<&str> = config
        .backends
        .iter()
        .map(|backend| &*backend.name)
        .collect();
    assert_eq!(names, ["notes", "mail"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
pub(crate) fn its_lock_accepts_what_it_accepted_under_the_same_names() {
    let report = report("0.1");
    let notes = listing(&[SEARCH, ADD, &report, MENU].join(","));
    let mail = listing(MAIL);
    let fixture = with_lock(&notes, &mail);
    assert_eq!(fixture.tool_names(), NAMES);
    assert_eq!(
        fixture.lock(),
        file("sentinel.lock"),
        "nothing was accepted, so nothing is written"
    );
}

#[test]
pub(crate) fn its_lock_blocks_what_has_changed_since() {
    let mail = listing(MAIL);
    for (name, tool, why) in [
        (
            "search",
            EARLIER_SEARCH.to_owned(),
            "back to what was accepted earlier",
        ),
        ("add_note", ADD.replace("1e300", "1e301"), "inputSchema"),
        // As doubles they are equal, which 0.1 took for the same.
        ("add_note", ADD.replace("890123", "890124"), "inputSchema"),
        ("add_note", ADD.replace("1.0", "1"), "inputSchema"),
        ("report", report("0.2"), "its definition has changed"),
        ("caf__menu", MENU.replace("-5", "-6"), "outputSchema"),
    ] {
        let accepted = report("0.1");
        let tools = [SEARCH, ADD, &accepted, MENU].into_iter().zip(NAMES);
        let tools: Vec<&str> = tools
            .map(|(accepted, own)| if own == name { &tool } else { accepted })
            .collect();
        let notes = listing(&tools.join(","));
        let fixture = with_lock(&notes, &mail);
        let mut gateway = fixture.gateway();
        let others = NAMES.into_iter().filter(|other| *other != name);
        assert_eq!(gateway.tool_names(), others.collect::<Vec<_>>());
        let refused = gateway.call(name, json!({}));
        assert!(refused.message().contains("blocked"), "{name}");
        assert!(
            refused.message().contains(why),
            "{why}: {}",
            refused.message()
        );
    }
}

#[test]
fn its_lock_is_written_in_the_current_version_when_something_is_accepted() {
    let report = report("0.1");
    let notes = listing(&[EARLIER_SEARCH, ADD, &report, MENU].join(","));
    let mail = listing(MAIL);
    let fixture = with_lock(&notes, &mail);
    let accepted = fixture.binary(&["pin", "notes/search"], "");
    assert!(
        accepted.out.contains("0 new, 1 changed"),
        "{}",
        accepted.out
    );
    let lock = fixture.lock();
    assert!(lock.starts_with("{\"version\":2,"), "{lock}");
    let search = fixture.pin("notes", "search");
    assert_eq!(search["earlier"].as_array().unwrap().len(), 2, "{search}");
    // What was not accepted anew is still compared by the rules of version 1.
    assert_eq!(fixture.pin("notes", "report")["form"], 1);
    assert_eq!(search.get("form"), None);
    assert_eq!(fixture.tool_names(), NAMES);
    let again = fixture.binary(&["pin"], "");
    assert!(again.out.contains("nothing to accept"), "{}", again.out);
}

#[test]
pub(crate) fn its_cached_listings_are_served() {
    let fixture = StateFixture::with(file("sentinel.toml").replace("NOTES_TOKEN", "CANARY_BEARER"));
    let folder = fixture.path("state/sentinel/catalog");
    fs::create_dir_all(&folder).unwrap();
    let config = fixture.path("sentinel.toml");
    let config = Sha256::digest(config.as_os_str().as_encoded_bytes());
    let config: String = config.iter().map(|byte| format!("{byte:02x}")).collect();
    for backend in ["notes", "mail"] {
        let cached = file(&format!("catalog/{backend}.json"));
        fs::write(
            folder.join(format!("{}-{backend}.json", &config[..16])),
            cached,
        )
        .unwrap();
    }
    let mut gateway = fixture.gateway();
    let without_report = NAMES.into_iter().filter(|name| *name != "report");
    assert_eq!(
        gateway.tool_names(),
        without_report.collect::<Vec<_>>(),
        "0.1 cached the tools without `report`"
    );
    let prompts = gateway.ask("prompts/list", json!({}));
    assert_eq!(prompts.result()["prompts"][0]["name"], "ask");
    let resources = gateway.ask("resources/list", json!({}));
    assert_eq!(resources.result()["resources"][0]["uri"], "file:///a");
}
