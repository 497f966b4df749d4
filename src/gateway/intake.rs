//! What the client says: a line, the messages in it, and what each of them sets off.
//!
//! Owns nothing. It must not know what comes back, nor from where.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::Gateway;
use super::batch::Origin;
use crate::dispatch::answer::Full;
use crate::dispatch::input::unsolicited;
use crate::dispatch::{Exchange, Plan, TaskEvent, route};
use crate::protocol::era::modern;
use crate::protocol::error::{INTERNAL_ERROR, INVALID_REQUEST};
use crate::protocol::message::{self, Malformed};
use crate::protocol::{Era, Id, Inbound, Notification, Outcome, Request, RequestKey, RpcError};
use crate::transport::stdio::StdinEvent;

impl Gateway {
    pub(super) fn intake(&mut self, intake: StdinEvent) {
        match intake {
            StdinEvent::Message(message) => self.message(Ok(message), Origin::ALONE),
            StdinEvent::Line(line) => self.line(line, false),
            StdinEvent::OverBudget(over_budget) => self.line(over_budget.line.clone(), true),
            StdinEvent::TooLong => {
                let cap = self.snapshot().config.gateway.max_message_bytes;
                let why = format!(
                    "the line is longer than {cap} bytes (max_message_bytes) and was thrown away"
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
        let (Some(batch), true) = (batch, self.lifecycle.takes_batches()) else {
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
            for stray in self.pre_init.release() {
                unsolicited::relay(stray, legacy, &self.parked, &self.tasks);
            }
        }
    }

    fn request(&mut self, request: Request, origin: Origin) {
        let asking = modern::client_of(request.params.as_ref());
        let era = asking.as_ref().map_or(Era::Legacy, |_| Era::Modern);
        let Some(key) = self.replies.begin(&request, era, origin.batch) else {
            return;
        };
        let first = !self.lifecycle.has_introduced();
        let snapshots = self.snapshots.subscribe();
        let many = self.replies.len() > self.snapshot().config.gateway.max_in_flight;
        let (events, parked) = (&self.tasks, &self.parked);
        let exchange = |client| match (many, origin.over_budget) {
            (true, _) => Err(Full::Calls),
            (_, true) => Err(Full::Bytes),
            _ => Ok(Exchange {
                key,
                client,
                events: events.clone(),
                parked: Arc::clone(parked),
            }),
        };
        match route(request, asking, &mut self.lifecycle, &snapshots, exchange) {
            Plan::Reply(outcome) => self.replies.finish(key, &outcome),
            Plan::Spawn(work) => self.spawn(key, work),
        }
        if first && self.lifecycle.has_introduced() && !self.refresh.is_settled() {
            let wait = self.snapshot().config.gateway.startup_wait;
            self.deadlines.startup = Some(Instant::now() + wait);
        }
    }

    pub(super) fn spawn(&mut self, key: RequestKey, work: BoxFuture<'static, Outcome>) {
        let tasks = self.tasks.clone();
        let task = tokio::spawn(async move {
            let outcome = AssertUnwindSafe(work)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    RpcError::new(
                        INTERNAL_ERROR,
                        "the gateway failed on this call: please report it",
                    )
                    .into()
                });
            let _ = tasks.send(TaskEvent::Done { key, outcome });
        });
        self.replies.set_task(key, task.abort_handle());
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
            method => tracing::debug!(method, "a notification that means nothing here"),
        }
    }
}
