//! Who waits for what on a stream that carries the answers to many.
//!
//! Owns finding the request that an answer or a progress belongs to. It must not know who sent the
//! request, nor where the stream comes from.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::error::BackendError;
use super::listener::{Addressee, Listener};
use crate::protocol::{Id, Notification, Outcome, Request};

/// What may wait to be heard under one id. Progress beyond that may be missed, an answer not.
const MAX_UNHEARD: usize = 64;

/// Who waits for what on the stream.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_id: Mutex<HashMap<Id, Arc<Mailbox>>>,
    over: CancellationToken,
}

#[derive(Debug)]
pub(super) enum Said {
    Notification(Notification),
    Answer(Result<Outcome, BackendError>),
}

/// What was said to one waiter and not heard yet. Every call has one, and hardly any gets mail: so
/// it is small, where a channel would bring its buffer along.
#[derive(Debug, Default)]
struct Mailbox(Mutex<Mail>);

#[derive(Debug, Default)]
struct Mail {
    said: VecDeque<Said>,
    /// Nothing comes any more.
    over: bool,
    waker: Option<Waker>,
}

impl Waiters {
    /// Waits for the answer to this request, and hears its progress.
    pub(super) fn wait_for<'a>(&'a self, id: &'a Id) -> Waiter<'a> {
        let mailbox = Arc::<Mailbox>::default();
        let mut by_id = self.lock();
        // Under the lock, so that none comes in behind the last.
        match self.over.is_cancelled() {
            true => mailbox.close(),
            false => drop(by_id.insert(id.clone(), Arc::clone(&mailbox))),
        }
        Waiter {
            waiters: self,
            id,
            mailbox,
        }
    }

    /// Nothing comes any more: whoever still waits, waits in vain.
    pub(super) fn close(&self) {
        let mut by_id = self.lock();
        self.over.cancel();
        by_id.drain().for_each(|(_, mailbox)| mailbox.close());
    }

    /// Whether nothing comes any more.
    pub(super) fn are_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Resolves then.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    fn tell(&self, id: &Id, said: Said) {
        if let Some(mailbox) = self.lock().get(id) {
            mailbox.put(said);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Mailbox>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    /// The last place is kept for the answer. Another one after that is nobody's.
    fn put(&self, said: Said) {
        self.change(|mail| {
            let places = match said {
                Said::Answer(_) => MAX_UNHEARD,
                Said::Notification(_) => MAX_UNHEARD - 1,
            };
            if mail.said.len() < places {
                mail.said.push_back(said);
            }
        });
    }

    fn close(&self) {
        self.change(|mail| mail.over = true);
    }

    fn change(&self, change: impl FnOnce(&mut Mail)) {
        let mut mail = self.lock();
        change(&mut mail);
        let waker = mail.waker.take();
        drop(mail);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next of it; ready with `None` when nothing comes any more.
    fn poll(&self, context: &Context<'_>) -> Poll<Option<Said>> {
        let mut mail = self.lock();
        if let Some(said) = mail.said.pop_front() {
            return Poll::Ready(Some(said));
        }
        if mail.over {
            return Poll::Ready(None);
        }
        match &mut mail.waker {
            Some(waker) => waker.clone_from(context.waker()),
            waker => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Addressee for Waiters {
    /// Ends nothing: the stream is read on.
    fn response(
        &self,
        id: &Id,
        answer: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>> {
        self.tell(id, Said::Answer(answer));
        None
    }
}

/// Waits no longer when dropped.
pub(super) struct Waiter<'a> {
    waiters: &'a Waiters,
    id: &'a Id,
    mailbox: Arc<Mailbox>,
}

impl Waiter<'_> {
    /// What is said next; `None` when nothing comes any more.
    pub(super) async fn hear(&mut self) -> Option<Said> {
        poll_fn(|context| self.mailbox.poll(context)).await
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiters.lock().remove(self.id);
    }
}

/// Hands progress to the call that it belongs to, and all else to whoever hears news.
pub(super) struct Sorting<'a> {
    pub(super) waiters: &'a Waiters,
    pub(super) news: &'a dyn Listener,
}

impl Listener for Sorting<'_> {
    fn notification(&self, notification: Notification) {
        if notification.method != "notifications/progress" {
            return self.news.notification(notification);
        }
        let token = notification.params.as_ref();
        let token = token.and_then(|params| params.get("progressToken"));
        // Attempts have their id for a token.
        if let Some(id) = token.and_then(Id::from_raw) {
            self.waiters.tell(&id, Said::Notification(notification));
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        self.news.request(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    #[tokio::test]
    async fn who_does_not_listen_misses_progress_but_no_answer() {
        let waiters = Waiters::default();
        let id = Id::number(1);
        let mut waiter = waiters.wait_for(&id);
        for _ in 0..10 * MAX_UNHEARD {
            let notification = Notification {
                method: "notifications/progress".into(),
                params: None,
            };
            waiters.tell(&id, Said::Notification(notification));
        }
        let answer = Ok(Outcome::Result(RawJson::trusted("{}")));
        assert!(waiters.response(&id, answer).is_none());
        let mut progress = 0;
        while let Some(Said::Notification(_)) = waiter.hear().await {
            progress += 1;
        }
        assert_eq!(progress, MAX_UNHEARD - 1);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_what_is_said_and_by_the_end() {
        let waiters = Waiters::default();
        let (one, two) = (Id::number(1), Id::number(2));
        let (mut first, mut second) = (waiters.wait_for(&one), waiters.wait_for(&two));
        let speaking = async {
            let answer = Ok(Outcome::Result(RawJson::trusted("{}")));
            waiters.response(&one, answer);
            waiters.close();
        };
        // In this order: both wait before anything is said.
        let (heard, nothing, ()) = tokio::join!(first.hear(), second.hear(), speaking);
        assert!(matches!(heard, Some(Said::Answer(Ok(_)))), "{heard:?}");
        assert!(nothing.is_none(), "{nothing:?}");
        assert!(waiters.wait_for(&one).hear().await.is_none(), "it is over");
    }
}
