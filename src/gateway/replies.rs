//! What the client has been promised an answer to, and what it has been asked.
//!
//! Owns the requests in flight, the batches they came in, the open questions to the client and the
//! way out to it. Removing a request from the table is the right to answer it: a reply that finds
//! none is dropped. It must not know what a method means.

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::batch::Batches;
use super::drop_policy;
use crate::dispatch::input::ServerRequestId;
use crate::protocol::Request;
use crate::protocol::error::INVALID_REQUEST;
use crate::protocol::message::{self, Written};
use crate::protocol::{
    Era, Id, Incoming, Outcome, Outgoing, RawJson, RequestKey, Response, RpcError,
};
use crate::transport::stdio::{DropPolicy, Outbox};

/// A request of the client in flight.
pub(super) struct ClientRequest {
    pub(super) method: String,
    /// The era that the request is written in, and is answered in.
    pub(super) era: Era,
    task: Option<AbortHandle>,
    batch: Option<u64>,
}

/// A question to the client that is open.
pub(super) struct PendingServerRequest {
    /// `None` for one that belongs to no request.
    pub(super) key: Option<RequestKey>,
    pub(super) request_id: ServerRequestId,
    pub(super) answer: oneshot::Sender<Outcome>,
}

pub(super) struct Replies {
    in_flight: Incoming<ClientRequest>,
    asked: Outgoing<PendingServerRequest>,
    batches: Batches,
    outbox: Outbox,
}

impl Replies {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self {
            in_flight: Incoming::default(),
            asked: Outgoing::default(),
            batches: Batches::default(),
            outbox,
        }
    }

    /// Takes a request in; `None`, and the client is told, if its id is in flight already.
    pub(super) fn begin(
        &mut self,
        request: &Request,
        era: Era,
        batch: Option<u64>,
    ) -> Option<RequestKey> {
        let id = &request.id;
        let pending = ClientRequest {
            method: request.method.clone(),
            era,
            task: None,
            batch,
        };
        let Some(key) = self.in_flight.begin(id.clone(), pending) else {
            let why = format!("the id {} is in flight already", id.raw().as_str());
            let refusal = RpcError::new(INVALID_REQUEST, why);
            self.answer_now(Some(id), &refusal.into(), batch);
            return None;
        };
        self.batches.expect_one_more(batch);
        Some(key)
    }

    /// How many requests are in flight.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// All requests in flight, in the order they came in.
    pub(super) fn keys(&self) -> Vec<RequestKey> {
        self.in_flight.keys()
    }

    /// A request, if it is still in flight.
    pub(super) fn get(&self, key: RequestKey) -> Option<&ClientRequest> {
        self.in_flight.get(key)
    }

    /// Its id, as the client wrote it.
    pub(super) fn id(&self, key: RequestKey) -> Option<Id> {
        self.in_flight.id(key).cloned()
    }

    /// The request in flight under this id.
    pub(super) fn key(&self, id: &Id) -> Option<RequestKey> {
        self.in_flight.key(id)
    }

    /// Notes the task that works on a request.
    pub(super) fn set_task(&mut self, key: RequestKey, task: AbortHandle) {
        if let Some(pending) = self.in_flight.get_mut(key) {
            pending.task = Some(task);
        }
    }

    /// Ends the task that works on a request.
    pub(super) fn end_task(&mut self, key: RequestKey) {
        let pending = self.in_flight.get_mut(key);
        if let Some(task) = pending.and_then(|pending| pending.task.take()) {
            task.abort();
        }
    }

    /// Answers a request, if it is still in flight.
    pub(super) fn finish(&mut self, key: RequestKey, outcome: &Outcome) {
        if let Some((id, pending)) = self.in_flight.finish(key) {
            self.withdraw(|open| open.key == Some(key));
            match (pending.batch, message::response_as_is(&id, outcome)) {
                (None, Written::Whole(line)) => self.send(line),
                (None, Written::Parts(parts)) => self.outbox.push_parts(parts),
                (Some(batch), _) => {
                    self.close_part(batch, Some(message::response(Some(&id), outcome)));
                }
            }
        }
    }

    /// Ends a request without an answer. Dropping its task tells the backend.
    pub(super) fn cancel(&mut self, key: RequestKey) {
        self.end_task(key);
        if let Some((_, pending)) = self.in_flight.finish(key)
            && let Some(batch) = pending.batch
        {
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

    /// Begins a batch; [`close_part`](Self::close_part) without an answer ends its reading.
    pub(super) fn open_batch(&mut self) -> u64 {
        self.batches.open()
    }

    /// One part of a batch is done; the last one sends them all, as one array.
    pub(super) fn close_part(&mut self, number: u64, answer: Option<Bytes>) {
        if let Some(line) = self.batches.close_part(number, answer) {
            self.send(line);
        }
    }

    /// Asks the client, unless the request that it came up in is over, or so much waits for the
    /// client that there is no room: whoever asks then hears that nobody answers.
    pub(super) fn ask(
        &mut self,
        open: PendingServerRequest,
        method: &str,
        params: Option<&RawJson>,
    ) {
        if open.key.is_none_or(|key| self.get(key).is_some()) {
            let id = self.asked.issue(open);
            let line = message::request(&id, method, params);
            if !self.outbox.push_with_policy(line, DropPolicy::Keep) {
                tracing::warn!(method, "a question is dropped: there is no room for it");
                self.asked.settle(&id);
            }
        }
    }

    /// The client's answer to a question; one to an unknown id is nobody's.
    pub(super) fn answered(&mut self, response: Response) {
        if let Some(open) = response.id.and_then(|id| self.asked.settle(&id)) {
            let _ = open.answer.send(response.outcome);
        }
    }

    /// Takes questions back from the client (S25 `basic/utilities/cancellation`).
    pub(super) fn withdraw(&mut self, which: impl Fn(&PendingServerRequest) -> bool) {
        for (id, _) in self.asked.take_where(which) {
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

    /// A line about a request, if it is still in flight.
    pub(super) fn say(&self, key: RequestKey, line: Bytes, policy: DropPolicy) {
        if self.get(key).is_some() {
            self.outbox.push_with_policy(line, policy);
        }
    }

    /// A line about nothing that the client has asked for.
    pub(super) fn tell(&self, method: &str, line: Bytes) {
        let policy = drop_policy::of_notification(method, &line);
        self.outbox.push_with_policy(line, policy);
    }

    /// A line for the client.
    pub(super) fn send(&self, line: Bytes) {
        self.outbox.push(line);
    }

    /// Has what was said go out.
    pub(super) fn flush(&self) {
        self.outbox.flush();
    }
}
