//! Section 3: answers to our own POST, which can only be ours.

use serde_json::{Value, json};

use super::table::{Row, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::{complete_text, error, text};
use crate::common::reply::Reply;

pub(super) const ROWS: &[Row] = rows! {
    "3.01" "the id of the request in another JSON type" => "taken, where no other request can be meant", other_types;
    "3.02" "another id, also in the other type" => "never taken", other_ids;
    "3.03" "an error whose id is null or missing" => "the answer: its code and words arrive", errors_without_id;
    "3.04" "a result whose id is null or missing" => "never taken", results_without_id;
    "3.05" "an odd id or none on a resumed stream, which may carry other answers" => "never taken", resumed_streams;
    "3.06" "a response with another content type or none" => "taken", content_types;
    "3.07" "a body that is no response with such a type" => "an error that names the type and shows the body", other_bodies;
    "3.08" "202 or 204, and the answer on the open stream of GET" => "waited for there, within the deadline", answers_on_get;
    "3.09" "202 or 204 without such a stream, or one that ends for good" => "an error: the call may have run", no_answers_on_get;
};

#[test]
fn section_3_answers() {
    check(ROWS);
}

/// A legacy server that answers in JSON or in events, and a modern one.
fn servers() -> Vec<(bool, FakeBackend)> {
    vec![
        (false, FakeBackend::start().tool("act")),
        (true, FakeBackend::start().tool("act").modern()),
    ]
}

/// The same message as JSON and as an event, with this id in place of the request's.
fn replies(status: u16, message: &Value, id: Option<&str>) -> [Reply; 2] {
    let mut message = message.clone();
    let text = match id {
        None => {
            message.as_object_mut().unwrap().remove("id");
            message.to_string()
        }
        Some(id) => message.to_string().replace("\"$id\"", id),
    };
    let typed = |kind: &str| Reply::status(status).header("content-type", kind);
    [
        typed("application/json").body(text.clone()),
        typed("text/event-stream").body(format!("data: {text}\n\n")),
    ]
}

/// What a client gets when the server answers a call so.
fn answered(backend: &FakeBackend, reply: Reply) -> Answer {
    backend.on_tool("act", reply);
    let mut gateway = TestGateway::over(backend);
    gateway.initialize();
    gateway.call("act", json!({}))
}

fn ran(modern: bool) -> Value {
    match modern {
        true => complete_text("ran"),
        false => text("ran"),
    }
}

fn other_types() {
    for id in ["\"$text_of_id\"", "$text_of_id.0"] {
        for modern in [false, true] {
            let fake = with_ids(id, modern);
            let mut gateway = TestGateway::over(&fake);
            gateway.initialize();
            assert_eq!(gateway.tool_names(), ["act"], "{id}, modern {modern}");
            assert_eq!(gateway.call("act", json!({})).text(), "ran");
        }
    }
    for id in [
        "\"$text_of_id\"",
        "$text_of_id.0",
        "$text_of_ide0",
        "$text_of_id0e-1",
    ] {
        for (modern, backend) in servers() {
            for reply in replies(200, &ran(modern), Some(id)) {
                assert_eq!(
                    answered(&backend, reply).text(),
                    "ran",
                    "{id}, modern {modern}"
                );
            }
            for reply in replies(200, &error(-7, "no"), Some(id)) {
                assert_eq!(
                    answered(&backend, reply).code(),
                    -7,
                    "{id}, modern {modern}"
                );
            }
        }
    }
}

/// All answers of a server, the handshake's and the lists' too, carry the id in this form.
fn with_ids(id: &'static str, modern: bool) -> FakeBackend {
    let fake = FakeBackend::start().without_sessions();
    let fake = if modern { fake.modern() } else { fake };
    fake.respond_with(move |request| {
        if modern != request.is_modern() {
            return None;
        }
        let tool = json!({ "name": "act", "inputSchema": { "type": "object" } });
        let mut result = match request.kind() {
            "initialize" => json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "s", "version": "1" },
            }),
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
            }),
            "tools/list" => json!({ "tools": [tool] }),
            "tools/call" => json!({ "content": [{ "type": "text", "text": "ran" }] }),
            _ => return None,
        };
        if modern {
            result["resultType"] = json!("complete");
            result["ttlMs"] = json!(0);
            result["cacheScope"] = json!("private");
        }
        let message = json!({ "jsonrpc": "2.0", "id": "$id", "result": result });
        let body = message.to_string().replace("\"$id\"", id);
        Some(
            Reply::status(200)
                .header("content-type", "application/json")
                .body(body),
        )
    })
}

fn other_ids() {
    let ids = [
        "4000000000",
        "\"4000000000\"",
        "$text_of_id.5",
        "\"$text_of_id.0\"",
        "\" $text_of_id\"",
        "-$text_of_id",
        "true",
        "[$text_of_id]",
        "{}",
    ];
    for id in ids {
        for (modern, backend) in servers() {
            for reply in replies(200, &ran(modern), Some(id)) {
                let answer = answered(&backend, reply);
                let (_, executed, sends) = answer.gateway_error();
                assert_eq!((executed, sends), ("unknown", 1), "{id}, modern {modern}");
            }
        }
    }
}

