//! A client that performs random actions.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::model::{Call, Disturbance, Model};
use super::pipes::Reading;
use super::script;
use super::world::{Transcript, World};
use crate::common::PATIENCE;
use crate::common::fake::{FakeBackend, OnConnect};
use crate::common::gate::Gate;
use crate::common::protocol_checker::Message;
use crate::common::rng::Rng;

const TOOLS: usize = 8;
/// The configured timeout of a call. Time during which the client is asked doesn't count.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// After everything has been answered.
    Quiet,
    /// During calls: at the end of input.
    Eof,
    Signal,
    TwoSignals,
    StdoutClosed,
}

/// A client, its backends, and the model of both.
pub struct Driver {
    world: World,
    rng: Rng,
    backends: [FakeBackend; 2],
    /// Whether each serves the modern era now.
    modern: [bool; 2],
    /// Whether backends change their era in this run. Their tools request no input then.
    changes_eras: bool,
    gates: Vec<Gate>,
    model: Model,
    version: &'static str,
    capabilities: Value,
    started: usize,
    ids: u64,
}

impl Driver {
    /// Sets up the run of this seed.
    pub async fn new(seed: u64, transcript: Transcript) -> Self {
        let mut rng = Rng(seed);
        let versions = ["2025-03-26", "2025-11-25", "2026-07-28", "2026-07-28"];
        let version = *rng.pick(&versions);
        let all = json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": {} });
        let capabilities = if rng.one_in(4) { json!({}) } else { all };
        let mut legacy = FakeBackend::start_here();
        if rng.one_in(2) {
            legacy = legacy.with_get();
        }
        let mut backends = [legacy, FakeBackend::start_here().modern()];
        let changes_eras = rng.one_in(3);
        let (mut tools, mut gates) = (Vec::new(), Vec::new());
        for n in 0..TOOLS {
            let modern = rng.one_in(2);
            let [old, new] = &backends;
            let fake = if modern { new } else { old };
            let name = format!("t{n}");
            let tool = script::write(fake, name, (modern, !changes_eras), &mut rng, &mut gates);
            let members = json!({ "annotations": { "readOnlyHint": tool.safe } });
            let add = |fake: FakeBackend| fake.tool_with(&tool.name, members);
            let [old, new] = backends;
            backends = if modern {
                [old, add(new)]
            } else {
                [add(old), new]
            };
            tools.push(tool);
        }
        let lines = format!("timeout_secs = {}\nretries = 2\n", DEADLINE.as_secs());
        let toml = backends[0].entry("old", &lines) + &backends[1].entry("new", &lines);
        Self {
            world: World::new(&toml, transcript).await,
            rng,
            backends,
            modern: [false, true],
            changes_eras,
            gates,
            model: Model::new(tools),
            version,
            capabilities,
            started: 0,
            ids: 0,
        }
    }

    /// Runs to one of the ends, and checks the outcome.
    pub async fn run(mut self) {
        self.initialize().await;
        let end = *self.rng.pick(&[
            End::Quiet,
            End::Quiet,
            End::Quiet,
            End::Eof,
            End::Signal,
            End::TwoSignals,
            End::StdoutClosed,
        ]);
        for _ in 0..12 + self.rng.below(24) {
            self.act().await;
            let turns = self.rng.below(12);
            self.world.turns(turns).await;
            if self.rng.one_in(3) {
                self.world.catch_up().await;
                self.handle_answers();
            }
        }
        if end == End::Quiet {
            self.complete_all().await;
        }
        self.finish(end).await;
    }

    async fn initialize(&mut self) {
        if !self.is_modern() {
            let client = json!({ "name": "simulation", "version": "1" });
            let id = self.request(
                "initialize",
                json!({ "protocolVersion": self.version,
                "capabilities": self.capabilities, "clientInfo": client }),
            );
            self.wait_for(id).await;
            self.notify("notifications/initialized", json!({}));
        }
        // A call before the first list may fail with an unknown tool.
        let id = self.request("tools/list", json!({}));
        self.wait_for(id).await;
    }

    async fn wait_for(&mut self, id: u64) {
        for _ in 0..50 {
            self.world.settle().await;
            if self.world.answers.iter().any(|answer| *answer.id() == id) {
                return;
            }
            self.world.pass(Duration::from_millis(100)).await;
        }
        panic!("{id} is not answered");
    }

