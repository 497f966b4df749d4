//! Handles what the client sends: a line, the messages in it, and what each of them sets off.
//!
//! Owns no state. It must not know backends, nor how a request is served.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::batch::Origin;
use super::state::Gateway;
use crate::dispatch::{Exchange, NotAccepted, Plan, forward_notification, is_call, relay, route};
use crate::observe::log_file;
use crate::protocol::era::modern;
use crate::protocol::error::INVALID_REQUEST;
use crate::protocol::message::{self, Malformed};
use crate::protocol::{ClientProfile, Era, Id, Inbound, Notification, Request, RpcError};
use crate::transport::stdio::{NoticeSource, StdinEvent};

/// Up to this, the wait is shortened for clients that list once; a longer configured wait is kept.
const USUAL_WAIT: Duration = Duration::from_secs(2);
/// How long the first list of a client waits that goes on without it after a second.
const HASTY_WAIT: Duration = Duration::from_millis(800);

/// How long the first list waits for backends: `startup_wait_ms`, but not longer than the client does.
fn startup_wait(configured: Duration, client: Option<&ClientProfile>) -> Duration {
    match client {
        Some(client) if client.lists_once() && configured <= USUAL_WAIT => {
            configured.min(HASTY_WAIT)
        }
        _ => configured,
    }
}

impl Gateway {
    pub(super) fn intake(&mut self, intake: StdinEvent) {
        match intake {
            StdinEvent::Message(message) => self.message(Ok(message), Origin::ALONE),
            StdinEvent::Line(line) => self.line(line, false),
            StdinEvent::OverBudget(over_budget) => self.line(over_budget.line.clone(), true),
            StdinEvent::TooLong => {
                let cap = self.snapshot().config.gateway.max_message_bytes;
                let why = format!(
                    "the line is longer than {cap} bytes (max_message_bytes) and was discarded"
                );
                self.refuse_line(why);
            }
        }
    }

    /// One line: a message, or an array of them where the agreed version has batches.
    fn line(&mut self, line: Bytes, over_budget: bool) {
        let alone = Origin {
            over_budget,
            ..Origin::ALONE
        };
        let line = match message::json(line) {
            Ok(line) => line,
            Err(error) => return self.replies.send(message::response(None, &error.into())),
        };
        if !line.as_bytes().starts_with(b"[") {
            return self.message(message::parse(&line), alone);
        }
        let batch = message::elements(&line).filter(|batch| !batch.is_empty());
        let (Some(batch), true) = (batch, self.lifecycle.accepts_batches()) else {
            let why = "an array is not a message: batches exist in protocol version 2025-03-26 alone, and are never empty";
            return self.refuse_line(why);
        };
        let number = self.replies.open_batch();
        let together = Origin {
            over_budget,
            batch: Some(number),
        };
        for part in batch {
            self.message(message::parse(&part), together);
        }
        self.replies.close_part(number, None);
    }

    fn refuse_line(&self, why: impl Into<String>) {
        let error = RpcError::new(INVALID_REQUEST, why);
        self.replies.send(message::response(None, &error.into()));
    }

    fn message(&mut self, message: Result<Inbound, Malformed>, origin: Origin) {
        match message {
            Ok(Inbound::Request(request)) => self.request(request, origin),
            Ok(Inbound::Notification(notification)) => self.notification(&notification),
            Ok(Inbound::Response(response)) => self.replies.answered(response),
            Err(malformed) => {
                let (id, error) = (malformed.id.as_ref(), malformed.error.into());
                self.replies.answer_now(id, &error, origin.batch);
            }
        }
        if self.lifecycle.is_initialized() {
            let legacy = self.lifecycle.client();
            for unsolicited in self.pre_init.release() {
                relay(unsolicited, legacy, &self.tasks);
            }
            for (backend, notification) in self.pre_init.release_notices() {
                self.notice(NoticeSource::Backend(backend), &notification);
            }
        }
    }

