//! `tools.args`: arguments of tools that the config fixes, hides, or allows some values of.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::reply::Reply;

const ARGS: &str =
    "tools.args = { \"delete_*\" = { owner = [\"me\"], branch = [\"a\", \"b\"], force = [] } }";

fn tool() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "owner": { "type": "string", "x-mcp-header": "Owner" },
            "branch": { "type": "string", "description": "Which one." },
            "force": { "type": "boolean" },
            "why": { "type": "string" },
        },
        "required": ["owner", "why"],
    });
    json!({ "inputSchema": schema })
}

fn fake() -> FakeBackend {
    FakeBackend::start().tool_with("delete_branch", tool())
}

fn started(toml: &str) -> TestGateway {
    let mut gateway = TestGateway::with_config(toml);
    gateway.initialize();
    gateway.tool_names();
    gateway
}

/// Checks that a call was refused for its arguments.
fn refused(answer: &Answer, why: &str) {
    assert_eq!(answer.code(), -32602);
    assert_eq!(answer.gateway_error(), ("refused", "no", 0));
    let message = answer.message();
    assert!(message.contains(why), "{message}");
    assert!(message.ends_with("; the tool did not run"), "{message}");
}

#[test]
fn guarded_arguments_are_narrowed_in_the_list_and_held_at_the_call() {
    let fake = fake();
    let mut gateway = started(&fake.entry("git", ARGS));
    let schema = &gateway.list_tools()[0]["inputSchema"];
    let branch = json!({ "description": "Which one.", "type": "string", "enum": ["a", "b"] });
    assert_eq!(
        *schema,
        json!({
            "type": "object",
            "properties": { "branch": branch, "why": { "type": "string" } },
            "required": ["why", "branch"],
        })
    );
    let arguments = json!({ "why": "old", "branch": "a" });
    let answer = gateway.call("delete_branch", arguments);
    assert!(
        answer.text().contains(r#""owner":"me""#),
        "{}",
        answer.text()
    );
    for (arguments, why) in [
        (
            json!({ "why": "x" }),
            r#"git: delete_branch was not called: the argument "branch" is missing; it must be "a" or "b""#,
        ),
        (
            json!({ "branch": "c" }),
            r#"the argument "branch" has a value that the user does not allow; it must be "a" or "b""#,
        ),
        (
            json!({ "branch": "a", "owner": "you" }),
            r#"the user has set the argument "owner" to another value: leave it out"#,
        ),
        (
            json!({ "branch": "a", "Owner": "you" }),
            r#"the argument "Owner" is not taken beside "owner""#,
        ),
        (
            json!({ "branch": "a", "force": false }),
            r#"the user does not allow the argument "force": leave it out"#,
        ),
        (json!([]), "its arguments must be an object"),
    ] {
        refused(&gateway.call("delete_branch", arguments), why);
    }
    // A name that stands twice, once in escapes, as a client may write it.
    let twice = r#"{"jsonrpc":"2.0","id":"twice","method":"tools/call","params":{"name":"delete_branch","arguments":{"branch":"a","owner":"me","\u006fwner":"you"}}}"#;
    gateway.send_raw(twice);
    refused(
        &gateway.answer("twice"),
        r#"the argument "owner" stands twice"#,
    );
    assert_eq!(fake.runs("delete_branch"), 1);
}

#[test]
fn the_headers_of_a_call_repeat_the_arguments_that_the_backend_gets() {
    let fake = fake().modern();
    let mut gateway = started(&fake.entry("git", ARGS));
    gateway
        .call("delete_branch", json!({ "branch": "b" }))
        .text();
    let call = &fake.requests_of("tools/call")[0];
    assert_eq!(call.header("mcp-param-owner"), Some("me"));
    assert_eq!(
        call.params()["arguments"],
        json!({ "branch": "b", "owner": "me" })
    );
}

#[test]
fn a_round_is_sent_with_the_same_arguments() {
    let fake = fake().modern();
    let form = json!({ "q": { "method": "elicitation/create",
        "params": { "mode": "form", "message": "?", "requestedSchema": {} } } });
    fake.on_tool("delete_branch", Reply::input_required(&form, Some("s")));
    let mut gateway = TestGateway::with_config(&fake.entry("git", ARGS));
    gateway.initialize_with("2025-11-25", json!({ "elicitation": { "form": {} } }));
    gateway.tool_names();
    let call = gateway.start_call("delete_branch", json!({ "branch": "a" }));
    let asked = gateway.next_request("elicitation/create");
    gateway.respond(&asked, json!({ "action": "decline" }));
    gateway.answer(call).text();
    for call in fake.requests_of("tools/call") {
        let arguments = json!({ "branch": "a", "owner": "me" });
        assert_eq!(call.params()["arguments"], arguments);
    }
}

#[test]
fn a_saved_rule_takes_effect_in_list_and_calls() {
    let fake = fake();
    let mut gateway = started(&fake.entry("git", ""));
    let any = json!({ "owner": "you", "force": true });
    gateway.call("delete_branch", any.clone()).text();
    gateway.save_config(&fake.entry("git", ARGS));
    gateway.next_notification("notifications/tools/list_changed");
    let properties = &gateway.list_tools()[0]["inputSchema"]["properties"];
    assert_eq!(properties["owner"], Value::Null);
    let why = r#"the argument "branch" is missing"#;
    refused(&gateway.call("delete_branch", json!({})), why);
    let why = r#"to another value: leave it out"#;
    let mut other = any;
    other["branch"] = "a".into();
    refused(&gateway.call("delete_branch", other), why);
    assert_eq!(fake.runs("delete_branch"), 1);
}

/// By `call_tool` too, whose answer names what the narrowed schema takes.
#[test]
fn guarded_arguments_hold_however_a_tool_is_called() {
    let fake = fake();
    let mut gateway =
        started(&("[gateway]\ntool_mode = \"search\"\n".to_owned() + &fake.entry("git", ARGS)));
    let call = |arguments: Value| json!({ "name": "delete_branch", "arguments": arguments });
    let given = call(json!({ "branch": "a", "owner": "you" }));
    refused(&gateway.call("call_tool", given), "to another value");
    let given = call(json!({ "branch": "a" }));
    let answer = gateway.call("call_tool", given);
    assert!(
        answer.text().contains(r#""owner":"me""#),
        "{}",
        answer.text()
    );
    let described = gateway.call("describe_tool", json!({ "name": "delete_branch" }));
    assert!(!described.text().contains("owner"), "{}", described.text());
    assert_eq!(fake.runs("delete_branch"), 1);
}

/// A server that doesn't tell upper from lower case would take them for the tool's name and arguments.
#[test]
fn members_that_could_be_taken_for_the_arguments_are_refused() {
    let fake = fake();
    let mut gateway = started(&fake.entry("git", ARGS));
    for (member, value) in [
        ("Arguments", r#"{"owner":"you"}"#),
        ("ARGUMENTS", "null"),
        (r"\u0041rguments", r#"{"owner":"you"}"#),
        ("Name", r#""delete_repo""#),
    ] {
        let params = format!(
            r#"{{"name":"delete_branch","arguments":{{"why":"x","branch":"a"}},"{member}":{value}}}"#
        );
        gateway.send_raw(format!(
            r#"{{"jsonrpc":"2.0","id":"{member}","method":"tools/call","params":{params}}}"#
        ));
        let id: Value = serde_json::from_str(&format!("\"{member}\"")).unwrap();
        refused(&gateway.answer(id), "is not taken beside");
    }
    assert_eq!(fake.runs("delete_branch"), 0);
}

/// As Pydantic writes a model within a model, in either era.
#[test]
fn an_argument_within_another_is_narrowed_behind_a_reference_and_held_at_the_call() {
    let schema = json!({
        "type": "object",
        "properties": { "repo": { "$ref": "#/$defs/Repo" }, "why": { "type": "string" } },
        "required": ["repo"],
        "$defs": { "Repo": { "type": "object", "required": ["owner", "name"], "properties": {
            "owner": { "type": "string" }, "name": { "type": "string" } } } },
    });
    for is_modern in [false, true] {
        let fake = FakeBackend::start().tool_with("fork", json!({ "inputSchema": schema }));
        let fake = if is_modern { fake.modern() } else { fake };
        let args = "tools.args = { fork = { \"/repo/owner\" = [\"me\"] } }";
        let mut gateway = started(&fake.entry("git", args));
        assert_eq!(
            gateway.list_tools()[0]["inputSchema"],
            json!({
                "type": "object",
                "properties": {
                    "repo": { "type": "object", "required": ["name"],
                              "properties": { "name": { "type": "string" } } },
                    "why": { "type": "string" },
                },
                "required": ["repo"],
            })
        );
        let given = json!({ "repo": { "name": "x" } });
        gateway.call("fork", given).text();
        let sent = fake.requests_of("tools/call")[0].params()["arguments"].clone();
        assert_eq!(sent, json!({ "repo": { "name": "x", "owner": "me" } }));
        for (repo, why) in [
            (
                json!({ "owner": "you" }),
                r#"the user has set the argument "/repo/owner" to another value"#,
            ),
            (
                json!("{\"owner\":\"you\"}"),
                r#"the argument "/repo" must be an object"#,
            ),
        ] {
            refused(&gateway.call("fork", json!({ "repo": repo })), why);
        }
        assert_eq!(fake.runs("fork"), 1);
    }
}

/// Its arguments could not be shown as they are held.
#[test]
fn a_tool_whose_arguments_can_not_be_narrowed_is_withheld() {
    let schema = json!({ "type": "object", "properties": { "repo": { "$ref": "https://example.com/repo" } } });
    let fake = FakeBackend::start()
        .tool_with("fork", json!({ "inputSchema": schema }))
        .tool("other");
    let args = "tools.args = { fork = { \"/repo/owner\" = [\"me\"] } }";
    let mut gateway = started(&fake.entry("git", args));
    assert_eq!(gateway.tool_names(), ["other"]);
    let answer = gateway.call("fork", json!({}));
    assert_eq!(answer.code(), -32602);
    assert_eq!(fake.runs("fork"), 0);
}