fn errors_without_id() {
    for id in [Some("null"), None] {
        for (modern, backend) in servers() {
            // An unsafe tool: whatever the status, it is not sent again.
            for status in [200, 400, 404, 405, 422, 500, 502] {
                // Without a session a 404 says nothing about it.
                let backend = match status {
                    404 if !modern => FakeBackend::start().tool("act").without_sessions(),
                    _ => match modern {
                        true => FakeBackend::start().tool("act").modern(),
                        false => FakeBackend::start().tool("act"),
                    },
                };
                for reply in replies(status, &error(-32_602, "bad city"), id) {
                    let answer = answered(&backend, reply);
                    let what = format!("{id:?}, HTTP {status}, modern {modern}: {}", answer.0.line);
                    assert_eq!(answer.code(), -32_602, "{what}");
                    assert_eq!(answer.message(), "bad city", "{what}");
                }
                assert_eq!(
                    backend.requests_of("tools/call").len(),
                    2,
                    "HTTP {status}, modern {modern}"
                );
            }
            drop(backend);
        }
        // Where the status says what became of the call, the words are in the message.
        for status in [403, 413, 429, 503] {
            for (modern, backend) in servers() {
                let refused = error(-32_000, "quota of the team is used up");
                let [reply, _] = replies(status, &refused, id);
                backend.always_tool("act", reply);
                let mut gateway = TestGateway::with_config(&backend.entry("fake", "retries = 0"));
                gateway.initialize();
                let answer = gateway.call("act", json!({}));
                let message = answer.message();
                assert!(
                    message.contains("quota of the team is used up"),
                    "{id:?}, HTTP {status}, modern {modern}: {message}"
                );
            }
        }
    }
}

fn results_without_id() {
    for id in [Some("null"), None] {
        for (modern, backend) in servers() {
            for reply in replies(200, &ran(modern), id) {
                let answer = answered(&backend, reply);
                let (_, executed, sends) = answer.gateway_error();
                assert_eq!((executed, sends), ("unknown", 1), "{id:?}, modern {modern}");
            }
        }
    }
}

fn resumed_streams() {
    let backend = FakeBackend::start().tool("act").with_get();
    backend.on_tool("act", Reply::sse().priming_event("p", 1));
    let mut gateway = TestGateway::over(&backend);
    gateway.initialize();
    let call = gateway.start_call("act", json!({}));
    let id = backend.next_request("tools/call").message["id"].clone();
    let answer = |id: Value, text: &str| {
        let mut answer = self::text(text);
        answer["id"] = id;
        answer
    };
    let mut nobodys = error(-7, "nobody's");
    nobodys["id"] = Value::Null;
    let resumed = Reply::sse()
        .event(answer(json!(id.to_string()), "in another type"))
        .event(nobodys)
        .event(answer(id, "mine"));
    backend.on("GET p", resumed);
    assert_eq!(gateway.answer(call).text(), "mine");
}

const TYPES: [Option<&str>; 10] = [
    None,
    Some("APPLICATION/JSON"),
    Some("application/json;charset=utf-8"),
    Some("text/plain"),
    Some("text/plain; charset=utf-8"),
    Some("application/problem+json"),
    Some("application/vnd.mcp+json"),
    Some("application/json-rpc"),
    Some("application/octet-stream"),
    Some("text/html"),
];

fn typed(kind: Option<&str>, body: String) -> Reply {
    let reply = Reply::status(200).body(body);
    match kind {
        Some(kind) => reply.header("content-type", kind),
        None => reply,
    }
}

fn content_types() {
    for kind in TYPES {
        for (modern, backend) in servers() {
            let reply = typed(kind, ran(modern).to_string());
            assert_eq!(
                answered(&backend, reply).text(),
                "ran",
                "{kind:?}, modern {modern}"
            );
            let reply = typed(kind, error(-7, "no").to_string());
            assert_eq!(
                answered(&backend, reply).message(),
                "no",
                "{kind:?}, modern {modern}"
            );
            // The handshake and the lists come so too.
            let all = backend.without_sessions().respond_with(move |request| {
                let tool = json!({ "name": "act", "inputSchema": { "type": "object" } });
                let result = match request.kind() {
                    "initialize" => json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": { "name": "s", "version": "1" } }),
                    "tools/list" => json!({ "tools": [tool] }),
                    "tools/call" => return Some(typed(kind, text("ran").to_string())),
                    _ => return None,
                };
                let message = json!({ "jsonrpc": "2.0", "id": "$id", "result": result });
                Some(typed(kind, message.to_string()))
            });
            if !modern {
                let mut gateway = TestGateway::over(&all);
                gateway.initialize();
                assert_eq!(gateway.call("act", json!({})).text(), "ran", "{kind:?}");
            }
        }
    }
}

