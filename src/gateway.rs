//! The loop: one event at a time, never waiting for a backend.
//!
//! Owns the requests in flight, the open server requests and the snapshot, alone. Only code that has removed a
//! request from the table may answer it, so it is answered at most once. It must not know what a method means;
//! that is [`crate::dispatch`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::backend::BackendEvent;
use crate::client::UnsolicitedRequest;
use crate::dispatch::{TaskEvent, cut_off, relay, server_request_for_client};
use crate::dispatch::{request_uris_for_client, updated_for_client};
use crate::observe::audit::Audit;
use crate::protocol::{Era, RawJson};
use crate::publish::{BuildOutput, Publication, retire};
use crate::tasks;
use crate::transport::stdio::{NoticeSource, WriteEnd};
use events::Event;
pub(crate) use events::Inputs;
pub(crate) use fleet::Fleet;
use held_notices::Notice;
use replies::PendingServerRequest;
pub use state::ExitReason;
pub(crate) use state::Gateway;

mod batch;
mod drop_policy;
mod events;
mod fleet;
mod held_notices;
mod intake;
mod notices;
mod reload;
mod replies;
mod state;

impl Gateway {
    /// Runs until nothing is left to answer, or the client is gone. Returns the backends of the end
    /// and the records too.
    pub(crate) async fn run(mut self, inputs: &mut Inputs) -> (ExitReason, Option<Fleet>, Audit) {
        while !self.is_drained() {
            let event = self.next(inputs).await;
            if let Some(end) = self.handle(event, inputs) {
                self.ending = end;
                break;
            }
        }
        self.abort_remaining();
        self.parked.close().await;
        (self.ending, self.fleet.take(), self.audit)
    }

    /// The next event. Output is flushed when there is none to be handled at once.
    async fn next(&mut self, inputs: &mut Inputs) -> Event {
        let next = inputs.next(&mut self.from_tasks, &mut self.publisher, &self.deadlines);
        if let Some(event) = next.now_or_never() {
            return event;
        }
        self.replies.flush();
        inputs
            .next(&mut self.from_tasks, &mut self.publisher, &self.deadlines)
            .await
    }

    fn handle(&mut self, event: Event, inputs: &mut Inputs) -> Option<ExitReason> {
        match event {
            Event::Task(event) => self.task(event),
            Event::Backend(event) => {
                self.backend(event);
                // Backends that connect together make one snapshot.
                while let Ok(event) = inputs.backends.try_recv() {
                    self.backend(event);
                }
                self.publish_changes();
            }
            Event::StartupOver => {
                self.deadlines.startup = None;
                self.publisher.settle();
                self.publish_changes();
            }
            Event::Reloaded(loaded) => self.reload(loaded),
            Event::Announce => self.announce(),
            Event::Built(built) => {
                self.publish(*built);
                self.publish_changes();
            }
            Event::CacheRead(cached) => {
                self.publisher.cache_read(cached);
                if let Some(introduction) = self.publisher.introduction() {
                    self.lifecycle.set_introduction(Arc::new(introduction));
                }
                self.publish_changes();
            }
            Event::Line(intake) => self.intake(intake),
            Event::EndOfInput => self.drain(ExitReason::EndOfInput),
            Event::Signal if self.deadlines.drain.is_none() => self.drain(ExitReason::Signal),
            Event::Signal => return Some(ExitReason::SecondSignal),
            Event::DrainOver => return Some(self.ending),
            Event::WriteEnd(WriteEnd::Done) => return Some(ExitReason::StdoutClosed),
            Event::WriteEnd(WriteEnd::Stuck { waiting }) => {
                tracing::error!(
                    waiting,
                    "the client does not read its answers: the gateway ends"
                );
                return Some(ExitReason::ClientStuck);
            }
        }
        None
    }

    fn backend(&mut self, event: BackendEvent) {
        match event {
            BackendEvent::Notice {
                backend,
                notification,
            } => self.notice_of(backend, Notice::OfBackend(notification)),
            BackendEvent::ServerRequest {
                backend,
                client_era,
                request,
                answer,
            } => {
                let Some(backend) = self.snapshot().backends.get(backend).cloned() else {
                    return;
                };
                let unsolicited = UnsolicitedRequest {
                    backend: backend.name().to_owned(),
                    request: server_request_for_client(request, &backend),
                    answer,
                };
                // A session for modern clients sends nothing to the legacy one.
                let legacy = self
                    .lifecycle
                    .client()
                    .filter(|_| client_era == Era::Legacy);
                if legacy.is_some() && !self.lifecycle.is_initialized() {
                    return self.pre_init.push(unsolicited);
                }
                relay(unsolicited, legacy, &self.tasks);
            }
            listed_or_down => self.publisher.absorb(listed_or_down),
        }
    }

