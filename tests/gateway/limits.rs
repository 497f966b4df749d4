//! Limits that the config sets on calls: a minute, at once, and of the same call.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::error_with;
use crate::common::reply::Reply;

const LIST_CHANGED: &str = "notifications/tools/list_changed";

/// Checks that a limit has refused a call. The milliseconds after which it may be made again.
fn refused(answer: &Answer, why: &str) -> u64 {
    assert_eq!(answer.code(), -32603);
    assert_eq!(answer.gateway_error(), ("refused", "no", 0));
    let message = answer.message();
    assert!(message.contains(why), "{message}");
    assert!(message.ends_with("; the tool did not run"), "{message}");
    let wait = answer.error()["data"]["retry_after_ms"].as_u64();
    let wait = wait.expect("it says when to try again");
    assert!((1..=60_000).contains(&wait), "{wait}");
    let seconds = format!("in {} s;", wait.div_ceil(1000));
    assert!(message.contains(&seconds), "{message} {wait}");
    wait
}

fn started(toml: &str) -> TestGateway {
    let mut gateway = TestGateway::with_config(toml);
    gateway.initialize();
    gateway.tool_names();
    gateway
}

#[test]
fn calls_beyond_the_limits_of_backend_and_tools_are_refused_and_say_when_to_try_again() {
    let fake = FakeBackend::start().tool("send_mail").tool("read");
    let fake = fake.prompt("p").resource("file:///r");
    let keys = "rate_per_minute = 1\nburst = 4\n\
                tools.rate_per_minute = { \"send_*\" = 1 }";
    let mut gateway = started(&fake.entry("mail", keys));
    assert_eq!(gateway.call("send_mail", json!({})).text(), "send_mail {}");
    let second = gateway.call("send_mail", json!({ "n": 2 }));
    let why = "mail: not called, because its limit for calls of tools \"send_*\" is reached: \
               1 a minute, 1 at once (tools.rate_per_minute); try again";
    assert!(refused(&second, why) > 30_000);
    // Prompts and resources count for the backend, lists do not.
    gateway.ask("prompts/get", json!({ "name": "p" })).result();
    gateway
        .ask("resources/read", json!({ "uri": "file:///r" }))
        .result();
    gateway.tool_names();
    assert_eq!(gateway.call("read", json!({})).text(), "read {}");
    let last = gateway.call("read", json!({}));
    let why = "mail: not called, because its limit for calls is reached: \
               1 a minute, 4 at once (rate_per_minute); try again";
    refused(&last, why);
    assert_eq!((fake.runs("send_mail"), fake.runs("read")), (1, 1));
}

#[test]
fn limits_survive_a_reload_and_a_new_connection() {
    let fake = FakeBackend::start().tool("a").tool("b");
    let limits = "rate_per_minute = 1\nburst = 3\ntools.rate_per_minute = { a = 1 }\n";
    let mut gateway = started(&fake.entry("one", limits));
    gateway.call("a", json!({})).text();
    let mut reload = |more: &str, names: &[&str]| {
        gateway.save_config(&fake.entry("one", &format!("{limits}{more}")));
        while gateway.tool_names() != names {
            gateway.next_notification(LIST_CHANGED);
        }
        refused(&gateway.call("a", json!({})), "tools \"a\" is reached");
    };
    reload("tools.rename = { b = \"c\" }", &["a", "c"]);
    let connections = fake.requests_of("initialize").len();
    reload(
        "headers = { X-New = \"1\" }\ntools.rename = { b = \"d\" }",
        &["a", "d"],
    );
    fake.wait_for_requests("initialize", connections + 1);
    // It was gone for a while.
    let other = FakeBackend::start().tool("other");
    gateway.save_config(&other.entry("two", ""));
    gateway.wait_for_tool("other");
    gateway.save_config(&fake.entry("one", limits));
    gateway.wait_for_tool("b");
    refused(&gateway.call("a", json!({})), "tools \"a\" is reached");
    gateway.call("b", json!({})).text();
    gateway.call("b", json!({})).text();
    refused(&gateway.call("b", json!({})), "limit for calls is reached");
    // Another number counts at once.
    gateway.save_config(&fake.entry("one", "tools.rename = { b = \"c\" }"));
    gateway.wait_for_tool("c");
    gateway.call("a", json!({})).text();
    assert_eq!((fake.runs("a"), fake.runs("b")), (2, 2));
}

