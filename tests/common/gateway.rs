//! The test client, and the gateway that it talks to: in this process or behind a pair of pipes.

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

/// A client connected to a running gateway. The gateway has a thread of its own, so that tests can
/// block.
///
/// Every line is checked by a [`ProtocolChecker`]. On drop the client closes its side; a request
/// without a response is then a failure, and so is a response, request or notification that the
/// test hasn't read, other than `list_changed` and the methods given to [`ignore`](Self::ignore).
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
    /// `None` for a gateway in another process; the caller that started it also ends it.
    in_process: Option<InProcess>,
    /// The limit for every wait.
    patience: Duration,
    checker: ProtocolChecker,
    /// Both directions, for failure messages.
    transcript: Vec<String>,
    unread: VecDeque<Message>,
    ignored: Vec<String>,
    /// Only JSON-RPC is checked, and unread messages are no failure.
    json_rpc_only: bool,
    next_id: u64,
    /// The client's capabilities while it is one of the modern era.
    pub(super) modern: Option<Value>,
    /// Holds the config, and the secret file that backends' headers read on connect.
    folder: Option<TempDir>,
}

/// A gateway in this process.
struct InProcess {
    exit: Receiver<ExitReason>,
    exited: bool,
    shutdown: UnboundedSender<()>,
}

/// A response of the gateway.
#[derive(Clone, Debug)]
pub struct Answer(pub Message);

/// Starting and ending.
impl TestGateway {
    /// With one backend named `fake`.
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

    /// Saves another config, as editors do: a new file takes the place of the old one.
    pub fn save_config(&self, toml: &str) {
        let folder = self.folder.as_ref().expect("its folder is the caller's");
        save(folder.path(), &canary::plant(toml, folder.path()));
    }

    /// The folder of its config.
    pub fn folder(&self) -> &Path {
        let folder = self.folder.as_ref().expect("its folder is the caller's");
        folder.path()
    }

    /// The same with its config in this folder, which is kept.
    pub fn in_folder(folder: &Path, toml: &str) -> Self {
        let environment = Environment::new(folder);
        Self::start(folder, toml, environment, None)
    }

    /// With the administrator's file and perhaps a config of the user's in this folder, and `state` in it as the
    /// state folder. The config is merely found there, unless the flags name it. The user's config folder is
    /// `config` in it.
    pub fn administered(folder: &Path, overrides: &Overrides) -> Self {
        let environment = Environment::new(folder)
            .with_home(folder, folder.join("config"))
            .with_state(folder.join("state"))
            .with_administrators_file(folder.join(ADMINISTRATORS_FILE));
        Self::run(environment, overrides)
    }

    /// The same with `--profile`, and `state` in this folder as its state folder.
    pub fn with_profile(folder: &Path, toml: &str, profile: Option<&str>) -> Self {
        let environment = Environment::new(folder).with_state(folder.join("state"));
        Self::start(folder, toml, environment, profile)
    }

    /// The same with `state` in this folder as its state folder, so that it reads the state of
    /// earlier runs.
    pub fn with_state(folder: &Path, toml: &str) -> Self {
        Self::with_profile(folder, toml, None)
    }

    fn start(folder: &Path, toml: &str, environment: Environment, profile: Option<&str>) -> Self {
        let file = folder.join("sentinel.toml");
        std::fs::write(&file, canary::plant(toml, folder)).unwrap();
        let overrides = Overrides {
            config: Some(file),
            profile: profile.map(str::to_owned),
            ..Overrides::default()
        };
        Self::run(environment, &overrides)
    }

