//! The sign-ins under way, one for each backend at most.
//!
//! Owns who has been asked for one, what the person said, and when the next may begin. It must not know
//! calls.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::auth::login::{Offer, Stage};
use crate::backend::HttpBackend;
use crate::call_report::BackendId;
use crate::dispatch::exchange::TaskEvent;
use crate::protocol::{Notification, RawJson};
use crate::sync::Mutex;
use crate::tasks;

/// How long a modern client may take to come back with the person's answer before another call asks, too.
const TURN: Duration = Duration::from_secs(30);
/// The pause after a sign-in that has failed, before the next one is tried.
const PAUSE: Duration = Duration::from_secs(30);

/// How long a sign-in goes on that no person has agreed to. Shorter than `login` waits for another.
const UNANSWERED: Duration = Duration::from_secs(120);
/// How long a sign-in goes on that no call waits for any more: time for the next call.
const UNATTENDED: Duration = Duration::from_secs(10);

/// The last sign-in of each backend.
#[derive(Default)]
pub(super) struct LastSignIns(Mutex<HashMap<BackendId, Arc<UnderWay>>>);

/// Whether there is something to wait for.
pub(super) enum Start {
    /// The sign-in that there is now was not found wanting.
    Unneeded,
    /// The person has said no, and has not signed in since; or the last sign-in asked for what is lacking, and the
    /// server did not grant it.
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
    /// How often a person had signed in before.
    sign_ins: u64,
    /// Held while a legacy client is asked.
    pub(super) asking: tokio::sync::Mutex<()>,
    /// When a modern client was last asked.
    asked_at: Mutex<Option<Instant>>,
    accepted: watch::Sender<bool>,
    /// How many calls wait for it, or for their retry.
    calls: watch::Sender<usize>,
    declined: AtomicBool,
    /// A legacy client knows its id.
    is_known: AtomicBool,
    ended_at: OnceLock<Instant>,
    /// Why nobody wanted it any more.
    given_up: OnceLock<Arc<str>>,
    /// Cancelled when nothing has its backend any more.
    unused: CancellationToken,
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
        if wanting.is_in_vain {
            return Start::Declined;
        }
        let mut all = self.0.lock();
        all.retain(|_, last| !last.unused.is_cancelled());
        if let Some(last) = all.get(&backend.id) {
            if last.declined.load(Relaxed) && last.sign_ins == wanting.sign_ins {
                return Start::Declined;
            }
            match last.offer.stage() {
                Stage::Ended(Err(why)) if last.ended_lately() => {
                    return Start::Failed(last.given_up.get().cloned().unwrap_or(why));
                }
                Stage::Ended(_) => {}
                _ => return Start::UnderWay(Arc::clone(last)),
            }
        }
        let config = Arc::clone(&backend.config);
        let offer = Offer::begin(config, wanting.challenge, wanting.generation);
        let unused = backend.unused().clone();
        let begun = Arc::new(UnderWay::new(offer, wanting.sign_ins, unused));
        tasks::spawn(see_to_the_end(Arc::clone(&begun), events.clone()));
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

/// Gives it up when nobody wants it. A legacy client that knows of a sign-in is told of its end (MCP 2025-11-25, client/elicitation).
async fn see_to_the_end(under_way: Arc<UnderWay>, events: mpsc::UnboundedSender<TaskEvent>) {
    let ended = tokio::select! {
        biased;
        ended = under_way.offer.ended() => ended,
        why = under_way.is_unwanted() => {
            under_way.give_up(why);
            under_way.offer.ended().await
        }
    };
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

/// A call that waits for a sign-in.
pub(super) struct Attended(Arc<UnderWay>);

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.calls.send_modify(|calls| *calls -= 1);
    }
}

impl UnderWay {
    /// One that nobody has been asked about. `unused` ends it.
    fn new(offer: Offer, sign_ins: u64, unused: CancellationToken) -> Self {
        Self {
            offer,
            sign_ins,
            asking: tokio::sync::Mutex::default(),
            asked_at: Mutex::default(),
            accepted: watch::Sender::new(false),
            calls: watch::Sender::new(0),
            declined: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            ended_at: OnceLock::new(),
            given_up: OnceLock::new(),
            unused,
        }
    }

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

