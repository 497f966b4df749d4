//! A whole gateway, with the test as its client: in this process, or wherever lines lead.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::{ExitReason, Io, Shutdown, run};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedSender;

use super::PATIENCE;
use super::canary;
use super::fake::FakeBackend;
use super::protocol_checker::{Message, ProtocolChecker};

/// A running gateway. It runs on a thread of its own, so that tests just block.
///
/// When it goes out of scope its input ends, and what it said and did is judged: see [`ProtocolChecker`];
/// besides, a response or request that the test hasn't taken is a failure, and so is a
/// notification, other than `list_changed` and what [`ignore`](Self::ignore) names.
///
/// ```ignore
/// let mut gateway = TestGateway::over(&fake);
/// gateway.initialize();
/// assert_eq!(gateway.call("echo", json!({"a": 1})).text(), r#"echo {"a":1}"#);
/// ```
pub struct TestGateway {
    /// `None` after EOF.
    input: Option<Sender<Vec<u8>>>,
    output: Receiver<Vec<u8>>,
    /// `None` for one that runs elsewhere; whoever started it sees to its end.
    here: Option<Here>,
    /// How long it is waited for.
    patience: Duration,
    checker: ProtocolChecker,
    /// Both directions, for the message of a failure.
    transcript: Vec<String>,
    unread: VecDeque<Message>,
    ignored: Vec<String>,
    /// Nothing that is left unread at the end is a failure.
    json_rpc_only: bool,
    next_id: u64,
    /// What its client can do, while it speaks the modern era.
    pub(super) modern: Option<Value>,
    /// Of its config, and of the secrets that its backends read when they connect.
    folder: Option<TempDir>,
}

/// A gateway in this process.
struct Here {
    exit: Receiver<ExitReason>,
    exited: bool,
    shutdown: UnboundedSender<()>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Answer(pub Message);

/// Starting and ending.
impl TestGateway {
    /// Over one backend with the name `fake`.
    pub fn over(backend: &FakeBackend) -> Self {
        Self::with_config(&backend.entry("fake", ""))
    }

    /// With this sentinel.toml; [`FakeBackend::entry`] writes the parts.
    pub fn with_config(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Self::in_folder(folder.path(), toml);
        gateway.folder = Some(folder);
        gateway
    }

    /// The same with its config in this folder, so that what it writes beside that outlives it.
    pub fn in_folder(folder: &Path, toml: &str) -> Self {
        let environment = Environment::new(folder);
        Self::start(folder, toml, environment)
    }

    /// The same with a folder for state, `state` in this one: it remembers the run before.
    pub fn with_state(folder: &Path, toml: &str) -> Self {
        let environment = Environment::new(folder).with_state(folder.join("state"));
        Self::start(folder, toml, environment)
    }

    fn start(folder: &Path, toml: &str, environment: Environment) -> Self {
        let file = folder.join("sentinel.toml");
        std::fs::write(&file, canary::plant(toml, folder)).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        canary::watch_log();
        let environment = environment.with_variables(canary::variable);
        let config = load(&overrides, &environment)
            .unwrap_or_else(|problems| panic!("{problems}\nin:\n{toml}"));

        let (reader, to_gateway) = std::io::pipe().unwrap();
        let (from_gateway, writer) = std::io::pipe().unwrap();
        let (shutdown, wishes) = Shutdown::manual();
        let (ended, exit) = channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let io = Io {
                reader: Box::new(reader),
                writer: Box::new(writer),
            };
            let _ = ended.send(runtime.block_on(run(config, io, wishes)));
        });
        let mut gateway = Self::over_pipes(to_gateway, from_gateway, PATIENCE);
        gateway.here = Some(Here {
            exit,
            exited: false,
            shutdown,
        });
        gateway
    }

    /// Whatever reads lines there and answers here, such as a process.
    pub fn over_pipes(
        input: impl Write + Send + 'static,
        output: impl Read + Send + 'static,
        patience: Duration,
    ) -> Self {
        Self {
            input: Some(lines_in(input)),
            output: lines_out(output),
            here: None,
            patience,
            checker: ProtocolChecker::default(),
            transcript: Vec::new(),
            unread: VecDeque::new(),
            ignored: Vec::new(),
            json_rpc_only: false,
            next_id: 1,
            modern: None,
            folder: None,
        }
    }

    /// Ends its input, as a client does that is done.
    pub fn eof(&mut self) {
        self.transcript.push("→ EOF".into());
        self.input = None;
    }

    /// Does what SIGTERM does.
    pub fn shut_down(&mut self) {
        self.transcript.push("→ shutdown".into());
        let here = self.here.as_ref().expect("it runs elsewhere");
        let _ = here.shutdown.send(());
    }

    /// Waits for its end, and says why it came. Once.
    pub fn exit(&mut self) -> ExitReason {
        let here = self.here.as_mut().expect("it runs elsewhere");
        match here.exit.recv_timeout(PATIENCE) {
            Ok(reason) => {
                here.exited = true;
                reason
            }
            Err(RecvTimeoutError::Timeout) => self.fail("the gateway doesn't end"),
            Err(RecvTimeoutError::Disconnected) => self.fail("the gateway panicked"),
        }
    }

    /// Notifications of this method need not be taken.
    pub fn ignore(&mut self, method: &str) -> &mut Self {
        self.ignored.push(method.to_owned());
        self
    }

    /// It is somebody else's program: what is left unread at its end is no failure, and it is held
    /// to JSON-RPC alone.
    pub fn json_rpc_only(&mut self) {
        self.json_rpc_only = true;
        self.checker.bare = true;
    }

    /// All that was said so far, in both directions.
    pub fn transcript(&self) -> String {
        self.transcript.join("\n")
    }
}

