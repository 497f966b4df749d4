//! `sentinel-gateway pin`: shows changes of tools, and accepts them.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::reply::Reply;
use crate::state::fixture::StateFixture;

const BLOCK: &str = "tools.pin = \"block\"";

/// A backend with a changed `echo` and a `new` tool, without `gone`, whose pin is still in the lock.
fn changed() -> (FakeBackend, StateFixture) {
    let fake = FakeBackend::start().tool("echo").tool("gone").tool("same");
    let fixture = StateFixture::with(fake.entry("fake", BLOCK));
    fixture.tool_names();
    fake.set_tools(&[]);
    fake.put_tool("echo", json!({ "description": "echo, and more" }));
    fake.put_tool("same", json!({ "description": "same, a tool" }));
    fake.put_tool("new", json!({ "title": "New" }));
    (fake, fixture)
}

#[test]
fn pin_shows_and_accepts_new_and_changed_tools() {
    let (_fake, fixture) = changed();
    let before = fixture.lock();
    let shown = fixture.binary(&["pin", "--dry-run"], "");
    assert_eq!(shown.code, 1, "a tool has changed");
    for part in [
        "changed fake/echo: its description has changed",
        "  -echo, a tool\n  +echo, and more\n",
        "new fake/new\n",
        "gone fake/gone\n",
        "nothing is accepted yet: 1 new, 1 changed",
    ] {
        assert!(shown.out.contains(part), "{part} in {}", shown.out);
    }
    assert!(!shown.out.contains("fake/same"), "{}", shown.out);
    assert_eq!(fixture.lock(), before);

    let accepted = fixture.binary(&["pin"], "");
    assert_eq!((accepted.code, accepted.err.as_str()), (0, ""));
    assert!(
        accepted.out.contains("accepted: 1 new, 1 changed"),
        "{}",
        accepted.out
    );
    assert_eq!(fixture.tool_names(), ["echo", "same", "new"]);
    let pins = fixture.pins();
    let echo = pins.iter().find(|pin| pin["tool"] == "echo").unwrap();
    assert_eq!(
        echo["earlier"].as_array().unwrap().len(),
        1,
        "the earlier definition"
    );
    assert!(pins.iter().any(|pin| pin["tool"] == "gone"));
    let again = fixture.binary(&["pin"], "");
    assert!(again.out.contains("nothing to accept"), "{}", again.out);
}

#[test]
fn a_return_to_an_earlier_definition_must_be_accepted_too() {
    let fake = FakeBackend::start().tool("echo");
    let fixture = StateFixture::with(fake.entry("fake", BLOCK));
    fixture.tool_names();
    fake.put_tool("echo", json!({ "description": "second" }));
    assert_eq!(fixture.binary(&["pin"], "").code, 0);
    fake.put_tool("echo", json!({ "description": "echo, a tool" }));
    assert!(fixture.tool_names().is_empty());
    let shown = fixture.binary(&["pin", "--dry-run"], "");
    assert!(
        shown.out.contains("back to what was accepted earlier"),
        "{}",
        shown.out
    );
    assert_eq!(fixture.binary(&["pin"], "").code, 0);
    assert_eq!(fixture.tool_names(), ["echo"]);
}

#[test]
fn pin_accepts_only_the_named_tools() {
    let (_fake, fixture) = changed();
    let ended = fixture.binary(&["pin", "fake/new", "--json"], "");
    assert_eq!(ended.code, 0);
    let report = ended.json();
    assert_eq!(report["accepted"], true);
    assert_eq!(report["tools"].as_array().unwrap().len(), 1);
    assert_eq!(report["tools"][0]["state"], "new");
    assert_eq!(
        fixture.tool_names(),
        ["same", "new"],
        "echo is still blocked"
    );

    for (asked, code, part) in [
        ("nobody", 2, "there is no backend \"nobody\""),
        ("fake/nope", 1, "fake has no tool \"nope\""),
    ] {
        let ended = fixture.binary(&["pin", asked], "");
        assert_eq!(ended.code, code, "{asked}");
        assert!(ended.err.contains(part), "{part} in {}", ended.err);
    }
}

#[test]
fn pin_reports_a_backend_that_is_down_and_accepts_the_others() {
    let (_fake, mut fixture) = changed();
    let down = FakeBackend::down();
    fixture.rewrite(_fake.entry("fake", BLOCK) + &down.entry("down", "retries = 0"));
    let ended = fixture.binary(&["pin"], "");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("down is down: "), "{}", ended.err);
    for part in [
        "nothing was compared for down: it is down\n",
        "accepted: 1 new, 1 changed",
    ] {
        assert!(ended.out.contains(part), "{part} in {}", ended.out);
    }

    let missing = "nothing was compared for down: it is down\n";
    let again = fixture.binary(&["pin"], "").out;
    let rest = format!("{missing}nothing to accept of the other backends");
    assert!(again.contains(&rest), "{again}");
    let only_down = fixture.binary(&["pin", "down"], "").out;
    assert_eq!(only_down, missing);
    let only_up = fixture.binary(&["pin", "fake"], "").out;
    assert!(only_up.contains("nothing to accept: all"), "{only_up}");
}

#[test]
fn check_and_tools_show_withheld_tools() {
    let (_fake, fixture) = changed();
    let check = fixture.binary(&["check"], "");
    assert_eq!(check.code, 0);
    assert!(
        check
            .out
            .contains("echo is withheld: its description has changed"),
        "{}",
        check.out
    );
    let tools = fixture.binary(&["tools", "--json"], "").json();
    let names: Vec<_> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(names, ["same", "new"]);
    assert_eq!(fixture.pins().len(), 3, "check and tools accept nothing");
}

/// A server that has `ask` only for clients that can be asked.
fn for_able_clients(description: &'static str) -> FakeBackend {
    let mut is_able = false;
    FakeBackend::start().respond_with(move |request| {
        if request.kind() == "initialize" {
            is_able = request.params()["capabilities"]["elicitation"].is_object();
        }
        let tool = |name: &str, description: &str| {
            json!({
                "name": name, "description": description, "inputSchema": { "type": "object" },
            })
        };
        let mut tools = vec![tool("all", "for all")];
        tools.extend(is_able.then(|| tool("ask", description)));
        (request.kind() == "tools/list").then(|| Reply::result(json!({ "tools": tools })))
    })
}

#[test]
pub(crate) fn a_tool_for_able_clients_is_not_gone_and_can_be_accepted() {
    let fake = for_able_clients("first");
    let mut fixture = StateFixture::with(fake.entry("fake", BLOCK));
    let listed = |fixture: &StateFixture| {
        let capabilities = json!({ "elicitation": {} });
        let mut gateway = fixture.gateway_with(capabilities);
        gateway.tool_names()
    };
    assert_eq!(listed(&fixture), ["all", "ask"]);
    let shown = fixture.binary(&["pin", "--dry-run"], "");
    assert!(shown.out.starts_with("nothing to accept"), "{}", shown.out);
    assert_eq!(shown.code, 0);

    let changed = for_able_clients("second");
    fixture.rewrite(changed.entry("fake", BLOCK));
    assert_eq!(listed(&fixture), ["all"]);
    let accepted = fixture.binary(&["pin", "fake/ask"], "");
    assert!(
        accepted.out.contains("1 changed"),
        "{}{}",
        accepted.out,
        accepted.err
    );
    assert_eq!(listed(&fixture), ["all", "ask"]);
    // A client that can't be asked doesn't take it away for others.
    assert_eq!(fixture.tool_names(), ["all"]);
    assert_eq!(listed(&fixture), ["all", "ask"]);
}
