//! The MCP server behind a fake backend: it answers correctly whatever a test has not scripted.
//!
//! Owns what both eras share, and the legacy era's Streamable HTTP. The modern era is in
//! [`modern`](super::modern).

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Value, json};

use super::gate::Gate;
use super::http_sse::HttpSse;
use super::live_stream::LiveStream;
use super::message;
use super::modern::Modern;
use super::reply::Reply;
use super::wire::Request;

/// A server's configuration, its sessions, and the requests that it has received.
pub(super) struct Server {
    pub name: String,
    /// The answer to every `initialize`; `None`: the requested version.
    pub version: Option<String>,
    /// Declared in addition to those that follow from the lists.
    pub capabilities: Value,
    pub tools: Vec<Value>,
    pub prompts: Vec<Value>,
    pub resources: Vec<Value>,
    pub templates: Vec<Value>,
    /// Entries per page; 0: all on one page.
    pub page_size: usize,
    /// Answers calls with event streams.
    pub sse: bool,
    /// Serves the legacy era.
    pub legacy: bool,
    /// Serves the modern era.
    pub modern: Option<Modern>,
    /// Uses the HTTP+SSE transport of MCP 2024-11-05 instead of Streamable HTTP.
    pub http_sse: Option<HttpSse>,
    /// A legacy server's reply to modern requests; `None`: the same as to any unknown method.
    pub refusal: Option<Reply>,
    /// GET opens a stream.
    pub has_get: bool,
    /// The streams of GET and of `subscriptions/listen`, in the order they were opened.
    pub streams: Vec<Stream>,
    /// The subscribed URIs of the legacy era.
    pub subscribed: HashSet<String>,
    /// The gates that open when a server request is answered, by the text of its id.
    pub response_gates: HashMap<String, Gate>,
    /// `None`: issues no session ids.
    pub sessions: Option<HashSet<String>>,
    sessions_issued: usize,
    /// Replies to single requests, by kind of request, or by kind and tool.
    pub scripted: HashMap<String, VecDeque<Reply>>,
    /// Replies to all further requests, under the same keys.
    pub always: HashMap<String, Reply>,
    pub requests: Vec<Request>,
    /// How many of `requests` a test has read, by kind.
    pub taken: HashMap<String, usize>,
    /// How often each tool ran.
    pub runs: HashMap<String, usize>,
    /// Answers requests for which nothing is scripted.
    pub responder: Option<Box<Responder>>,
    /// Answers requests before the server sees them.
    pub front: Option<Box<Responder>>,
    /// Does not keep requests.
    pub discards_requests: bool,
}

/// Returns the reply to a request, or `None` for the server's own.
pub(super) type Responder = dyn FnMut(&Request) -> Option<Reply> + Send;

/// An open stream for the server's notifications and requests.
#[derive(Clone)]
pub(super) struct Stream {
    pub live: LiveStream,
    /// The honoured filter of a subscription; null for GET.
    pub filter: Value,
}

impl Server {
    pub fn new() -> Self {
        Self {
            name: "fake".into(),
            version: None,
            capabilities: json!({}),
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            page_size: 0,
            sse: false,
            legacy: true,
            modern: None,
            http_sse: None,
            refusal: None,
            has_get: false,
            streams: Vec::new(),
            subscribed: HashSet::new(),
            response_gates: HashMap::new(),
            sessions: Some(HashSet::new()),
            sessions_issued: 0,
            scripted: HashMap::new(),
            always: HashMap::new(),
            requests: Vec::new(),
            taken: HashMap::new(),
            runs: HashMap::new(),
            responder: None,
            front: None,
            discards_requests: false,
        }
    }

    /// Records a request and returns the reply.
    pub fn receive(&mut self, request: &Request) -> Reply {
        if !self.discards_requests {
            self.requests.push(request.clone());
        }
        if request.kind() == "response" {
            let gate = self.response_gates.get(&request.message["id"].to_string());
            gate.into_iter().for_each(Gate::open);
        }
        if let Some(reply) = self.front.as_mut().and_then(|front| front(request)) {
            return reply;
        }
        if let Some(reply) = HttpSse::intercept(self, request) {
            return reply;
        }
        self.reply(request)
    }

    /// The reply to a request of any transport.
    pub fn reply(&mut self, request: &Request) -> Reply {
        let modern = self.modern.is_some() && (request.is_modern() || !self.legacy);
        let refusal = if modern {
            self.check_modern(request)
        } else {
            self.check_legacy(request)
        };
        if let Some(refusal) = refusal {
            return refusal;
        }
        let reply = self.script(request).unwrap_or_else(|| {
            if modern {
                self.answer_modern(request)
            } else {
                self.answer(request)
            }
        });
        if request.kind() == "tools/call" && reply.tool_runs() {
            *self.runs.entry(request.tool().to_owned()).or_default() += 1;
        }
        reply
    }

    fn check_legacy(&mut self, request: &Request) -> Option<Reply> {
        if let Some(refusal) = self.refusal.clone().filter(|_| request.is_modern()) {
            return Some(refusal);
        }
        let sessions = self.sessions.as_ref()?;
        if request.kind() == "initialize" {
            return None;
        }
        match request.header("mcp-session-id") {
            None => Some(Reply::status(400).body("Bad Request: Mcp-Session-Id is missing")),
            Some(id) if sessions.contains(id) => None,
            Some(_) => Some(Reply::status(404).body("Session not found")),
        }
    }