    async fn act(&mut self) {
        match self.rng.below(22) {
            0..=5 => self.call(),
            6 | 7 => self.cancel(),
            8 => self.reuse_id(),
            9 => self.list(),
            10 => self.send_invalid(),
            11 | 12 => self.open_a_gate(),
            13..=15 => self.answer_server_request(),
            16 => self.disturb(),
            17 => self.batch(),
            18 => self.notify("notifications/roots/list_changed", json!({})),
            19 => self.read_otherwise(),
            20 => self.change_era(),
            _ => {
                let times = [1, 40, 150, 1_000, 6_000];
                let time = Duration::from_millis(*self.rng.pick(&times));
                self.world.pass(time).await;
            }
        }
    }

    fn call(&mut self) {
        if self.started == TOOLS {
            return;
        }
        let tool = self.started;
        self.started += 1;
        let id = self.request_tool(tool, json!({}));
        self.model.called(id, Call::of(tool));
    }

    fn request_tool(&mut self, tool: usize, more: Value) -> u64 {
        let token = format!("token {}", self.ids + 1);
        let name = &self.model.tools[tool].name;
        let mut params =
            json!({ "name": name, "arguments": {}, "_meta": { "progressToken": token } });
        for (key, value) in more.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        self.request("tools/call", params)
    }

    /// Reuses an id that is or was in flight.
    fn reuse_id(&mut self) {
        let known = self.model.ids();
        if known.is_empty() {
            return;
        }
        let id = *self.rng.pick(&known);
        self.model.id_reused(id);
        let meta = json!({ "progressToken": format!("token {id}") });
        let params = json!({ "name": "no such tool", "arguments": {}, "_meta": meta });
        self.request_as(id, "tools/call", params);
    }

    fn cancel(&mut self) {
        let known = self.model.ids();
        let unknown = json!("unknown");
        let id = match self.rng.below(8) {
            0 => unknown,
            _ if known.is_empty() => unknown,
            _ => json!(self.rng.pick(&known)),
        };
        for _ in 0..=usize::from(self.rng.one_in(4)) {
            self.notify("notifications/cancelled", json!({ "requestId": id }));
        }
        if let Some(id) = id.as_u64() {
            self.model.cancelled(id);
        }
    }

    fn list(&mut self) {
        let methods = [
            "tools/list",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
        ];
        let method = *self.rng.pick(&methods);
        self.request(method, json!({}));
    }

    fn send_invalid(&mut self) {
        let lines = [
            "{",
            "nonsense",
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":"unknown","result":{}}"#,
            "[1]",
        ];
        let line = *self.rng.pick(&lines);
        self.world.send(line);
    }

    /// A batch of two requests, in the version that has batches.
    fn batch(&mut self) {
        if self.version != "2025-03-26" {
            return;
        }
        self.ids += 2;
        let ping = |id| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
        let list = json!({ "jsonrpc": "2.0", "id": self.ids, "method": "tools/list" });
        let batch = json!([ping(self.ids - 1), list]);
        self.world.send(&batch.to_string());
    }

    fn open_a_gate(&mut self) {
        if !self.gates.is_empty() {
            let at = self.rng.below(self.gates.len());
            self.gates.swap_remove(at).open();
        }
    }

