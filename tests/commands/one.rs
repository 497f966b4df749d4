//! One call, resource, prompt or tool: `call`, `read`, `prompt`, `tools NAME`.

use std::io::Write;
use std::process::Stdio;

use super::*;
use crate::common::gate::Gate;

/// A tool with a parameter of each type, beside one whose schema says nothing.
fn typed() -> FakeBackend {
    FakeBackend::start().tool("free").tool_with(
        "typed",
        json!({
            "title": "A typed tool",
            "annotations": { "readOnlyHint": true },
            "inputSchema": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": { "type": "string", "description": "The id\nof it" },
                    "count": { "type": "integer", "default": 3 },
                    "ratio": { "type": "number" },
                    "deep": { "type": "boolean" },
                    "tags": { "type": "array", "items": { "type": "string" } },
                    "where": { "$ref": "#/$defs/filter" },
                    "mode": { "enum": ["fast", "slow"] },
                },
                "$defs": { "filter": { "type": "object" } },
            },
        }),
    )
}

#[test]
fn pairs_are_read_by_the_schema_of_the_tool() {
    let fake = typed();
    let shell = Shell::over(&[("one", &fake)]);
    let pairs = [
        "call",
        "typed",
        "id=007",
        "count=5",
        "ratio=1.10",
        "deep=true",
        "tags=[\"a\", \"1\"]",
        "where={\"x\": 1}",
        "mode=fast",
    ];
    let expected = r#"{"id":"007","count":5,"ratio":1.10,"deep":true,"tags":["a", "1"],"where":{"x": 1},"mode":"fast"}"#;
    let text = shell.run(&pairs).success();
    assert_eq!(shell.run(&["call", "typed", expected]).success(), text);
    assert_eq!(sent(&fake), [expected, expected]);
    shell
        .run(&["call", "free", "n=1", "s=a b", "q=\"1\""])
        .success();
    assert_eq!(sent(&fake)[2], "{\"n\":1,\"s\":\"a b\",\"q\":\"1\"}");
}

/// The arguments of all calls so far, byte for byte.
fn sent(fake: &FakeBackend) -> Vec<String> {
    let calls = fake.requests_of("tools/call").into_iter();
    let arguments = calls.map(|call| {
        let body = String::from_utf8(call.body).unwrap();
        let (_, after) = body.split_once("\"arguments\":").unwrap();
        let end = after.find(",\"_meta\"").unwrap_or(after.len());
        after[..end].to_owned()
    });
    arguments.collect()
}

#[test]
fn pairs_that_do_not_fit_the_schema_never_reach_the_tool() {
    let fake = typed();
    let shell = Shell::over(&[("one", &fake)]);
    for (pair, message) in [
        (
            "cuont=1",
            "typed: there is no argument \"cuont\"; did you mean \"count\"?\n",
        ),
        (
            "count=five",
            "typed: the argument \"count\" is an integer; found \"five\"\n",
        ),
        (
            "tags=a",
            "typed: the argument \"tags\" is an array as JSON, as in '[1, 2]'; found \"a\"\n",
        ),
    ] {
        let ended = shell.run(&["call", "typed", pair]);
        assert_eq!(
            (ended.code, ended.out.as_str(), ended.err.as_str()),
            (2, "", message)
        );
    }
    assert_eq!(fake.runs("typed"), 0);
}