/// Saying something.
impl TestGateway {
    /// Sends bytes and a line end.
    pub fn send_raw(&mut self, line: impl AsRef<[u8]>) {
        let line = line.as_ref();
        self.checker.sent(line);
        self.transcript.push(format!("→ {}", abridged(line)));
        let input = self.input.as_ref().expect("the input has ended already");
        let _ = input.send([line, b"\n"].concat());
    }

    /// Sends bytes that are not a line, or not yet.
    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        let input = self.input.as_ref().expect("the input has ended already");
        let _ = input.send(bytes);
    }

    /// Sends a line whose end doesn't come.
    pub fn send_unended(&mut self, line: &str) {
        self.checker.sent(line.as_bytes());
        self.send_bytes(line.into());
    }

    /// Sends a request under an id of the test's choice.
    pub fn request_as(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let params = self.with_metadata(params);
        let message = json!({
            "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params
        });
        self.send_raw(message.to_string());
    }

    /// Sends a request, and returns its id.
    pub fn request(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.request_as(id, method, params);
        id
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.send_raw(message.to_string());
    }

    /// Sends a `tools/call`, and returns its id.
    pub fn start_call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
    }

    /// The same with a progress token.
    pub fn start_call_with_progress(&mut self, tool: &str, token: impl Into<Value>) -> u64 {
        let meta = json!({ "progressToken": token.into() });
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": {}, "_meta": meta }),
        )
    }

    /// Cancels a request.
    pub fn cancel(&mut self, id: impl Into<Value>) {
        self.notify("notifications/cancelled", json!({ "requestId": id.into() }));
    }

    /// Answers a request of the gateway.
    pub fn respond(&mut self, request: &Message, result: Value) {
        let message = json!({ "jsonrpc": "2.0", "id": request.id(), "result": result });
        self.send_raw(message.to_string());
    }

    /// Refuses a request of the gateway.
    pub fn refuse(&mut self, request: &Message, code: i64, message: &str) {
        let error = json!({ "code": code, "message": message });
        let message = json!({ "jsonrpc": "2.0", "id": request.id(), "error": error });
        self.send_raw(message.to_string());
    }
}

/// Hearing something. All of it waits, and fails with the transcript when nothing comes.
impl TestGateway {
    /// The response to the request with this id.
    pub fn answer(&mut self, id: impl Into<Value>) -> Answer {
        let id = id.into();
        Answer(self.take(&format!("the answer to {id}"), |message| {
            message.is_response() && *message.id() == id
        }))
    }

    /// The next notification of this method.
    pub fn next_notification(&mut self, method: &str) -> Message {
        self.take(method, |message| {
            message.method() == Some(method) && message.id().is_null()
        })
    }

    /// The next request of this method.
    pub fn next_request(&mut self, method: &str) -> Message {
        self.take(method, |message| {
            message.method() == Some(method) && !message.id().is_null()
        })
    }

    /// The next message, whatever it is.
    pub fn next_message(&mut self) -> Message {
        self.take("anything", |_| true)
    }

    pub(super) fn take(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + self.patience;
        let mut seen = 0;
        loop {
            if let Some(at) = self.unread.iter().skip(seen).position(&wanted) {
                return self.unread.remove(seen + at).expect("it is at this place");
            }
            seen = self.unread.len();
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(line) => self.receive(&line),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("{what} doesn't come")),
                Err(RecvTimeoutError::Disconnected) => {
                    self.fail(&format!("stdout ended before {what} came"))
                }
            }
        }
    }

    fn receive(&mut self, line: &[u8]) {
        canary::scan("stdout", line);
        self.transcript.push(format!("← {}", abridged(line)));
        self.unread.extend(self.checker.received(line));
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}; so far:\n{}", self.transcript())
    }
}

/// Whole exchanges.
impl TestGateway {
    /// The handshake of a client without capabilities.
    pub fn initialize(&mut self) -> Answer {
        self.initialize_with("2025-11-25", json!({}))
    }

    /// The handshake of a client that speaks this version and can do these things.
    pub fn initialize_with(&mut self, version: &str, capabilities: Value) -> Answer {
        let answer = self.send_initialize(version, capabilities);
        self.notify("notifications/initialized", json!({}));
        answer
    }

    /// The handshake as far as its answer: the client has yet to say that it is ready.
    pub fn send_initialize(&mut self, version: &str, capabilities: Value) -> Answer {
        let introduction = json!({
            "protocolVersion": version, "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "1.0" },
        });
        self.ask("initialize", introduction)
    }

