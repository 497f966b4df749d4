//! Resources of one backend that somebody wants to hear about.
//!
//! Owns how many want each, and telling the server: a legacy one with `resources/subscribe` and
//! `resources/unsubscribe` (S25 `server/resources`), a modern one by way of [`super::subscription_stream`]. It
//! must not know who wants to hear.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::retry::Replay;
use super::session::{Connection, NoopHandler};
use super::{Call, HttpBackend, State};
use crate::protocol::error::{INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND};
use crate::protocol::{ClientProfile, Era, Executed, GatewayData, Outcome, RawJson, RpcError};

/// How long a modern server may take to say what it honours.
pub(super) const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a legacy server may take to answer.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// All of one backend.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: Mutex<HashMap<String, ResourceDemand>>,
    /// What is wanted has changed.
    changed: Notify,
    acknowledged: watch::Sender<Acknowledged>,
}

/// One URI.
#[derive(Debug, Default)]
struct ResourceDemand {
    by: usize,
    /// A legacy server has taken it, on some link.
    subscribed: bool,
    /// Who has it is the one that tells the server.
    lock: Arc<tokio::sync::Mutex<()>>,
}

/// What a modern server has said about our wishes, on the link of now.
#[derive(Debug, Default, Clone)]
pub(super) struct Acknowledged {
    /// What it was asked for and has answered about.
    pub(super) asked: BTreeSet<String>,
    /// What it honours of that.
    pub(super) honoured: BTreeSet<String>,
    /// It doesn't know subscriptions at all.
    pub(super) refused: bool,
}

impl Subscriptions {
    /// All URIs that somebody wants to hear about.
    pub(super) fn wanted(&self) -> BTreeSet<String> {
        let all = self.lock();
        let wanted = all.iter().filter(|(_, wanted)| wanted.by > 0);
        wanted.map(|(uri, _)| uri.clone()).collect()
    }

    /// Resolves when [`wanted`](Self::wanted) has changed since it last did.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes in what a modern server says.
    pub(super) fn set_acknowledged(&self, acknowledged: Acknowledged) {
        self.acknowledged.send_replace(acknowledged);
    }

