//! A scripted MCP server on raw TCP, which can show every fault of a real one.

use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Handle, Runtime};

use super::PATIENCE;
use super::canary;
use super::reply::Reply;
use super::server::{Server, merge};
use super::task_group::{TaskGroup, TaskGuard};
use super::wire::{Request, read_request, write_reply};

/// Fake backends have their own runtime, so that a test may block.
pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("fake backends")
        .enable_all()
        .build()
        .unwrap()
});

/// A server on `127.0.0.1` that answers correctly unless a test scripts something else.
///
/// ```ignore
/// let fake = FakeBackend::start().tool("echo").tool("slow");
/// fake.on_tool("slow", Reply::sse().event(message::progress(1.0)).then_hang_up());
/// // …
/// assert_eq!(fake.runs("slow"), 1);
/// ```
///
/// Its waits block the thread: an async test calls them on a separate thread.
pub struct FakeBackend {
    shared: Arc<Shared>,
    port: u16,
    /// Never listens. It keeps the port while the server is down, so that connections are refused.
    _anchor: TcpSocket,
    /// While it listens: a group of one task, which accepts.
    accepting: Mutex<Option<TaskGroup>>,
    runtime: Handle,
}

struct Shared {
    server: Mutex<Server>,
    one_more_request: Condvar,
    accepted: Mutex<Accepted>,
    on_connect: Mutex<Vec<OnConnect>>,
    connections: Mutex<TaskGroup>,
}

/// Connections from clients.
#[derive(Default)]
struct Accepted {
    /// So far.
    all: usize,
    open: usize,
    /// The most that were open at once.
    most: usize,
}

/// One connection, counted as open until this is dropped.
struct OpenConnection<'a>(&'a Mutex<Accepted>);

impl<'a> OpenConnection<'a> {
    fn count(accepted: &'a Mutex<Accepted>) -> Self {
        let mut counts = accepted.lock().unwrap();
        counts.all += 1;
        counts.open += 1;
        counts.most = counts.most.max(counts.open);
        drop(counts);
        Self(accepted)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        if let Ok(mut counts) = self.0.lock() {
            counts.open -= 1;
        }
    }
}

/// The fault of a connection before a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConnect {
    /// It is closed.
    HangUp,
    /// It is reset.
    Reset,
    /// It is never read from.
    Stall,
}

/// Construction and features.
impl FakeBackend {
    /// A server with no tools.
    pub fn start() -> Self {
        let fake = Self::down();
        fake.come_up();
        fake
    }

    /// The same in the caller's runtime; the caller must not use the blocking waits.
    pub fn start_here() -> Self {
        let fake = Self::down_in(Handle::current());
        fake.come_up();
        fake
    }

    /// A server whose port refuses connections until [`come_up`](Self::come_up).
    pub fn down() -> Self {
        Self::down_in(RUNTIME.handle().clone())
    }

    fn down_in(runtime: Handle) -> Self {
        let anchor = bound_to(0);
        let port = anchor.local_addr().unwrap().port();
        Self {
            shared: Arc::new(Shared {
                server: Mutex::new(Server::new()),
                one_more_request: Condvar::new(),
                accepted: Mutex::default(),
                on_connect: Mutex::new(Vec::new()),
                connections: Mutex::new(TaskGroup::new()),
            }),
            port,
            _anchor: anchor,
            accepting: Mutex::new(None),
            runtime,
        }
    }

    /// Adds a tool, which returns its name and arguments as text.
    pub fn tool(self, name: &str) -> Self {
        self.tool_with(name, json!({}))
    }

    /// Adds a tool with further members, such as `{"annotations": {"readOnlyHint": true}}`.
    pub fn tool_with(self, name: &str, members: Value) -> Self {
        let mut tool = json!({
            "name": name, "description": format!("{name}, a tool"),
            "inputSchema": { "type": "object" },
        });
        merge(&mut tool, &members);
        self.with(|server| server.tools.push(tool))
    }

