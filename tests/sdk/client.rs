//! A client of the SDK that launches the gateway as its stdio server.

use std::process::Stdio;

use rmcp::model::*;
use rmcp::service::{NotificationContext, RequestContext, RequestHandle, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, ErrorData, RoleClient, ServiceError,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

use crate::common::message::own_words;
use crate::common::{canary, process};

use super::server::Server;
use super::within_timeout;

/// The lifecycle of versions up to 2025-11-25.
pub(crate) const LEGACY: ClientLifecycleMode = ClientLifecycleMode::Initialize;

/// A notification that reached the client.
#[derive(Debug, PartialEq)]
pub(crate) enum ClientEvent {
    Progress(ProgressNotificationParam),
    Log(Value),
}

/// The client's handler: its capabilities, its answers to server requests, and the notifications
/// that it gets.
pub(crate) struct TestClient {
    config: ClientConfig,
    events: mpsc::UnboundedSender<ClientEvent>,
}

/// A client with its own gateway process.
pub(crate) struct Session {
    pub(crate) client: RunningService<RoleClient, TestClient>,
    events: mpsc::UnboundedReceiver<ClientEvent>,
    _config: TempDir,
}

impl Session {
    /// Starts the gateway with `servers` as its backends, and a client with every capability in the
    /// lifecycle of one era.
    pub(crate) async fn start(servers: &[&Server], lifecycle: ClientLifecycleMode) -> Self {
        let config = client_config(json!({"elicitation": {}, "sampling": {}, "roots": {}}));
        Self::start_with(servers, lifecycle, config).await
    }

    /// The same with this client configuration.
    pub(crate) async fn start_with(
        servers: &[&Server],
        lifecycle: ClientLifecycleMode,
        config: ClientConfig,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let entry = |server: &&Server| {
            let (name, url) = (server.name, &server.url);
            format!("[[backends]]\nname = \"{name}\"\nurl = \"{url}\"\n")
        };
        let toml = servers.iter().map(entry).collect::<String>();
        let command = process::gateway(&folder, &toml);
        let (gateway, stderr) = TokioChildProcess::builder(tokio::process::Command::from(command))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(pid) = gateway.id() {
            canary::scan_command_line(pid);
        }
        // Shown by the test harness if the test fails.
        let mut log = BufReader::new(stderr.unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                canary::scan("stderr", line.as_bytes());
                eprintln!("gateway: {line}");
            }
        });

        let (sender, events) = mpsc::unbounded_channel();
        let test_client = TestClient {
            config,
            events: sender,
        };
        let client = within_timeout(
            "the handshake",
            test_client.serve_with_lifecycle(gateway, lifecycle),
        );
        Self {
            client: client.await.unwrap(),
            events,
            _config: folder,
        }
    }

    /// Calls a tool and waits for its result.
    pub(crate) async fn call(
        &self,
        tool: &str,
        arguments: Value,
    ) -> Result<CallToolResult, ServiceError> {
        let call = self.client.call_tool(call_params(tool, arguments));
        within_timeout(tool, call).await
    }

    /// Sends a call and returns a handle to wait for it or to cancel it.
    pub(crate) async fn begin(&self, tool: &str) -> RequestHandle<RoleClient> {
        let call = CallToolRequest::new(call_params(tool, json!({})));
        let options = rmcp::service::PeerRequestOptions::no_options();
        let sent = self
            .client
            .send_cancellable_request(call.into(), options)
            .await;
        sent.unwrap()
    }

    /// The next notification.
    pub(crate) async fn next_event(&mut self) -> ClientEvent {
        within_timeout("a notification", self.events.recv())
            .await
            .unwrap()
    }

    /// Closes the gateway's stdin and waits until the process has exited.
    pub(crate) async fn close(self) {
        within_timeout("the gateway to exit", self.client.cancel())
            .await
            .unwrap();
        canary::assert_no_leaks();
    }
}

/// A client configuration with these capabilities.
pub(crate) fn client_config(capabilities: Value) -> ClientConfig {
    let capabilities = serde_json::from_value(capabilities).unwrap();
    ClientConfig::new(capabilities, Implementation::new("sdk-test", "1.0.0"))
}

impl ClientHandler for TestClient {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let params = serde_json::to_value(request).unwrap();
        assert_eq!(own_words(&params["message"]), "Which port?");
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({"port": 8080})))
    }

    async fn create_message(
        &self,
        request: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        assert_eq!(request.max_tokens, 10);
        let hi = SamplingMessage::assistant_text("hi");
        Ok(CreateMessageResult::new(hi, "a-model".to_owned()))
    }

    async fn list_roots(
        &self,
        _: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        Ok(ListRootsResult::new(vec![Root::new("file:///work")]))
    }

    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.events.send(ClientEvent::Progress(progress));
    }

    async fn on_logging_message(
        &self,
        log: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self
            .events
            .send(ClientEvent::Log(serde_json::to_value(log).unwrap()));
    }
}

fn call_params(tool: &str, arguments: Value) -> CallToolRequestParams {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object, not {arguments}");
    };
    CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)
}
