//! Tests of the test helpers: a fake backend must send what a test scripts, and the protocol
//! checker must report violations.

mod eras;
mod protocol_checker;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::PATIENCE;
use crate::common::fake::{FakeBackend, OnConnect};
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{progress, text};
use crate::common::reply::Reply;
use serde_json::{Value, json};

/// A minimal HTTP client: one connection, and bytes as they come.
struct Client {
    stream: TcpStream,
    session: String,
    /// Further header lines of every request.
    headers: String,
}

impl Client {
    fn connect(fake: &FakeBackend) -> std::io::Result<Self> {
        let url = fake.url();
        let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            session: String::new(),
            headers: String::new(),
        })
    }

    fn in_session(fake: &FakeBackend) -> Self {
        let mut client = Self::connect(fake).unwrap();
        let head = client.ask("initialize", json!({ "protocolVersion": "2025-11-25" }));
        let at = head.find("mcp-session-id: ").unwrap() + "mcp-session-id: ".len();
        client.session = head[at..].lines().next().unwrap().to_owned();
        client
    }

    fn send(&mut self, method: &str, params: Value) {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.send_to("POST /mcp", &body.to_string());
    }

    fn send_to(&mut self, target: &str, body: &str) {
        let session = match self.session.as_str() {
            "" => String::new(),
            session => format!("Mcp-Session-Id: {session}\r\n"),
        };
        let (headers, length) = (&self.headers, body.len());
        let head = format!(
            "{target} HTTP/1.1\r\n{session}{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(head.as_bytes()).unwrap();
    }

    /// Reads up to and including this text, or to the end.
    fn read_to(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(end.as_bytes()) || end.is_empty() {
            match self.stream.read(&mut byte) {
                Ok(1) => seen.push(byte[0]),
                Ok(_) => break,
                Err(error) => return format!("{} then {error}", String::from_utf8_lossy(&seen)),
            }
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Sends a request and reads its whole response.
    fn ask(&mut self, method: &str, params: Value) -> String {
        self.send(method, params);
        self.read_answer()
    }

    fn read_answer(&mut self) -> String {
        let head = self.read_to("\r\n\r\n");
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    fn call(&mut self, tool: &str) -> String {
        self.ask(
            "tools/call",
            json!({ "name": tool, "arguments": { "a": 1 } }),
        )
    }
}

#[test]
fn an_unscripted_fake_answers_correctly() {
    let fake = FakeBackend::start()
        .tool("echo")
        .tool("two")
        .tool("three")
        .page_size(2);
    let mut client = Client::in_session(&fake);
    let first = client.ask("tools/list", json!({}));
    assert!(
        first.contains(r#""nextCursor":"2""#) && first.contains("echo"),
        "{first}"
    );
    let second = client.ask("tools/list", json!({ "cursor": "2" }));
    assert!(
        second.contains("three") && !second.contains("nextCursor"),
        "{second}"
    );
    let answer = client.call("echo");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains(r#""id":7"#) && answer.contains(r#"echo {\"a\":1}"#),
        "{answer}"
    );
    assert!(client.call("unknown").contains("-32602"));
    assert_eq!((fake.runs("echo"), fake.runs("unknown")), (1, 0));
    assert_eq!(fake.connections(), 1);
    assert_eq!(fake.requests_of("tools/list").len(), 2);
    assert_eq!(fake.next_request("tools/call").tool(), "echo");
    assert_eq!(fake.next_request("tools/call").tool(), "unknown");
}

#[test]
fn scripted_replies_come_first_in_order_and_runs_are_counted() {
    let fake = FakeBackend::start().tool("echo");
    fake.on_tool("echo", Reply::status(503).header("retry-after", "1"))
        .on_tool("echo", Reply::status(500))
        .on_tool("echo", Reply::status(503).runs(true));
    let mut client = Client::in_session(&fake);
    assert!(client.call("echo").contains("retry-after: 1"));
    assert!(client.call("echo").starts_with("HTTP/1.1 500"));
    assert!(client.call("echo").starts_with("HTTP/1.1 503"));
    assert!(client.call("echo").starts_with("HTTP/1.1 200"));
    assert_eq!(fake.runs("echo"), 3);
}

#[test]
fn an_unknown_session_gets_404_and_keeps_the_scripted_reply() {
    let fake = FakeBackend::start().tool("echo");
    fake.on_tool("echo", Reply::text("scripted"));
    let mut client = Client::in_session(&fake);
    fake.forget_sessions();
    assert!(client.call("echo").starts_with("HTTP/1.1 404"));
    assert_eq!(fake.runs("echo"), 0);
    assert!(Client::in_session(&fake).call("echo").contains("scripted"));
}

#[test]
fn an_event_goes_out_while_the_next_is_held() {
    let fake = FakeBackend::start().tool("slow");
    let gate = Gate::new();
    let reply = Reply::sse()
        .event(progress(0.5))
        .hold(&gate)
        .event(text("done"));
    fake.on_tool("slow", reply);
    let mut client = Client::in_session(&fake);
    let meta = json!({ "progressToken": "t" });
    client.send("tools/call", json!({ "name": "slow", "_meta": meta }));
    let before = client.read_to("\n\n");
    assert!(before.contains(r#""progressToken":"t""#), "{before}");
    gate.wait_for(1);
    assert!(!before.contains("done"));
    gate.open();
    let after = client.read_to("0\r\n\r\n");
    assert!(after.contains("done"), "{after}");
}

#[test]
fn broken_replies_break_at_the_scripted_step() {
    let fake = FakeBackend::start().tool("t").without_sessions();
    let fresh = || Client::connect(&fake).unwrap();
    let answer_to = |reply: Reply| {
        fake.on_tool("t", reply);
        let mut client = fresh();
        client.send("tools/call", json!({ "name": "t" }));
        client.read_to("")
    };
    assert_eq!(answer_to(Reply::hang_up()), "");
    assert!(answer_to(Reply::reset()).contains("then Connection reset"));
    assert_eq!(answer_to(Reply::raw("nonsense").then_hang_up()), "nonsense");
    let short = answer_to(
        Reply::status(200)
            .body("half")
            .length_off_by(4)
            .then_hang_up(),
    );
    assert!(
        short.contains("content-length: 8") && short.ends_with("\r\n\r\nhalf"),
        "{short}"
    );
    let slow = answer_to(
        Reply::status(200)
            .body("bytes")
            .byte_by_byte(Duration::ZERO)
            .until_close(),
    );
    assert!(slow.ends_with("connection: close\r\n\r\nbytes"), "{slow}");
    let packed = answer_to(Reply::text("zipped").gzip().until_close());
    assert!(packed.contains("content-encoding: gzip") && !packed.contains("zipped"));
    assert_eq!(fake.runs("t"), 6);
}

#[test]
fn connections_are_refused_while_it_is_down_and_served_again_on_the_same_port() {
    let fake = FakeBackend::down().tool("echo");
    assert!(Client::connect(&fake).is_err());
    fake.come_up();
    let mut client = Client::in_session(&fake);
    for _ in 0..5 {
        fake.go_down();
        assert_eq!(client.read_to(""), "");
        assert!(Client::connect(&fake).is_err());
        fake.come_up();
        let session = client.session;
        client = Client::connect(&fake).unwrap();
        client.session = session;
        assert!(client.call("echo").starts_with("HTTP/1.1 200"));
    }
    fake.drop_connections();
    assert_eq!(client.read_to(""), "");
    assert!(Client::connect(&fake).is_ok());
}

#[test]
fn connections_end_before_a_request_when_scripted() {
    let fake = FakeBackend::start();
    fake.on_connect(&[OnConnect::HangUp, OnConnect::Reset]);
    assert_eq!(Client::connect(&fake).unwrap().read_to(""), "");
    assert!(
        Client::connect(&fake)
            .unwrap()
            .read_to("")
            .contains("reset")
    );
    Client::in_session(&fake);
}

#[test]
fn a_test_client_reaches_two_fakes_through_a_gateway() {
    let sqlite = FakeBackend::start().tool("query").tool("slow");
    let n8n = FakeBackend::start().tool("Calculator").sse();
    let mut gateway =
        TestGateway::with_config(&(sqlite.entry("sqlite", "") + &n8n.entry("n8n", "retries = 0")));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["query", "slow", "Calculator"]);
    assert_eq!(
        gateway.call("query", json!({ "a": 1 })).text(),
        r#"query {"a":1}"#
    );

    let gate = Gate::new();
    let reply = Reply::sse()
        .event(progress(0.5))
        .hold(&gate)
        .event(text("done"));
    sqlite.on_tool("slow", reply);
    let slow = gateway.start_call_with_progress("slow", "mine");
    let update = gateway.next_notification("notifications/progress");
    assert_eq!(update.params()["progressToken"], "mine");
    gate.wait_for(1);
    n8n.on_tool("Calculator", Reply::hang_up());
    let lost = gateway.call("Calculator", json!({}));
    assert_eq!(lost.gateway_error(), ("outcome_unknown", "unknown", 1));
    gate.open();
    let answer = gateway.answer(slow);
    assert_eq!(answer.text(), "done");
    assert!(update.at < lost.0.at && lost.0.at < answer.0.at);
    assert_eq!((sqlite.runs("slow"), n8n.runs("Calculator")), (1, 1));

    let held = Gate::new();
    sqlite.on_tool("slow", Reply::text("too late").after(&held));
    let id = gateway.start_call("slow", json!({}));
    held.wait_for(1);
    gateway.cancel(id);
    sqlite.next_request("notifications/cancelled");
    gateway.eof();
    assert_eq!(gateway.exit(), sentinel_gateway::ExitReason::EndOfInput);
    sqlite.next_request("DELETE");
}

#[test]
#[should_panic(expected = "the test left a message unread")]
fn a_response_that_a_test_leaves_unread_is_a_failure() {
    let fake = FakeBackend::start();
    let mut gateway = TestGateway::over(&fake);
    gateway.request("ping", json!({}));
}