    /// Adds a prompt.
    pub fn prompt(self, name: &str) -> Self {
        self.prompt_with(name, json!({}))
    }

    /// Adds a prompt with further members, such as `{"arguments": [{"name": "code"}]}`.
    pub fn prompt_with(self, name: &str, members: Value) -> Self {
        let mut prompt = json!({ "name": name });
        merge(&mut prompt, &members);
        self.with(|server| server.prompts.push(prompt))
    }

    /// Adds a resource.
    pub fn resource(self, uri: &str) -> Self {
        self.with(|server| server.resources.push(json!({ "uri": uri, "name": uri })))
    }

    /// Adds a resource template.
    pub fn template(self, uri: &str) -> Self {
        let template = json!({ "uriTemplate": uri, "name": uri });
        self.with(|server| server.templates.push(template))
    }

    /// Adds an item as it is written, valid or not. `list` is the member of a list result that holds
    /// it, such as `tools`.
    pub fn item(self, list: &str, definition: Value) -> Self {
        self.with(|server| {
            let items = match list {
                "tools" => &mut server.tools,
                "prompts" => &mut server.prompts,
                "resources" => &mut server.resources,
                "resourceTemplates" => &mut server.templates,
                _ => panic!("no list has the member {list}"),
            };
            items.push(definition);
        })
    }

    /// Sends lists in pages of this many entries.
    pub fn page_size(self, size: usize) -> Self {
        self.with(|server| server.page_size = size)
    }

    /// Declares further capabilities.
    pub fn capabilities(self, more: Value) -> Self {
        self.with(|server| merge(&mut server.capabilities, &more))
    }

    /// Calls itself by another name in the handshake from now on.
    pub fn rename(&self, name: &str) {
        self.server().name = name.to_owned();
    }

    /// Answers every `initialize` with this version.
    pub fn version(self, version: &str) -> Self {
        self.with(|server| server.version = Some(version.to_owned()))
    }

    /// Answers calls with event streams.
    pub fn sse(self) -> Self {
        self.with(|server| server.sse = true)
    }

    /// Issues no session ids and requires none.
    pub fn without_sessions(self) -> Self {
        self.with(|server| server.sessions = None)
    }

    /// Answers requests for which nothing is scripted with this function, where it returns a reply.
    pub fn respond_with(
        self,
        responder: impl FnMut(&Request) -> Option<Reply> + Send + 'static,
    ) -> Self {
        self.with(|server| server.responder = Some(Box::new(responder)))
    }

    /// Answers requests with this function before the server sees them, where it returns a reply, as a
    /// front does.
    pub fn behind(self, front: impl FnMut(&Request) -> Option<Reply> + Send + 'static) -> Self {
        self.with(|server| server.front = Some(Box::new(front)))
    }

    /// Records no requests, so that it can serve for hours; the methods about requests find none.
    pub fn without_recording(self) -> Self {
        self.with(|server| server.discards_requests = true)
    }

    pub(super) fn with(self, change: impl FnOnce(&mut Server)) -> Self {
        change(&mut self.server());
        self
    }
}

/// Scripting.
impl FakeBackend {
    /// Queues a reply to the next request of this kind. A kind is a JSON-RPC method, `response`,
    /// `GET` or `DELETE`; `GET x` is a GET with `Last-Event-ID: x`.
    pub fn on(&self, kind: &str, reply: Reply) -> &Self {
        assert!(
            !reply.holds_nothing(),
            "{kind}: to hold a whole reply, use `after`"
        );
        let mut server = self.server();
        let queue = server.scripted.entry(kind.to_owned()).or_default();
        queue.push_back(reply);
        drop(server);
        self
    }

    /// The same for the calls of one tool.
    pub fn on_tool(&self, tool: &str, reply: Reply) -> &Self {
        self.on(&format!("tools/call {tool}"), reply)
    }

