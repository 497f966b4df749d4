//! An MCP server of the SDK over Streamable HTTP on loopback, with a tool for each event that can
//! occur during a call.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::*;
use rmcp::schemars::JsonSchema;
use rmcp::service::{NotificationContext, Peer, RequestContext, ServiceError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::within_timeout;

/// How the server answers a POST: the two forms of Streamable HTTP.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Answers {
    /// `text/event-stream`, with a session and priming events.
    Stream,
    /// `application/json`, without a session. It is a stream only if a message precedes the answer.
    Json,
}

/// An event of a `hang` call on the server.
#[derive(Debug, PartialEq)]
pub(crate) enum CallEvent {
    Started,
    /// The handler was cancelled.
    Stopped,
    /// A `notifications/cancelled` arrived.
    Cancelled,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    /// A `count` call answers after it gets a permit from here.
    pub(crate) gate: Arc<Semaphore>,
    sessions: Arc<LocalSessionManager>,
    events: mpsc::UnboundedReceiver<CallEvent>,
}

impl Server {
    /// Starts a server that knows the protocol versions up to `newest`.
    pub(crate) async fn start(
        name: &'static str,
        answers: Answers,
        newest: ProtocolVersion,
    ) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let sessions = Arc::<LocalSessionManager>::default();
        let test_server = TestServer {
            name,
            newest,
            gate: gate.clone(),
            events: sender,
        };
        let service = StreamableHttpService::new(
            move || Ok(test_server.clone()),
            sessions.clone(),
            StreamableHttpServerConfig::default()
                .with_legacy_session_mode(answers == Answers::Stream)
                .with_json_response(answers == Answers::Json),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let app = axum::Router::new().nest_service("/mcp", service);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            name,
            url,
            gate,
            sessions,
            events,
        }
    }

    /// The next event of a `hang` call.
    pub(crate) async fn next_event(&mut self) -> CallEvent {
        within_timeout("an event on the server", self.events.recv())
            .await
            .unwrap()
    }

    /// The number of open sessions.
    pub(crate) async fn sessions(&self) -> usize {
        self.sessions.sessions.read().await.len()
    }

    /// The tools as the server itself defines them.
    pub(crate) fn tools() -> Vec<Tool> {
        TestServer::tool_router().list_all()
    }
}

/// The server's handler, cloned per session, or per request if there is no session.
#[derive(Clone)]
struct TestServer {
    name: &'static str,
    newest: ProtocolVersion,
    gate: Arc<Semaphore>,
    events: mpsc::UnboundedSender<CallEvent>,
}

/// How a call of `fail` fails.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Failure {
    ToolResult,
    JsonRpcError,
}

#[derive(Deserialize, JsonSchema)]
struct Fail {
    with: Failure,
}

#[tool_router]
impl TestServer {
    /// Returns its arguments, and which server it is
    #[tool(annotations(title = "Echo", read_only_hint = true, idempotent_hint = true))]
    async fn echo(&self, Parameters(arguments): Parameters<JsonObject>) -> CallToolResult {
        CallToolResult::structured(json!({"server": self.name, "arguments": arguments}))
    }

    /// Reports progress three times, and answers when the gate opens
    #[tool]
    async fn count(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        let token = context.meta.get_progress_token();
        let token = token.ok_or_else(|| ErrorData::invalid_params("no progress token", None))?;
        for step in 1..=3 {
            let progress = ProgressNotificationParam::new(token.clone(), f64::from(step))
                .with_total(3.0)
                .with_message(format!("step {step}"));
            let _ = context.peer.notify_progress(progress).await;
        }
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        Ok("counted".to_owned())
    }

    /// Logs one message
    #[tool]
    async fn log(&self, peer: Peer<RoleServer>) -> String {
        let data = json!({"heat": 451});
        let log = LoggingMessageNotificationParam::new(LoggingLevel::Warning, data);
        let _ = peer.notify_logging_message(log.with_logger("lab")).await;
        "logged".to_owned()
    }