#[test]
fn retries_and_rounds_count_as_one_call() {
    let fake = FakeBackend::start();
    let fake = fake.tool_with("ask", json!({ "annotations": { "readOnlyHint": true } }));
    let fake = fake.modern();
    let limit = "rate_per_minute = 1\nburst = 2";
    let form = json!({ "q": { "method": "elicitation/create",
        "params": { "mode": "form", "message": "?", "requestedSchema": {} } } });
    let mut gateway = TestGateway::with_config(&fake.entry("one", limit));
    gateway.initialize_with("2025-11-25", json!({ "elicitation": { "form": {} } }));
    gateway.tool_names();
    fake.on_tool("ask", Reply::status(503));
    fake.on_tool("ask", Reply::input_required(&form, Some("s")));
    let call = gateway.start_call("ask", json!({}));
    let asked = gateway.next_request("elicitation/create");
    gateway.respond(&asked, json!({ "action": "decline" }));
    gateway.answer(call).text();
    assert_eq!(fake.requests_of("tools/call").len(), 3);
    // A modern client continues with a request of its own.
    let mut gateway = TestGateway::with_config(&fake.entry("one", limit));
    gateway.modern(json!({ "elicitation": { "form": {} } }));
    gateway.discover();
    gateway.tool_names();
    for left in [1, 0] {
        fake.on_tool("ask", Reply::input_required(&form, Some("s")));
        let asked = gateway.call("ask", json!({}));
        assert!(asked.is_input_required(), "{left} left");
        let responses = json!({ "q": { "action": "decline" } });
        let params = json!({ "name": "ask", "arguments": {} });
        let retry = gateway.retry("tools/call", &params, &asked, responses);
        gateway.answer(retry).text();
    }
    // What merely looks like a round is a call.
    let params = json!({ "name": "ask", "arguments": {}, "inputResponses": {} });
    refused(
        &gateway.ask("tools/call", params),
        "limit for calls is reached",
    );
}

/// The call that was answered with the error has not run: with its repetition it is one call.
#[test]
fn a_call_that_a_url_was_required_for_and_its_repetition_count_as_one() {
    let fake = FakeBackend::start().tool("ask");
    let elicitation = json!({ "mode": "url", "elicitationId": "e", "url": "https://a.example",
        "message": "sign in" });
    let wants = error_with(
        -32042,
        "sign in first",
        &json!({ "elicitations": [elicitation] }),
    );
    let limit = "rate_per_minute = 1\ntools.repeat_limit = { ask = 1 }\n\
                 tools.args = { ask = { as = [\"me\"] } }";
    let mut gateway = TestGateway::with_config(&fake.entry("one", limit));
    gateway.initialize_with("2025-11-25", json!({ "elicitation": { "url": {} } }));
    gateway.tool_names();
    fake.on_tool("ask", Reply::json(&wants).runs(false));
    let first = gateway.call("ask", json!({ "n": 1 }));
    assert_eq!(first.code(), -32042);
    // Another call is none.
    let other = gateway.call("ask", json!({ "n": 2 }));
    refused(&other, "limit for calls is reached");
    gateway.call("ask", json!({ "n": 1 })).text();
    refused(&gateway.call("ask", json!({ "n": 1 })), "exactly these");
    assert_eq!(fake.runs("ask"), 1);
    // A client that does not know the error gets another one, which invites to nothing.
    let mut gateway = TestGateway::with_config(&fake.entry("one", limit));
    gateway.initialize();
    gateway.tool_names();
    fake.on_tool("ask", Reply::json(&wants).runs(false));
    assert_eq!(gateway.call("ask", json!({ "n": 1 })).code(), -32603);
    refused(&gateway.call("ask", json!({ "n": 1 })), "exactly these");
}