    /// Sets the reply to all further requests of this kind, used when nothing is queued.
    pub fn always(&self, kind: &str, reply: Reply) -> &Self {
        self.server().always.insert(kind.to_owned(), reply);
        self
    }

    /// The same for the calls of one tool.
    pub fn always_tool(&self, tool: &str, reply: Reply) -> &Self {
        self.always(&format!("tools/call {tool}"), reply)
    }

    /// Removes what [`on`](Self::on) and [`always`](Self::always) have set for this kind.
    pub fn reset_script(&self, kind: &str) -> &Self {
        let mut server = self.server();
        server.always.remove(kind);
        server.scripted.remove(kind);
        drop(server);
        self
    }

    /// Sets the faults of the next connections, in this order.
    pub fn on_connect(&self, faults: &[OnConnect]) -> &Self {
        self.shared.on_connect.lock().unwrap().extend(faults);
        self
    }

    /// Sets the faults of the next connections, in place of those that were set before.
    pub fn set_on_connect(&self, faults: &[OnConnect]) -> &Self {
        *self.shared.on_connect.lock().unwrap() = faults.to_vec();
        self
    }

    /// Removes all sessions, as a restart does.
    pub fn forget_sessions(&self) -> &Self {
        if let Some(sessions) = &mut self.server().sessions {
            sessions.clear();
        }
        self
    }

    /// Adds this tool, or replaces the tool of the same name.
    pub fn put_tool(&self, name: &str, members: Value) -> &Self {
        let mut tool = json!({ "name": name, "inputSchema": { "type": "object" } });
        merge(&mut tool, &members);
        let tools = &mut self.server().tools;
        match tools.iter_mut().find(|tool| tool["name"] == name) {
            Some(place) => *place = tool,
            None => tools.push(tool),
        }
        self
    }

    /// Replaces all tools by these.
    pub fn set_tools(&self, names: &[&str]) -> &Self {
        let tools = names
            .iter()
            .map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }));
        self.server().tools = tools.collect();
        self
    }

    /// Closes all connections, idle and busy ones, and continues to listen.
    pub fn drop_connections(&self) -> &Self {
        // The lock must be free during the wait: a new connection takes it.
        let connections = std::mem::replace(
            &mut *self.shared.connections.lock().unwrap(),
            TaskGroup::new(),
        );
        connections.end();
        self
    }

    /// The same without waiting until they are closed.
    pub fn cut_connections(&self) -> &Self {
        std::mem::replace(
            &mut *self.shared.connections.lock().unwrap(),
            TaskGroup::new(),
        )
        .cut();
        self
    }

    /// Closes all connections, and refuses new ones on the same port.
    pub fn go_down(&self) -> &Self {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.end();
            self.drop_connections();
        }
        self
    }

    /// Listens again, with sessions and lists as they were.
    pub fn come_up(&self) -> &Self {
        self.accepting.lock().unwrap().get_or_insert_with(|| {
            let accepting = TaskGroup::new();
            let _entered = self.runtime.enter();
            let listener = bound_to(self.port).listen(1024).unwrap();
            let shared = Arc::clone(&self.shared);
            tokio::spawn(accept(listener, accepting.guard(), shared));
            accepting
        });
        self
    }
}

/// Inspection.
impl FakeBackend {
    /// Its URL, with the path `/mcp`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its `[[backends]]` entry with this name and these further lines.
    pub fn entry(&self, name: &str, more: &str) -> String {
        format!(
            "[[backends]]\nname = \"{name}\"\nurl = \"{}\"\n{more}\n",
            self.url()
        )
    }