    fn request(&mut self, request: Request, origin: Origin) {
        let asking = modern::client_of(request.params.as_ref());
        let era = asking.as_ref().map_or(Era::Legacy, |_| Era::Modern);
        let record = self.audit.begin(&request, is_call(&request.method));
        let Some(key) = self.replies.begin(&request, era, origin.batch, record) else {
            return;
        };
        let first = !self.lifecycle.has_introduced();
        let modern = asking.as_ref().filter(|_| first);
        let modern = modern.and_then(|asking| asking.as_ref().ok()?.info.clone());
        let snapshots = self.snapshots.subscribe();
        let many = self.replies.len() > self.snapshot().config.gateway.max_in_flight;
        let (events, lifecycle) = (&self.tasks, &mut self.lifecycle);
        let (audit, record) = (&self.audit, self.replies.record(key));
        let exchange = |client| {
            if let Some(record) = record {
                record.record().set_client(&client);
            }
            let why = match (many, origin.over_budget) {
                (true, _) => NotAccepted::MaxInFlight,
                (_, true) => NotAccepted::MaxBufferedBytes,
                _ if audit.refuses(record) => NotAccepted::AuditFile,
                _ => {
                    return Ok(Exchange {
                        key,
                        client,
                        events: events.clone(),
                        record: record.map(|half| Arc::clone(half.record())),
                    });
                }
            };
            if let Some(record) = record {
                record.refused(why.class());
            }
            Err(why)
        };
        let parked = &self.parked;
        match route(request, asking, lifecycle, &snapshots, parked, exchange) {
            Plan::Reply(outcome) => self.replies.finish(key, &outcome),
            Plan::Spawn(work) => self.spawn(key, work),
        }
        if first && self.lifecycle.has_introduced() {
            let legacy = self.lifecycle.client();
            let legacy = legacy.and_then(|client| client.info.as_ref());
            log_file::set_client(modern.as_ref().or(legacy));
        }
        if first && self.lifecycle.has_introduced() && !self.publisher.is_settled() {
            let configured = self.snapshot().config.gateway.startup_wait;
            let wait = startup_wait(configured, self.lifecycle.client().map(Arc::as_ref));
            self.deadlines.startup = Some(Instant::now() + wait);
        }
    }

    fn notification(&mut self, notification: &Notification) {
        match notification.method.as_str() {
            "notifications/initialized" => self.lifecycle.initialized(),
            "notifications/cancelled" => {
                let params = notification.params.as_ref();
                let id = params
                    .and_then(|params| params.get("requestId"))
                    .and_then(Id::from_raw);
                if let Some(key) = id.and_then(|id| self.replies.key(&id)) {
                    self.replies.cancel(key);
                    self.subscriptions.close(key);
                }
            }
            "notifications/roots/list_changed" => {
                for backend in &self.snapshot().backends {
                    backend.notify("notifications/roots/list_changed");
                }
            }
            _ if self.lifecycle.is_initialized() => {
                forward_notification(notification, &self.snapshot());
            }
            method => tracing::debug!(method, "an unknown notification is ignored"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    #[test]
    fn the_first_list_waits_no_longer_than_the_client() {
        let client = |name: &str| ClientProfile {
            info: Some(RawJson::of(&serde_json::json!({ "name": name }))),
            ..ClientProfile::ourselves()
        };
        let (codex, other) = (client("codex-mcp-client"), client("claude-code"));
        let wait = |millis, client| startup_wait(Duration::from_millis(millis), client).as_millis();
        assert_eq!(wait(2_000, Some(&codex)), 800);
        assert_eq!(wait(300, Some(&codex)), 300);
        assert_eq!(wait(5_000, Some(&codex)), 5_000);
        assert_eq!(wait(2_000, Some(&other)), 2_000);
        assert_eq!(wait(2_000, None), 2_000);
    }
}
