//! The state of the loop.
//!
//! Owns [`Gateway`]: the requests in flight, the open server requests, and the snapshot. It must not
//! know events; [`crate::gateway`] handles them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use super::events::Deadlines;
use super::fleet::Fleet;
use super::held_notices::HeldNotices;
use super::replies::Replies;
use crate::client::{Lifecycle, PreInitQueue, Subscriptions};
use crate::dispatch::{ParkedCalls, TaskEvent, failed};
use crate::observe::audit::{Audit, RecordHalf};
use crate::observe::request_span::RequestSpan;
use crate::protocol::{Outcome, RequestKey};
use crate::publish::Publisher;
use crate::snapshot::{Snapshot, Snapshots};
use crate::transport::stdio::Outbox;

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The client closed our stdin.
    EndOfInput,
    /// The client closed our stdout.
    StdoutClosed,
    /// The client reads nothing of what we write.
    ClientStuck,
    /// SIGTERM, SIGINT or the like; calls in flight had their time.
    Signal,
    /// A second signal: no time for anything.
    SecondSignal,
}

impl ExitReason {
    /// The name of the failure; `None` where the client or the system wanted the end.
    pub(crate) fn failure(self) -> Option<&'static str> {
        match self {
            Self::EndOfInput | Self::Signal | Self::SecondSignal => None,
            Self::StdoutClosed => Some("stdout_closed"),
            Self::ClientStuck => Some("client_stuck"),
        }
    }
}

/// The loop, and everything that it alone may change.
pub(crate) struct Gateway {
    pub(super) lifecycle: Lifecycle,
    pub(super) publisher: Publisher,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) replies: Replies,
    pub(super) subscriptions: Subscriptions,
    pub(super) parked: Arc<ParkedCalls>,
    pub(super) pre_init: PreInitQueue,
    pub(super) held_notices: HeldNotices,
    pub(super) tasks: mpsc::UnboundedSender<TaskEvent>,
    pub(super) from_tasks: mpsc::UnboundedReceiver<TaskEvent>,
    pub(super) deadlines: Deadlines,
    pub(super) ending: ExitReason,
    /// `None` where the config stays as it is.
    pub(super) fleet: Option<Fleet>,
    pub(super) audit: Audit,
}

impl Gateway {
    /// A loop with all of its inputs still to come.
    pub(crate) fn new(
        lifecycle: Lifecycle,
        (publisher, first): (Publisher, Arc<Snapshot>),
        outbox: Outbox,
    ) -> Self {
        let (tasks, from_tasks) = mpsc::unbounded_channel();
        Self {
            snapshots: watch::Sender::new(first),
            lifecycle,
            publisher,
            replies: Replies::new(outbox),
            subscriptions: Subscriptions::default(),
            parked: Arc::default(),
            pre_init: PreInitQueue::default(),
            held_notices: HeldNotices::default(),
            tasks,
            from_tasks,
            deadlines: Deadlines::default(),
            ending: ExitReason::EndOfInput,
            fleet: None,
            audit: Audit::default(),
        }
    }

    /// This loop as one whose config may be loaded again.
    pub(crate) fn with_fleet(self, fleet: Fleet) -> Self {
        Self {
            fleet: Some(fleet),
            ..self
        }
    }

    /// This loop as one that keeps records of calls.
    pub(crate) fn with_audit(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Receives each snapshot.
    pub(crate) fn snapshots(&self) -> Snapshots {
        self.snapshots.subscribe()
    }

    /// The snapshot of now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Runs the work of a request in a task of its own, inside the request's span. A panic in it ends
    /// the request only.
    pub(super) fn spawn(&mut self, key: RequestKey, work: BoxFuture<'static, Outcome>) {
        let tasks = self.tasks.clone();
        let record = (self.replies.record(key)).map(|record| RecordHalf::of(record.record()));
        let serving = async move {
            let _record = record;
            let outcome = AssertUnwindSafe(work)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| failed().into());
            let _ = tasks.send(TaskEvent::Done { key, outcome });
        };
        let task = RequestSpan::spawn(self.replies.span(key), serving);
        self.replies.set_task(key, task.abort_handle());
    }
}
