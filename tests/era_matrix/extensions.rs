//! What backends say of themselves, and extensions: declared, routed, and nothing else.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::{complete, notification};
use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

const UI: &str = "io.modelcontextprotocol/ui";
const SKILLS: &str = "io.modelcontextprotocol/skills";

/// A backend with these instructions.
fn saying(pair: Pair, instructions: &str) -> FakeBackend {
    let fake = pair.fake().tool("t");
    let extensions = json!({ UI: { "mimeTypes": ["text/html;profile=mcp-app"] } });
    let capabilities = json!({ "tools": {}, "extensions": extensions });
    if pair.modern_backend() {
        let discovered = json!({ "supportedVersions": [pair.backend], "capabilities": capabilities,
            "instructions": instructions, "ttlMs": 0, "cacheScope": "private" });
        fake.always("server/discover", Reply::json(&complete(discovered)));
    } else {
        let initialized = json!({ "protocolVersion": pair.backend, "capabilities": capabilities,
            "serverInfo": { "name": "fake", "version": "1" }, "instructions": instructions });
        fake.always("initialize", Reply::result(initialized));
    }
    fake
}

fn handshake(pair: Pair, gateway: &mut TestGateway) -> Value {
    if pair.modern_client() {
        gateway.modern(json!({}));
        return gateway.discover().result().clone();
    }
    let answer = gateway.initialize_with(pair.client, json!({}));
    answer.result().clone()
}

/// A modern client is told at once what is known or comes soon, a legacy one what was said at last
/// contact.
pub fn introduction(pair: Pair) -> &'static str {
    let (one, two) = (saying(pair, "Use one."), saying(pair, "Use two.\nAlways."));
    let folder = tempfile::tempdir().unwrap();
    let toml = "[gateway]\ninstructions = 'Ours.'\n".to_owned();
    let toml = toml + &one.entry("a", "") + &two.entry("b", "");
    let expected = "Ours.\n\nThe server \"a\" says:\n> Use one.\n\nThe server \"b\" says:\n> Use two.\n> Always.";
    for is_first in [true, false] {
        let mut gateway = TestGateway::with_state(folder.path(), &toml);
        let said = handshake(pair, &mut gateway);
        if is_first && !pair.modern_client() {
            assert_eq!(said["instructions"], "Ours.");
        } else {
            assert_eq!(said["instructions"], expected);
            let declared = &said["capabilities"]["extensions"][UI]["mimeTypes"][0];
            assert_eq!(*declared, "text/html;profile=mcp-app");
        }
        gateway.list_tools();
        gateway.shut_down();
        gateway.exit();
    }
    let off = toml.replace(
        "instructions =",
        "backend_instructions = false\ninstructions =",
    );
    let mut gateway = TestGateway::with_state(folder.path(), &off);
    assert_eq!(handshake(pair, &mut gateway)["instructions"], "Ours.");
    gateway.list_tools();
    pair.pick("at last contact", "at last contact", "merged", "merged")
}

/// What the client declares reaches the backend, experimental capabilities only where the config says so.
pub fn of_clients(pair: Pair) -> &'static str {
    let (one, two) = (pair.fake().tool("one"), pair.fake().tool("two"));
    let toml = one.entry("a", "experimental = true") + &two.entry("b", "");
    let ui = json!({ "mimeTypes": ["text/html;profile=mcp-app"] });
    let experimental = json!({ "x": { "n": 1 } });
    let capabilities = json!({ "extensions": { UI: ui }, "experimental": experimental });
    let mut gateway = pair.gateway_with(&toml, capabilities);
    for (fake, tool, expected) in [(&one, "one", &experimental), (&two, "two", &Value::Null)] {
        gateway.call(tool, json!({})).result();
        let declared = if pair.modern_backend() {
            fake.next_request("tools/call")
                .meta("clientCapabilities")
                .clone()
        } else {
            fake.next_request("initialize").params()["capabilities"].clone()
        };
        assert_eq!(declared["extensions"][UI], ui, "{tool}");
        assert_eq!(declared["experimental"], *expected, "{tool}");
    }
    "declared to the backend"
}

/// A method goes to the one backend that declares its extension, with what it sends meanwhile.
pub fn methods(pair: Pair) -> &'static str {
    let extension = json!({ "extensions": { "com.example/x": {} } });
    let one = pair.fake().tool("one").capabilities(extension.clone());
    let two = pair.fake().tool("two");
    let done = pair.result(json!({ "n": 1.5 }));
    one.always(
        "x/run",
        Reply::sse()
            .event(notification("notifications/x/step", json!({ "s": 1 })))
            .event(notification("notifications/y/step", json!({})))
            .event(done),
    );
    let toml = one.entry("a", "") + &two.entry("b", "");
    let mut gateway = pair.gateway_with(&toml, json!({}));
    gateway.list_tools();
    let answer = gateway.ask("x/run", json!({ "a": [1] }));
    assert_eq!(answer.result()["n"], 1.5);
    assert_eq!(one.next_request("x/run").params()["a"], json!([1]));
    let step = gateway.next_notification("notifications/x/step");
    assert_eq!(step.params()["s"], 1);
    for unknown in ["y/run", "tools/run", "x"] {
        assert_eq!(gateway.ask(unknown, json!({})).code(), -32601, "{unknown}");
    }
    drop(gateway);
    let both = pair.fake().tool("two").capabilities(extension);
    let toml = one.entry("a", "") + &both.entry("b", "");
    let mut gateway = pair.gateway_with(&toml, json!({}));
    gateway.list_tools();
    assert_eq!(gateway.ask("x/run", json!({})).code(), -32601);
    "to the backend that declares it"
}

