//! A reply of a [`FakeBackend`](super::fake::FakeBackend) to one request: what goes over the wire
//! and when.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::gate::Gate;
use super::live_stream::LiveStream;
use super::message;

/// One HTTP response, valid or broken.
///
/// Text is a template: see [`message`]. Steps happen in the order they are written:
/// `Reply::sse().event(progress(1.0)).hold(&gate).event(text("done"))`.
#[derive(Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
    pub(super) steps: Vec<Step>,
    pub(super) pace: Option<Duration>,
    pub(super) gzip: bool,
    runs: Option<bool>,
}

/// How the end of the body is signalled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// `content-length`, `excess` bytes more than the body has (or fewer, if negative).
    Length { excess: isize },
    /// `transfer-encoding: chunked`, one chunk per step.
    Chunked,
    /// By closing the connection.
    Close,
    /// No head: only the steps are sent.
    Raw,
}

#[derive(Clone)]
pub(super) enum Step {
    Text(String),
    Bytes(Vec<u8>),
    Hold(Gate),
    Live(LiveStream),
    Pause(Duration),
    /// The same before the head is sent.
    Delay(Duration),
    /// Sends nothing more until the client disconnects.
    Stall,
    HangUp,
    Reset,
}

impl Reply {
    fn new(status: u16, framing: Framing) -> Self {
        Self {
            status,
            headers: Vec::new(),
            framing,
            steps: Vec::new(),
            pace: None,
            gzip: false,
            runs: None,
        }
    }

    /// A response with an empty body.
    pub fn status(status: u16) -> Self {
        Self::new(status, Framing::Length { excess: 0 })
    }

    /// 200 with one JSON message.
    pub fn json(message: &Value) -> Self {
        Self::json_as(200, message)
    }

    /// Any status with one JSON message.
    pub fn json_as(status: u16, message: &Value) -> Self {
        Self::status(status)
            .header("content-type", "application/json")
            .body(message.to_string())
    }

    /// 200 with a result as JSON.
    pub fn result(result: Value) -> Self {
        Self::json(&message::result(result))
    }

    /// 200 with a tool's text as JSON.
    pub fn text(text: &str) -> Self {
        Self::json(&message::text(text))
    }

    /// 200 with a JSON-RPC error as JSON.
    pub fn error(code: i64, message: &str) -> Self {
        Self::json(&message::error(code, message))
    }

    /// 200 with a result of type `input_required`. The tool doesn't run.
    pub fn input_required(requests: &Value, state: Option<&str>) -> Self {
        Self::json(&message::input_required(requests, state)).runs(false)
    }

    /// 200 with an event stream, to which [`event`](Self::event) adds. It ends after the last step.
    pub fn sse() -> Self {
        Self::new(200, Framing::Chunked).header("content-type", "text/event-stream")
    }

    /// Exactly these bytes, head included; the connection stays open after them.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let mut reply = Self::new(0, Framing::Raw);
        reply.steps.push(Step::Bytes(bytes.into()));
        reply
    }

    /// Reads the request and closes the connection without a response.
    pub fn hang_up() -> Self {
        Self::raw("").then_hang_up()
    }

    /// Reads the request and resets the connection.
    pub fn reset() -> Self {
        Self::raw("").then_reset()
    }

    /// Reads the request and never answers.
    pub fn stall() -> Self {
        Self::raw("").then_stall()
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds to the body.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.steps.push(Step::Text(text.into()));
        self
    }

    /// Adds bytes to the body, as they are.
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Bytes(bytes.into()));
        self
    }

    /// Adds an event with this message.
    pub fn event(self, message: Value) -> Self {
        self.body(format!("event: message\ndata: {message}\n\n"))
    }

    /// Adds an event with an id, a reconnection time in milliseconds, and no data.
    pub fn priming_event(self, id: &str, retry_ms: u64) -> Self {
        self.body(format!("id: {id}\nretry: {retry_ms}\ndata:\n\n"))
    }

    /// Adds an event with this message and an id.
    pub fn event_with_id(self, id: &str, message: Value) -> Self {
        self.body(format!("id: {id}\ndata: {message}\n\n"))
    }

    /// Waits until the gate is open; everything before it has been sent.
    pub fn hold(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Hold(gate.clone()));
        self
    }

    /// Waits this long; everything before it has been sent.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.steps.push(Step::Pause(pause));
        self
    }

    /// Sends nothing, not even the head, for this long.
    pub fn after_pause(mut self, pause: Duration) -> Self {
        self.steps.insert(0, Step::Delay(pause));
        self
    }

    /// Continues as a stream that the test writes to.
    pub fn live(mut self, live: &LiveStream) -> Self {
        self.steps.push(Step::Live(live.clone()));
        self
    }

    /// Sends nothing, not even the head, before the gate is open.
    pub fn after(mut self, gate: &Gate) -> Self {
        self.steps.insert(0, Step::Hold(gate.clone()));
        self
    }

    /// Sends nothing more, and keeps the connection open.
    pub fn then_stall(mut self) -> Self {
        self.steps.push(Step::Stall);
        self
    }

    /// Closes the connection here, even if the body is incomplete.
    pub fn then_hang_up(mut self) -> Self {
        self.steps.push(Step::HangUp);
        self
    }

    /// Resets the connection here.
    pub fn then_reset(mut self) -> Self {
        self.steps.push(Step::Reset);
        self
    }

    /// The body ends with the connection, without a length.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    /// `content-length` is this many bytes more than the body has, or fewer if negative.
    pub fn length_off_by(mut self, excess: isize) -> Self {
        self.framing = Framing::Length { excess };
        self
    }

    /// Sends one byte at a time, with this pause between two bytes.
    pub fn byte_by_byte(mut self, pause: Duration) -> Self {
        self.pace = Some(pause);
        self
    }

    /// Sends the body compressed by gzip, in one piece.
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self.header("content-encoding", "gzip")
    }

    /// Sends this body compressed by brotli; it is no template.
    pub fn brotli(self, body: &[u8]) -> Self {
        let mut packed = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 22);
        packed.write_all(body).unwrap();
        let header = self.header("content-encoding", "br");
        header.bytes(packed.into_inner())
    }

    /// Whether a call with this reply counts as a run of the tool. The default is no for 4xx and
    /// 503; a server that dies during a call behind a proxy is `Reply::status(503).runs(true)`.
    pub fn runs(mut self, runs: bool) -> Self {
        self.runs = Some(runs);
        self
    }

    /// Whether it holds at a place where the whole response has already been sent.
    pub(super) fn holds_nothing(&self) -> bool {
        let at_end = matches!(self.steps.last(), Some(Step::Hold(_))) && self.steps.len() > 1;
        at_end && matches!(self.framing, Framing::Length { .. })
    }

    /// Whether it has no head of its own.
    pub(super) fn is_raw(&self) -> bool {
        self.framing == Framing::Raw
    }

    pub(super) fn is_stream(&self) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|(_, value)| value == "text/event-stream")
    }

    pub fn tool_runs(&self) -> bool {
        let refused = (400..500).contains(&self.status) || self.status == 503;
        self.runs.unwrap_or(!refused)
    }
}
