//! `sentinel-gateway pin`: shows what has become of tools, and accepts it.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::state::house::House;

const BLOCK: &str = "tools.pin = \"block\"";

/// A backend in whose lock `gone` and an older `echo` stand, and which has `new`.
fn changed() -> (FakeBackend, House) {
    let fake = FakeBackend::start().tool("echo").tool("gone").tool("same");
    let house = House::with(fake.entry("fake", BLOCK));
    house.tool_names();
    fake.set_tools(&[]);
    fake.put_tool("echo", json!({ "description": "echo, and more" }));
    fake.put_tool("same", json!({ "description": "same, a tool" }));
    fake.put_tool("new", json!({ "title": "New" }));
    (fake, house)
}

#[test]
fn it_shows_and_accepts_what_is_new_and_changed() {
    let (_fake, house) = changed();
    let before = house.lock();
    let shown = house.binary(&["pin", "--dry-run"], "");
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
    assert_eq!(house.lock(), before);

    let accepted = house.binary(&["pin"], "");
    assert_eq!((accepted.code, accepted.err.as_str()), (0, ""));
    assert!(
        accepted.out.contains("accepted: 1 new, 1 changed"),
        "{}",
        accepted.out
    );
    assert_eq!(house.tool_names(), ["echo", "same", "new"]);
    let pins = house.pins();
    let echo = pins.iter().find(|pin| pin["tool"] == "echo").unwrap();
    assert_eq!(echo["earlier"].as_array().unwrap().len(), 1, "its history");
    assert!(pins.iter().any(|pin| pin["tool"] == "gone"));
    let again = house.binary(&["pin"], "");
    assert!(again.out.contains("nothing to accept"), "{}", again.out);
}

#[test]
fn going_back_to_what_was_accepted_earlier_wants_accepting_too() {
    let fake = FakeBackend::start().tool("echo");
    let house = House::with(fake.entry("fake", BLOCK));
    house.tool_names();
    fake.put_tool("echo", json!({ "description": "second" }));
    assert_eq!(house.binary(&["pin"], "").code, 0);
    fake.put_tool("echo", json!({ "description": "echo, a tool" }));
    assert!(house.tool_names().is_empty());
    let shown = house.binary(&["pin", "--dry-run"], "");
    assert!(
        shown.out.contains("back to what was accepted earlier"),
        "{}",
        shown.out
    );
    assert_eq!(house.binary(&["pin"], "").code, 0);
    assert_eq!(house.tool_names(), ["echo"]);
}

#[test]
fn it_accepts_just_the_tools_that_are_named() {
    let (_fake, house) = changed();
    let ended = house.binary(&["pin", "fake/new", "--json"], "");
    assert_eq!(ended.code, 0);
    let report = ended.json();
    assert_eq!(report["accepted"], true);
    assert_eq!(report["tools"].as_array().unwrap().len(), 1);
    assert_eq!(report["tools"][0]["state"], "new");
    assert_eq!(house.tool_names(), ["same", "new"], "echo is still blocked");

    for (asked, code, part) in [
        ("nobody", 2, "there is no backend \"nobody\""),
        ("fake/nope", 1, "fake has no tool \"nope\""),
    ] {
        let ended = house.binary(&["pin", asked], "");
        assert_eq!(ended.code, code, "{asked}");
        assert!(ended.err.contains(part), "{part} in {}", ended.err);
    }
}

#[test]
fn a_backend_that_is_down_is_named_and_the_others_are_accepted() {
    let (_fake, mut house) = changed();
    let down = FakeBackend::down();
    house.rewrite(_fake.entry("fake", BLOCK) + &down.entry("down", "retries = 0"));
    let ended = house.binary(&["pin"], "");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("down is down: "), "{}", ended.err);
    assert!(
        ended.out.contains("accepted: 1 new, 1 changed"),
        "{}",
        ended.out
    );
}

#[test]
fn check_and_tools_say_what_a_client_would_not_see() {
    let (_fake, house) = changed();
    let check = house.binary(&["check"], "");
    assert_eq!(check.code, 0);
    assert!(
        check
            .out
            .contains("echo is withheld: its description has changed"),
        "{}",
        check.out
    );
    let tools = house.binary(&["tools", "--json"], "").json();
    let names: Vec<_> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(names, ["same", "new"]);
    assert_eq!(house.pins().len(), 3, "looking accepts nothing");
}
