//! The sign-ins under way, one for each backend at most.
//!
//! Owns who has been asked for one, what the person said, and when the next may begin. It must not know
//! calls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::auth::login::{Offer, Stage};
use crate::backend::HttpBackend;
use crate::call_report::BackendId;
use crate::dispatch::exchange::TaskEvent;
use crate::protocol::{Notification, RawJson};
use crate::sync::Mutex;

/// How long a modern client may take to come back with the person's answer before another call asks, too.
const TURN: Duration = Duration::from_secs(30);
/// After a sign-in that has failed, before the next one is tried.
const PAUSE: Duration = Duration::from_secs(30);

/// The last sign-in of each backend.
#[derive(Default)]
pub(super) struct LastSignIns(Mutex<HashMap<BackendId, Arc<UnderWay>>>);

/// Whether there is something to wait for.
pub(super) enum Start {
    /// The sign-in that there is now was not found wanting.
    Unneeded,
    /// The person has said no, and has not signed in since.
    Declined,
    /// A moment ago, for this reason.
    Failed(Arc<str>),
    UnderWay(Arc<UnderWay>),
}

/// Why there is no new sign-in.
pub(super) enum NoSignIn {
    /// The person said no.
    Declined,
    Failed(Arc<str>),
    /// It is still under way.
    Pending,
    /// A modern client is to be asked.
    Ask,
}

/// One sign-in, and what its clients were told of it.
pub(super) struct UnderWay {
    pub(super) offer: Offer,
    /// Of the sign-in that is not enough.
    generation: u64,
    /// Held while a legacy client is asked.
    pub(super) asking: tokio::sync::Mutex<()>,
    /// When a modern client was last asked.
    asked_at: Mutex<Option<Instant>>,
    accepted: watch::Sender<bool>,
    declined: AtomicBool,
    /// A legacy client knows its id.
    is_known: AtomicBool,
    ended_at: OnceLock<Instant>,
}

impl LastSignIns {
    /// The sign-in to this backend that is under way, or a new one.
    pub(super) fn begin(
        &self,
        backend: &HttpBackend,
        events: &mpsc::UnboundedSender<TaskEvent>,
    ) -> Start {
        let Some(wanting) = backend.wanting() else {
            return Start::Unneeded;
        };
        let mut all = self.0.lock();
        if let Some(last) = all.get(&backend.id) {
            if last.declined.load(Relaxed) && last.generation == wanting.generation {
                return Start::Declined;
            }
            match last.offer.stage() {
                Stage::Ended(Err(why)) if last.ended_lately() => return Start::Failed(why),
                Stage::Ended(_) => {}
                _ => return Start::UnderWay(Arc::clone(last)),
            }
        }
        let generation = wanting.generation;
        let offer = Offer::begin(Arc::clone(&backend.config), wanting.challenge, generation);
        let begun = Arc::new(UnderWay {
            offer,
            generation,
            asking: tokio::sync::Mutex::default(),
            asked_at: Mutex::default(),
            accepted: watch::Sender::new(false),
            declined: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            ended_at: OnceLock::new(),
        });
        tokio::spawn(see_to_the_end(Arc::clone(&begun), events.clone()));
        all.insert(backend.id, Arc::clone(&begun));
        Start::UnderWay(begun)
    }

    /// Ends all that are under way.
    pub(super) fn close(&self) {
        for (_, last) in self.0.lock().drain() {
            last.offer.withdraw();
        }
    }
}

/// A legacy client that knows of a sign-in is told of its end (MCP 2025-11-25, client/elicitation).
async fn see_to_the_end(under_way: Arc<UnderWay>, events: mpsc::UnboundedSender<TaskEvent>) {
    let ended = under_way.offer.ended().await;
    let _ = under_way.ended_at.set(Instant::now());
    if ended.is_ok() && under_way.is_known.load(Relaxed) {
        let params = json!({ "elicitationId": under_way.offer.id });
        let notification = Notification {
            method: "notifications/elicitation/complete".to_owned(),
            params: Some(RawJson::of(&params)),
        };
        let _ = events.send(TaskEvent::Updated { notification });
    }
}

impl UnderWay {
    /// The person opens the address.
    pub(super) fn accept(&self) {
        self.accepted.send_replace(true);
    }

    pub(super) fn is_accepted(&self) -> bool {
        *self.accepted.borrow()
    }

    /// Resolves when the person opens the address.
    pub(super) async fn accepted(&self) {
        // `self` holds the sender, so the wait can't fail.
        let _ = self
            .accepted
            .subscribe()
            .wait_for(|accepted| *accepted)
            .await;
    }

    /// The person doesn't want it: nobody is asked again before a sign-in in another way.
    pub(super) fn decline(&self) {
        self.declined.store(true, Relaxed);
        self.offer.withdraw();
    }

    /// Why it has ended without a sign-in.
    pub(super) fn why(&self, why: Arc<str>) -> NoSignIn {
        match self.declined.load(Relaxed) {
            true => NoSignIn::Declined,
            false => NoSignIn::Failed(why),
        }
    }

    /// A legacy client learns its id.
    pub(super) fn tell_of_end(&self) {
        self.is_known.store(true, Relaxed);
    }

    /// Until when another call of a modern client has its turn to ask; `None`: it is the caller's turn.
    pub(super) fn turn(&self) -> Option<Instant> {
        let mut asked_at = self.asked_at.lock();
        let until = asked_at.map(|at| at + TURN);
        let until = until.filter(|until| *until > Instant::now());
        if until.is_none() {
            *asked_at = Some(Instant::now());
        }
        until
    }

    fn ended_lately(&self) -> bool {
        self.ended_at.get().is_none_or(|at| at.elapsed() < PAUSE)
    }
}
