//! In-flight requests in both directions.
//!
//! Owns the client's requests in flight, the batches they came in, the open server requests, and the
//! outbox. Only code that has removed a request from the table may answer it, so it is answered at most
//! once. It must not know what a method means.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::batch::Batches;
use super::drop_policy;
use crate::dispatch::ServerRequestId;
use crate::observe::audit::RecordHalf;
use crate::observe::request_span::RequestSpan;
use crate::protocol::error::INVALID_REQUEST;
use crate::protocol::message::{self, Written};
use crate::protocol::{
    Era, Id, Incoming, Notification, Outcome, Outgoing, RawJson, Request, RequestKey, Response,
    RpcError,
};
use crate::transport::stdio::{DropPolicy, NoticeSource, Outbox};

/// A request of the client in flight.
pub(super) struct ClientRequest {
    pub(super) method: Arc<str>,
    /// The era of the request, and of its response.
    pub(super) era: Era,
    task: Option<AbortHandle>,
    batch: Option<u64>,
    /// `None` where nobody reads records.
    record: Option<RecordHalf>,
}

/// A server request that the client has not answered.
pub(super) struct PendingServerRequest {
    /// The client request that it belongs to, if it belongs to one.
    pub(super) key: Option<RequestKey>,
    pub(super) request_id: ServerRequestId,
    pub(super) answer: oneshot::Sender<Outcome>,
}

pub(super) struct Replies {
    in_flight: Incoming<ClientRequest>,
    server_requests: Outgoing<PendingServerRequest>,
    batches: Batches,
    outbox: Outbox,
}

