//! Invalid responses, responses that pass byte for byte, and the origin of errors.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::malformed::INVALID_RESPONSES;
use crate::common::message;
use crate::common::reply::Reply;

fn over(fake: &FakeBackend) -> TestGateway {
    let mut gateway = TestGateway::over(fake);
    gateway.initialize();
    gateway
}

fn json_body(body: &str) -> Reply {
    let reply = Reply::status(200).header("content-type", "application/json");
    reply.body(body)
}

#[test]
fn fault_75_an_invalid_response_is_a_bad_reply() {
    let fake = FakeBackend::start().tool("odd").tool("echo");
    let mut gateway = over(&fake);
    for body in INVALID_RESPONSES {
        for sse in [false, true] {
            let reply = if sse {
                Reply::sse().body(format!("data: {body}\n\n"))
            } else {
                json_body(body)
            };
            fake.on_tool("odd", reply);
            let answer = gateway.call("odd", json!({}));
            let (class, executed, attempts) = answer.gateway_error();
            assert_eq!((executed, attempts), ("unknown", 1), "{body}");
            let as_expected = class == "bad_reply" || (sse && class == "outcome_unknown");
            assert!(as_expected, "{body}: {class}");
        }
    }
    assert_eq!(gateway.call("echo", json!({})).text(), "echo {}");
}

#[test]
fn fault_76_an_id_of_another_type_matches_only_with_the_same_value() {
    let fake = FakeBackend::start().tool("odd");
    let mut gateway = over(&fake);
    let body = |id: &str| {
        json_body(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}"#
        ))
    };
    fake.on_tool("odd", body(r#""$text_of_id""#));
    gateway.call("odd", json!({})).result();
    fake.on_tool("odd", body(r#""$text_of_id0""#));
    let answer = gateway.call("odd", json!({}));
    assert_eq!(answer.gateway_error(), ("bad_reply", "unknown", 1));
}

#[test]
fn payloads_pass_byte_for_byte_both_ways() {
    let fake = FakeBackend::start().tool("echo");
    let mut gateway = over(&fake);
    let payload = r#"{"z":1.10,"big":123456789012345678901234567890,"e":1E400,"a":1,"a":2,"s":"\u00e9\/","unknown":[ 1,  2 ]}"#;
    let payload = payload.replace("1E400", "1E+2");
    fake.on_tool(
        "echo",
        json_body(&format!(
            r#"{{"jsonrpc":"2.0","id":"$id","result":{{"content":[],"structuredContent":{payload}}}}}"#
        )),
    );
    gateway.send_raw(format!(
        r#"{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{{"arguments":{payload},"name":"echo","new":{payload}}}}}"#
    ));
    let answer = gateway.answer("x");
    let expected = format!(
        r#"{{"jsonrpc":"2.0","id":"x","result":{{"content":[],"structuredContent":{payload}}}}}"#
    );
    assert_eq!(answer.0.line, expected);
    let body = String::from_utf8(fake.next_request("tools/call").body).unwrap();
    let params = format!(r#""params":{{"arguments":{payload},"name":"echo","new":{payload}}}"#);
    assert!(body.contains(&params), "{body}");
}

/// The fake backend can't parse this text and records the call as a plain POST.
#[test]
fn lone_surrogates_pass_unchanged() {
    let fake = FakeBackend::start().tool("echo");
    let mut gateway = over(&fake);
    let params = r#"{"name":"echo","arguments":{"s":"\ud800"}}"#;
    gateway.send_raw(format!(
        r#"{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{params}}}"#
    ));
    gateway.answer("x").error();
    let body = String::from_utf8(fake.next_request("POST").body).unwrap();
    assert!(body.contains(params), "{body}");
}

#[test]
fn a_renamed_tool_is_called_by_its_backends_name_and_the_rest_is_unchanged() {
    let fake = FakeBackend::start().tool("read_query");
    let rename = r#"tools.rename = { "read_query" = "sql_read" }"#;
    let mut gateway = TestGateway::with_config(&fake.entry("fake", rename));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["sql_read"]);
    gateway.send_raw(
        r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"b":1.0,"name":"sql_read","arguments":{"name":"sql_read"}}}"#,
    );
    gateway.answer("x").result();
    let body = String::from_utf8(fake.next_request("tools/call").body).unwrap();
    let params = r#"{"b":1.0,"name":"read_query","arguments":{"name":"sql_read"}}"#;
    assert!(body.contains(params), "{body}");
    assert_eq!(gateway.call("read_query", json!({})).code(), -32602);
}

#[test]
fn a_backends_own_error_is_passed_on_unchanged() {
    let fake = FakeBackend::start().tool("fails");
    let mut gateway = over(&fake);
    let mut error = message::error(-32000, "mine");
    error["error"]["data"] = json!({ "why": [1] });
    fake.on_tool("fails", Reply::json(&error));
    let answer = gateway.call("fails", json!({}));
    assert_eq!(*answer.error(), error["error"]);
    assert_eq!(fake.runs("fails"), 1);
}

#[test]
fn tool_errors_are_results_when_configured() {
    let fake = FakeBackend::start().tool("lost").tool("fails");
    let toml = "[gateway]\ntool_errors = \"result\"\n".to_owned() + &fake.entry("fake", "");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize();
    fake.on_tool("lost", Reply::hang_up());
    let lost = gateway.call("lost", json!({}));
    assert_eq!(lost.result()["isError"], true);
    assert!(lost.text().contains("MAY HAVE RUN"), "{}", lost.text());
    let unknown = gateway.call("unknown", json!({}));
    assert_eq!(unknown.result()["isError"], true);
    fake.on_tool("fails", Reply::error(-32000, "mine"));
    assert_eq!(gateway.call("fails", json!({})).code(), -32000);
    assert_eq!(
        gateway.ask("prompts/get", json!({ "name": "p" })).code(),
        -32602
    );
}

#[test]
fn ids_that_are_zero_or_empty_are_valid() {
    let fake = FakeBackend::start().tool("echo");
    let mut gateway = over(&fake);
    let call = json!({ "name": "echo", "arguments": {} });
    gateway.request_as(0, "tools/call", call.clone());
    assert_eq!(gateway.answer(0).text(), "echo {}");
    gateway.request_as("", "tools/call", call);
    assert_eq!(gateway.answer("").text(), "echo {}");
}

#[test]
fn a_refused_subscription_says_which_backend_refuses_and_why() {
    let without = FakeBackend::start().resource("a:1");
    let refusing = FakeBackend::start()
        .resource("b:1")
        .capabilities(json!({ "resources": { "subscribe": true } }));
    refusing.always("resources/subscribe", Reply::error(-32002, "no such thing"));
    let entries = [without.entry("without", ""), refusing.entry("refusing", "")];
    let mut gateway = TestGateway::with_config(&entries.concat());
    gateway.initialize();
    gateway.ask("resources/list", json!({})).result();
    for (uri, code, message) in [
        (
            "a:1",
            -32601,
            "without: the server does not offer subscriptions to resources",
        ),
        ("b:1", -32002, "no such thing"),
    ] {
        let answer = gateway.ask("resources/subscribe", json!({ "uri": uri }));
        let error = answer.error();
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!(code), &json!(message))
        );
    }
}
