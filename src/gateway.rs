//! The loop: one event at a time, never waiting for a backend.
//!
//! Sole owner of the requests in flight, of the questions to the client and of the snapshot.
//! Removing a request from the table is the right to answer it: a reply that finds none is
//! dropped. It must not know what a method means; that is [`crate::dispatch`].

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::backend::BackendEvent;
use crate::dispatch::input::unsolicited::{self, PreInitQueue, UnsolicitedRequest};
use crate::dispatch::tasks;
use crate::dispatch::{
    Lifecycle, ParkedCalls, Refresh, Snapshot, Subscriptions, TaskEvent, answer, refresh,
};
use crate::protocol::message;
use crate::protocol::{Era, Notification};
use crate::transport::stdio::{Outbox, WriteEnd};
pub(crate) use events::Inputs;
use events::{Deadlines, Event};
use replies::{PendingServerRequest, Replies};

mod batch;
mod drop_policy;
mod events;
mod intake;
mod replies;

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The client closed our stdin.
    EndOfInput,
    /// The client closed our stdout.
    StdoutClosed,
    /// The client reads nothing of what we write.
    ClientStuck,
    /// SIGTERM, SIGINT or their like; calls in flight had their time.
    Signal,
    /// A second one: no time for anything.
    SecondSignal,
}

pub(crate) struct Gateway {
    lifecycle: Lifecycle,
    refresh: Refresh,
    snapshots: watch::Sender<Arc<Snapshot>>,
    replies: Replies,
    subscriptions: Subscriptions,
    parked: Arc<ParkedCalls>,
    pre_init: PreInitQueue,
    tasks: mpsc::UnboundedSender<TaskEvent>,
    from_tasks: mpsc::UnboundedReceiver<TaskEvent>,
    deadlines: Deadlines,
    ending: ExitReason,
}

impl Gateway {
    pub(crate) fn new(lifecycle: Lifecycle, mut refresh: Refresh, outbox: Outbox) -> Self {
        let (tasks, from_tasks) = mpsc::unbounded_channel();
        Self {
            snapshots: watch::Sender::new(refresh.snapshot()),
            lifecycle,
            refresh,
            replies: Replies::new(outbox),
            subscriptions: Subscriptions::default(),
            parked: Arc::default(),
            pre_init: PreInitQueue::default(),
            tasks,
            from_tasks,
            deadlines: Deadlines::default(),
            ending: ExitReason::EndOfInput,
        }
    }

    /// Runs until there is nothing more to answer, or nobody to answer to.
    pub(crate) async fn run(mut self, inputs: &mut Inputs) -> ExitReason {
        while !self.is_drained() {
            let event = self.next(inputs).await;
            if let Some(end) = self.handle(event, inputs) {
                self.ending = end;
                break;
            }
        }
        self.cut_off_the_rest();
        self.parked.close().await;
        self.ending
    }

    /// The next event. What was said so far goes out when there is none to be handled at once.
    async fn next(&mut self, inputs: &mut Inputs) -> Event {
        let next = inputs.next(&mut self.from_tasks, &self.deadlines);
        if let Some(event) = next.now_or_never() {
            return event;
        }
        self.replies.flush();
        inputs.next(&mut self.from_tasks, &self.deadlines).await
    }

    fn handle(&mut self, event: Event, inputs: &mut Inputs) -> Option<ExitReason> {
        match event {
            Event::Task(event) => self.task(event),
            Event::HttpBackend(event) => {
                self.backend(event);
                // Backends that connect together make one catalogue.
                while let Ok(event) = inputs.backends.try_recv() {
                    self.backend(event);
                }
                if self.refresh.has_news() && self.refresh.is_settled() {
                    self.deadlines.startup = None;
                    self.publish();
                }
            }
            Event::StartupOver => {
                self.deadlines.startup = None;
                self.refresh.settle();
                self.publish();
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
            } => {
                let backend = Arc::clone(&self.snapshot().backends[backend]);
                self.notice(&tasks::notice_for_client(notification, &backend));
            }
            BackendEvent::Asked {
                backend,
                of,
                request,
                answer,
            } => {
                let stray = UnsolicitedRequest {
                    backend,
                    request,
                    answer,
                };
                // A session of modern clients alone has nothing to ask the other one.
                let legacy = self.lifecycle.client().filter(|_| of == Era::Legacy);
                if legacy.is_some() && !self.lifecycle.is_initialized() {
                    return self.pre_init.hold(stray);
                }
                unsolicited::relay(stray, legacy, &self.parked, &self.tasks);
            }
            listed_or_down => self.refresh.absorb(listed_or_down),
        }
    }

    /// Something that a backend says outside of any call.
    fn notice(&mut self, notification: &Notification) {
        if self.lifecycle.may_hear(notification)
            && self.subscriptions.concern_legacy_client(notification)
        {
            let params = notification.params.as_ref();
            let line = message::notification(&notification.method, params);
            self.replies.tell(&notification.method, line);
        }
        for line in self.subscriptions.lines(notification) {
            self.replies.tell(&notification.method, line);
        }
    }

    fn task(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Send { key, line, policy } => self.replies.say(key, line, policy),
            TaskEvent::Listening { key, filter } => {
                if let Some(id) = self.replies.id(key) {
                    let acknowledged = self.subscriptions.open(key, id, filter);
                    self.replies.send(acknowledged);
                }
            }
            TaskEvent::Subscribed { uri, held } => self.subscriptions.hold(uri, held),
            TaskEvent::Updated { notification } => self.notice(&notification),
            TaskEvent::ServerRequest {
                key,
                request_id,
                method,
                params,
                answer,
            } => {
                let open = PendingServerRequest {
                    key,
                    request_id,
                    answer,
                };
                self.replies.ask(open, &method, params.as_ref());
            }
            TaskEvent::CancelServerRequest { request_id } => {
                self.replies.withdraw(|open| open.request_id == request_id);
            }
            TaskEvent::Done { key, .. } if self.replies.get(key).is_none() => {
                self.parked.cancel_parked(key);
            }
            TaskEvent::Done { key, outcome } => self.replies.finish(key, &outcome),
        }
    }

    /// A new catalogue: tasks that wait get it, and the client hears what has changed.
    fn publish(&mut self) {
        let after = self.refresh.snapshot();
        let before = self.snapshots.send_replace(Arc::clone(&after));
        if self.deadlines.drain.is_none() {
            for notification in refresh::list_changed(&before, &after) {
                self.notice(&notification);
            }
        }
    }

    /// No more intake; what is in flight may finish.
    fn drain(&mut self, reason: ExitReason) {
        self.ending = reason;
        self.deadlines.drain = Some(Instant::now() + self.snapshot().config.gateway.drain);
        self.refresh.close();
        self.publish();
        let identity = self.snapshot().identity.clone();
        for (key, torn_down, end) in self.subscriptions.close_all(&identity) {
            self.replies.send(torn_down);
            self.replies.end_task(key);
            self.replies.finish(key, &end);
        }
    }

    fn is_drained(&self) -> bool {
        self.deadlines.drain.is_some() && self.replies.len() == 0
    }

    /// Every id still in flight gets its answer now.
    fn cut_off_the_rest(&mut self) {
        let snapshot = self.snapshot();
        for key in self.replies.keys() {
            self.replies.end_task(key);
            if let Some(pending) = self.replies.get(key) {
                let outcome = answer::cut_off(&pending.method, pending.era, &snapshot);
                self.replies.finish(key, &outcome);
            }
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }
}

#[cfg(test)]
mod tests;