/// Notifications pass in calls, and outside of them where the eras have a way for them.
pub fn notifications(pair: Pair) -> &'static str {
    const STEP: &str = "notifications/x/step";
    let capabilities = json!({ "experimental": { "x": {} } });
    let fake = |own: &str| {
        let step = |method: &str| notification(method, json!({ "from": own }));
        let stream = Reply::sse().event(step(STEP));
        let stream = stream.event(step("notifications/y/step"));
        let fake = pair.fake().tool(own).capabilities(capabilities.clone());
        fake.always_tool(own, stream.event(pair.text("done")));
        fake
    };
    let (one, two) = (fake("one"), fake("two"));
    let toml = one.entry("a", "experimental = true") + &two.entry("b", "");
    let mut gateway = pair.gateway_with(&toml, capabilities);
    gateway.list_tools();
    // Of a backend that declares it, and whose config lets it pass.
    for own in ["two", "one"] {
        assert_eq!(gateway.call(own, json!({})).text(), "done");
    }
    assert_eq!(gateway.next_notification(STEP).params()["from"], "one");

    gateway.notify("notifications/x/hello", json!({ "n": 1 }));
    if pair.pick(true, false, false, false) {
        let declared = |fake: &FakeBackend| {
            fake.next_request("initialize").params()["capabilities"]["experimental"].clone()
        };
        assert_eq!(declared(&one), json!({ "x": {} }));
        assert_eq!(declared(&two), Value::Null);
        assert_eq!(one.next_request("notifications/x/hello").params()["n"], 1);
    }
    unsolicited(pair, &mut gateway, &one, &two);
    let greeted = one.requests_of("notifications/x/hello").len();
    assert_eq!(greeted, pair.pick(1, 0, 0, 0));
    assert!(two.requests_of("notifications/x/hello").is_empty());
    pair.pick(
        "in both directions",
        "from the server",
        "from the server, in calls",
        "from the server, in calls",
    )
}

/// What the servers send on streams of their own reaches a legacy client. A modern one gets what it has
/// subscribed to, and there is no subscription to this.
fn unsolicited(pair: Pair, gateway: &mut TestGateway, one: &FakeBackend, two: &FakeBackend) {
    const CHANGED: &str = "notifications/x/changed";
    const LISTS: &str = "notifications/tools/list_changed";
    let subscription = pair
        .modern_client()
        .then(|| gateway.listen(json!({ "toolsListChanged": true })));
    for (fake, own) in [(two, "two"), (one, "one")] {
        let stream = fake.stream(0);
        stream.event(&notification(CHANGED, json!({ "from": own })));
        // Comes after it.
        fake.put_tool(&format!("{own}_more"), json!({}));
        fake.notify_clients(LISTS, json!({}));
    }
    let mut listed = 0;
    while listed < 4 {
        match &subscription {
            Some(subscription) => gateway.next_subscribed(&subscription.id, LISTS),
            None => gateway.next_notification(LISTS),
        };
        listed = gateway.list_tools().len();
    }
    if subscription.is_none() {
        assert_eq!(gateway.next_notification(CHANGED).params()["from"], "one");
    }
}