    /// What it has said so far.
    pub(super) fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.borrow().clone()
    }

    fn add(&self, uri: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.lock();
        let wanted = all.entry(uri.to_owned()).or_default();
        wanted.by += 1;
        if wanted.by == 1 {
            self.changed.notify_one();
        }
        Arc::clone(&wanted.lock)
    }

    /// One less wants it. Gives the turn to whoever has to tell a legacy server that it was the
    /// last; the entry stays until that is done.
    fn remove(&self, uri: &str) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let mut all = self.lock();
        let wanted = all.get_mut(uri)?;
        wanted.by -= 1;
        if wanted.by > 0 {
            return None;
        }
        if !wanted.subscribed {
            all.remove(uri);
            self.changed.notify_one();
            return None;
        }
        Some(Arc::clone(&wanted.lock))
    }

    /// Drops an entry that nobody wants any more; says whether it was one.
    fn forget(&self, uri: &str) -> bool {
        let mut all = self.lock();
        let unwanted = all.get(uri).is_some_and(|wanted| wanted.by == 0);
        if unwanted {
            all.remove(uri);
            self.changed.notify_one();
        }
        unwanted
    }

    fn is_subscribed(&self, uri: &str) -> bool {
        self.lock().get(uri).is_some_and(|wanted| wanted.subscribed)
    }

    fn set_subscribed(&self, uri: &str) {
        if let Some(wanted) = self.lock().get_mut(uri) {
            wanted.subscribed = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ResourceDemand>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's wish to hear about one resource; dropped, it is withdrawn.
#[derive(Debug)]
pub struct Subscription {
    backend: Arc<HttpBackend>,
    uri: String,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(lock) = self.backend.subscriptions.remove(&self.uri) else {
            return;
        };
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (backend, uri) = (Arc::clone(&self.backend), self.uri.clone());
        self.backend.background.spawn(async move {
            let _lock = lock.lock().await;
            // Somebody may have come in between.
            if backend.subscriptions.forget(&uri)
                && let State::Ready(connection) = backend.state()
                && connection.era == Era::Legacy
            {
                connection
                    .request_best_effort("resources/unsubscribe", &about(&uri))
                    .await;
            }
        });
    }
}

impl HttpBackend {
    /// From now on, and after every reconnect, the backend tells of changes to this resource, for
    /// as long as the subscription is held. Where it is down, it will be asked when it comes.
    ///
    /// # Errors
    /// The error object with which the backend refuses, or ours where it has no subscriptions.
    pub async fn subscribe(self: &Arc<Self>, uri: &str) -> Result<Subscription, RawJson> {
        let State::Ready(connection) = self.state() else {
            self.subscriptions.add(uri);
            return Ok(self.subscription(uri));
        };
        if !connection.server.subscribes() {
            let why = "the server does not offer subscriptions to resources";
            return Err(self.refused(METHOD_NOT_FOUND, why));
        }
        let lock = self.subscriptions.add(uri);
        let subscription = self.subscription(uri);
        match connection.era {
            Era::Legacy => {
                let _lock = lock.lock().await;
                if !self.subscriptions.is_subscribed(uri) {
                    self.ask_to_subscribe(uri).await?;
                    self.subscriptions.set_subscribed(uri);
                }
            }
            Era::Modern => self.wait_for_acknowledgement(uri).await?,
        }
        Ok(subscription)
    }

    fn subscription(self: &Arc<Self>, uri: &str) -> Subscription {
        Subscription {
            backend: Arc::clone(self),
            uri: uri.to_owned(),
        }
    }

    async fn ask_to_subscribe(&self, uri: &str) -> Result<(), RawJson> {
        let params = about(uri);
        // Whoever wants to hear, one session is asked.
        let us = ClientProfile {
            era: self.client_era(),
            ..ClientProfile::ourselves()
        };
        let deadline = self.deadline(Instant::now(), self.config.timeout.min(SUBSCRIBE_TIMEOUT));
        let call = Call {
            method: "resources/subscribe",
            params: Some(&params),
            progress: None,
            replay: Replay::Safe,
            deadline: &deadline,
            caller: &us,
            target: None,
            param_headers: &[],
            handler: &NoopHandler,
        };
        match self.call(&call).await {
            Ok(answer) => match answer.outcome {
                Outcome::Result(_) => Ok(()),
                Outcome::Error(refused) => Err(refused),
            },
            Err(failed) => {
                let why = failed.error.explain(&self.config.shown_url);
                let class = failed.error.class();
                let data =
                    GatewayData::new(Some(self.name()), class, Executed::No, failed.attempts);
                let error = RpcError::new(INTERNAL_ERROR, format!("{}: {why}", self.name()));
                Err(RawJson::of(&error.with_data(data)))
            }
        }
    }

    async fn wait_for_acknowledgement(&self, uri: &str) -> Result<(), RawJson> {
        let mut acknowledged = self.subscriptions.acknowledged.subscribe();
        let answered =
            |acknowledged: &Acknowledged| acknowledged.refused || acknowledged.asked.contains(uri);
        let answer =
            tokio::time::timeout(ACKNOWLEDGE_TIMEOUT, acknowledged.wait_for(answered)).await;
        match answer {
            Ok(Ok(acknowledged))
                if acknowledged.refused || !acknowledged.honoured.contains(uri) =>
            {
                Err(self.refused(INVALID_PARAMS, "the server does not support it"))
            }
            // Too late to wait for: it will be heard all the same.
            _ => Ok(()),
        }
    }

    fn refused(&self, code: i64, why: &str) -> RawJson {
        let why = format!("{}: {why}", self.name());
        RawJson::of(&RpcError::new(code, why))
    }

    /// Tells a fresh link of the legacy era what is wanted.
    pub(super) fn resubscribe(&self, connection: &Arc<Connection>) {
        if connection.era != Era::Legacy || !connection.server.subscribes() {
            return;
        }
        for uri in self.subscriptions.wanted() {
            self.subscriptions.set_subscribed(&uri);
            connection.request_in_background("resources/subscribe", about(&uri));
        }
    }
}

fn about(uri: &str) -> RawJson {
    RawJson::of(&json!({ "uri": uri }))
}