    /// The id that clients use for its task with this id, where it is the backend with this name of a gateway
    /// whose config has canaries.
    pub fn task_id(&self, name: &str, own: &str) -> String {
        let url = format!("{}?canary={}", self.url(), canary::token());
        let digest = Sha256::digest(url);
        let digits: String = digest[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{name}.{digits}:{own}")
    }

    /// How often this tool ran.
    pub fn runs(&self, tool: &str) -> usize {
        self.server().runs.get(tool).copied().unwrap_or(0)
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.accepted.lock().unwrap().all
    }

    /// The most connections that were open at once.
    pub fn most_connections(&self) -> usize {
        self.shared.accepted.lock().unwrap().most
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server().requests.clone()
    }

    /// All requests of this kind so far.
    pub fn requests_of(&self, kind: &str) -> Vec<Request> {
        let all = self.requests().into_iter();
        all.filter(|request| request.kind() == kind).collect()
    }

    /// Waits for the next request of this kind that this method hasn't returned yet.
    pub fn next_request(&self, kind: &str) -> Request {
        let nth = *self.server().taken.get(kind).unwrap_or(&0);
        let found = self.wait_until(&format!("{kind} number {}", nth + 1), |server| {
            let mut all = server.requests.iter();
            all.by_ref()
                .filter(|request| request.kind() == kind)
                .nth(nth)
                .cloned()
        });
        self.server().taken.insert(kind.to_owned(), nth + 1);
        found
    }

    /// Waits until this many requests of this kind have been received in total.
    pub fn wait_for_requests(&self, kind: &str, count: usize) {
        self.wait_until(&format!("{count} × {kind}"), |server| {
            let all = server.requests.iter();
            (all.filter(|request| request.kind() == kind).count() >= count).then_some(())
        });
    }

    pub(super) fn wait_until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&Server) -> Option<T>,
    ) -> T {
        let mut found = None;
        let (server, _) = self
            .shared
            .one_more_request
            .wait_timeout_while(self.server(), PATIENCE, |server| {
                found = look(server);
                found.is_none()
            })
            .unwrap();
        let seen: Vec<String> = server.requests.iter().map(|r| r.kind().into()).collect();
        drop(server);
        found.unwrap_or_else(|| panic!("the backend did not receive {what}; it received {seen:?}"))
    }

    /// Handles a request that came by another way than its own port.
    pub(super) fn receive(&self, request: &Request) -> Reply {
        let reply = self.server().receive(request);
        self.shared.one_more_request.notify_all();
        reply
    }

    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.shared.server.lock().unwrap()
    }
}

impl Drop for FakeBackend {
    fn drop(&mut self) {
        self.assert_no_violations();
        if let Ok(Some(accepting)) = self.accepting.get_mut() {
            accepting.cut();
        }
        if let Ok(connections) = self.shared.connections.lock() {
            connections.cut();
        }
    }
}

/// A socket that doesn't listen yet. Every socket on a port must allow reuse, so that neither
/// another socket nor closed connections block it.
fn bound_to(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], port).into()).unwrap();
    socket
}

async fn accept(listener: TcpListener, mut guard: TaskGuard, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = guard.cut() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { break };
        let mut guard = shared.connections.lock().unwrap().guard();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = guard.cut() => {}
                () = serve(stream, &shared) => {}
            }
            drop(guard);
        });
    }
    // In this order: the port must be free when the last guard is dropped.
    drop(listener);
    drop(guard);
}

async fn serve(mut stream: TcpStream, shared: &Shared) {
    stream.set_nodelay(true).unwrap();
    let _open = OpenConnection::count(&shared.accepted);
    let fault = {
        let mut faults = shared.on_connect.lock().unwrap();
        (!faults.is_empty()).then(|| faults.remove(0))
    };
    match fault {
        None => {}
        Some(OnConnect::HangUp) => return,
        Some(OnConnect::Reset) => return stream.set_zero_linger().unwrap(),
        Some(OnConnect::Stall) => std::future::pending().await,
    }
    while let Some(request) = read_request(&mut stream).await {
        let reply = shared.server.lock().unwrap().receive(&request);
        shared.one_more_request.notify_all();
        if write_reply(&mut stream, &reply, &request).await.is_none() {
            return;
        }
    }
}
