//! Section E: the protocol.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::malformed::INVALID_RESPONSES;
use crate::common::message::{notification, text};
use crate::common::reply::Reply;
use crate::fixture::{BAD_REPLY, Fixture, default_backend, plan, plan_with};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "68" TwoBackends "initialize fails, wrong version, never answers" => "that backend is down with a reason, the rest is listed in time", fault_68_no_handshake;
    "69" Config "tools/list fails" => "the last good list stays", fault_69_list_fails;
    "70" Nothing "cursor loop, empty cursor, too many" => "stops at a seen cursor or 10,000 tools; an empty one isn't the end", fault_70_cursors;
    "71" TwoBackends "duplicate names within and across backends" => "disambiguated", fault_71_duplicate_names;
    "72" Config "hostile names and texts" => "withheld; stripped", fault_72_hostile_names;
    "73" Config "1 MB schema, depth bomb, external $ref" => "capped, never fetched", fault_73_schemas;
    "74" Config "list_changed 10k/s" => "debounced", fault_74_list_changed_flood;
    "75" Nothing "result and error, neither, not an object" => "bad_reply", fault_75_invalid_responses;
    "76" Nothing "id type changed" => "a match, on the response to our own POST", fault_76_id_type_changed;
    "77" Config "unknown resultType" => "bad_reply", fault_77_unknown_result_type;
};

/// A short wait of the first list for backends that never connect.
const SHORT_STARTUP: &str = "startup_wait_ms = 700";

fn names(fixture: &mut Fixture<'_>) -> Vec<String> {
    let mut names = fixture.client().tool_names();
    names.retain(|name| name != "other" && name != "held");
    names
}

fn fault_68_no_handshake(run: &Run<'_>) {
    for (variant, reply, why) in [
        (
            "fails",
            Reply::error(-32000, "not today"),
            "bad is down: the server refuses initialize",
        ),
        (
            "wrong version",
            Reply::result(json!({ "protocolVersion": "1999-01-01", "capabilities": {} })),
            "bad is down: it answers initialize with protocol version 1999-01-01",
        ),
        ("never answers", Reply::stall(), "bad is down"),
    ] {
        run.set_variant(variant);
        let bad = default_backend();
        bad.always("initialize", reply);
        let mut fixture = plan_with(run, Arc::new(bad)).gateway(SHORT_STARTUP).start();
        fixture.check_good_backend();
        assert!(names(&mut fixture).is_empty());
        let unknown = fixture.client().call("act", json!({}));
        assert_eq!(unknown.code(), -32602);
        assert!(unknown.message().contains(why), "{}", unknown.message());
    }
}

fn fault_69_list_fails(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    assert_eq!(names(&mut fixture), ["act", "look"]);
    let changed = notification("notifications/tools/list_changed", json!({}));
    let done = crate::common::message::text("done");
    let stream = Reply::sse().event(changed).event(done);
    fixture.bad.set_tools(&["new"]);
    fixture.bad.always("tools/list", Reply::status(500));
    fixture.expect_text(stream, "done");
    fixture.bad.wait_for_requests("tools/list", 2);
    assert_eq!(names(&mut fixture), ["act", "look"]);
    fixture.bad.reset_script("tools/list");
    fixture.client().wait_for_tool("new");
}

fn page(tool: &str, cursor: &str) -> Reply {
    let tools = json!([{ "name": tool, "inputSchema": { "type": "object" } }]);
    Reply::result(json!({ "tools": tools, "nextCursor": cursor }))
}