    /// Answers only when it is cancelled
    #[tool]
    async fn hang(&self, context: RequestContext<RoleServer>) -> String {
        let _ = self.events.send(CallEvent::Started);
        context.ct.cancelled().await;
        let _ = self.events.send(CallEvent::Stopped);
        "cancelled".to_owned()
    }

    /// Fails in the requested way
    #[tool]
    async fn fail(&self, Parameters(fail): Parameters<Fail>) -> Result<CallToolResult, ErrorData> {
        match fail.with {
            Failure::ToolResult => {
                let text = ContentBlock::text("the disk is full");
                Ok(CallToolResult::error(vec![text]))
            }
            Failure::JsonRpcError => Err(ErrorData::new(
                ErrorCode(-32077),
                "out of ink",
                Some(json!({"refill": [1.5, null, "cyan"]})),
            )),
        }
    }

    /// Sends three requests to the client before it answers, and returns the answers
    #[tool]
    async fn ask(&self, peer: Peer<RoleServer>) -> CallToolResult {
        let elicitation = json!({
            "method": "elicitation/create",
            "params": {
                "mode": "form",
                "message": "Which port?",
                "requestedSchema": {"type": "object", "properties": {"port": {"type": "integer"}}},
            },
        });
        let sampling = json!({
            "method": "sampling/createMessage",
            "params": {
                "messages": [{"role": "user", "content": {"type": "text", "text": "Say hi"}}],
                "maxTokens": 10,
            },
        });
        let roots = json!({"method": "roots/list"});
        CallToolResult::structured(json!({
            "elicitation": ask_client(&peer, elicitation).await,
            "sampling": ask_client(&peer, sampling).await,
            "roots": ask_client(&peer, roots).await,
        }))
    }
}

#[tool_handler]
impl ServerHandler for TestServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = json!({
            "tools": {}, "prompts": {}, "resources": {}, "completions": {}, "logging": {},
        });
        ServerConfig::new(serde_json::from_value(capabilities).unwrap())
            .with_server_info(Implementation::new(self.name, "1.0.0"))
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(ProtocolVersion::known_up_to(&self.newest))
    }

    async fn on_cancelled(
        &self,
        _: CancelledNotificationParam,
        _: NotificationContext<RoleServer>,
    ) {
        let _ = self.events.send(CallEvent::Cancelled);
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let whom = PromptArgument::new("whom").with_required(true);
        let greet = Prompt::new("greet", Some("Greets somebody"), Some(vec![whom]));
        Ok(ListPromptsResult::with_all_items(vec![greet]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let whom = request.arguments.unwrap_or_default()["whom"].clone();
        let text = format!("{} of {} greets {whom}", request.name, self.name);
        let message = PromptMessage::new_text(Role::User, text);
        Ok(GetPromptResult::new(vec![message]).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let value = format!("{}rld, says {}", request.argument.value, self.name);
        let completion = CompletionInfo::new(vec![value]).unwrap();
        Ok(CompleteResult::new(completion))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let note = Resource::new(format!("note://{}/today", self.name), "today");
        Ok(ListResourcesResult::with_all_items(vec![note]))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let notes = ResourceTemplate::new(format!("note://{}/{{day}}", self.name), "notes");
        Ok(ListResourceTemplatesResult::with_all_items(vec![notes]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let text = format!("{} read by {}", request.uri, self.name);
        let contents = ResourceContents::text(text, request.uri);
        Ok(ReadResourceResult::new(vec![contents]).into())
    }
}

/// Sends a request to the client during a call. Returns the result or the error as JSON.
async fn ask_client(peer: &Peer<RoleServer>, request: Value) -> Value {
    let request: ServerRequest = serde_json::from_value(request).unwrap();
    match peer.send_request(request).await {
        Ok(result) => json!({"result": result}),
        Err(ServiceError::McpError(error)) => json!({"error": error.code.0}),
        Err(other) => json!({"failed": other.to_string()}),
    }
}