    fn task(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Send { key, line, policy } => self.replies.send_for(key, line, policy),
            TaskEvent::Listening { key, filter } => {
                if let Some(id) = self.replies.id(key) {
                    let acknowledged = self.subscriptions.open(key, id, filter);
                    self.replies.send(acknowledged);
                }
            }
            TaskEvent::Subscribed { uri, held } => self.subscriptions.set(uri, held),
            TaskEvent::Updated { notification } => {
                let notification = updated_for_client(notification, &self.snapshot());
                self.notice(NoticeSource::Calls, &notification);
            }
            TaskEvent::TaskState {
                backend,
                notification,
            } => self.notice_of(backend, Notice::OfTask(notification)),
            TaskEvent::Notice {
                backend,
                notification,
            } => self.mapped_notice(backend, notification),
            // The request has ended while its params were mapped.
            TaskEvent::ServerRequest { answer, .. } if answer.is_closed() => {}
            TaskEvent::ServerRequest {
                key,
                request_id,
                method,
                params,
                is_mapped,
                answer,
            } => {
                let open = PendingServerRequest {
                    key,
                    request_id,
                    answer,
                };
                self.server_request(open, method, params, is_mapped);
            }
            TaskEvent::CancelServerRequest { request_id } => {
                self.replies
                    .cancel_server_requests(|open| open.request_id == request_id);
            }
            TaskEvent::Done { key, .. } if self.replies.get(key).is_none() => {
                self.parked.cancel_parked(key);
            }
            TaskEvent::Done { key, outcome } => self.replies.finish(key, &outcome),
        }
    }

    /// Sends a server request to the client, at once where its URIs are mapped or few.
    fn server_request(
        &mut self,
        open: PendingServerRequest,
        method: String,
        params: Option<RawJson>,
        is_mapped: bool,
    ) {
        let params = match is_mapped {
            true => Ok(params),
            false => request_uris_for_client(params, &self.snapshot()),
        };
        match params {
            Ok(params) => {
                self.replies
                    .send_server_request(open, &method, params.as_ref());
            }
            Err((backend, large)) => {
                let snapshot = self.snapshot();
                let mapping = async move { snapshot.with_client_uris(&backend, large).await };
                // Where that panics, the request is dropped with the sender of its answer.
                self.elsewhere(mapping, move |params| {
                    Some(TaskEvent::ServerRequest {
                        key: open.key,
                        request_id: open.request_id,
                        method,
                        params: Some(params?),
                        is_mapped: true,
                        answer: open.answer,
                    })
                });
            }
        }
    }

    /// Has a task do this work; what it comes to, `None` if it panics, comes back in an event.
    fn elsewhere<T>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
        event: impl FnOnce(Option<T>) -> Option<TaskEvent> + Send + 'static,
    ) {
        let events = self.tasks.clone();
        tasks::spawn(async move {
            let done = AssertUnwindSafe(work).catch_unwind().await.ok();
            if let Some(event) = event(done) {
                let _ = events.send(event);
            }
        });
    }

    /// Publishes the next snapshot, if requests wait for it: tasks get it, and the client is notified
    /// of changed lists.
    fn publish_changes(&mut self) {
        while let Some(built) = self.publisher.start() {
            self.publish(built);
        }
    }

    /// Publishes a snapshot that was built.
    fn publish(&mut self, built: BuildOutput) {
        let (publication, taken) = self.publisher.finish(built);
        let Some(Publication {
            snapshot: after,
            notifications,
        }) = publication
        else {
            return;
        };
        if self.publisher.is_settled() {
            self.deadlines.startup = None;
        }
        self.lifecycle
            .set_introduction(Arc::clone(&after.introduction));
        retire(self.snapshots.send_replace(after));
        drop(taken);
        if self.deadlines.drain.is_none() {
            self.list_changed(notifications);
        }
    }

    /// No more input is read; requests in flight may finish.
    fn drain(&mut self, reason: ExitReason) {
        self.ending = reason;
        self.deadlines.drain = Some(Instant::now() + self.snapshot().config.gateway.drain);
        self.publisher.close();
        self.publish_changes();
        let identity = self.snapshot().identity.clone();
        let ended = self.subscriptions.close_all(&identity);
        if !ended.is_empty() {
            // They would come after the end of their subscription.
            self.replies.drop_notices();
        }
        for (key, torn_down, end) in ended {
            self.replies.send(torn_down);
            self.replies.end_task(key);
            self.replies.finish(key, &end);
        }
    }

    fn is_drained(&self) -> bool {
        self.deadlines.drain.is_some() && self.replies.len() == 0
    }

    /// Every request still in flight gets its response now.
    fn abort_remaining(&mut self) {
        let snapshot = self.snapshot();
        for key in self.replies.keys() {
            self.replies.end_task(key);
            if let Some(record) = self.replies.record(key) {
                record.cut_off();
            }
            if let Some(pending) = self.replies.get(key) {
                let outcome = cut_off(&pending.method, pending.era, &snapshot);
                self.replies.finish(key, &outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests;
