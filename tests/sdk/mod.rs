//! The gateway between two independent implementations of the protocol: the official Rust SDK's
//! client in front of the real binary, and the SDK's servers behind it. Nothing of these is written
//! by us but the tools, so where a test passes, the gateway speaks the protocol as somebody else
//! reads it.
//!
//! Most tests stand two servers side by side, `stream` and `json`, which have the same tools but
//! answer in the two ways of Streamable HTTP. The second one's tools bear its name.

#![expect(
    deprecated,
    reason = "2026-07-28 deprecates sampling, roots and logging, and legacy peers use them"
)]

pub(crate) mod client;
pub(crate) mod server;

use std::time::Duration;

use futures_util::future::join_all;
use rmcp::model::*;
use rmcp::{ClientLifecycleMode, ServiceError};
use serde_json::{Value, json};

use client::{Heard, LEGACY, Session, client_config};
use server::{Answers, Seen, Server};

/// The newest version of the legacy era.
const NEWEST_LEGACY: ProtocolVersion = ProtocolVersion::V_2025_11_25;

/// Awaits something that must happen.
///
/// # Panics
/// It hasn't happened within half a minute.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .unwrap_or_else(|_| panic!("still waiting for {what}"))
}

async fn two_servers() -> (Server, Server) {
    let stream = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let json = Server::start("json", Answers::Json, NEWEST_LEGACY).await;
    (stream, json)
}

#[tokio::test]
async fn every_legacy_version_is_negotiated_as_asked() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    for version in ProtocolVersion::known_up_to(&NEWEST_LEGACY) {
        let config = client_config(json!({})).with_protocol_version(version.clone());
        let session = Session::start_with(&[&server], LEGACY, config).await;
        let gateway = session.client.peer_info().unwrap();
        assert_eq!(gateway.protocol_version, *version);
        let echo = session.call("echo", json!({})).await.unwrap();
        assert_eq!(echo.structured_content.unwrap()["server"], "stream");
        session.close().await;
    }
}

/// Left to itself, the SDK names its newest version in `initialize`, which has no `initialize`.
#[tokio::test]
async fn a_version_without_a_handshake_is_answered_with_the_newest_that_has_one() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let config = client_config(json!({}));
    assert!(!config.protocol_version.has_initialize());
    let session = Session::start_with(&[&server], LEGACY, config).await;
    let gateway = session.client.peer_info().unwrap();
    assert_eq!(gateway.protocol_version, NEWEST_LEGACY);
    session.close().await;
}

/// Such a client sends `server/discover` first, and falls back if the error says "legacy".
#[tokio::test]
async fn a_client_that_probes_for_the_era_is_served() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let probe = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::LATEST],
        legacy_version: Some(NEWEST_LEGACY),
    };
    let session = Session::start(&[&server], probe).await;
    let echo = session.call("echo", json!({"n": 1})).await.unwrap();
    assert_eq!(
        echo.structured_content.unwrap()["arguments"],
        json!({"n": 1})
    );
    session.close().await;
}

#[tokio::test]
async fn tools_of_two_servers_are_listed_with_all_that_they_say() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let listed = soon("tools", session.client.list_all_tools())
        .await
        .unwrap();

    let mut expected = Server::tools();
    expected.extend(Server::tools().into_iter().map(|mut tool| {
        tool.name = format!("json__{}", tool.name).into();
        tool
    }));
    assert_eq!(as_json(&listed), as_json(&expected));
    session.close().await;
}

#[tokio::test]
async fn arguments_of_every_kind_arrive_as_they_were_sent() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let kinds = [
        json!({}),
        json!({"null": null, "true": true, "false": false}),
        json!({"int": 0, "negative": -1, "max": i64::MAX, "min": i64::MIN, "huge": u64::MAX}),
        json!({"float": 1.5, "tiny": 1e-300, "whole": 42.0}),
        json!({"": "empty key", "text": "", "unicode": "añ 𝄞 \u{2028}\u{0}\n\"\\", "long": "x".repeat(100_000)}),
        json!({"list": [], "nested": [[1, [2, {"deep": [null]}]], {"a": {"b": {"c": {}}}}]}),
        json!({"id": 7, "method": "tools/call", "jsonrpc": "1.0", "_meta": {"progressToken": 1}}),
    ];
    for (tool, server) in [("echo", "stream"), ("json__echo", "json")] {
        for arguments in &kinds {
            let echo = session.call(tool, arguments.clone()).await.unwrap();
            let said = json!({"server": server, "arguments": arguments});
            assert_eq!(echo.structured_content.as_ref(), Some(&said));
            assert_eq!(echo.content, [ContentBlock::text(said.to_string())]);
            assert_eq!(echo.is_error, Some(false));
        }
    }
    session.close().await;
}