    fn run(environment: Environment, overrides: &Overrides) -> Self {
        canary::watch_log();
        let environment = environment.with_variables(canary::variable);
        let config = load(overrides, &environment).unwrap_or_else(|problems| panic!("{problems}"));

        let (reader, to_gateway) = std::io::pipe().unwrap();
        let (from_gateway, writer) = std::io::pipe().unwrap();
        let (shutdown, requests) = Shutdown::manual();
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
            let _ = ended.send(runtime.block_on(run(config, io, requests)));
        });
        let mut gateway = Self::over_pipes(to_gateway, from_gateway, PATIENCE);
        gateway.in_process = Some(InProcess {
            exit,
            exited: false,
            shutdown,
        });
        gateway
    }

    /// A gateway that reads lines from `input` and writes lines to `output`, such as a process.
    pub fn over_pipes(
        input: impl Write + Send + 'static,
        output: impl Read + Send + 'static,
        patience: Duration,
    ) -> Self {
        Self {
            input: Some(lines_in(input)),
            output: lines_out(output),
            in_process: None,
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

    /// Closes the gateway's input.
    pub fn eof(&mut self) {
        self.transcript.push("→ EOF".into());
        self.input = None;
    }

    /// Requests a shutdown, as SIGTERM does.
    pub fn shut_down(&mut self) {
        self.transcript.push("→ shutdown".into());
        let gateway = self.in_process.as_ref().expect("runs in another process");
        let _ = gateway.shutdown.send(());
    }

    /// Waits for its end and returns the reason. Call it once.
    pub fn exit(&mut self) -> ExitReason {
        let gateway = self.in_process.as_mut().expect("runs in another process");
        match gateway.exit.recv_timeout(PATIENCE) {
            Ok(reason) => {
                gateway.exited = true;
                reason
            }
            Err(RecvTimeoutError::Timeout) => self.fail("the gateway doesn't end"),
            Err(RecvTimeoutError::Disconnected) => self.fail("the gateway panicked"),
        }
    }

    /// Allows notifications of this method to stay unread.
    pub fn ignore(&mut self, method: &str) -> &mut Self {
        self.ignored.push(method.to_owned());
        self
    }

    /// For other programs: checks JSON-RPC only, and allows messages to stay unread.
    pub fn json_rpc_only(&mut self) {
        self.json_rpc_only = true;
        self.checker.json_rpc_only = true;
    }

    /// Every line so far, in both directions.
    pub fn transcript(&self) -> String {
        self.transcript.join("\n")
    }
}

/// Sending.
impl TestGateway {
    /// Sends a line; the line end is added.
    pub fn send_raw(&mut self, line: impl AsRef<[u8]>) {
        let line = line.as_ref();
        self.checker.sent(line);
        self.transcript.push(format!("→ {}", abridged(line)));
        let input = self.input.as_ref().expect("the input is closed");
        let _ = input.send([line, b"\n"].concat());
    }

    /// Sends bytes as they are, without a line end.
    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        let input = self.input.as_ref().expect("the input is closed");
        let _ = input.send(bytes);
    }

    /// Sends a message without a line end.
    pub fn send_unended(&mut self, line: &str) {
        self.checker.sent(line.as_bytes());
        self.send_bytes(line.into());
    }

    /// Sends a request under an id that the test chooses.
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

    /// Answers a request of the gateway with an error.
    pub fn refuse(&mut self, request: &Message, code: i64, message: &str) {
        let error = json!({ "code": code, "message": message });
        let message = json!({ "jsonrpc": "2.0", "id": request.id(), "error": error });
        self.send_raw(message.to_string());
    }
}

/// Receiving. Each method waits, and fails with the transcript when nothing comes.
impl TestGateway {
    /// Waits for the response to the request with this id.
    pub fn answer(&mut self, id: impl Into<Value>) -> Answer {
        let id = id.into();
        Answer(self.take(&format!("the answer to {id}"), |message| {
            message.is_response() && *message.id() == id
        }))
    }

    /// Waits for the next notification of this method.
    pub fn next_notification(&mut self, method: &str) -> Message {
        self.take(method, |message| {
            message.method() == Some(method) && message.id().is_null()
        })
    }

    /// Waits for the next request of this method.
    pub fn next_request(&mut self, method: &str) -> Message {
        self.take(method, |message| {
            message.method() == Some(method) && !message.id().is_null()
        })
    }

    /// Waits for the next message of any kind.
    pub fn next_message(&mut self) -> Message {
        self.take("any message", |_| true)
    }