#[test]
fn calls_of_a_tool_beyond_its_max_in_flight_wait_within_their_deadline() {
    let fake = FakeBackend::start().tool("slow_a").tool("slow_b");
    let fake = fake.tool("fast");
    let gate = Gate::new();
    fake.on_tool("slow_a", Reply::text("first").after(&gate));
    let keys = "tools.max_in_flight = { \"slow_*\" = 1 }\ntools.timeout_secs = { slow_b = 1 }";
    let mut gateway = started(&fake.entry("one", keys));
    let first = gateway.start_call("slow_a", json!({}));
    fake.wait_for_requests("tools/call", 1);
    let waiting = gateway.start_call("slow_a", json!({ "n": 2 }));
    let late = gateway.call("slow_b", json!({}));
    assert_eq!(late.gateway_error(), ("deadline", "no", 0));
    // It takes no place from others, also after a reload that gives it more.
    assert_eq!(gateway.call("fast", json!({})).text(), "fast {}");
    assert_eq!(fake.runs("slow_b"), 0);
    let more = keys.replace("= 1 }\n", "= 2 }\ntools.rename = { fast = \"quick\" }\n");
    gateway.save_config(&fake.entry("one", &more));
    gateway.wait_for_tool("quick");
    assert_eq!(gateway.answer(waiting).text(), r#"slow_a {"n":2}"#);
    gate.open();
    assert_eq!(gateway.answer(first).text(), "first");
}

#[test]
fn a_call_repeated_over_and_over_is_refused_in_words_for_a_model() {
    let fake = FakeBackend::start().tool("find").tool("poll");
    let config = |rename: &str| {
        let keys = format!("tools.repeat_limit = {{ poll = 0 }}\n{rename}");
        "[gateway]\nrepeat_limit = 2\n".to_owned() + &fake.entry("one", &keys)
    };
    let mut gateway = started(&config(""));
    let ask = |arguments: Value| json!({ "name": "find", "arguments": arguments });
    for arguments in [json!({ "q": "x", "n": 1 }), json!({ "n": 1.0, "q": "x" })] {
        gateway.ask("tools/call", ask(arguments)).text();
    }
    gateway.save_config(&config("tools.rename = { poll = \"look\" }"));
    gateway.wait_for_tool("look");
    let third = gateway.call("find", json!({ "q": "x", "n": 1 }));
    let why = "one: not called, because find was called with exactly these arguments 2 times within \
               the last minute (repeat_limit). Calling it again the same way does not help: use the \
               results you have";
    assert!(refused(&third, why) > 30_000);
    gateway.call("find", json!({ "q": "y", "n": 1 })).text();
    for _ in 0..4 {
        gateway.call("look", json!({})).text();
    }
    assert_eq!((fake.runs("find"), fake.runs("poll")), (3, 4));
}

/// Directly or by `call_tool`, with the arguments as an object or as its text, under the tool's own name or not.
#[test]
fn repeats_count_however_a_tool_is_called() {
    let fake = FakeBackend::start().tool("find");
    let gateway = "[gateway]\ntool_mode = \"search\"\nrepeat_limit = 3\n";
    let rename = "tools.rename = { find = \"look\" }";
    let mut gateway = started(&(gateway.to_owned() + &fake.entry("one", rename)));
    let call = |arguments: Value| json!({ "name": "look", "arguments": arguments });
    let same = json!({ "q": "x", "n": 1 });
    gateway.call("look", same.clone()).text();
    gateway.call("call_tool", call(same.clone())).text();
    let as_text = call(json!(r#"{"n":1.0,"q":"x"}"#));
    gateway.call("call_tool", as_text.clone()).text();
    let direct = gateway.call("look", same.clone());
    let why = "find was called with exactly these arguments 3 times";
    refused(&direct, why);
    for again in [
        call(same),
        as_text,
        json!({ "name": "look", "q": "x", "n": 1 }),
    ] {
        refused(&gateway.call("call_tool", again), why);
    }
    let other = call(json!({ "q": "y", "n": 1 }));
    gateway.call("call_tool", other).text();
    assert_eq!(fake.runs("find"), 4);
}

/// The same from `call_tool`, and as the result that clients which hide errors get.
#[test]
fn a_limit_holds_however_a_tool_is_called() {
    let gateway =
        "[gateway]\ntool_mode = \"search\"\ntool_errors = \"result\"\nalways_listed = [\"t\"]\n";
    for (keys, why) in [
        (
            "tools.rate_per_minute = { t = 2 }",
            "limit for calls of tools \"t\" is reached",
        ),
        (
            "rate_per_minute = 1\nburst = 2",
            "its limit for calls is reached",
        ),
    ] {
        let fake = FakeBackend::start().tool("t");
        let mut gateway = started(&(gateway.to_owned() + &fake.entry("one", keys)));
        let by_name = json!({ "name": "t", "arguments": {} });
        gateway.call("call_tool", by_name.clone()).text();
        gateway.call("t", json!({})).text();
        for answer in [
            gateway.call("call_tool", by_name),
            gateway.call("t", json!({})),
        ] {
            let result = answer.result();
            assert_eq!(result["isError"], true);
            let text = result["content"][0]["text"].as_str().unwrap();
            assert!(text.contains(why), "{text}");
        }
        assert_eq!(fake.runs("t"), 2);
    }
}
