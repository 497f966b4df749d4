//! Traces and metrics: what a collector gets of requests, and that one that misbehaves costs nothing.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;

use crate::common::canary;
use crate::common::collector::{self, Answer, Collector, attribute};
use crate::common::fake::FakeBackend;
use crate::common::gateway::{TestGateway, save};
use crate::common::reply::Reply;

/// Of the W3C's examples.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
/// Of a status.
const ERROR: i32 = 2;

fn config(collector: &Collector, more: &str, backend: &FakeBackend) -> String {
    let url = collector.url();
    format!(
        "[telemetry]\notlp_endpoint = {url:?}\ninterval_secs = 1\n{more}\n{}",
        backend.entry("one", "")
    )
}

/// Waits for the span of a request: of this kind, with this name.
fn span(collector: &Collector, kind: i32, name: &str) -> Span {
    collector.wait_for(|exports| {
        let mut spans = collector::spans(exports).into_iter();
        spans.find(|span| span.kind == kind && span.name == name)
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_and_each_attempt_have_a_span_in_the_clients_trace() {
    let backend =
        FakeBackend::start().tool_with("act", json!({ "annotations": { "readOnlyHint": true } }));
    backend.on_tool("act", Reply::status(503));
    let collector = Collector::start([]);
    let mut gateway = TestGateway::with_config(&config(&collector, "", &backend));
    gateway.initialize();
    let meta =
        json!({ "traceparent": format!("00-{TRACE}-{PARENT}-01"), "tracestate": "v=1", "x": 1 });
    let id = gateway.request(
        "tools/call",
        json!({ "name": "act", "arguments": {}, "_meta": meta }),
    );
    gateway.answer(id).result();

    let request = span(&collector, SERVER, "tools/call act");
    assert_eq!(
        (hex(&request.trace_id), hex(&request.parent_span_id)),
        (TRACE.into(), PARENT.into())
    );
    for (key, expected) in [
        ("mcp.method.name", "tools/call"),
        ("gen_ai.tool.name", "act"),
        ("gen_ai.operation.name", "execute_tool"),
        ("network.transport", "pipe"),
        ("sentinel.backend", "one"),
        ("sentinel.attempts", "2"),
        ("sentinel.executed", "yes"),
        ("error.type", ""),
    ] {
        assert_eq!(attribute(&request.attributes, key), expected, "{key}");
    }
    assert_eq!(
        attribute(&request.attributes, "jsonrpc.request.id"),
        id.to_string()
    );

    let mut keys: Vec<&str> = (request.attributes.iter())
        .map(|attribute| attribute.key.as_str())
        .collect();
    keys.sort_unstable();
    assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");

    // The backend is in the trace of the attempt that it got.
    let attempts = collector.wait_for(|exports| {
        let spans = collector::spans(exports).into_iter();
        let attempts: Vec<Span> = spans
            .filter(|span| span.kind == CLIENT && span.name == "tools/call act")
            .collect();
        (attempts.len() == 2).then_some(attempts)
    });
    let calls = backend.requests_of("tools/call");
    assert_eq!(calls.len(), 2);
    for (number, (attempt, call)) in attempts.iter().zip(&calls).enumerate() {
        assert_eq!(attempt.parent_span_id, request.span_id);
        let expected = format!("00-{TRACE}-{}-01", hex(&attempt.span_id));
        let meta = &call.message["params"]["_meta"];
        assert_eq!(meta["traceparent"], *expected);
        assert_eq!(
            (&meta["tracestate"], &meta["x"]),
            (&json!("v=1"), &json!(1))
        );
        assert_eq!(call.header("traceparent"), Some(&*expected));
        assert_eq!(call.header("tracestate"), Some("v=1"));
        let attributes = &attempt.attributes;
        assert_eq!(
            attribute(attributes, "sentinel.attempt"),
            (number + 1).to_string()
        );
        assert_eq!(attribute(attributes, "server.address"), "127.0.0.1");
        assert_eq!(
            attribute(attributes, "server.port"),
            backend.port().to_string()
        );
        assert_eq!(attribute(attributes, "network.transport"), "tcp");
        assert!(!attribute(attributes, "mcp.protocol.version").is_empty());
    }
    assert_eq!(attempts[0].status.as_ref().unwrap().code, ERROR);
    assert!(!attribute(&attempts[0].attributes, "error.type").is_empty());
    assert_eq!(attempts[1].status.as_ref().unwrap().code, 0);
}

#[test]
fn durations_are_counted_by_method_tool_and_error() {
    let backend = FakeBackend::start().tool("act");
    let collector = Collector::start([]);
    let mut gateway = TestGateway::with_config(&config(&collector, "sample_percent = 0", &backend));
    gateway.initialize();
    gateway.call("act", json!({})).result();
    backend.on_tool(
        "act",
        Reply::result(json!({ "content": [], "isError": true })),
    );
    gateway.call("act", json!({})).result();
    assert_eq!(gateway.call("no-such-tool", json!({})).code(), -32602);
    let count = |name: &str, tool: &str, error: &str| {
        collector.wait_for(|exports| {
            let points = collector::histogram(exports, name).into_iter();
            let mut points = points.filter(|(attributes, _)| {
                attribute(attributes, "mcp.method.name") == "tools/call"
                    && attribute(attributes, "gen_ai.tool.name") == tool
                    && attribute(attributes, "error.type") == error
            });
            points.next().map(|(_, count)| count)
        })
    };
    let server = "mcp.server.operation.duration";
    assert_eq!(count(server, "act", ""), 1);
    assert_eq!(count(server, "act", "tool_error"), 1);
    assert_eq!(count(server, "_OTHER", "refused"), 1);
    assert_eq!(count("mcp.client.operation.duration", "act", ""), 1);
    // What a client or a server may choose makes no series of its own.
    backend.on_tool("act", Reply::error(7, "odd"));
    assert_eq!(gateway.call("act", json!({})).code(), 7);
    assert_eq!(count(server, "act", "_OTHER"), 1);
    // Nothing was sampled; the backend is told so.
    assert!(collector::spans(&collector.exports()).is_empty());
    let call = &backend.requests_of("tools/call")[0];
    assert!(call.header("traceparent").unwrap().ends_with("-00"));
}

#[test]
fn sessions_refusals_records_and_the_breaker_are_told() {
    let backend = FakeBackend::start().tool("act");
    let collector = Collector::start([]);
    let folder = tempfile::tempdir().unwrap();
    let toml = config(&collector, "[audit]\nfile = \"audit.jsonl\"", &backend);
    let mut gateway =
        TestGateway::in_folder(folder.path(), &(toml.clone() + "rate_per_minute = 1\n"));
    gateway.initialize();
    gateway.call("act", json!({})).result();
    for _ in 0..2 {
        gateway.call("act", json!({})).error();
    }
    let until = |name: &str, backend: &str, expected: i64| {
        collector.wait_for(|exports| {
            let mut points = collector::numbers(exports, name).into_iter();
            points.find(|(attributes, number)| {
                attribute(attributes, "sentinel.backend") == backend && *number == expected
            })
        });
    };
    until("sentinel.rate_limited", "one", 2);
    until("sentinel.audit.written", "", 3);
    until("sentinel.audit.dropped", "", 0);
    until("sentinel.breaker.open", "one", 0);

    // The session is lost, and another one takes its place.
    backend.forget_sessions();
    save(
        folder.path(),
        &canary::plant(&(toml + "retries = 0\n"), folder.path()),
    );
    gateway.call_until_success("act");
    for _ in 0..5 {
        backend.on_tool("act", Reply::status(503));
        gateway.call("act", json!({})).error();
    }
    until("sentinel.breaker.open", "one", 1);
    let reloads = |result: &str, expected: i64| {
        collector.wait_for(|exports| {
            let mut points = collector::numbers(exports, "sentinel.reloads").into_iter();
            points.find(|(attributes, number)| {
                attribute(attributes, "result") == result && *number == expected
            })
        });
    };
    reloads("applied", 1);
    reloads("refused", 0);
    save(folder.path(), "nonsense");
    reloads("refused", 1);
    gateway.eof();
    gateway.exit();
    let ended = |name: &str, transport: &str, error: &str| {
        collector.wait_for(|exports| {
            let points = collector::histogram(exports, name).into_iter();
            let mut points = points.filter(|(attributes, _)| {
                attribute(attributes, "network.transport") == transport
                    && attribute(attributes, "mcp.protocol.version") == "2025-11-25"
                    && attribute(attributes, "error.type") == error
            });
            points.next().map(|(_, count)| count)
        })
    };
    assert_eq!(
        ended("mcp.client.session.duration", "tcp", "disconnected"),
        1
    );
    assert_eq!(ended("mcp.client.session.duration", "tcp", ""), 1);
    assert_eq!(ended("mcp.server.session.duration", "pipe", ""), 1);
}

/// What passed between client and server before is unchanged without a collector.
#[test]
fn without_a_collector_the_trace_context_passes_as_it_is() {
    let backend = FakeBackend::start().tool("act");
    let mut gateway = TestGateway::over(&backend);
    gateway.initialize();
    let meta = json!({ "traceparent": format!("00-{TRACE}-{PARENT}-01") });
    let id = gateway.request(
        "tools/call",
        json!({ "name": "act", "arguments": {}, "_meta": meta }),
    );
    gateway.answer(id).result();
    let call = &backend.requests_of("tools/call")[0];
    assert_eq!(call.message["params"]["_meta"], meta);
    assert_eq!(call.header("traceparent"), None);
}

#[test]
fn a_collector_that_refuses_lies_or_hangs_costs_no_call_anything() {
    let lie = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 3,
            error_message: "quota".into(),
        }),
    };
    for (what, answer) in [
        (
            "refuses",
            Answer::With("HTTP/1.1 403 Forbidden", Vec::new()),
        ),
        (
            "takes a part",
            Answer::With("HTTP/1.1 200 OK", lie.encode_to_vec()),
        ),
        (
            "answers nonsense",
            Answer::With("HTTP/1.1 200 OK", vec![b'{'; 200_000]),
        ),
        (
            "redirects",
            Answer::With(
                "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:9/",
                Vec::new(),
            ),
        ),
        (
            "asks for a pause without end",
            Answer::With(
                "HTTP/1.1 503 Unavailable\r\nretry-after: 18446744073709551615",
                Vec::new(),
            ),
        ),
        ("hangs", Answer::Hang),
    ] {
        let backend = FakeBackend::start().tool("act");
        let collector = Collector::start(vec![answer; 100]);
        let mut gateway = TestGateway::with_config(&config(&collector, "", &backend));
        gateway.initialize();
        assert_eq!(gateway.call("act", json!({})).text(), "act {}", "{what}");
        collector.wait_for(|exports| (!exports.is_empty()).then_some(()));
        assert_eq!(gateway.call("act", json!({})).text(), "act {}", "{what}");
        // It ends in time, whatever the collector does.
        gateway.shut_down();
    }
}

#[test]
fn headers_for_the_collector_are_secrets() {
    let backend = FakeBackend::start().tool("act");
    let collector = Collector::start([]);
    let more = r#"headers = { "api-key" = { env = "CANARY_ENV" } }"#;
    let mut gateway = TestGateway::with_config(&config(&collector, more, &backend));
    gateway.initialize();
    gateway.call("act", json!({})).result();
    let key = collector.wait_for(|exports| {
        let header = exports.first()?.headers.iter();
        let mut keys = header.filter(|(name, _)| name == "api-key");
        keys.next().map(|(_, value)| value.clone())
    });
    assert!(!key.is_empty());
}
