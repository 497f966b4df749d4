//! A fake backend's era, its notifications and its own requests.

use serde_json::{Value, json};

use super::fake::FakeBackend;
use super::gate::Gate;
use super::http_sse::HttpSse;
use super::live_stream::LiveStream;
use super::message;
use super::modern::Modern;
use super::reply::Reply;
use super::server::{Server, Stream};

/// Its era: legacy, unless one of these methods is called.
impl FakeBackend {
    /// Serves only MCP 2026-07-28. On drop, violations of the client fail the test, unless the test
    /// has read them with [`violations`](Self::violations).
    pub fn modern(self) -> Self {
        self.with(|server| {
            server.legacy = false;
            server.modern = Some(Modern::default());
        })
    }

    /// Serves both eras.
    pub fn dual(self) -> Self {
        self.with(|server| server.modern = Some(Modern::default()))
    }

    /// Uses the HTTP+SSE transport: the GET stream names the endpoint for POST and carries the
    /// responses.
    pub fn http_sse(self) -> Self {
        self.without_sessions().with(|server| {
            server.version = Some("2024-11-05".into());
            server.http_sse = Some(HttpSse::default());
        })
    }

    /// The same, which refuses every other POST so.
    pub fn http_sse_refusing(self, refusal: Reply) -> Self {
        self.http_sse().with(|server| {
            let transport = server.http_sse.as_mut().expect("this transport");
            transport.refusal = Some(refusal);
        })
    }

    /// A legacy server with a stream behind GET.
    pub fn with_get(self) -> Self {
        self.with(|server| server.has_get = true)
    }

    /// A legacy server that answers modern requests with this reply: see [`refusals`].
    pub fn refusing_modern(self, refusal: Reply) -> Self {
        self.with(|server| server.refusal = Some(refusal))
    }

    /// Sets a modern server's cache hints.
    pub fn caching(self, ttl_ms: u64, scope: &str) -> Self {
        self.with(|server| {
            let modern = server.modern.as_mut().expect("a modern server");
            modern.ttl_ms = ttl_ms;
            modern.scope = scope.to_owned();
        })
    }
}

/// The ways in which real legacy servers refuse modern requests, by name.
pub fn refusals() -> Vec<(&'static str, Reply)> {
    let error = |id: Value, code: i64| json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": "no" } });
    vec![
        (
            "400, -32000, id null",
            Reply::json_as(400, &error(Value::Null, -32000)),
        ),
        ("404, plain text", Reply::status(404).body("Not Found")),
        (
            "200, -32601",
            Reply::json_as(200, &error(json!("$id"), -32601)),
        ),
        (
            "400, -32600, id of its own",
            Reply::json_as(400, &error(json!("server-error"), -32600)),
        ),
        ("400, empty", Reply::status(400)),
        (
            "200, -32602",
            Reply::json_as(200, &error(json!("$id"), -32602)),
        ),
    ]
}

/// Notifications, server requests, and changes.
impl FakeBackend {
    /// Waits for a stream whose client has subscribed to this notification, and sends it on every
    /// such stream.
    pub fn notify_clients(&self, method: &str, params: Value) {
        let streams = self.wait_until(&format!("a stream for {method}"), |server| {
            let subscribed = subscribed(server, method, &params);
            (!subscribed.is_empty()).then_some(subscribed)
        });
        for stream in streams {
            let mut params = params.clone();
            if !stream.filter.is_null() {
                params["_meta"]["io.modelcontextprotocol/subscriptionId"] = json!("$id");
            }
            stream.live.event(&message::notification(method, params));
        }
    }

    /// Removes sessions, streams and subscriptions, as a restart does.
    pub fn forget_all_state(&self) {
        self.forget_sessions();
        let mut server = self.server();
        server.subscribed.clear();
        for stream in server.streams.drain(..) {
            stream.live.hang_up();
        }
    }

    /// Adds a property to a tool's input schema.
    pub fn add_property(&self, tool: &str, property: &str, schema: Value) {
        let mut server = self.server();
        let mut tools = server.tools.iter_mut();
        let tool = tools.find(|known| known["name"] == tool).expect("a tool");
        tool["inputSchema"]["properties"][property] = schema;
    }