#[tokio::test]
async fn calls_side_by_side_each_get_their_own_answer() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let answers = join_all((0..100).map(|n| {
        let tool = ["echo", "json__echo"][n % 2];
        session.call(tool, json!({"n": n}))
    }));
    for (n, answer) in answers.await.into_iter().enumerate() {
        let said = answer.unwrap().structured_content.unwrap();
        assert_eq!(said["arguments"]["n"], n);
        assert_eq!(said["server"], ["stream", "json"][n % 2]);
    }
    session.close().await;
}

#[tokio::test]
async fn progress_bears_the_clients_token_and_comes_while_the_call_runs() {
    let (stream, json) = two_servers().await;
    let mut session = Session::start(&[&stream, &json], LEGACY).await;
    for (tool, server) in [("count", &stream), ("json__count", &json)] {
        let call = session.begin(tool).await;
        for step in 1..=3 {
            let token = call.progress_token.clone();
            let progress = ProgressNotificationParam::new(token, f64::from(step))
                .with_total(3.0)
                .with_message(format!("step {step}"));
            assert_eq!(session.heard().await, Heard::Progress(progress));
        }
        // All of it has been heard, and only now may the server answer.
        server.gate.add_permits(1);
        let answer = soon("the answer", call.await_response()).await.unwrap();
        assert_eq!(text_of(answer), "counted");
    }
    session.close().await;
}

/// With a session, the SDK's server logs on the stream that a GET opens, never on the call's own.
#[tokio::test]
async fn a_log_message_on_the_calls_stream_reaches_the_client() {
    let server = Server::start("json", Answers::Json, NEWEST_LEGACY).await;
    let mut session = Session::start(&[&server], LEGACY).await;
    session.call("log", json!({})).await.unwrap();
    let log = json!({"level": "warning", "logger": "lab", "data": {"heat": 451}});
    assert_eq!(session.heard().await, Heard::Log(log));
    session.close().await;
}

#[tokio::test]
async fn a_cancelled_call_stops_on_a_server_with_sessions() {
    let mut server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let session = Session::start(&[&server], LEGACY).await;
    let call = session.begin("hang").await;
    assert_eq!(server.seen().await, Seen::Started);
    call.cancel(Some("enough".to_owned())).await.unwrap();

    // The notification and what it does arrive in either order.
    let seen = [server.seen().await, server.seen().await];
    assert!(seen.contains(&Seen::Stopped), "{seen:?}");
    assert!(seen.contains(&Seen::Cancelled), "{seen:?}");
    session.call("echo", json!({})).await.unwrap();
    session.close().await;
}

/// Without a session, a server can't tell which call a notification means: the connection does.
#[tokio::test]
async fn a_cancelled_call_stops_on_a_server_without_sessions() {
    let mut server = Server::start("json", Answers::Json, NEWEST_LEGACY).await;
    let session = Session::start(&[&server], LEGACY).await;
    let call = session.begin("hang").await;
    assert_eq!(server.seen().await, Seen::Started);
    call.cancel(None).await.unwrap();
    assert_eq!(server.seen().await, Seen::Stopped);
    session.call("echo", json!({})).await.unwrap();
    session.close().await;
}

#[tokio::test]
async fn failures_pass_in_the_servers_own_words() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    for tool in ["fail", "json__fail"] {
        let failed = session.call(tool, json!({"with": "tool_result"})).await;
        let failed = failed.unwrap();
        assert_eq!(failed.is_error, Some(true));
        assert_eq!(failed.content, [ContentBlock::text("the disk is full")]);

        let error = session.call(tool, json!({"with": "json_rpc_error"})).await;
        let Err(ServiceError::McpError(error)) = error else {
            panic!("{error:?} is no JSON-RPC error");
        };
        assert_eq!(error.code, ErrorCode(-32077));
        assert_eq!(error.message, "out of ink");
        assert_eq!(error.data, Some(json!({"refill": [1.5, null, "cyan"]})));
    }

    let error = session.call("no_such_tool", json!({})).await;
    let Err(ServiceError::McpError(error)) = error else {
        panic!("{error:?} is no JSON-RPC error");
    };
    assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
    session.close().await;
}

