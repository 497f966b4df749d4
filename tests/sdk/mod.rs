//! The gateway with an independent implementation of the protocol on both sides: the client of the
//! official Rust SDK launches the real binary, and servers of the SDK are its backends. Only the
//! servers' tools are written for these tests.
//!
//! Most tests use two servers, `stream` and `json`, with the same tools. They answer in the two
//! forms of Streamable HTTP. The tools of the second server are listed with its name as a prefix.

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

use client::{ClientEvent, LEGACY, Session, client_config};
use server::{Answers, CallEvent, Server};

/// The newest version of the legacy era.
const NEWEST_LEGACY: ProtocolVersion = ProtocolVersion::V_2025_11_25;

/// Awaits a future.
///
/// # Panics
/// If it isn't ready within 30 seconds.
pub(crate) async fn within_timeout<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .unwrap_or_else(|_| panic!("timed out waiting for {what}"))
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

/// By default the SDK sends its newest version in `initialize`, although that version has no
/// `initialize`.
#[tokio::test]
async fn initialize_with_a_modern_version_gets_the_newest_legacy_version() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let config = client_config(json!({}));
    assert!(!config.protocol_version.has_initialize());
    let session = Session::start_with(&[&server], LEGACY, config).await;
    let gateway = session.client.peer_info().unwrap();
    assert_eq!(gateway.protocol_version, NEWEST_LEGACY);
    session.close().await;
}

/// Such a client sends `server/discover` first, and falls back to `initialize` after an error.
#[tokio::test]
async fn a_client_that_probes_for_the_era_works() {
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
async fn tools_of_two_servers_are_listed_with_complete_definitions() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let listed = within_timeout("tools", session.client.list_all_tools())
        .await
        .unwrap();

    let own = as_json(&Server::tools());
    let expected = [("stream", ""), ("json", "json__")].map(|(server, prefix)| {
        let mut tools = own.as_array().unwrap().clone();
        for tool in &mut tools {
            let name = format!("{prefix}{}", tool["name"].as_str().unwrap());
            tool["name"] = json!(name);
            tool["_meta"]["sentinel-gateway/backend"] = json!(server);
        }
        tools
    });
    assert_eq!(as_json(&listed), json!(expected.concat()));
    session.close().await;
}

#[tokio::test]
async fn arguments_of_every_type_arrive_unchanged() {
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
            let expected = json!({"server": server, "arguments": arguments});
            assert_eq!(echo.structured_content.as_ref(), Some(&expected));
            assert_eq!(echo.content, [ContentBlock::text(expected.to_string())]);
            assert_eq!(echo.is_error, Some(false));
        }
    }
    session.close().await;
}

#[tokio::test]
async fn concurrent_calls_each_get_their_own_answer() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let answers = join_all((0..100).map(|n| {
        let tool = ["echo", "json__echo"][n % 2];
        session.call(tool, json!({"n": n}))
    }));
    for (n, answer) in answers.await.into_iter().enumerate() {
        let content = answer.unwrap().structured_content.unwrap();
        assert_eq!(content["arguments"]["n"], n);
        assert_eq!(content["server"], ["stream", "json"][n % 2]);
    }
    session.close().await;
}

#[tokio::test]
async fn progress_has_the_clients_token_and_arrives_during_the_call() {
    let (stream, json) = two_servers().await;
    let mut session = Session::start(&[&stream, &json], LEGACY).await;
    for (tool, server) in [("count", &stream), ("json__count", &json)] {
        let call = session.begin(tool).await;
        for step in 1..=3 {
            let token = call.progress_token.clone();
            let progress = ProgressNotificationParam::new(token, f64::from(step))
                .with_total(3.0)
                .with_message(format!("step {step}"));
            assert_eq!(session.next_event().await, ClientEvent::Progress(progress));
        }
        // The server may answer only after all progress has arrived.
        server.gate.add_permits(1);
        let answer = within_timeout("the answer", call.await_response())
            .await
            .unwrap();
        assert_eq!(text_of(answer), "counted");
    }
    session.close().await;
}

/// The server has no session: with one, the SDK's server logs on the GET stream instead.
#[tokio::test]
async fn a_log_message_on_the_calls_stream_reaches_the_client() {
    let server = Server::start("json", Answers::Json, NEWEST_LEGACY).await;
    let mut session = Session::start(&[&server], LEGACY).await;
    session.call("log", json!({})).await.unwrap();
    let log = json!({"level": "warning", "logger": "lab", "data": {"heat": 451}});
    assert_eq!(session.next_event().await, ClientEvent::Log(log));
    session.close().await;
}

#[tokio::test]
async fn a_cancelled_call_stops_on_a_server_with_sessions() {
    let mut server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let session = Session::start(&[&server], LEGACY).await;
    let call = session.begin("hang").await;
    assert_eq!(server.next_event().await, CallEvent::Started);
    call.cancel(Some("enough".to_owned())).await.unwrap();

    // The notification and its effect arrive in either order.
    let seen = [server.next_event().await, server.next_event().await];
    assert!(seen.contains(&CallEvent::Stopped), "{seen:?}");
    assert!(seen.contains(&CallEvent::Cancelled), "{seen:?}");
    session.call("echo", json!({})).await.unwrap();
    session.close().await;
}