    /// A tool call from beginning to end.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        let id = self.start_call(tool, arguments);
        self.answer(id)
    }

    /// A request from beginning to end.
    pub fn ask(&mut self, method: &str, params: Value) -> Answer {
        let id = self.request(method, params);
        self.answer(id)
    }

    /// All tools, page after page.
    pub fn list_tools(&mut self) -> Vec<Value> {
        let mut tools = Vec::new();
        let mut params = json!({});
        loop {
            let answer = self.ask("tools/list", params);
            let page = answer.result();
            tools.extend(page["tools"].as_array().expect("a list of tools").clone());
            match page.get("nextCursor") {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => return tools,
            }
        }
    }

    /// The names of all tools, in order.
    pub fn tool_names(&mut self) -> Vec<String> {
        let name = |tool: Value| tool["name"].as_str().expect("a name").to_owned();
        self.list_tools().into_iter().map(name).collect()
    }

    /// Calls until it works: what comes back is found again by itself, in the end.
    pub fn call_until_success(&mut self, tool: &str) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.call(tool, json!({}));
            if answer.0.json.get("result").is_some() {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "never: {answer:?}");
        }
    }

    /// Lists until just these are listed, for a client that isn't told.
    pub fn list_until(&mut self, names: &[&str]) {
        let begun = Instant::now();
        while self.tool_names() != names {
            assert!(begun.elapsed() < PATIENCE, "never listed: {names:?}");
        }
    }

    /// Waits, from one `tools/list_changed` to the next, until the tool is listed.
    pub fn wait_for_tool(&mut self, name: &str) {
        while !self.tool_names().iter().any(|listed| listed == name) {
            self.next_notification("notifications/tools/list_changed");
        }
    }
}

impl Answer {
    /// # Panics
    /// If it is an error.
    pub fn result(&self) -> &Value {
        let result = self.0.json.get("result");
        result.unwrap_or_else(|| panic!("not a result: {}", self.0.line))
    }

    /// # Panics
    /// If it is a result.
    pub fn error(&self) -> &Value {
        let error = self.0.json.get("error");
        error.unwrap_or_else(|| panic!("not an error: {}", self.0.line))
    }

    /// The text of a tool's result.
    pub fn text(&self) -> &str {
        let text = self.result()["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("no text in {}", self.0.line))
    }

    /// The code of an error.
    pub fn code(&self) -> i64 {
        self.error()["code"].as_i64().expect("checked by the law")
    }

    /// The message of an error.
    pub fn message(&self) -> &str {
        self.error()["message"]
            .as_str()
            .expect("checked by the law")
    }

    /// What the gateway says of an error of its own: class, executed, attempts.
    ///
    /// # Panics
    /// If the error is not the gateway's.
    pub fn gateway_error(&self) -> (&str, &str, u64) {
        let data = &self.error()["data"];
        let is_ours = data["source"] == "gateway";
        let attempts = data["attempts"].as_u64().filter(|_| is_ours);
        match (data["class"].as_str(), data["executed"].as_str(), attempts) {
            (Some(class), Some(executed), Some(attempts)) => (class, executed, attempts),
            _ => panic!("not an error of the gateway's own: {}", self.0.line),
        }
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.input = None;
        if thread::panicking() {
            eprintln!("between client and gateway:\n{}", self.transcript());
            return;
        }
        let deadline = Instant::now() + self.patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(line) => self.receive(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.fail("stdout stays open after EOF"),
            }
        }
        if self.here.as_ref().is_some_and(|here| !here.exited) {
            self.exit();
        }
        let unanswered = self.checker.unanswered();
        if !unanswered.is_empty() {
            self.fail(&format!("never answered: {}", unanswered.join(", ")));
        }
        if self.json_rpc_only {
            return;
        }
        let needs_no_reading = |message: &Message| {
            let method = message.method().unwrap_or_default();
            let ends_listen = self.checker.is_listen(&message.params()["requestId"])
                || (message.is_response() && self.checker.is_listen(message.id()));
            ends_listen
                || (message.id().is_null()
                    && (method.ends_with("/list_changed")
                        || self.ignored.iter().any(|m| m == method)))
        };
        if let Some(message) = self
            .unread
            .iter()
            .find(|message| !needs_no_reading(message))
        {
            self.fail(&format!("the test never took {}", message.line));
        }
        canary::assert_no_leaks();
    }
}

/// The way to feed a writer: a thread writes, so that a gateway that doesn't read can't block the
/// test.
fn lines_in(mut writer: impl Write + Send + 'static) -> Sender<Vec<u8>> {
    let (sender, lines) = channel::<Vec<u8>>();
    thread::spawn(move || {
        for line in lines {
            if writer.write_all(&line).is_err() {
                return;
            }
        }
    });
    sender
}

/// The lines that come out of a reader, without their ends.
fn lines_out(reader: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn abridged(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    match text.char_indices().nth(500) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], line.len()),
        None => text.into_owned(),
    }
}
