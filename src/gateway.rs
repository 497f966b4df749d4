//! The loop: one event at a time, never waiting for a backend.
//!
//! Sole owner of the requests in flight, of the questions to the client and of the snapshot.
//! Removing a request from the table is the right to answer it: a reply that finds none is
//! dropped. It must not know what a method means; that is [`crate::dispatch`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::backend::BackendEvent;
use crate::dispatch::input::Question;
use crate::dispatch::input::strays::{self, Stray};
use crate::dispatch::tasks;
use crate::dispatch::{
    Exchange, Lifecycle, Plan, Refresh, Snapshot, Subscriptions, Talks, TaskEvent, call, refresh,
    route,
};
use crate::protocol::era::modern;
use crate::protocol::error::{INTERNAL_ERROR, INVALID_REQUEST};
use crate::protocol::{Asked, Era, Id, InFlight, Inbound, Notification, Outcome, RawJson, Request};
use crate::protocol::{Response, RpcError, Ticket, message};
use crate::transport::stdio::{Intake, Outbox, WriteEnd, Writer};
use crate::{ExitReason, Shutdown};
use batch::Batches;

mod batch;

/// Internal events in a row before the client's lines get their turn.
const FAIRNESS: u32 = 64;

/// Everything that can happen.
enum Event {
    /// A task has something to say.
    Task(TaskEvent),
    /// A keeper has something to say.
    Backend(BackendEvent),
    /// Backends have had their time to connect.
    StartupOver,
    /// The client has sent a line.
    Line(Intake),
    /// The client sends no more.
    EndOfInput,
    /// Nobody reads our answers.
    WriteEnd(WriteEnd),
    /// Somebody wants us to end.
    Signal,
    /// Calls in flight have had their time to finish.
    DrainOver,
}

/// What arrives from outside the loop.
pub(crate) struct Inputs {
    pub(crate) lines: mpsc::Receiver<Intake>,
    pub(crate) backends: mpsc::UnboundedReceiver<BackendEvent>,
    pub(crate) shutdown: Shutdown,
    pub(crate) writer: Writer,
}

pub(crate) struct Gateway {
    lifecycle: Lifecycle,
    refresh: Refresh,
    snapshots: watch::Sender<Arc<Snapshot>>,
    in_flight: InFlight<Pending>,
    asked: Asked<Open>,
    batches: Batches,
    subscriptions: Subscriptions,
    talks: Arc<Talks>,
    outbox: Outbox,
    tasks: mpsc::UnboundedSender<TaskEvent>,
    from_tasks: mpsc::UnboundedReceiver<TaskEvent>,
    /// When backends have had their time; `None` until the client introduced itself, and after.
    startup_until: Option<Instant>,
    /// When calls in flight have had theirs; `Some` from EOF or a signal on.
    drain_until: Option<Instant>,
    ending: ExitReason,
    streak: u32,
}

/// A request of the client in flight.
struct Pending {
    method: String,
    /// The era that the request is written in, and is answered in.
    era: Era,
    task: Option<AbortHandle>,
    batch: Option<u64>,
}

/// A question to the client that is open.
struct Open {
    /// `None` for one that belongs to no request.
    ticket: Option<Ticket>,
    question: Question,
    answer: oneshot::Sender<Outcome>,
}

impl Gateway {
    pub(crate) fn new(lifecycle: Lifecycle, mut refresh: Refresh, outbox: Outbox) -> Self {
        let (tasks, from_tasks) = mpsc::unbounded_channel();
        Self {
            snapshots: watch::Sender::new(refresh.snapshot()),
            lifecycle,
            refresh,
            in_flight: InFlight::default(),
            asked: Asked::default(),
            batches: Batches::default(),
            subscriptions: Subscriptions::default(),
            talks: Arc::default(),
            outbox,
            tasks,
            from_tasks,
            startup_until: None,
            drain_until: None,
            ending: ExitReason::EndOfInput,
            streak: 0,
        }
    }

