//! A faulty backend, a good one beside it, and the gateway between them and a test.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::text;
use crate::common::reply::Reply;

/// Lines of the backend's entry that give its tools one second.
pub const ONE_SECOND: &str = "tools.timeout_secs = { act = 1, look = 1 }\n";
const INTERNAL_ERROR: i64 = -32603;

/// Two backends behind one gateway. `bad` has the tools `act`, without annotations, and `look`,
/// which is read-only and so may run twice; calls get one retry. One call to the good backend is in
/// flight from beginning to end and must succeed, and so must one call to it during each fault.
pub struct Fixture {
    pub gateway: TestGateway,
    pub bad: FakeBackend,
    _good: FakeBackend,
    in_flight: u64,
    gate: Gate,
}

/// A faulty reply, and the expected result.
pub struct Fault {
    /// Identifies the fault where a test has several.
    pub name: &'static str,
    pub reply: Reply,
    pub class: &'static str,
    pub executed: &'static str,
    /// What the message contains, beside the backend's name and whether the tool ran.
    pub expected_text: &'static str,
    /// How often a call of a read-only tool is sent. Other calls are sent once.
    pub sent_if_safe: u64,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With these additional lines in the bad backend's entry.
    pub fn with(more: &str) -> Self {
        Self::build("", "", more, json!({}))
    }

    /// As [`Self::with`], with this query in the bad backend's URL.
    pub fn at(query: &str, more: &str) -> Self {
        Self::build("", query, more, json!({}))
    }

    /// With these lines in `[gateway]`.
    pub fn with_gateway(lines: &str) -> Self {
        Self::build(&format!("[gateway]\n{lines}\n"), "", "", json!({}))
    }

    /// With a client that declares these capabilities.
    pub fn with_client(capabilities: Value) -> Self {
        Self::build("", "", "", capabilities)
    }

    fn build(top: &str, query: &str, more: &str, capabilities: Value) -> Self {
        let bad = FakeBackend::start()
            .tool("act")
            .tool_with("look", json!({ "annotations": { "readOnlyHint": true } }));
        let good = FakeBackend::start().tool("other").tool("held");
        let gate = Gate::new();
        let held = Reply::sse().hold(&gate).event(text("unharmed"));
        good.on_tool("held", held);
        let entry = bad.entry("bad", &format!("retries = 1\n{more}"));
        let entry = entry.replace("/mcp", &format!("/mcp{query}"));
        let config = format!("{top}{entry}{}", good.entry("good", ""));
        let mut gateway = TestGateway::with_config(&config);
        gateway.initialize_with("2025-11-25", capabilities);
        let in_flight = gateway.start_call("held", json!({}));
        gate.wait_for(1);
        Self {
            gateway,
            bad,
            _good: good,
            in_flight,
            gate,
        }
    }

    /// Calls a tool of the bad backend, and one of the good backend before reading the answer.
    pub fn call(&mut self, tool: &str) -> Answer {
        let id = self.gateway.start_call(tool, json!({}));
        self.check_good_backend();
        self.gateway.answer(id)
    }

    /// Makes a call to the good backend, which must succeed.
    pub fn check_good_backend(&mut self) {
        assert_eq!(self.gateway.call("other", json!({})).text(), "other {}");
    }

    /// Stops the bad backend and waits until the gateway has seen its connections close. A request
    /// sent while its connection closes would count as possibly executed.
    pub fn stop_bad_backend(&mut self) {
        self.bad.go_down();
        self.check_good_backend();
    }

    /// Calls a tool and checks the error.
    pub fn expect_error(&mut self, tool: &str, verdict: (&str, &str, u64), expected_text: &str) {
        check_error(&self.call(tool), verdict, expected_text);
    }

    /// The number of calls of a tool that have reached the bad backend.
    pub fn sent(&self, tool: &str) -> u64 {
        let calls = self.bad.requests_of("tools/call");
        calls.iter().filter(|call| call.tool() == tool).count() as u64
    }

    /// The number of `initialize` requests that the bad backend got.
    pub fn handshakes(&self) -> usize {
        self.bad.requests_of("initialize").len()
    }

    /// Checks the fault with both tools, and that the next calls succeed.
    pub fn check_fault(&mut self, fault: Fault) {
        eprintln!("{}", fault.name);
        for (tool, attempts) in [("act", 1), ("look", fault.sent_if_safe)] {
            let before = self.sent(tool);
            self.bad.always_tool(tool, fault.reply.clone());
            self.expect_error(
                tool,
                (fault.class, fault.executed, attempts),
                fault.expected_text,
            );
            assert_eq!(self.sent(tool) - before, attempts, "{tool}");
            self.bad.reset_script(&format!("tools/call {tool}"));
            self.expect_success(tool);
        }
    }

    /// Calls a tool, which must succeed at the first attempt.
    pub fn expect_success(&mut self, tool: &str) {
        let before = self.sent(tool);
        assert_eq!(self.call(tool).text(), format!("{tool} {{}}"));
        assert_eq!(self.sent(tool) - before, 1, "{tool}");
    }

    /// Answers the next call of `act` with this reply, whose text must reach the client.
    pub fn expect_text(&mut self, reply: Reply, text: &str) {
        let before = self.sent("act");
        self.bad.on_tool("act", reply);
        assert_eq!(self.call("act").text(), text);
        assert_eq!(self.sent("act") - before, 1);
    }
}

/// Checks every part of an error: class, executed, attempts, and a self-contained message.
pub fn check_error(
    answer: &Answer,
    (class, executed, attempts): (&str, &str, u64),
    expected_text: &str,
) {
    assert_eq!(
        answer.gateway_error(),
        (class, executed, attempts),
        "{answer:?}"
    );
    assert_eq!(answer.code(), INTERNAL_ERROR);
    assert_eq!(answer.error()["data"]["backend"], "bad");
    let ending = match executed {
        "no" => "; the tool did not run",
        _ => "; the tool MAY HAVE RUN: check before calling again",
    };
    let message = answer.message();
    assert!(message.starts_with("bad: "), "{message}");
    assert!(
        message.contains(expected_text),
        "{expected_text:?} is not in {message:?}"
    );
    assert!(message.ends_with(ending), "{message}");
    assert!(message.len() < 600, "too long to read: {message}");
    assert!(!message.contains(char::is_control), "{message:?}");
}

/// A batch with an answer for every id below 10,000, for bodies built before the request is known.
pub fn answers_to_all(words: &str) -> String {
    let answer = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "text": words }] } });
    // Where our ids begin.
    json!((1_000_001..1_010_001).map(answer).collect::<Vec<_>>()).to_string()
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.gate.open();
            assert_eq!(self.gateway.answer(self.in_flight).text(), "unharmed");
        }
    }
}