/// Skills of all backends in one list, each read from its own.
pub fn skills(pair: Pair) -> &'static str {
    let extension = json!({ "resources": {}, "extensions": { SKILLS: { "directoryRead": true } } });
    let fake = |own: &str| {
        let fake = pair.fake().tool(own).capabilities(extension.clone());
        let fake = fake.resource("skill://git/SKILL.md");
        let entry = json!({ "uri": "skill://git/SKILL.md", "frontmatter": { "name": "git" },
            "resources": [{ "uri": "skill://git/SKILL.md", "digest": own },
                { "uri": "skill://git/a/b.md", "digest": own }] });
        let listed = json!({ "skills": [entry] });
        fake.always("skills/list", Reply::json(&pair.result(listed)));
        fake.always(
            "skills/get",
            Reply::json(&pair.result(json!({ "skill": entry }))),
        );
        let files = json!({ "resources": [{ "uri": "skill://git/a", "name": own }] });
        fake.always("resources/directory/read", Reply::json(&pair.result(files)));
        let contents = json!({ "contents": [{ "uri": "skill://git/a/c.md", "text": own }] });
        fake.always("resources/read", Reply::json(&pair.result(contents)));
        fake
    };
    let (one, two) = (fake("one"), fake("two"));
    let toml = one.entry("a", "") + &two.entry("b", "");
    let mut gateway = pair.gateway_with(&toml, json!({}));
    gateway.list_tools();
    // By the lists of resources alone: no skill was named yet.
    for (root, own, fake) in [("skill://git", "one", &one), ("skill://b/git", "two", &two)] {
        let file = format!("{root}/a/c.md");
        let read = gateway.ask("resources/read", json!({ "uri": file }));
        assert_eq!(read.result()["contents"][0]["text"], own);
        let files = gateway.ask("resources/directory/read", json!({ "uri": root }));
        assert_eq!(files.result()["resources"][0]["name"], own);
        let asked = fake.next_request("resources/directory/read");
        assert_eq!(asked.params()["uri"], "skill://git");
    }
    let root = gateway.ask("resources/directory/read", json!({ "uri": "skill://b" }));
    assert_eq!(root.result()["resources"][0]["name"], "two");
    let asked = two.next_request("resources/directory/read");
    assert_eq!(asked.params()["uri"], "skill://");
    let listed = gateway.ask("skills/list", json!({}));
    let listed = listed.result()["skills"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 2);
    for ((skill, own), fake) in listed.iter().zip(["one", "two"]).zip([&one, &two]) {
        assert_eq!(skill["resources"][1]["digest"], own);
        let uri = skill["uri"].as_str().unwrap();
        let root = uri.strip_suffix("/SKILL.md").unwrap();
        assert_eq!(root == "skill://git", own == "one");
        assert!(
            root.ends_with("/git"),
            "the last segment is the skill's name"
        );
        let got = gateway.ask("skills/get", json!({ "uri": uri }));
        assert_eq!(got.result()["skill"], *skill);
        assert_eq!(
            fake.next_request("skills/get").params()["uri"],
            "skill://git/SKILL.md"
        );
        let files = gateway.ask("resources/directory/read", json!({ "uri": root }));
        assert_eq!(files.result()["resources"][0]["name"], own);
        assert_eq!(files.result()["resources"][0]["uri"], format!("{root}/a"));
        let asked = fake.next_request("resources/directory/read");
        assert_eq!(asked.params()["uri"], "skill://git");
        // A file that is in no list, beside others.
        let file = format!("{root}/a/c.md");
        let read = gateway.ask("resources/read", json!({ "uri": file }));
        assert_eq!(read.result()["contents"][0]["text"], own);
        assert_eq!(read.result()["contents"][0]["uri"], file);
    }
    drop(gateway);
    skills_at_once(pair, &toml);
    unlisted_files(pair);
    "merged, each read from its own"
}

/// Files that only a list of skills names, and those beside them. One of the servers declares no resources.
fn unlisted_files(pair: Pair) {
    let fake = |own: &str, more: Value| {
        let extension = json!({ "extensions": { SKILLS: { "directoryRead": true } } });
        let fake = pair.fake().tool(own).capabilities(extension);
        let root = format!("skill://{own}");
        let entry = json!({ "uri": format!("{root}/SKILL.md"), "frontmatter": { "name": own },
            "resources": [{ "uri": format!("{root}/a/b.md"), "digest": own }] });
        let listed = pair.result(json!({ "skills": [entry] }));
        fake.always("skills/list", Reply::json(&listed));
        let got = pair.result(json!({ "skill": entry }));
        fake.always("skills/get", Reply::json(&got));
        let contents = json!({ "contents": [{ "uri": "skill://any", "text": own }] });
        fake.always("resources/read", Reply::json(&pair.result(contents)));
        fake.capabilities(more)
    };
    let one = fake("one", json!({ "resources": {} }));
    let two = fake("two", json!({}));
    let toml = one.entry("a", "") + &two.entry("b", "");
    let mut gateway = pair.gateway_with(&toml, json!({}));
    gateway.list_tools();
    let listed = gateway.ask("skills/list", json!({}));
    assert_eq!(listed.result()["skills"].as_array().unwrap().len(), 2);
    for (own, fake) in [("one", &one), ("two", &two)] {
        let uri = format!("skill://{own}/SKILL.md");
        let got = gateway.ask("skills/get", json!({ "uri": uri }));
        assert_eq!(got.result()["skill"]["uri"], uri);
        for file in ["SKILL.md", "a/b.md", "a/c.md", "d.md", "e/f/g.md"] {
            let uri = format!("skill://{own}/{file}");
            let read = gateway.ask("resources/read", json!({ "uri": uri }));
            assert_eq!(read.result()["contents"][0]["text"], own, "{uri}");
            assert_eq!(fake.next_request("resources/read").params()["uri"], uri);
        }
    }
}

/// A client that knows of skills from the last contact may ask for them before any server is connected.
fn skills_at_once(pair: Pair, toml: &str) {
    let folder = tempfile::tempdir().unwrap();
    for is_first in [true, false] {
        let mut gateway = TestGateway::with_state(folder.path(), toml);
        let said = handshake(pair, &mut gateway);
        if !is_first {
            assert!(said["capabilities"]["extensions"].get(SKILLS).is_some());
            let listed = gateway.ask("skills/list", json!({}));
            assert_eq!(listed.result()["skills"].as_array().unwrap().len(), 2);
        }
        gateway.list_tools();
        gateway.shut_down();
        gateway.exit();
    }
}