    fn script(&mut self, request: &Request) -> Option<Reply> {
        let kind = request.kind();
        let of_tool = match request.header("last-event-id") {
            Some(id) => format!("{kind} {id}"),
            None => format!("{kind} {}", request.tool()),
        };
        for key in [of_tool.as_str(), kind] {
            if let Some(reply) = self.scripted.get_mut(key).and_then(VecDeque::pop_front) {
                return Some(reply);
            }
        }
        let always = self.always.get(&of_tool).or_else(|| self.always.get(kind));
        let always = always.cloned();
        always.or_else(|| self.responder.as_mut()?(request))
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let params = request.params();
        let empty = || Reply::result(json!({}));
        match request.kind() {
            "GET" if self.has_get => self.open_stream(Reply::sse(), Value::Null),
            "GET" => Reply::status(405).header("allow", "POST, DELETE"),
            "DELETE" => self.end_session(request),
            "initialize" => self.initialize(params),
            "ping" | "logging/setLevel" => empty(),
            "resources/subscribe" | "resources/unsubscribe" => self.subscribe(request),
            "tools/list" => self.page("tools", &self.tools, params),
            "prompts/list" => self.page("prompts", &self.prompts, params),
            "resources/list" => self.page("resources", &self.resources, params),
            "resources/templates/list" => self.page("resourceTemplates", &self.templates, params),
            "tools/call" => self.call(request, message::text),
            "prompts/get" => Reply::result(json!({ "messages": [{
                "role": "user", "content": { "type": "text", "text": params["name"] }
            }] })),
            "resources/read" => Reply::result(json!({ "contents": [{
                "uri": params["uri"], "text": format!("contents of {}", params["uri"])
            }] })),
            "completion/complete" => {
                Reply::result(json!({ "completion": { "values": ["one", "two"] } }))
            }
            _ if request.message["id"].is_null() || request.kind() == "response" => {
                Reply::status(202)
            }
            other => Reply::error(-32601, &format!("Method not found: {other}")),
        }
    }

    fn initialize(&mut self, params: &Value) -> Reply {
        let mut capabilities = json!({ "tools": { "listChanged": true } });
        if !self.prompts.is_empty() {
            capabilities["prompts"] = json!({});
        }
        if !self.resources.is_empty() || !self.templates.is_empty() {
            capabilities["resources"] = json!({});
        }
        merge(&mut capabilities, &self.capabilities);
        let version = self.version.as_deref().map(Value::from);
        let reply = Reply::result(json!({
            "protocolVersion": version.unwrap_or_else(|| params["protocolVersion"].clone()),
            "capabilities": capabilities,
            "serverInfo": { "name": self.name, "version": "1.0" },
        }));
        let Some(sessions) = &mut self.sessions else {
            return reply;
        };
        self.sessions_issued += 1;
        let id = format!("session-{}", self.sessions_issued);
        sessions.insert(id.clone());
        reply.header("mcp-session-id", &id)
    }

    fn end_session(&mut self, request: &Request) -> Reply {
        if let (Some(sessions), Some(id)) = (&mut self.sessions, request.header("mcp-session-id")) {
            sessions.remove(id);
        }
        Reply::status(200)
    }

    fn subscribe(&mut self, request: &Request) -> Reply {
        let uri = request.params()["uri"].as_str().unwrap_or_default();
        if request.kind() == "resources/subscribe" {
            self.subscribed.insert(uri.to_owned());
        } else {
            self.subscribed.remove(uri);
        }
        Reply::result(json!({}))
    }

    /// Continues `beginning` as a stream for notifications and server requests.
    pub fn open_stream(&mut self, beginning: Reply, filter: Value) -> Reply {
        let live = LiveStream::new();
        let reply = beginning.live(&live);
        self.keep_stream(live, filter);
        reply
    }

    /// Keeps a stream that has been opened.
    pub fn keep_stream(&mut self, live: LiveStream, filter: Value) {
        if self.discards_requests {
            self.streams.retain(|stream| stream.live.is_open());
        }
        self.streams.push(Stream { live, filter });
    }

    /// One page; a cursor is the index of the page's first entry.
    fn page(&self, member: &str, all: &[Value], params: &Value) -> Reply {
        Reply::result(self.page_of(member, all, params))
    }

    pub fn page_of(&self, member: &str, all: &[Value], params: &Value) -> Value {
        let from: usize = params["cursor"].as_str().unwrap_or("0").parse().unwrap();
        let size = if self.page_size == 0 {
            all.len()
        } else {
            self.page_size
        };
        let to = (from + size).min(all.len());
        let mut result = json!({ member: all[from.min(to)..to] });
        if to < all.len() {
            result["nextCursor"] = json!(to.to_string());
        }
        result
    }

    /// The reply to a call: the tool's name and its arguments as text, written by `write`.
    pub fn call(&self, request: &Request, write: impl Fn(&str) -> Value) -> Reply {
        let (tool, arguments) = (request.tool(), &request.params()["arguments"]);
        if !self.tools.iter().any(|known| known["name"] == tool) {
            return Reply::error(-32602, &format!("Unknown tool: {tool}")).runs(false);
        }
        let answer = write(&format!("{tool} {arguments}"));
        if self.sse {
            Reply::sse().event(answer)
        } else {
            Reply::json(&answer)
        }
    }
}

/// Merges the members of `over` into `under`, recursively.
pub(super) fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}