fn fault_70_cursors(run: &Run<'_>) {
    if !run.subject.is_gateway() {
        // A bridge forwards pages; its client follows the cursors.
        plan(run).start().expect_alive();
        return;
    }
    run.set_variant("loop");
    let bad = default_backend();
    bad.on("tools/list", page("one", "again"));
    bad.always("tools/list", page("two", "again"));
    let mut fixture = plan_with(run, Arc::new(bad)).start();
    assert_eq!(names(&mut fixture), ["one", "two"]);
    fixture.check_good_backend();
    drop(fixture);
    run.set_variant("empty");
    let bad = default_backend();
    bad.on("tools/list", page("first", ""));
    let last = json!([{ "name": "last", "inputSchema": { "type": "object" } }]);
    bad.on("tools/list", Reply::result(json!({ "tools": last })));
    let mut fixture = plan_with(run, Arc::new(bad)).start();
    assert_eq!(names(&mut fixture), ["first", "last"]);
    drop(fixture);
    run.set_variant("many");
    let bad = FakeBackend::start().page_size(5_000);
    let all: Vec<String> = (0..10_001).map(|n| format!("t{n}")).collect();
    bad.set_tools(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let long_startup = "startup_wait_ms = 20000";
    let mut fixture = plan_with(run, Arc::new(bad)).gateway(long_startup).raw();
    fixture.client().initialize().result();
    assert_eq!(names(&mut fixture).len(), 10_000);
    fixture.check_good_backend();
}

fn fault_71_duplicate_names(run: &Run<'_>) {
    let bad = default_backend();
    bad.always(
        "tools/list",
        Reply::result(json!({ "tools": [
        { "name": "act", "description": "first", "inputSchema": {} },
        { "name": "act", "description": "second", "inputSchema": {} },
        { "name": "other", "inputSchema": {} },
    ] })),
    );
    let mut fixture = plan_with(run, Arc::new(bad)).start();
    let tools = fixture.client().list_tools();
    let of = |name: &str| tools.iter().filter(|tool| tool["name"] == name).count();
    assert_eq!([of("act"), of("other"), of("bad__other")], [1, 1, 1]);
    let act = tools.iter().find(|tool| tool["name"] == "act").unwrap();
    assert_eq!(act["description"], "first");
    fixture.expect_success("act");
    let served = fixture.good.runs("other");
    fixture.client().call("bad__other", json!({}));
    assert_eq!(
        (fixture.good.runs("other"), fixture.sent("other")),
        (served, 1)
    );
}

fn fault_72_hostile_names(run: &Run<'_>) {
    let long = "x".repeat(129);
    let hostile = ["a\nb", "\u{1b}[31mred", "\u{202e}abc", "a\u{200b}b", &long];
    let described = json!({ "description": "a\u{1b}[31m\u{202e}b\u{e0041}c\nd" });
    let bad = default_backend().tool_with("fine", described);
    let bad = hostile.iter().fold(bad, |bad, name| bad.tool(name));
    let mut fixture = plan_with(run, Arc::new(bad)).start();
    let tools = fixture.client().list_tools();
    let known = ["other", "held", "act", "look", "fine"];
    let listed: Vec<&Value> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(listed, known, "{listed:?}");
    let description = tools[4]["description"].as_str().unwrap();
    assert!(description.ends_with("bc\nd"), "{description:?}");
    assert!(!description.contains(['\u{1b}', '\u{202e}', '\u{e0041}']));
    for name in hostile {
        assert_eq!(fixture.client().call(name, json!({})).code(), -32602);
        assert_eq!(fixture.bad.runs(name), 0);
    }
    fixture.expect_success("act");
}

fn fault_73_schemas(run: &Run<'_>) {
    let elsewhere = FakeBackend::start();
    let reference = elsewhere.url();
    let large = "x".repeat(1 << 20);
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let tools = [
        format!(r#"{{"name":"large","inputSchema":{{"type":"object","title":"{large}"}}}}"#),
        format!(r#"{{"name":"deep","inputSchema":{{"type":"object","x":{deep}}}}}"#),
        format!(r#"{{"name":"act","inputSchema":{{"$ref":"{reference}","type":"object"}}}}"#),
    ];
    let list = format!(
        r#"{{"jsonrpc":"2.0","id":"$id","result":{{"tools":[{}]}}}}"#,
        tools.join(",")
    );
    let bad = default_backend();
    let json = Reply::status(200).header("content-type", "application/json");
    bad.always("tools/list", json.body(list));
    let mut fixture = plan_with(run, Arc::new(bad)).start();
    assert_eq!(names(&mut fixture), ["act"]);
    let tools = fixture.client().list_tools();
    let act = tools.iter().find(|tool| tool["name"] == "act").unwrap();
    assert_eq!(act["inputSchema"]["$ref"], reference, "carried as it is");
    fixture.expect_success("act");
    assert_eq!(elsewhere.connections(), 0, "a schema was fetched");
}

fn fault_74_list_changed_flood(run: &Run<'_>) {
    let bad = Arc::new(default_backend().with_get());
    let mut fixture = plan_with(run, bad).start();
    fixture.expect_success("act");
    let stream = fixture.bad.stream(0);
    fixture.bad.set_tools(&["act", "look", "new"]);
    let changed = notification("notifications/tools/list_changed", json!({}));
    stream.text(&format!("data: {changed}\n\n").repeat(10_000));
    fixture.check_good_backend();
    fixture.client().wait_for_tool("new");
    fixture.expect_success("act");
    let lists = fixture.bad.requests_of("tools/list").len();
    assert!(lists < 10, "{lists} lists for 10,000 changes");
}

fn fault_75_invalid_responses(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for body in INVALID_RESPONSES {
        let reply = Reply::status(200).header("content-type", "application/json");
        fixture.check_fault(body, &reply.body(body), BAD_REPLY);
    }
}

fn fault_76_id_type_changed(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for id in ["\"$text_of_id\"", "$text_of_id.0"] {
        let body = text("mine").to_string().replace("\"$id\"", id);
        let reply = Reply::status(200).header("content-type", "application/json");
        fixture.expect_text(reply.body(body), "mine");
    }
}

fn fault_77_unknown_result_type(run: &Run<'_>) {
    let bad = Arc::new(default_backend().modern());
    let mut fixture = plan_with(run, bad).start();
    fixture.expect_success("act");
    for kind in [json!("odd"), json!(7), Value::Null] {
        let result = json!({ "resultType": kind, "content": [] });
        fixture.check_fault(&kind.to_string(), &Reply::result(result), BAD_REPLY);
    }
}
