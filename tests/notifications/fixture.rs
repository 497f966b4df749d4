//! One [`HttpBackend`] without a gateway.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sentinel_gateway::backend::retry::Replay;
use sentinel_gateway::backend::stream::NoopHandler;
use sentinel_gateway::backend::{
    self, BackendEvent, Call, HttpBackend, SubscribeError, Subscription,
};
use sentinel_gateway::budget::Budget;
use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::governance::Admission;
use sentinel_gateway::protocol::{ClientProfile, Listing, Outcome, RawJson, Request};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;

/// A started backend. Its tasks run on a thread of their own, so tests simply block. Dropping it shuts
/// the backend down.
pub struct BackendFixture {
    runtime: Runtime,
    pub backend: Arc<HttpBackend>,
    events: mpsc::UnboundedReceiver<BackendEvent>,
    unread: VecDeque<BackendEvent>,
    _client: watch::Sender<Option<Arc<ClientProfile>>>,
}

impl BackendFixture {
    /// For a client with every capability.
    pub fn over(fake: &FakeBackend) -> Self {
        Self::with(fake, "")
    }

    /// With these additional lines in its entry.
    pub fn with(fake: &FakeBackend, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.toml");
        std::fs::write(&file, fake.entry("fake", more)).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        let config = load(&overrides, &Environment::new(folder.path()))
            .unwrap_or_else(|problems| panic!("{problems}"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = ClientProfile::superset();
        let (client, profiles) = watch::channel(Some(Arc::new(client)));
        let (mut backends, events) = {
            let _entered = runtime.enter();
            let contacts = backend::Contacts::none();
            backend::start_all(&config, &profiles, &Budget::new(1 << 20), &contacts)
        };
        Self {
            backend: backends.remove(0),
            runtime,
            events,
            unread: VecDeque::new(),
            _client: client,
        }
    }

    /// Waits until it is connected and listed.
    pub fn connected(fake: &FakeBackend) -> Self {
        let mut fixture = Self::over(fake);
        fixture.next_listing();
        fixture
    }

    /// The next listing.
    pub fn next_listing(&mut self) -> Arc<Listing> {
        self.next_event("a listing", |event| match event {
            BackendEvent::Listed { listing, .. } => Ok(listing),
            other => Err(other),
        })
    }

    /// Waits until it is down.
    pub fn wait_until_down(&mut self) {
        self.next_event("the state down", |event| match event {
            BackendEvent::Down { .. } => Ok(()),
            other => Err(other),
        });
    }

    /// The params of the next notification of this method.
    pub fn next_notification(&mut self, method: &str) -> Value {
        self.next_event(method, |event| match event {
            BackendEvent::Notice { notification, .. } if notification.method == method => {
                Ok(notification.params.map(|params| params.read().unwrap()))
            }
            other => Err(other),
        })
        .unwrap_or_default()
    }

    /// The next server request of this method, and the channel for its answer.
    pub fn next_request(&mut self, method: &str) -> (Request, oneshot::Sender<Outcome>) {
        self.next_event(method, |event| match event {
            BackendEvent::ServerRequest {
                request, answer, ..
            } if request.method == method => Ok((request, answer)),
            other => Err(other),
        })
    }

    /// Subscribes.
    pub fn subscribe(&self, uri: &str) -> Result<Subscription, SubscribeError> {
        self.wait(self.backend.subscribe(uri, &Admission::default()))
    }

    /// Calls a tool that must not run twice. Returns its text, or the error as text.
    pub fn call(&self, tool: &str) -> Result<String, String> {
        let params = RawJson::of(&json!({ "name": tool, "arguments": {} }));
        let client = ClientProfile::superset();
        let call = Call {
            method: "tools/call",
            params: Some(&params),
            progress: None,
            replay: Replay::Unsafe,
            deadline: &self
                .backend
                .deadline(Instant::now(), self.backend.config.timeout_of(tool)),
            caller: &client,
            target: Some(tool),
            param_headers: &[],
            request: None,
            handler: &NoopHandler,
        };
        let called = self.wait(self.backend.call(&call));
        match called.result {
            Ok(answer) => match answer.outcome {
                Outcome::Result(result) => {
                    let result: Value = result.read().unwrap();
                    Ok(result["content"][0]["text"].as_str().unwrap().to_owned())
                }
                Outcome::Error(error) => Err(error.as_str().to_owned()),
            },
            Err(error) => Err(format!("{:?}: {error}", called.report.tally.executed)),
        }
    }

    /// Enters the runtime, for code that needs one but doesn't wait.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Blocks the test on a future, with a timeout.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, work).await })
            .expect("timed out")
    }

    fn next_event<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(BackendEvent) -> Result<T, BackendEvent>,
    ) -> T {
        let mut passed = VecDeque::new();
        while let Some(event) = self.unread.pop_front() {
            match wanted(event) {
                Ok(found) => {
                    passed.append(&mut self.unread);
                    self.unread = passed;
                    return found;
                }
                Err(other) => passed.push_back(other),
            }
        }
        self.unread = passed;
        loop {
            let next = self
                .runtime
                .block_on(async { tokio::time::timeout(PATIENCE, self.events.recv()).await });
            match next {
                Ok(Some(event)) => match wanted(event) {
                    Ok(found) => return found,
                    Err(other) => self.unread.push_back(other),
                },
                _ => panic!("no {what}, only {:?}", self.unread),
            }
        }
    }
}

impl Drop for BackendFixture {
    fn drop(&mut self) {
        let shutdown = async {
            let shutdown = self.backend.shutdown();
            tokio::time::timeout(Duration::from_secs(2), shutdown).await
        };
        let _ = self.runtime.block_on(shutdown);
    }
}