    /// Nobody wants it, for this reason: others may sign in.
    pub(super) fn give_up(&self, why: Arc<str>) {
        let _ = self.given_up.set(why);
        self.offer.withdraw();
    }

    /// Resolves when its backend is gone, no person has agreed in time, or no call needs it.
    async fn is_unwanted(&self) -> Arc<str> {
        let unasked = async {
            tokio::select! {
                biased;
                () = self.accepted() => pending().await,
                () = sleep(UNANSWERED) => {
                    format!("nobody has agreed to it within {} s", UNANSWERED.as_secs()).into()
                }
                () = self.unattended() => "the calls that needed it were given up".into(),
            }
        };
        tokio::select! {
            () = self.unused.cancelled() => "the backend has been removed or replaced".into(),
            why = unasked => why,
        }
    }

    /// Resolves when no call has waited for it for a while.
    async fn unattended(&self) {
        let mut calls = self.calls.subscribe();
        // `self` holds the sender, so the waits can't fail.
        while calls.wait_for(|calls| *calls == 0).await.is_ok() {
            let next = calls.wait_for(|calls| *calls > 0);
            if timeout(UNATTENDED, next).await.is_err() {
                return;
            }
        }
    }

    /// A call waits for it, until the result is dropped.
    pub(super) fn attend(self: &Arc<Self>) -> Attended {
        self.calls.send_modify(|calls| *calls += 1);
        Attended(Arc::clone(self))
    }

    /// Why it has ended without a sign-in.
    pub(super) fn why(&self, why: Arc<str>) -> NoSignIn {
        match self.declined.load(Relaxed) {
            true => NoSignIn::Declined,
            false => NoSignIn::Failed(self.given_up.get().cloned().unwrap_or(why)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn under_way() -> Arc<UnderWay> {
        let unused = CancellationToken::new();
        Arc::new(UnderWay::new(Offer::endless(), 0, unused))
    }

    /// How long it goes on, and why it ends.
    async fn end_of(under_way: &Arc<UnderWay>) -> (u64, String) {
        let (events, _received) = mpsc::unbounded_channel();
        let begun = Instant::now();
        see_to_the_end(Arc::clone(under_way), events).await;
        assert!(matches!(under_way.offer.stage(), Stage::Ended(Err(_))));
        let why = under_way.given_up.get().unwrap().to_string();
        (begun.elapsed().as_secs(), why)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_in_that_nobody_agrees_to_ends_before_a_login_stops_waiting() {
        let under_way = under_way();
        let _call = under_way.attend();
        let (seconds, why) = end_of(&under_way).await;
        assert_eq!(
            (seconds, &*why),
            (120, "nobody has agreed to it within 120 s")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_no_call_needs_any_more_ends_soon() {
        let under_way = under_way();
        let calls = [under_way.attend(), under_way.attend()];
        let later = Arc::clone(&under_way);
        tasks::spawn(async move {
            for call in calls {
                sleep(Duration::from_secs(20)).await;
                drop(call);
            }
            // The next call comes in time, and is given up, too.
            sleep(UNATTENDED / 2).await;
            let call = later.attend();
            sleep(Duration::from_secs(5)).await;
            drop(call);
        });
        let (seconds, why) = end_of(&under_way).await;
        assert_eq!(
            (seconds, &*why),
            (60, "the calls that needed it were given up")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_a_person_has_agreed_to_goes_on_while_its_backend_is_there() {
        let under_way = under_way();
        under_way.accept();
        let unused = under_way.unused.clone();
        tasks::spawn(async move {
            tokio::time::sleep(Duration::from_secs(500)).await;
            unused.cancel();
        });
        let (seconds, why) = end_of(&under_way).await;
        assert_eq!(
            (seconds, &*why),
            (500, "the backend has been removed or replaced")
        );
    }
}
