//! Section 3: answers to our own POST, which can only be ours.

use serde_json::{Value, json};

use super::table::{Row, assert_explained, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::{complete_text, error, text};
use crate::common::reply::Reply;

const ROWS: &[Row] = rows! {
    "3.01" "the id of the request in another JSON type" => "taken, where no other request can be meant", other_types;
    "3.02" "another id, also in the other type" => "never taken", other_ids;
    "3.03" "an error whose id is null or missing" => "the answer: its code and words arrive", errors_without_id;
    "3.04" "a result whose id is null or missing" => "never taken", results_without_id;
    "3.05" "an odd id or none on a resumed stream, which may carry other answers" => "never taken", resumed_streams;
    "3.06" "a response with another content type or none" => "taken", content_types;
    "3.07" "a body that is no response with such a type" => "an error that names the type and shows the body", other_bodies;
};

#[test]
fn section_3_answers() {
    check(ROWS);
}

#[test]
fn section_3_is_explained() {
    assert_explained("3", ROWS);
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

const TYPES: [Option<&str>; 8] = [
    None,
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
