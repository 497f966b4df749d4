//! A backend that goes wrong, one beside it that doesn't, and the gateway between them and a test.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::text;
use crate::common::reply::Reply;

/// Lines of its entry with which the backend's tools have one second.
pub const ONE_SECOND: &str = "tools.timeout_secs = { act = 1, look = 1 }\n";
const INTERNAL_ERROR: i64 = -32603;

/// Two backends behind one gateway. `bad` has the tools `act`, of which nothing is known, and
/// `look`, which may run twice; it gets one retry. A call to the other backend is under way from
/// beginning to end, and must come out well; so must one during each fault.
pub struct Rig {
    pub gateway: TestGateway,
    pub bad: FakeBackend,
    _good: FakeBackend,
    under_way: u64,
    gate: Gate,
}

/// A reply, and what must come of it.
pub struct Fault {
    /// Names it where a test has several.
    pub name: &'static str,
    pub reply: Reply,
    pub class: &'static str,
    pub executed: &'static str,
    /// What the message has to say, beside the backend's name and the tool's fate.
    pub says: &'static str,
    /// How often a tool that may run twice is sent. All others are sent once.
    pub sent_if_safe: u64,
}

impl Rig {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With these further lines in the bad one's entry.
    pub fn with(more: &str) -> Self {
        Self::build("", "", more, json!({}))
    }

    /// The same, at the bad one's address with this query.
    pub fn at(query: &str, more: &str) -> Self {
        Self::build("", query, more, json!({}))
    }

    /// With these lines of `[gateway]`.
    pub fn with_gateway(lines: &str) -> Self {
        Self::build(&format!("[gateway]\n{lines}\n"), "", "", json!({}))
    }

    /// Before a client that can do these things.
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
        let under_way = gateway.start_call("held", json!({}));
        gate.wait_for(1);
        Self {
            gateway,
            bad,
            _good: good,
            under_way,
            gate,
        }
    }

    /// Calls a tool of the bad backend, and one of the other before it may answer.
    pub fn call(&mut self, tool: &str) -> Answer {
        let id = self.gateway.start_call(tool, json!({}));
        self.good_works();
        self.gateway.answer(id)
    }

    /// A call which the other backend answers as ever.
    pub fn good_works(&mut self) {
        assert_eq!(self.gateway.call("other", json!({})).text(), "other {}");
    }

    /// The bad backend dies, and the gateway has seen its connections close: a request that
    /// crosses with the end of its connection may have run for all anybody knows.
    pub fn dies(&mut self) {
        self.bad.go_down();
        self.good_works();
    }

    /// Calls a tool and judges the error.
    pub fn fails(&mut self, tool: &str, verdict: (&str, &str, u64), says: &str) {
        judge(&self.call(tool), verdict, says);
    }

    /// How many calls of a tool have reached the bad backend.
    pub fn sent(&self, tool: &str) -> u64 {
        let calls = self.bad.requests_of("tools/call");
        calls.iter().filter(|call| call.tool() == tool).count() as u64
    }

    /// How many sessions the bad backend was asked for.
    pub fn handshakes(&self) -> usize {
        self.bad.requests_of("initialize").len()
    }

    /// Lets both tools meet the fault, and sees that the next calls are served as ever.
    pub fn suffers(&mut self, fault: Fault) {
        eprintln!("{}", fault.name);
        for (tool, attempts) in [("act", 1), ("look", fault.sent_if_safe)] {
            let before = self.sent(tool);
            self.bad.always_tool(tool, fault.reply.clone());
            self.fails(tool, (fault.class, fault.executed, attempts), fault.says);
            assert_eq!(self.sent(tool) - before, attempts, "{tool}");
            self.bad.reset_script(&format!("tools/call {tool}"));
            self.works(tool);
        }
    }

    /// The tool's own answer comes, at the first attempt.
    pub fn works(&mut self, tool: &str) {
        let before = self.sent(tool);
        assert_eq!(self.call(tool).text(), format!("{tool} {{}}"));
        assert_eq!(self.sent(tool) - before, 1, "{tool}");
    }

    /// The next answer to `act` is this one, and its text gets through.
    pub fn understands(&mut self, reply: Reply, text: &str) {
        let before = self.sent("act");
        self.bad.on_tool("act", reply);
        assert_eq!(self.call("act").text(), text);
        assert_eq!(self.sent("act") - before, 1);
    }
}

/// Checks an error's every part: class, executed, attempts, and that the message serves alone.
pub fn judge(answer: &Answer, (class, executed, attempts): (&str, &str, u64), says: &str) {
    assert_eq!(
        answer.gateway_error(),
        (class, executed, attempts),
        "{answer:?}"
    );
    assert_eq!(answer.code(), INTERNAL_ERROR);
    assert_eq!(answer.error()["data"]["backend"], "bad");
    let fate = match executed {
        "no" => "; the tool did not run",
        _ => "; the tool MAY HAVE RUN: check before calling again",
    };
    let message = answer.message();
    assert!(message.starts_with("bad: "), "{message}");
    assert!(message.contains(says), "{says:?} is not in {message:?}");
    assert!(message.ends_with(fate), "{message}");
    assert!(message.len() < 600, "too long to read: {message}");
    assert!(!message.contains(char::is_control), "{message:?}");
}

/// A batch with an answer to whatever was asked, for bodies that are made before the request is.
pub fn answers_to_all(words: &str) -> String {
    let answer = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "text": words }] } });
    json!((0..10_000).map(answer).collect::<Vec<_>>()).to_string()
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.gate.open();
            assert_eq!(self.gateway.answer(self.under_way).text(), "unharmed");
        }
    }
}