fn other_bodies() {
    for (kind, shown) in [
        (None, "no content type"),
        (Some("text/html"), "content type \"text/html\""),
    ] {
        for (body, word) in [
            ("<html>Sign in</html>", "Sign in"),
            ("{\"ok\":true}", "ok"),
            ("[1,2]", "1,2"),
            ("", ""),
        ] {
            for (modern, backend) in servers() {
                let answer = answered(&backend, typed(kind, body.to_owned()));
                let (class, executed, _) = answer.gateway_error();
                assert_eq!(
                    (executed, class),
                    ("unknown", "bad_reply"),
                    "{body}, modern {modern}"
                );
                let message = answer.message();
                assert!(
                    message.contains(shown) && message.contains(word),
                    "{message}"
                );
            }
        }
    }
}

/// A call that is answered with this status, and its answer.
fn taken(backend: &FakeBackend, gateway: &mut TestGateway, status: u16) -> (u64, Value) {
    backend.on_tool("act", Reply::status(status));
    let call = gateway.start_call("act", json!({}));
    let mut answer = text("ran");
    answer["id"] = backend.next_request("tools/call").message["id"].clone();
    (call, answer)
}

fn answers_on_get() {
    for status in [202, 204] {
        let backend = FakeBackend::start().tool("act").with_get();
        let mut gateway = TestGateway::over(&backend);
        gateway.initialize();
        let (call, answer) = taken(&backend, &mut gateway, status);
        // Ids are strict there.
        let mut others = answer.clone();
        others["id"] = json!(answer["id"].to_string());
        backend.request_client(others);
        backend.request_client(answer);
        assert_eq!(gateway.answer(call).text(), "ran", "HTTP {status}");

        // The stream ends meanwhile, and is opened again.
        let (call, answer) = taken(&backend, &mut gateway, status);
        backend.stream(0).text("retry: 1\n\n");
        backend.stream(0).end();
        backend.stream(1).event(&answer);
        assert_eq!(gateway.answer(call).text(), "ran", "HTTP {status}");
        lists_on_get(status);
        early_answers_on_get(status);
    }
}

/// Every request of the session is answered so, the lists too.
fn lists_on_get(status: u16) {
    let backend = FakeBackend::start().tool("act").with_get();
    let mut gateway = TestGateway::over(&backend);
    gateway.initialize();
    gateway.list_until(&["act"]);
    backend.on("tools/list", Reply::status(status));
    backend.notify_clients("notifications/tools/list_changed", json!({}));
    backend.wait_for_requests("tools/list", 2);
    let list = backend.requests_of("tools/list").pop().unwrap();
    let tool = json!({ "name": "late", "inputSchema": { "type": "object" } });
    backend.stream(0).event(&json!({
        "jsonrpc": "2.0", "id": list.message["id"], "result": { "tools": [tool] }
    }));
    gateway.wait_for_tool("late");
}

/// An answer that comes before the status of the request: the request's own answer wins.
fn early_answers_on_get(status: u16) {
    for own in [None, Some("own")] {
        let backend = FakeBackend::start().tool("act").with_get();
        let mut gateway = TestGateway::over(&backend);
        gateway.initialize();
        let gate = Gate::new();
        let reply = match own {
            None => Reply::status(status),
            Some(own) => Reply::json(&text(own)),
        };
        backend.on_tool("act", reply.after(&gate));
        let call = gateway.start_call("act", json!({}));
        let mut answer = text("early");
        answer["id"] = backend.next_request("tools/call").message["id"].clone();
        backend.stream(0).event(&answer);
        // What follows on the stream has been read when the answer has.
        backend.notify_clients("notifications/tools/list_changed", json!({}));
        backend.wait_for_requests("tools/list", 2);
        gate.open();
        assert_eq!(gateway.answer(call).text(), own.unwrap_or("early"));
    }
}

fn no_answers_on_get() {
    for status in [202, 204] {
        let without = FakeBackend::start().tool("act");
        let mut gateway = TestGateway::over(&without);
        gateway.initialize();
        let (call, _) = taken(&without, &mut gateway, status);
        let got = gateway.answer(call);
        assert_eq!(
            got.gateway_error(),
            ("bad_reply", "unknown", 1),
            "HTTP {status}"
        );

        let backend = FakeBackend::start().tool("act").with_get();
        let mut gateway = TestGateway::with_config(&backend.entry("fake", "timeout_secs = 1"));
        gateway.initialize();
        let (call, _) = taken(&backend, &mut gateway, status);
        let got = gateway.answer(call);
        assert_eq!(
            got.gateway_error(),
            ("deadline", "unknown", 1),
            "HTTP {status}"
        );

        let mut gateway = TestGateway::over(&backend);
        gateway.initialize();
        let (call, _) = taken(&backend, &mut gateway, status);
        backend.always("GET", Reply::status(405));
        let last = backend.stream(backend.streams() - 1);
        last.text("retry: 1\n\n");
        last.end();
        let got = gateway.answer(call);
        assert_eq!(
            got.gateway_error(),
            ("bad_reply", "unknown", 1),
            "HTTP {status}"
        );
    }
}