    /// Runs until there is nothing more to answer, or nobody to answer to.
    pub(crate) async fn run(mut self, inputs: &mut Inputs) -> ExitReason {
        while !self.is_drained() {
            let event = self.next_event(inputs).await;
            if let Some(end) = self.handle(event, inputs) {
                self.ending = end;
                break;
            }
        }
        self.cut_off_the_rest();
        self.talks.close().await;
        self.ending
    }

    /// The order is part of the design: what goes out, what happens inside, what comes in. After a
    /// while of the first two the client's lines go first, so that a flood from a backend can't
    /// keep a cancellation waiting.
    async fn next_event(&mut self, inputs: &mut Inputs) -> Event {
        let lines_first = self.streak >= FAIRNESS;
        self.streak += 1;
        if lines_first {
            self.streak = 0;
            if self.drain_until.is_none()
                && let Ok(line) = inputs.lines.try_recv()
            {
                return Event::Line(line);
            }
        }
        tokio::select! {
            biased;
            Some(event) = self.from_tasks.recv() => Event::Task(event),
            end = inputs.writer.ended() => Event::WriteEnd(end),
            () = inputs.shutdown.requested() => Event::Signal,
            Some(event) = inputs.backends.recv() => Event::Backend(event),
            () = until(self.startup_until) => Event::StartupOver,
            () = until(self.drain_until) => Event::DrainOver,
            line = inputs.lines.recv(), if self.drain_until.is_none() => {
                self.streak = 0;
                line.map_or(Event::EndOfInput, Event::Line)
            }
        }
    }