#[test]
fn arguments_come_from_a_file_or_from_stdin() {
    let fake = typed();
    let shell = Shell::over(&[("one", &fake)]);
    let object = "{\"id\": \"1\",\n\"count\": 1.10}";
    let file = shell.folder.path().join("arguments.json");
    std::fs::write(&file, object).unwrap();
    let run = shell.run(&["call", "typed", "@arguments.json"]).success();

    let mut child = shell
        .command(&["call", "typed", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(object.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), run);
    let object = object.replace('\n', " ");
    assert_eq!(sent(&fake), [object.as_str(), &object]);

    let ended = shell.run(&["call", "typed", "@no-such.json"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.starts_with("no-such.json: can't be read: "),
        "{}",
        ended.err
    );
}

#[test]
pub(crate) fn call_and_the_like_accept_no_tool() {
    let fake = typed().resource("file:///a").prompt("p");
    fake.always("resources/read", Reply::result(json!({ "contents": [] })));
    fake.always("prompts/get", Reply::result(json!({ "messages": [] })));
    let shell = Shell::over(&[("one", &fake)]);
    let lock = shell.folder.path().join("sentinel.lock");
    for args in [
        &["call", "free"][..],
        &["call", "typed", "id=1"],
        &["read", "file:///a"],
        &["prompt", "p"],
        &["tools", "typed"],
        &["tools"],
        &["tools", "--tokens"],
        &["search", "typed"],
        &["prompts"],
        &["resources"],
        &["check"],
        &["check", "--json"],
    ] {
        assert_eq!(shell.run(args).code, 0, "{args:?}");
        assert!(!lock.exists(), "{args:?}");
    }
    assert_eq!(shell.run(&["pin"]).code, 0);
    let accepted = std::fs::read(&lock).unwrap();
    fake.put_tool("typed", json!({ "description": "another" }));
    for args in [
        &["call", "typed"][..],
        &["tools", "typed"],
        &["tools"],
        &["search", "typed"],
        &["check"],
    ] {
        assert_eq!(shell.run(args).code, 0, "{args:?}");
        assert_eq!(std::fs::read(&lock).unwrap(), accepted, "{args:?}");
    }
    // It only shows what has changed.
    assert_eq!(shell.run(&["pin", "--dry-run"]).code, 1);
    assert_eq!(std::fs::read(&lock).unwrap(), accepted);
}

#[test]
fn a_call_waits_for_a_backend_that_is_slow_to_list() {
    let (fake, gate) = (FakeBackend::start().tool("t"), Gate::new());
    fake.on(
        "tools/list",
        Reply::result(json!({ "tools": [
        { "name": "t", "inputSchema": { "type": "object" } },
    ] }))
        .after(&gate),
    );
    let toml = format!("[gateway]\nstartup_wait_ms = 1\n{}", fake.entry("one", ""));
    let call = std::thread::spawn(move || Shell::with(&toml).run(&["call", "t", "a=1"]));
    gate.wait_for(1);
    gate.open();
    call.join().unwrap().success();
    assert_eq!(fake.runs("t"), 1);
}

#[test]
fn read_prints_text_and_decodes_binaries() {
    let fake = FakeBackend::start().resource("file:///a");
    let contents = json!({ "contents": [{ "uri": "file:///a", "text": "one\ntwo" }] });
    fake.always("resources/read", Reply::result(contents.clone()));
    let shell = Shell::over(&[("one", &fake)]);
    // A pipe gets the bytes, without a line end.
    assert_eq!(shell.run(&["read", "file:///a"]).success(), "one\ntwo");
    let raw = shell.run(&["read", "file:///a", "--json"]).success();
    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), contents);

    let blob = json!({ "contents": [{ "uri": "file:///a", "blob": "AAEC/w==" }] });
    fake.always("resources/read", Reply::result(blob));
    let output = shell.command(&["read", "file:///a"]).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout),
        (Some(0), vec![0, 1, 2, 255])
    );

    let broken = json!({ "contents": [{ "uri": "file:///a", "blob": "*" }] });
    fake.always("resources/read", Reply::result(broken));
    let ended = shell.run(&["read", "file:///a"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(
        ended.err.contains("neither text nor base64"),
        "{}",
        ended.err
    );

    fake.always("resources/read", Reply::error(-32002, "no such file"));
    let ended = shell.run(&["read", "file:///a"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, "no such file\n"));
}

#[test]
fn prompt_is_filled_in_and_shown_by_role() {
    let fake = FakeBackend::start().prompt_with(
        "review",
        json!({ "arguments": [{ "name": "code", "required": true }] }),
    );
    let messages = json!({ "messages": [
        { "role": "user", "content": { "type": "text", "text": "Review this" } },
    ] });
    fake.always("prompts/get", Reply::result(messages));
    let shell = Shell::over(&[("one", &fake)]);
    let out = shell.run(&["prompt", "review", "code=5"]).success();
    assert_eq!(out, "user:\nReview this\n");
    let sent = fake.requests_of("prompts/get");
    assert_eq!(
        sent[0].message["params"]["arguments"],
        json!({ "code": "5" })
    );

    let ended = shell.run(&["prompt", "review", "cod=5"]);
    assert_eq!(ended.code, 2);
    assert_eq!(
        ended.err,
        "review: there is no argument \"cod\"; did you mean \"code\"?\n"
    );
    let ended = shell.run(&["prompt", "reviw"]);
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.err,
        "unknown prompt \"reviw\"; did you mean \"review\"?\n"
    );
}

#[test]
fn one_tool_is_shown_with_its_arguments() {
    let fake = typed();
    let shell = Shell::over(&[("one", &fake)]);
    let out = shell.run(&["tools", "typed"]).success();
    let expected = "\
typed  A typed tool
from one, only reads

typed, a tool

ARGUMENT  TYPE                        DESCRIPTION
id        string            required   The id of it
count     integer           default 3  
deep      boolean                      
mode      \"fast\", \"slow\"               
ratio     number                       
tags      array                        
where     object                       

call it: sentinel-gateway call typed id=TEXT
";
    let plain = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(plain(&out), plain(expected), "{out}");
    let json = shell.run(&["tools", "typed", "--json"]).json();
    assert_eq!(
        (&json["name"], &json["backend"]),
        (&json!("typed"), &json!("one"))
    );
    assert_eq!(json["definition"]["inputSchema"]["required"], json!(["id"]));

    let ended = shell.run(&["tools", "typd"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert_eq!(
        ended.err,
        "there is no tool \"typd\"; did you mean \"typed\"?\n"
    );
}