/// Without a session, a server can't match the notification to a call. It sees the connection close.
#[tokio::test]
async fn a_cancelled_call_stops_on_a_server_without_sessions() {
    let mut server = Server::start("json", Answers::Json, NEWEST_LEGACY).await;
    let session = Session::start(&[&server], LEGACY).await;
    let call = session.begin("hang").await;
    assert_eq!(server.next_event().await, CallEvent::Started);
    call.cancel(None).await.unwrap();
    assert_eq!(server.next_event().await, CallEvent::Stopped);
    session.call("echo", json!({})).await.unwrap();
    session.close().await;
}

#[tokio::test]
async fn errors_of_servers_are_forwarded_unchanged() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    for tool in ["fail", "json__fail"] {
        let failed = session.call(tool, json!({"with": "tool_result"})).await;
        let failed = failed.unwrap();
        assert_eq!(failed.is_error, Some(true));
        assert_eq!(failed.content, [ContentBlock::text("the disk is full")]);

        let error = session.call(tool, json!({"with": "json_rpc_error"})).await;
        let Err(ServiceError::McpError(error)) = error else {
            panic!("{error:?} is not a JSON-RPC error");
        };
        assert_eq!(error.code, ErrorCode(-32077));
        assert_eq!(error.message, "out of ink");
        assert_eq!(error.data, Some(json!({"refill": [1.5, null, "cyan"]})));
    }

    let error = session.call("no_such_tool", json!({})).await;
    let Err(ServiceError::McpError(error)) = error else {
        panic!("{error:?} is not a JSON-RPC error");
    };
    assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
    session.close().await;
}

#[tokio::test]
async fn server_requests_during_a_call_get_the_clients_answers() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let session = Session::start(&[&server], LEGACY).await;
    let asked = session.call("ask", json!({})).await.unwrap();
    let expected = json!({
        "elicitation": {"result": {"action": "accept", "content": {"port": 8080}}},
        "sampling": {"result": {
            "role": "assistant",
            "content": {"type": "text", "text": "hi"},
            "model": "a-model",
        }},
        "roots": {"result": {"roots": [{"uri": "file:///work"}]}},
    });
    assert_eq!(asked.structured_content, Some(expected));
    session.close().await;
}

#[tokio::test]
async fn a_client_gets_no_server_request_that_it_did_not_declare() {
    let server = Server::start("stream", Answers::Stream, NEWEST_LEGACY).await;
    let config = client_config(json!({"roots": {}}));
    let session = Session::start_with(&[&server], LEGACY, config).await;
    let asked = session.call("ask", json!({})).await.unwrap();
    let expected = json!({
        "elicitation": {"error": -32601},
        "sampling": {"error": -32601},
        "roots": {"result": {"roots": [{"uri": "file:///work"}]}},
    });
    assert_eq!(asked.structured_content, Some(expected));
    session.close().await;
}

#[tokio::test]
async fn prompts_of_two_servers_are_listed_filled_in_and_completed() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let prompts = within_timeout("prompts", session.client.list_all_prompts());
    let prompts = prompts.await.unwrap();
    let names: Vec<&str> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(names, ["greet", "json__greet"]);

    for (name, server) in [("greet", "stream"), ("json__greet", "json")] {
        let whom = json!({"whom": "Ada"}).as_object().cloned().unwrap();
        let request = GetPromptRequestParams::new(name).with_arguments(whom);
        let prompt = within_timeout("the prompt", session.client.get_prompt(request));
        let message = prompt.await.unwrap().messages.remove(0);
        let text = format!("greet of {server} greets \"Ada\"");
        assert_eq!(message, PromptMessage::new_text(Role::User, text));

        let argument = ArgumentInfo::new("whom", "wo");
        let request = CompleteRequestParams::new(Reference::for_prompt(name), argument);
        let completed = within_timeout("a completion", session.client.complete(request));
        let values = completed.await.unwrap().completion.values;
        assert_eq!(values, [format!("world, says {server}")]);
    }
    session.close().await;
}

#[tokio::test]
async fn resources_of_two_servers_are_listed_and_read() {
    let (stream, json) = two_servers().await;
    let session = Session::start(&[&stream, &json], LEGACY).await;
    let resources = within_timeout("resources", session.client.list_all_resources());
    let resources = resources.await.unwrap();
    let uris: Vec<&str> = resources
        .iter()
        .map(|resource| resource.uri.as_str())
        .collect();
    assert_eq!(uris, ["note://stream/today", "note://json/today"]);

    let templates = within_timeout("templates", session.client.list_all_resource_templates());
    let templates = templates.await.unwrap();
    let templates: Vec<&str> = templates
        .iter()
        .map(|template| template.uri_template.as_str())
        .collect();
    assert_eq!(templates, ["note://stream/{day}", "note://json/{day}"]);

    for server in ["stream", "json"] {
        // One resource is listed, the other is only covered by a template.
        for day in ["today", "monday"] {
            let uri = format!("note://{server}/{day}");
            let request = ReadResourceRequestParams::new(&uri);
            let read = within_timeout("the note", session.client.read_resource(request));
            let contents = read.await.unwrap().contents;
            let text = format!("{uri} read by {server}");
            assert_eq!(contents, [ResourceContents::text(text, uri)]);
        }
    }
    session.close().await;
}

#[tokio::test]
async fn the_session_on_the_server_ends_with_that_of_the_client() {
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
        panic!("{answer:?} is not a tool result");
    };
    result.content[0].as_text().unwrap().text.clone()
}