impl Replies {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self {
            in_flight: Incoming::default(),
            server_requests: Outgoing::default(),
            batches: Batches::new(outbox.budget()),
            outbox,
        }
    }

    /// Takes a request in; `None`, and the client gets an error, if its id is in flight already.
    pub(super) fn begin(
        &mut self,
        request: &Request,
        era: Era,
        batch: Option<u64>,
        record: Option<RecordHalf>,
    ) -> Option<RequestKey> {
        let id = &request.id;
        if self.in_flight.key(id).is_some() {
            let why = format!("the id {} is in flight already", id.raw().as_str());
            let outcome = RpcError::new(INVALID_REQUEST, why).into();
            if let Some(record) = record {
                record.finished(&outcome);
            }
            self.answer_now(Some(id), &outcome, batch);
            return None;
        }
        let pending = ClientRequest {
            method: request.method.as_str().into(),
            era,
            task: None,
            batch,
            record,
        };
        let key = self.in_flight.begin(id.clone(), pending)?;
        self.batches.expect_one_more(batch);
        Some(key)
    }

    /// How many requests are in flight.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// All requests in flight, in the order they came.
    pub(super) fn keys(&self) -> Vec<RequestKey> {
        self.in_flight.keys()
    }

    /// A request, if it is still in flight.
    pub(super) fn get(&self, key: RequestKey) -> Option<&ClientRequest> {
        self.in_flight.get(key)
    }

    /// The id of a request in flight, as the client wrote it.
    pub(super) fn id(&self, key: RequestKey) -> Option<Id> {
        self.in_flight.id(key).cloned()
    }

    /// What log lines of a request's task say of it, if it is in flight.
    pub(super) fn span(&self, key: RequestKey) -> Option<Arc<RequestSpan>> {
        let (id, pending) = self.in_flight.id(key).zip(self.in_flight.get(key))?;
        Some(RequestSpan::new(id.clone(), Arc::clone(&pending.method)))
    }

    /// The record of a request, if it is in flight and there is one.
    pub(super) fn record(&self, key: RequestKey) -> Option<&RecordHalf> {
        self.in_flight.get(key)?.record.as_ref()
    }

    /// The request in flight under this id.
    pub(super) fn key(&self, id: &Id) -> Option<RequestKey> {
        self.in_flight.key(id)
    }

    /// Sets the task that serves a request.
    pub(super) fn set_task(&mut self, key: RequestKey, task: AbortHandle) {
        if let Some(pending) = self.in_flight.get_mut(key) {
            pending.task = Some(task);
        }
    }

    /// Aborts the task that serves a request.
    pub(super) fn end_task(&mut self, key: RequestKey) {
        let pending = self.in_flight.get_mut(key);
        if let Some(task) = pending.and_then(|pending| pending.task.take()) {
            task.abort();
        }
    }

    /// Answers a request, if it is still in flight.
    pub(super) fn finish(&mut self, key: RequestKey, outcome: &Outcome) {
        if let Some((id, pending)) = self.in_flight.finish(key) {
            self.cancel_server_requests(|open| open.key == Some(key));
            if let Some(record) = pending.record {
                record.finished(outcome);
            }
            match (pending.batch, message::response_as_is(&id, outcome)) {
                (None, Written::Whole(line)) => self.send(line),
                (None, Written::Parts(parts)) => self.outbox.push_parts(parts),
                (Some(batch), answer) => self.close_part(batch, Some(answer)),
            }
        }
    }

    /// Ends a request without a response. Dropping its task cancels the call.
    pub(super) fn cancel(&mut self, key: RequestKey) {
        self.end_task(key);
        let Some((_, pending)) = self.in_flight.finish(key) else {
            return;
        };
        if let Some(record) = pending.record {
            record.cancelled();
        }
        if let Some(batch) = pending.batch {
            self.close_part(batch, None);
        }
    }

    /// Answers what never was in flight.
    pub(super) fn answer_now(&mut self, id: Option<&Id>, outcome: &Outcome, batch: Option<u64>) {
        let line = message::response(id, outcome);
        if let Some(line) = self.batches.answer_at_once(batch, line) {
            self.send(line);
        }
    }

    /// Opens a batch; [`close_part`](Self::close_part) without a response ends its reading.
    pub(super) fn open_batch(&mut self) -> u64 {
        self.batches.open()
    }

    /// One part of a batch is done; the last one sends all responses as one array.
    pub(super) fn close_part(&mut self, number: u64, answer: Option<Written>) {
        if let Some(parts) = self.batches.close_part(number, answer) {
            self.outbox.push_all(parts);
        }
    }

    /// Sends a server request to the client, unless the client request that it belongs to is over or
    /// the outbox has no room: it then counts as unanswered.
    pub(super) fn send_server_request(
        &mut self,
        open: PendingServerRequest,
        method: &str,
        params: Option<&RawJson>,
    ) {
        let key = open.key;
        if key.is_none_or(|key| self.get(key).is_some()) {
            let id = self.server_requests.issue(open);
            let line = message::request(&id, method, params);
            if !self.outbox.push_with_policy(line, DropPolicy::Keep) {
                self.server_requests.settle(&id);
                RequestSpan::enter(key.and_then(|key| self.span(key)), || {
                    tracing::warn!(
                        method,
                        "a server request is dropped: the byte budget is exhausted"
                    );
                });
            }
        }
    }

    /// Takes in the client's response to a server request; one to an unknown id is dropped.
    pub(super) fn answered(&mut self, response: Response) {
        if let Some(open) = response.id.and_then(|id| self.server_requests.settle(&id)) {
            let _ = open.answer.send(response.outcome);
        }
    }

    /// Cancels server requests (MCP 2025-11-25, basic/utilities/cancellation).
    pub(super) fn cancel_server_requests(&mut self, which: impl Fn(&PendingServerRequest) -> bool) {
        for (id, _) in self.server_requests.take_where(which) {
            let params = format!(
                r#"{{"requestId":{},"reason":"an answer is no longer needed"}}"#,
                id.raw().as_str()
            );
            let params = RawJson::trusted(params);
            self.send(message::notification(
                "notifications/cancelled",
                Some(&params),
            ));
        }
    }

    /// Sends a line about a request, if it is still in flight.
    pub(super) fn send_for(&self, key: RequestKey, line: Bytes, policy: DropPolicy) {
        if self.get(key).is_some() {
            self.outbox.push_with_policy(line, policy);
        }
    }

    /// Sends a notification that belongs to no request but perhaps to a subscription, after all that
    /// does.
    pub(super) fn notify(
        &self,
        source: NoticeSource,
        notification: &Notification,
        listen: Option<RequestKey>,
        line: Bytes,
    ) {
        let policy = drop_policy::of_notification(source, notification, listen, &line);
        self.outbox.notify(source, line, policy);
    }

    /// Drops the notifications that belong to no request and are not written yet.
    pub(super) fn drop_notices(&self) {
        self.outbox.drop_notices();
    }

    /// Sends a line.
    pub(super) fn send(&self, line: Bytes) {
        self.outbox.push(line);
    }

    /// Flushes what was sent.
    pub(super) fn flush(&self) {
        self.outbox.flush();
    }
}
