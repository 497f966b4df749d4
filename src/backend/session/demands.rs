//! Resources and tasks of one backend that clients subscribe to.
//!
//! Owns how many subscriptions each has, and what the server has accepted of them. Telling a
//! legacy server is done by [`HttpBackend::subscribe`](crate::backend::HttpBackend::subscribe), a
//! modern one by the subscription stream. It must not know who subscribes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::protocol::RawJson;
use crate::sync::Mutex;

/// Time for a modern server to acknowledge a subscription.
pub(in crate::backend) const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(2);

/// What can be subscribed to, by the server's own name of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::backend) enum Subject {
    /// The resource with this URI.
    Resource(String),
    /// The task with this id.
    Task(String),
}

/// Held while a legacy server is told about one resource.
pub(in crate::backend) type SubjectLock = Arc<tokio::sync::Mutex<()>>;

/// All of one session.
#[derive(Debug, Default)]
pub(in crate::backend) struct Demands {
    by_subject: Mutex<HashMap<Subject, Demand>>,
    /// The set of wanted subjects has changed.
    changed: Notify,
    acknowledged: watch::Sender<Acknowledged>,
}

/// One subject.
#[derive(Debug, Default)]
struct Demand {
    subscriptions: usize,
    /// A legacy server has accepted it, on some connection.
    subscribed: bool,
    lock: SubjectLock,
}

/// What a modern server has said about the demands, on the current connection.
#[derive(Debug, Default, Clone)]
pub(in crate::backend) struct Acknowledged {
    /// What it has answered about.
    pub(in crate::backend) requested: BTreeSet<Subject>,
    /// What it honours of that.
    pub(in crate::backend) honoured: BTreeSet<Subject>,
    /// It doesn't know `subscriptions/listen`.
    pub(in crate::backend) refused: bool,
}

impl Demands {
    /// What has at least one subscription.
    pub(in crate::backend) fn wanted(&self) -> BTreeSet<Subject> {
        let by_subject = self.by_subject.lock();
        let wanted = by_subject
            .iter()
            .filter(|(_, demand)| demand.subscriptions > 0);
        wanted.map(|(subject, _)| subject.clone()).collect()
    }

    /// Resolves when [`wanted`](Self::wanted) has changed since this last resolved.
    pub(in crate::backend) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Notes what a modern server has said.
    pub(in crate::backend) fn set_acknowledged(&self, acknowledged: Acknowledged) {
        self.acknowledged.send_replace(acknowledged);
    }

    /// What a modern server has said so far.
    pub(in crate::backend) fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.borrow().clone()
    }

    /// A receiver of what a modern server says, to wait for more.
    pub(in crate::backend) fn watch_acknowledged(&self) -> watch::Receiver<Acknowledged> {
        self.acknowledged.subscribe()
    }

    /// Adds one subscription.
    pub(in crate::backend) fn add(&self, subject: &Subject) -> SubjectLock {
        let mut by_subject = self.by_subject.lock();
        let demand = by_subject.entry(subject.clone()).or_default();
        demand.subscriptions += 1;
        if demand.subscriptions == 1 {
            self.changed.notify_one();
        }
        Arc::clone(&demand.lock)
    }

    /// Removes one subscription. `Some` if it was the last and a legacy server has to be told; the
    /// entry stays until [`forget`](Self::forget).
    pub(in crate::backend) fn remove(&self, subject: &Subject) -> Option<SubjectLock> {
        let mut by_subject = self.by_subject.lock();
        let demand = by_subject.get_mut(subject)?;
        demand.subscriptions -= 1;
        if demand.subscriptions > 0 {
            return None;
        }
        if !demand.subscribed {
            by_subject.remove(subject);
            self.changed.notify_one();
            return None;
        }
        Some(Arc::clone(&demand.lock))
    }

    /// Drops an entry without subscriptions. Returns whether it was one.
    pub(in crate::backend) fn forget(&self, subject: &Subject) -> bool {
        let mut by_subject = self.by_subject.lock();
        let unwanted = by_subject
            .get(subject)
            .is_some_and(|demand| demand.subscriptions == 0);
        if unwanted {
            by_subject.remove(subject);
            self.changed.notify_one();
        }
        unwanted
    }

    /// Whether a legacy server has accepted this.
    pub(in crate::backend) fn is_subscribed(&self, subject: &Subject) -> bool {
        let by_subject = self.by_subject.lock();
        by_subject
            .get(subject)
            .is_some_and(|demand| demand.subscribed)
    }

    /// A legacy server has accepted this, or is being told.
    pub(in crate::backend) fn set_subscribed(&self, subject: &Subject) {
        // Of tasks it tells unasked.
        if let Subject::Resource(_) = subject
            && let Some(demand) = self.by_subject.lock().get_mut(subject)
        {
            demand.subscribed = true;
        }
    }

    /// The params of `resources/subscribe` and `resources/unsubscribe`.
    pub(in crate::backend) fn params(uri: &str) -> RawJson {
        RawJson::of(&json!({ "uri": uri }))
    }
}