#[tokio::test]
async fn a_server_asks_in_mid_call_and_gets_the_clients_answers() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let session = Session::start(&[&server], LEGACY).await;
    let asked = session.call("ask", json!({})).await.unwrap();
    let told = json!({
        "elicitation": {"result": {"action": "accept", "content": {"port": 8080}}},
        "sampling": {"result": {
            "role": "assistant",
            "content": {"type": "text", "text": "hi"},
            "model": "a-model",
        }},
        "roots": {"result": {"roots": [{"uri": "file:///work"}]}},
    });
    assert_eq!(asked.structured_content, Some(told));
    session.close().await;
}

#[tokio::test]
async fn a_client_is_asked_for_nothing_that_it_did_not_declare() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let config = client_config(json!({"roots": {}}));
    let session = Session::start_with(&[&server], LEGACY, config).await;
    let asked = session.call("ask", json!({})).await.unwrap();
    let told = json!({
        "elicitation": {"error": -32601},
        "sampling": {"error": -32601},
        "roots": {"result": {"roots": [{"uri": "file:///work"}]}},
    });
    assert_eq!(asked.structured_content, Some(told));
    session.close().await;
}

#[tokio::test]
async fn prompts_of_two_servers_are_listed_filled_in_and_completed() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let prompts = soon("prompts", session.client.list_all_prompts());
    let prompts = prompts.await.unwrap();
    let names: Vec<&str> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(names, ["greet", "json__greet"]);

    for (name, server) in [("greet", "stream"), ("json__greet", "json")] {
        let whom = json!({"whom": "Ada"}).as_object().cloned().unwrap();
        let request = GetPromptRequestParams::new(name).with_arguments(whom);
        let prompt = soon("the prompt", session.client.get_prompt(request));
        let message = prompt.await.unwrap().messages.remove(0);
        let said = format!("greet of {server} greets \"Ada\"");
        assert_eq!(message, PromptMessage::new_text(Role::User, said));

        let argument = ArgumentInfo::new("whom", "wo");
        let request = CompleteRequestParams::new(Reference::for_prompt(name), argument);
        let completed = soon("a completion", session.client.complete(request));
        let values = completed.await.unwrap().completion.values;
        assert_eq!(values, [format!("world, says {server}")]);
    }
    session.close().await;
}

#[tokio::test]
async fn resources_of_two_servers_are_listed_and_read() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let resources = soon("resources", session.client.list_all_resources());
    let resources = resources.await.unwrap();
    let uris: Vec<&str> = resources
        .iter()
        .map(|resource| resource.uri.as_str())
        .collect();
    assert_eq!(uris, ["note://stream/today", "note://json/today"]);

    let templates = soon("templates", session.client.list_all_resource_templates());
    let templates = templates.await.unwrap();
    let templates: Vec<&str> = templates
        .iter()
        .map(|template| template.uri_template.as_str())
        .collect();
    assert_eq!(templates, ["note://stream/{day}", "note://json/{day}"]);

    for server in ["stream", "json"] {
        // One that is listed, and one that only a template covers.
        for day in ["today", "monday"] {
            let uri = format!("note://{server}/{day}");
            let request = ReadResourceRequestParams::new(&uri);
            let read = soon("the note", session.client.read_resource(request));
            let contents = read.await.unwrap().contents;
            let text = format!("{uri} read by {server}");
            assert_eq!(contents, [ResourceContents::text(text, uri)]);
        }
    }
    session.close().await;
}

#[tokio::test]
async fn the_session_on_the_server_ends_with_the_clients() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let session = Session::start(&[&server], LEGACY).await;
    session.call("echo", json!({})).await.unwrap();
    assert_eq!(server.sessions().await, 1);
    session.close().await;
    assert_eq!(server.sessions().await, 0);
}

fn as_json(tools: &[Tool]) -> Value {
    serde_json::to_value(tools).unwrap()
}

fn text_of(answer: ServerResult) -> String {
    let ServerResult::CallToolResult(result) = answer else {
        panic!("{answer:?} is no tool result");
    };
    result.content[0].as_text().unwrap().text.clone()
}