    pub(super) fn take(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + self.patience;
        let mut seen = 0;
        loop {
            if let Some(at) = self.unread.iter().skip(seen).position(&wanted) {
                return self
                    .unread
                    .remove(seen + at)
                    .expect("the position was just found");
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

/// Complete exchanges.
impl TestGateway {
    /// Does the handshake of a client without capabilities.
    pub fn initialize(&mut self) -> Answer {
        self.initialize_with("2025-11-25", json!({}))
    }

    /// Does the handshake of a client with this version and these capabilities.
    pub fn initialize_with(&mut self, version: &str, capabilities: Value) -> Answer {
        let answer = self.send_initialize(version, capabilities);
        self.notify("notifications/initialized", json!({}));
        answer
    }

    /// Sends `initialize` and waits for the response, without `notifications/initialized`.
    pub fn send_initialize(&mut self, version: &str, capabilities: Value) -> Answer {
        let params = json!({
            "protocolVersion": version, "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "1.0" },
        });
        self.ask("initialize", params)
    }

    /// Calls a tool and waits for the response.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        let id = self.start_call(tool, arguments);
        self.answer(id)
    }

    /// Sends a request and waits for the response.
    pub fn ask(&mut self, method: &str, params: Value) -> Answer {
        let id = self.request(method, params);
        self.answer(id)
    }

    /// Lists the tools of all pages.
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

    /// The names of all tools, in the listed order.
    pub fn tool_names(&mut self) -> Vec<String> {
        let name = |tool: Value| tool["name"].as_str().expect("a name").to_owned();
        self.list_tools().into_iter().map(name).collect()
    }

    /// Repeats a call until it succeeds, for a backend that is about to become available.
    pub fn call_until_success(&mut self, tool: &str) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.call(tool, json!({}));
            if answer.0.json.get("result").is_some() {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "no success: {answer:?}");
        }
    }

    /// Lists the tools until exactly these are listed, for a client that gets no `list_changed`.
    pub fn list_until(&mut self, names: &[&str]) {
        let begun = Instant::now();
        while self.tool_names() != names {
            assert!(begun.elapsed() < PATIENCE, "never listed: {names:?}");
        }
    }

    /// Lists the tools after each `tools/list_changed` until this one is listed.
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
        self.error()["code"]
            .as_i64()
            .expect("checked by the protocol checker")
    }

    /// The message of an error.
    pub fn message(&self) -> &str {
        self.error()["message"]
            .as_str()
            .expect("checked by the protocol checker")
    }

    /// `class`, `executed` and `attempts` of an error that the gateway itself returned.
    ///
    /// # Panics
    /// If the error is not the gateway's own.
    pub fn gateway_error(&self) -> (&str, &str, u64) {
        let data = &self.error()["data"];
        let is_ours = data["source"] == "gateway";
        let attempts = data["attempts"].as_u64().filter(|_| is_ours);
        match (data["class"].as_str(), data["executed"].as_str(), attempts) {
            (Some(class), Some(executed), Some(attempts)) => (class, executed, attempts),
            _ => panic!("not one of the gateway's own errors: {}", self.0.line),
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
        let running = |gateway: &InProcess| !gateway.exited;
        if self.in_process.as_ref().is_some_and(running) {
            self.exit();
        }
        let unanswered = self.checker.unanswered();
        if !unanswered.is_empty() {
            self.fail(&format!("never answered: {}", unanswered.join(", ")));
        }
        if self.json_rpc_only {
            return;
        }
        let may_stay_unread = |message: &Message| {
            let method = message.method().unwrap_or_default();
            let ends_listen = self.checker.is_listen(&message.params()["requestId"])
                || (message.is_response() && self.checker.is_listen(message.id()));
            ends_listen
                || (message.id().is_null()
                    && (method.ends_with("/list_changed")
                        || self.ignored.iter().any(|m| m == method)))
        };
        let mut unread = self.unread.iter();
        if let Some(message) = unread.find(|message| !may_stay_unread(message)) {
            self.fail(&format!("the test left a message unread: {}", message.line));
        }
        canary::assert_no_leaks();
    }
}

/// The administrator's file in a folder of [`TestGateway::administered`].
pub const ADMINISTRATORS_FILE: &str = "administrator.toml";

/// Replaces the config in this folder.
pub fn save(folder: &Path, toml: &str) {
    replace(&folder.join("sentinel.toml"), toml);
}

/// Replaces the administrator's file in this folder.
pub fn save_administrators(folder: &Path, toml: &str) {
    replace(&folder.join(ADMINISTRATORS_FILE), toml);
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Writes lines from a thread, so that a gateway that doesn't read can't block the test.
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

/// Reads lines in a thread, without their ends.
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
