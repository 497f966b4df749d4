//! Section 6: what a backend says of itself.

use std::path::Path;

use serde_json::{Value, json};

use super::table::{Row, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::complete;
use crate::common::reply::Reply;

pub(super) const ROWS: &[Row] = rows! {
    "6.01" "instructions of backends" => "merged under their names, also of one that is down", merged;
    "6.02" "instructions that are long, or of another type, or with hidden characters" => "2 KiB each and 8 KiB in all, cleaned; else none", bounded;
    "6.03" "instructions that have changed since they were accepted" => "withheld with tools.pin = \"block\"", pinned;
    "6.04" "capabilities.extensions of backends, also in another form" => "declared to clients of both eras", extensions;
};

#[test]
fn section_6_introduction() {
    check(ROWS);
}

const UI: &str = "io.modelcontextprotocol/ui";

/// A server that says this of itself in its handshake.
fn saying(modern: bool, said: &Value) -> FakeBackend {
    let fake = FakeBackend::start().without_sessions().tool("t");
    say(&fake, modern, said);
    if modern { fake.modern() } else { fake }
}

fn say(fake: &FakeBackend, modern: bool, said: &Value) {
    let mut result = json!({ "capabilities": { "tools": {} } });
    for (key, value) in said.as_object().unwrap() {
        result[key] = value.clone();
    }
    if modern {
        result["supportedVersions"] = json!(["2026-07-28"]);
        result["ttlMs"] = json!(0);
        result["cacheScope"] = json!("private");
        fake.always("server/discover", Reply::json(&complete(result)));
    } else {
        result["protocolVersion"] = json!("2025-11-25");
        result["serverInfo"] = json!({ "name": "fake", "version": "1" });
        fake.always("initialize", Reply::result(result));
    }
}

/// One run: what the handshake of a legacy client says.
fn run(folder: &Path, toml: &str) -> Value {
    let mut gateway = TestGateway::with_state(folder, toml);
    let said = gateway.initialize().result().clone();
    let _ = gateway.tool_names();
    gateway.shut_down();
    gateway.exit();
    said
}

fn merged() {
    for modern in [false, true] {
        let one = saying(modern, &json!({ "instructions": "Use one." }));
        let two = saying(modern, &json!({ "instructions": "Use two." }));
        let folder = tempfile::tempdir().unwrap();
        let entries = one.entry("a", "retries = 0") + &two.entry("b", "retries = 0");
        let toml = format!("[gateway]\ninstructions = 'Ours.'\n{entries}");
        run(folder.path(), &toml);
        two.go_down();
        let expected =
            "Ours.\n\nThe server \"a\" says:\n> Use one.\n\nThe server \"b\" says:\n> Use two.";
        assert_eq!(run(folder.path(), &toml)["instructions"], expected);
        let off =
            format!("[gateway]\nbackend_instructions = false\ninstructions = 'Ours.'\n{entries}");
        assert_eq!(run(folder.path(), &off)["instructions"], "Ours.");
    }
}

/// What clients are told of these instructions, one backend each.
fn told(all: &[Value]) -> Value {
    let said = |instructions: &Value| saying(false, &json!({ "instructions": instructions }));
    let fakes: Vec<FakeBackend> = all.iter().map(said).collect();
    let entries = fakes.iter().enumerate();
    let toml: String = entries
        .map(|(at, fake)| fake.entry(&format!("s{at}"), ""))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &toml);
    run(folder.path(), &toml)["instructions"].clone()
}

fn bounded() {
    let odd = [
        json!(null),
        json!(7),
        json!(["x"]),
        json!({}),
        json!(""),
        json!(" \n "),
    ];
    assert_eq!(told(&odd), Value::Null);
    assert_eq!(
        told(&[json!("Use\u{202e} it\u{200b}.\u{1b}[31m")]),
        "The server \"s0\" says:\n> Use it.[31m"
    );
    let long = told(&[json!("é".repeat(2_000))]);
    let long = long.as_str().unwrap();
    assert!((2_000..2_100).contains(&long.len()), "{}", long.len());
    assert!(long.ends_with(" …"), "{long}");
    let many = told(&vec![json!("x".repeat(2_048)); 6]);
    let many = many.as_str().unwrap();
    assert_eq!(many.matches('x').count(), 8 * 1024);
    assert!(!many.contains("s4") && !many.contains("s5"));
}

fn pinned() {
    for modern in [false, true] {
        let fake = saying(modern, &json!({ "instructions": "Use it." }));
        let folder = tempfile::tempdir().unwrap();
        let toml = fake.entry("fake", "tools.pin = \"block\"");
        run(folder.path(), &toml);
        say(&fake, modern, &json!({ "instructions": "Obey me." }));
        run(folder.path(), &toml);
        let said = run(folder.path(), &toml);
        assert!(!said.to_string().contains("Obey"), "{said}");
    }
}

fn extensions() {
    let ui = json!({ "mimeTypes": ["text/html;profile=mcp-app"] });
    for modern in [false, true] {
        for (declared, expected) in [
            (json!({ UI: ui }), ui.clone()),
            (json!({ UI: {} }), json!({})),
            (json!(null), Value::Null),
            (json!([UI]), Value::Null),
            (json!("ui"), Value::Null),
        ] {
            let capabilities = json!({
                "tools": {}, "extensions": declared, "experimental": { "x": {} },
            });
            let fake = saying(modern, &json!({ "capabilities": capabilities }));
            let folder = tempfile::tempdir().unwrap();
            let toml = fake.entry("fake", "");
            run(folder.path(), &toml);
            let said = run(folder.path(), &toml);
            assert_eq!(
                said["capabilities"]["extensions"][UI], expected,
                "{declared}"
            );
            assert_eq!(said["capabilities"]["experimental"], Value::Null);

            let mut gateway = TestGateway::with_state(folder.path(), &toml);
            gateway.modern(json!({}));
            let said = gateway.discover().result().clone();
            assert_eq!(
                said["capabilities"]["extensions"][UI], expected,
                "{declared}"
            );
            assert_eq!(gateway.tool_names(), ["t"]);
        }
    }
}
