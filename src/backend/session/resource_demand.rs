//! Resources of one backend that clients subscribe to.
//!
//! Owns how many subscriptions each URI has, and what the server has accepted of them. Telling a
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

/// Held while a legacy server is told about one URI.
pub(in crate::backend) type UriLock = Arc<tokio::sync::Mutex<()>>;

/// All of one session.
#[derive(Debug, Default)]
pub(in crate::backend) struct ResourceDemands {
    by_uri: Mutex<HashMap<String, ResourceDemand>>,
    /// The set of wanted URIs has changed.
    changed: Notify,
    acknowledged: watch::Sender<Acknowledged>,
}

/// One URI.
#[derive(Debug, Default)]
struct ResourceDemand {
    subscriptions: usize,
    /// A legacy server has accepted it, on some connection.
    subscribed: bool,
    lock: UriLock,
}

/// What a modern server has said about the demands, on the current connection.
#[derive(Debug, Default, Clone)]
pub(in crate::backend) struct Acknowledged {
    /// The URIs that it has answered about.
    pub(in crate::backend) requested: BTreeSet<String>,
    /// Those that it honours.
    pub(in crate::backend) honoured: BTreeSet<String>,
    /// It doesn't know `subscriptions/listen`.
    pub(in crate::backend) refused: bool,
}

impl ResourceDemands {
    /// The URIs with at least one subscription.
    pub(in crate::backend) fn wanted(&self) -> BTreeSet<String> {
        let by_uri = self.by_uri.lock();
        let wanted = by_uri.iter().filter(|(_, demand)| demand.subscriptions > 0);
        wanted.map(|(uri, _)| uri.clone()).collect()
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

    /// The same, to wait for more.
    pub(in crate::backend) fn watch_acknowledged(&self) -> watch::Receiver<Acknowledged> {
        self.acknowledged.subscribe()
    }

    /// Adds one subscription.
    pub(in crate::backend) fn add(&self, uri: &str) -> UriLock {
        let mut by_uri = self.by_uri.lock();
        let demand = by_uri.entry(uri.to_owned()).or_default();
        demand.subscriptions += 1;
        if demand.subscriptions == 1 {
            self.changed.notify_one();
        }
        Arc::clone(&demand.lock)
    }

    /// Removes one subscription. `Some` if it was the last and a legacy server has to be told; the
    /// entry stays until [`forget`](Self::forget).
    pub(in crate::backend) fn remove(&self, uri: &str) -> Option<UriLock> {
        let mut by_uri = self.by_uri.lock();
        let demand = by_uri.get_mut(uri)?;
        demand.subscriptions -= 1;
        if demand.subscriptions > 0 {
            return None;
        }
        if !demand.subscribed {
            by_uri.remove(uri);
            self.changed.notify_one();
            return None;
        }
        Some(Arc::clone(&demand.lock))
    }

    /// Drops an entry without subscriptions. Returns whether it was one.
    pub(in crate::backend) fn forget(&self, uri: &str) -> bool {
        let mut by_uri = self.by_uri.lock();
        let unwanted = by_uri
            .get(uri)
            .is_some_and(|demand| demand.subscriptions == 0);
        if unwanted {
            by_uri.remove(uri);
            self.changed.notify_one();
        }
        unwanted
    }

    /// Whether a legacy server has accepted this URI.
    pub(in crate::backend) fn is_subscribed(&self, uri: &str) -> bool {
        let by_uri = self.by_uri.lock();
        by_uri.get(uri).is_some_and(|demand| demand.subscribed)
    }

    /// A legacy server has accepted this URI, or is being told.
    pub(in crate::backend) fn set_subscribed(&self, uri: &str) {
        if let Some(demand) = self.by_uri.lock().get_mut(uri) {
            demand.subscribed = true;
        }
    }

    /// The params of `resources/subscribe` and `resources/unsubscribe`.
    pub(in crate::backend) fn params(uri: &str) -> RawJson {
        RawJson::of(&json!({ "uri": uri }))
    }
}