    fn answer_server_request(&mut self) {
        if self.world.server_requests.is_empty() {
            return;
        }
        let at = self.rng.below(self.world.server_requests.len());
        let server_request = self.world.server_requests.swap_remove(at);
        let id = server_request.id();
        let answer = if self.rng.one_in(6) {
            self.model.refused_server_request();
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -1, "message": "no" } })
        } else {
            json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept", "content": {} } })
        };
        self.world.send(&answer.to_string());
        if self.rng.one_in(6) {
            self.world.send(&answer.to_string());
        }
    }

    /// Disturbs a backend, independently of any call.
    fn disturb(&mut self) {
        let which = self.rng.below(2);
        let fake = &self.backends[which];
        let (what, disturbance) = match self.rng.below(4) {
            0 => {
                fake.forget_sessions();
                ("forgets its sessions", Disturbance::SessionsLost)
            }
            1 => {
                fake.cut_connections();
                ("closes its connections", Disturbance::Broken)
            }
            2 => {
                fake.on_connect(&[OnConnect::HangUp]);
                ("will hang up once", Disturbance::Broken)
            }
            _ => {
                fake.on_connect(&[OnConnect::Reset, OnConnect::Reset]);
                ("will reset twice", Disturbance::Broken)
            }
        };
        self.world.note(format!("  backend {which} {what}"));
        self.model.disturbance(disturbance);
    }

    /// The client reads slowly, not at all, or all again.
    fn read_otherwise(&mut self) {
        let reading = match self.rng.below(4) {
            0 => Reading::Nothing,
            1 => Reading::Slowly(1 + self.rng.below(200)),
            _ => Reading::Everything,
        };
        self.world.set_reading(reading);
    }

    /// A backend serves the other era from now on, in the middle of its calls.
    fn change_era(&mut self) {
        if !self.changes_eras {
            return;
        }
        let which = self.rng.below(2);
        self.modern[which] = !self.modern[which];
        self.backends[which].change_era(self.modern[which]);
        let era = if self.modern[which] {
            "modern"
        } else {
            "legacy"
        };
        self.world.note(format!("  backend {which} is {era} now"));
        self.model.disturbance(Disturbance::EraChanged);
    }

    /// Passes answers to the model. Most input requests in results are answered.
    fn handle_answers(&mut self) {
        for answer in std::mem::take(&mut self.world.answers) {
            let parked = self.model.answered(&answer);
            if let Some(tool) = parked.filter(|_| !self.rng.one_in(5)) {
                self.retry(tool, &answer);
            }
        }
    }

    fn retry(&mut self, tool: usize, input_required: &Message) {
        let result = &input_required.json["result"];
        let asks = result["inputRequests"].as_object();
        let accept = json!({ "action": "accept", "content": {} });
        let keys = asks.into_iter().flatten().map(|(key, _)| key.clone());
        let answers: Map<String, Value> = keys.map(|key| (key, accept.clone())).collect();
        let mut more = json!({ "inputResponses": answers });
        if let Some(state) = result.get("requestState") {
            more["requestState"] = state.clone();
        }
        let id = self.request_tool(tool, more);
        self.model.called(id, Call::of(tool));
    }

    /// Completes all requests: opens gates, answers server requests, advances the clock.
    async fn complete_all(&mut self) {
        self.world.set_reading(Reading::Everything);
        while !self.gates.is_empty() {
            self.open_a_gate();
        }
        // Longer than the deadline, with every wait between attempts.
        for _ in 0..20 {
            self.world.settle().await;
            self.handle_answers();
            while !self.world.server_requests.is_empty() {
                self.answer_server_request();
            }
            if self.world.checker.unanswered().is_empty() {
                return;
            }
            self.world.pass(Duration::from_secs(6)).await;
        }
        panic!("never answered: {:?}", self.world.checker.unanswered());
    }

    async fn finish(mut self, end: End) {
        // Everything sent before a signal must have been read, and the client reads all to the end.
        self.world.set_reading(Reading::Everything);
        self.world.catch_up().await;
        self.world.note(format!("  the end: {end:?}"));
        self.world.reads = false;
        match end {
            End::Quiet | End::Eof => self.world.input = None,
            End::Signal => {
                let _ = self.world.shutdown.send(());
            }
            End::TwoSignals => {
                for _ in 0..2 {
                    let _ = self.world.shutdown.send(());
                }
            }
            End::StdoutClosed => {
                self.world.output.hang_up();
                // The gateway notices at its next write.
                self.request("tools/list", json!({}));
                while !self.world.output.has_ended() {
                    tokio::task::yield_now().await;
                    std::thread::yield_now();
                }
            }
        }
        // A thread notices the end of the input, which takes real time, not that of the paused clock.
        let begun = std::time::Instant::now();
        while !self.world.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "the gateway doesn't end");
            self.world.turns(40).await;
            self.world.catch_up().await;
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let (_, checker, answers) = self.world.end().await;
        for answer in answers {
            self.model.answered(&answer);
        }
        if end != End::StdoutClosed {
            let unanswered = checker.unanswered();
            assert!(unanswered.is_empty(), "never answered: {unanswered:?}");
        }
        self.model.check(&self.backends, end != End::Quiet);
    }

    fn is_modern(&self) -> bool {
        self.version == "2026-07-28"
    }

    fn request(&mut self, method: &str, params: Value) -> u64 {
        self.ids += 1;
        self.request_as(self.ids, method, params);
        self.ids
    }

    fn request_as(&mut self, id: u64, method: &str, mut params: Value) {
        if self.is_modern() {
            let prefix = "io.modelcontextprotocol";
            let meta = &mut params["_meta"];
            meta[format!("{prefix}/protocolVersion")] = json!(self.version);
            meta[format!("{prefix}/clientInfo")] = json!({ "name": "simulation", "version": "1" });
            meta[format!("{prefix}/clientCapabilities")] = self.capabilities.clone();
        }
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.world.send(&message.to_string());
    }

    fn notify(&mut self, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.world.send(&message.to_string());
    }
}