    /// Waits for a stream of GET, and sends this request on it.
    pub fn request_client(&self, request: Value) {
        let stream = self.wait_until("a stream of GET", |server| {
            let mut open = server.streams.iter().rev();
            open.find(|stream| stream.filter.is_null() && stream.live.is_open())
                .map(|stream| stream.live.clone())
        });
        stream.event(&request);
    }

    /// A gate that opens when the server request with this id is answered.
    pub fn response_gate(&self, id: &Value) -> Gate {
        let gate = Gate::new();
        let gates = &mut self.server().response_gates;
        gates.insert(id.to_string(), gate.clone());
        gate
    }

    /// Serves only this era from now on, as after an upgrade.
    pub fn set_era(&self, modern: bool) {
        let mut server = self.server();
        server.legacy = !modern;
        server.modern = modern.then(Modern::default);
        server.sessions = (!modern).then(Default::default);
    }

    /// Whether a stream's client has subscribed to this notification.
    pub fn has_subscriber(&self, method: &str, params: &Value) -> bool {
        !subscribed(&self.server(), method, params).is_empty()
    }

    /// From now on it serves this era only, as a server that is replaced does. What clients of the
    /// other era send is no violation.
    pub fn change_era(&self, modern: bool) -> &Self {
        let mut server = self.server();
        server.legacy = !modern;
        server.modern = modern.then(Modern::default);
        if let Some(modern) = &mut server.modern {
            modern.tolerates_legacy = true;
        }
        drop(server);
        self
    }

    /// The streams whose clients have subscribed to this notification.
    pub fn subscribed_streams(&self, method: &str, params: &Value) -> Vec<LiveStream> {
        let streams = subscribed(&self.server(), method, params);
        streams.into_iter().map(|stream| stream.live).collect()
    }

    /// Waits for the nth stream of GET or `subscriptions/listen`, counted from 0.
    pub fn stream(&self, nth: usize) -> LiveStream {
        self.wait_until(&format!("stream {nth}"), |server| {
            server.streams.get(nth).map(|stream| stream.live.clone())
        })
    }

    /// How many such streams have been opened.
    pub fn streams(&self) -> usize {
        self.server().streams.len()
    }

    /// Returns and clears the violations of the modern protocol by clients.
    pub fn violations(&self) -> Vec<String> {
        let mut server = self.server();
        let modern = server.modern.as_mut();
        modern.map_or_else(Vec::new, |modern| std::mem::take(&mut modern.violations))
    }

    pub(super) fn assert_no_violations(&self) {
        if !std::thread::panicking() {
            let violations = self.violations();
            assert!(
                violations.is_empty(),
                "no client may do this: {violations:#?}"
            );
        }
    }
}

fn subscribed(server: &Server, method: &str, params: &Value) -> Vec<Stream> {
    let uri = &params["uri"];
    let wants = |stream: &&Stream| {
        let kind = match method {
            "notifications/tools/list_changed" => "toolsListChanged",
            "notifications/prompts/list_changed" => "promptsListChanged",
            "notifications/resources/list_changed" => "resourcesListChanged",
            "notifications/resources/updated" => {
                let mut uris = stream.filter["resourceSubscriptions"]
                    .as_array()
                    .into_iter();
                let subscribed = uri
                    .as_str()
                    .is_some_and(|uri| server.subscribed.contains(uri));
                return uris.any(|uris| uris.contains(uri))
                    || (stream.filter.is_null() && subscribed);
            }
            "notifications/tasks" => {
                let ids = stream.filter["taskIds"].as_array();
                return ids.is_some_and(|ids| ids.contains(&params["taskId"]));
            }
            _ => return stream.filter.is_null(),
        };
        stream.filter.is_null() || stream.filter[kind] == true
    };
    let open = server.streams.iter().filter(|stream| stream.live.is_open());
    open.filter(wants).cloned().collect()
}