    fn handle(&mut self, event: Event, inputs: &mut Inputs) -> Option<ExitReason> {
        match event {
            Event::Task(event) => self.task(event),
            Event::Backend(event) => {
                self.backend(event);
                // Backends that connect together make one catalogue.
                while let Ok(event) = inputs.backends.try_recv() {
                    self.backend(event);
                }
                if self.refresh.is_settled() {
                    self.startup_until = None;
                    self.publish();
                }
            }
            Event::StartupOver => {
                self.startup_until = None;
                self.refresh.settle();
                self.publish();
            }
            Event::Line(Intake::Line(line)) => self.line(line),
            Event::Line(Intake::TooLong) => {
                let cap = self.snapshot().config.gateway.max_message_bytes;
                let why = format!(
                    "the line is longer than {cap} bytes (max_message_bytes) and was thrown away"
                );
                self.refuse_line(why);
            }
            Event::EndOfInput => self.drain(ExitReason::EndOfInput),
            Event::Signal if self.drain_until.is_none() => self.drain(ExitReason::Signal),
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
                let stray = Stray {
                    backend,
                    request,
                    answer,
                };
                let legacy = self.lifecycle.client();
                // A session of modern clients alone has nothing to ask the other one.
                let asks_legacy = of == Era::Legacy && self.lifecycle.is_initialized();
                let legacy = legacy.filter(|_| asks_legacy);
                strays::relay(stray, legacy, &self.talks, &self.tasks);
            }
            listed_or_down => self.refresh.absorb(listed_or_down),
        }
    }

    /// Something that a backend says outside of any call.
    fn notice(&mut self, notification: &Notification) {
        if self.lifecycle.is_initialized() && self.subscriptions.concern_legacy_client(notification)
        {
            let params = notification.params.as_ref();
            self.send(message::notification(&notification.method, params));
        }
        for line in self.subscriptions.lines(notification) {
            self.send(line);
        }
    }

    /// One line: a message, or an array of them where the agreed version has batches.
    fn line(&mut self, line: Bytes) {
        let line = match message::json(line) {
            Ok(line) => line,
            Err(error) => return self.send(message::response(None, &error.into())),
        };
        if !line.as_bytes().starts_with(b"[") {
            return self.message(&line, None);
        }
        let batch = message::elements(&line).filter(|batch| !batch.is_empty());
        let (Some(batch), true) = (batch, self.lifecycle.takes_batches()) else {
            let why = "an array is not a message: batches exist in protocol version 2025-03-26 alone, and are never empty";
            return self.refuse_line(why);
        };
        let number = self.batches.open();
        for part in batch {
            self.message(&part, Some(number));
        }
        self.close_part(number, None);
    }

    fn refuse_line(&self, why: impl Into<String>) {
        let error = RpcError::new(INVALID_REQUEST, why);
        self.send(message::response(None, &error.into()));
    }

    fn message(&mut self, text: &RawJson, batch: Option<u64>) {
        match message::parse(text) {
            Ok(Inbound::Request(request)) => self.request(request, batch),
            Ok(Inbound::Notification(notification)) => self.notification(&notification),
            Ok(Inbound::Response(response)) => self.response(response),
            Err(malformed) => {
                self.reply_at_once(malformed.id.as_ref(), &malformed.error.into(), batch);
            }
        }
    }

    fn request(&mut self, request: Request, batch: Option<u64>) {
        let (id, method) = (request.id.clone(), request.method.clone());
        let asking = modern::client_of(request.params.as_ref());
        let era = asking.as_ref().map_or(Era::Legacy, |_| Era::Modern);
        let pending = Pending {
            method,
            era,
            task: None,
            batch,
        };
        let Some(ticket) = self.in_flight.begin(id.clone(), pending) else {
            let why = format!("the id {} is in flight already", id.raw().as_str());
            return self.reply_at_once(
                Some(&id),
                &RpcError::new(INVALID_REQUEST, why).into(),
                batch,
            );
        };
        self.batches.expect_one_more(batch);
        let first = !self.lifecycle.has_introduced();
        let snapshots = self.snapshots.subscribe();
        let room = self.in_flight.len() <= self.snapshot().config.gateway.max_in_flight;
        let (events, talks) = (&self.tasks, &self.talks);
        let exchange = |client| {
            room.then(|| Exchange {
                ticket,
                client,
                events: events.clone(),
                talks: Arc::clone(talks),
            })
        };
        match route(request, asking, &mut self.lifecycle, &snapshots, exchange) {
            Plan::Reply(outcome) => self.finish(ticket, &outcome),
            Plan::Spawn(work) => self.spawn(ticket, work),
        }
        if first && self.lifecycle.has_introduced() && !self.refresh.is_settled() {
            let wait = self.snapshot().config.gateway.startup_wait;
            self.startup_until = Some(Instant::now() + wait);
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
                if let Some(ticket) = id.and_then(|id| self.in_flight.ticket(&id)) {
                    self.cancel(ticket);
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

    /// The client's answer to a question; one to an unknown id is nobody's.
    fn response(&mut self, response: Response) {
        if let Some(open) = response.id.and_then(|id| self.asked.settle(&id)) {
            let _ = open.answer.send(response.outcome);
        }
    }

    /// Ends a request without an answer. Dropping its task tells the backend.
    fn cancel(&mut self, ticket: Ticket) {
        self.end_task(ticket);
        if let Some((_, pending)) = self.in_flight.finish(ticket) {
            self.subscriptions.close(ticket);
            if let Some(batch) = pending.batch {
                self.close_part(batch, None);
            }
        }
    }

    fn task(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Say {
                ticket,
                line,
                matters,
            } => {
                if self.in_flight.get(ticket).is_some() {
                    self.outbox.push_if_it_matters(line, matters);
                }
            }
            TaskEvent::Listening { ticket, filter } => {
                if let Some(id) = self.in_flight.id(ticket).cloned() {
                    let acknowledged = self.subscriptions.open(ticket, id, filter);
                    self.send(acknowledged);
                }
            }
            TaskEvent::Subscribed { uri, held } => self.subscriptions.hold(uri, held),
            TaskEvent::Updated { notification } => self.notice(&notification),
            TaskEvent::Ask {
                ticket,
                question,
                method,
                params,
                answer,
            } => {
                if ticket.is_none_or(|ticket| self.in_flight.get(ticket).is_some()) {
                    let id = self.asked.issue(Open {
                        ticket,
                        question,
                        answer,
                    });
                    self.send(message::request(&id, &method, params.as_ref()));
                }
            }
            TaskEvent::Withdraw { question } => self.withdraw(|open| open.question == question),
            TaskEvent::Done { ticket, .. } if self.in_flight.get(ticket).is_none() => {
                self.talks.undelivered(ticket);
            }
            TaskEvent::Done { ticket, outcome } => self.finish(ticket, &outcome),
        }
    }

    /// Takes questions back from the client (S25 `basic/utilities/cancellation`).
    fn withdraw(&mut self, which: impl Fn(&Open) -> bool) {
        for (id, _) in self.asked.take_where(which) {
            let params = format!(
                r#"{{"requestId":{},"reason":"the call that asked has ended"}}"#,
                id.raw().as_str()
            );
            let params = RawJson::trusted(params);
            self.send(message::notification(
                "notifications/cancelled",
                Some(&params),
            ));
        }
    }

    /// Answers a request, if it is still in flight.
    fn finish(&mut self, ticket: Ticket, outcome: &Outcome) {
        if let Some((id, pending)) = self.in_flight.finish(ticket) {
            self.withdraw(|open| open.ticket == Some(ticket));
            let whole = || message::response(Some(&id), outcome);
            match (pending.batch, message::response_in_parts(&id, outcome)) {
                (Some(batch), _) => self.close_part(batch, Some(whole())),
                (None, Some(parts)) => self.outbox.push_parts(parts),
                (None, None) => self.send(whole()),
            }
        }
    }

    /// Answers what never was in flight.
    fn reply_at_once(&mut self, id: Option<&Id>, outcome: &Outcome, batch: Option<u64>) {
        let line = message::response(id, outcome);
        if let Some(line) = self.batches.answer_at_once(batch, line) {
            self.send(line);
        }
    }

    fn close_part(&mut self, number: u64, answer: Option<Bytes>) {
        if let Some(line) = self.batches.close_part(number, answer) {
            self.send(line);
        }
    }

    fn spawn(&mut self, ticket: Ticket, work: BoxFuture<'static, Outcome>) {
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
            let _ = tasks.send(TaskEvent::Done { ticket, outcome });
        });
        if let Some(pending) = self.in_flight.get_mut(ticket) {
            pending.task = Some(task.abort_handle());
        }
    }

    /// A new catalogue: tasks that wait get it, and the client hears what has changed.
    fn publish(&mut self) {
        let after = self.refresh.snapshot();
        let before = self.snapshots.send_replace(Arc::clone(&after));
        if self.drain_until.is_none() {
            for notification in refresh::list_changed(&before, &after) {
                self.notice(&notification);
            }
        }
    }

    /// No more intake; what is in flight may finish.
    fn drain(&mut self, reason: ExitReason) {
        self.ending = reason;
        self.drain_until = Some(Instant::now() + self.snapshot().config.gateway.drain);
        self.refresh.close();
        self.publish();
        let identity = self.snapshot().identity.clone();
        for (ticket, torn_down, end) in self.subscriptions.close_all(&identity) {
            self.send(torn_down);
            self.end_task(ticket);
            self.finish(ticket, &end);
        }
    }

    fn end_task(&mut self, ticket: Ticket) {
        let pending = self.in_flight.get_mut(ticket);
        if let Some(task) = pending.and_then(|pending| pending.task.take()) {
            task.abort();
        }
    }

    fn is_drained(&self) -> bool {
        self.drain_until.is_some() && self.in_flight.is_empty()
    }

    /// Every id still in flight gets its answer now.
    fn cut_off_the_rest(&mut self) {
        let snapshot = self.snapshot();
        for ticket in self.in_flight.tickets() {
            self.end_task(ticket);
            if let Some(pending) = self.in_flight.get(ticket) {
                let outcome = call::cut_off(&pending.method, pending.era, &snapshot);
                self.finish(ticket, &outcome);
            }
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    fn send(&self, line: Bytes) {
        self.outbox.push(line);
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
