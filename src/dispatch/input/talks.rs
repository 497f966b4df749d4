//! Calls of modern clients to legacy backends: those under way, and those that wait for an answer.
//!
//! Owns who may come back to a call that waits, and how long it waits. A handle is good for one
//! retry of the very request that was answered with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::handle::{Binding, Handle};
use super::requests::input_required;
use super::talk::{Running, Talk};
use super::{ANSWER_TIMEOUT, Exchange};
use crate::dispatch::outgoing::Outgoing;
use crate::protocol::{RawJson, Ticket};

/// Calls that may wait at a time; a backend that asks past it is told that it can't.
const MAX_PARKED: usize = 256;
/// How long a backend may take to hear that nobody answers, before its call is cancelled.
const COURTESY: Duration = Duration::from_secs(2);

/// All of them.
#[derive(Default)]
pub struct Talks {
    parked: Mutex<HashMap<Handle, Parked>>,
    /// By the place of the talk in memory, with the index of its backend.
    going: Mutex<HashMap<usize, (usize, Weak<Talk>)>>,
}

/// A call that runs beside the request it was made for. Dropping it cancels the call.
pub(super) struct UnderWay {
    pub(super) talk: Arc<Talk>,
    task: AbortOnDropHandle<()>,
}

/// A call that waits for its client.
struct Parked {
    under_way: UnderWay,
    binding: Binding,
    /// Of the request that was answered with the handle.
    ticket: Ticket,
    /// Ends the waiting.
    timer: AbortOnDropHandle<()>,
}

impl Talks {
    /// Makes a call on behalf of this request.
    pub(super) fn begin(self: &Arc<Self>, call: Outgoing, exchange: Exchange) -> UnderWay {
        let backend = call.backend.index;
        let talk = Arc::new(Talk::new(call, exchange));
        let going = Going {
            talks: Arc::clone(self),
            key: Arc::as_ptr(&talk) as usize,
        };
        lock(&self.going).insert(going.key, (backend, Arc::downgrade(&talk)));
        let running = Running::new(&talk);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _going = going;
            running.run().await;
        }));
        UnderWay { talk, task }
    }

    /// Lets a call wait for the answers to what it has asked. The result is for the request of
    /// this ticket.
    ///
    /// # Errors
    /// The call back, if there is nothing that can be asked.
    pub(super) fn park(
        self: &Arc<Self>,
        under_way: UnderWay,
        ticket: Ticket,
        binding: Binding,
    ) -> Result<RawJson, UnderWay> {
        let mut parked = lock(&self.parked);
        if parked.len() >= MAX_PARKED {
            let why = format!("{MAX_PARKED} calls wait for their clients already");
            under_way.talk.refuse_all(&why);
            return Err(under_way);
        }
        let Some(questions) = under_way.talk.hold() else {
            return Err(under_way);
        };
        let handle = Handle::new();
        let result = input_required(&questions, Some(handle.as_str()));
        let timer = self.expire_later(handle.clone());
        let waiting = Parked {
            under_way,
            binding,
            ticket,
            timer,
        };
        parked.insert(handle, waiting);
        Ok(result)
    }

    /// The call that waits under this handle for this very request. Once.
    pub(super) fn take(&self, handle: &Handle, binding: &Binding) -> Option<UnderWay> {
        let mut parked = lock(&self.parked);
        if parked.get(handle)?.binding != *binding {
            return None;
        }
        parked.remove(handle).map(|parked| parked.under_way)
    }

    /// The answer to this request reached nobody: a call that waits under it is cancelled.
    pub fn undelivered(&self, ticket: Ticket) {
        lock(&self.parked).retain(|_, parked| parked.ticket != ticket);
    }

    /// The one call under way on this backend, if there is exactly one.
    pub(super) fn only_one_on(&self, backend: usize) -> Option<Arc<Talk>> {
        let going = lock(&self.going);
        let mut there = going
            .values()
            .filter(|(at, _)| *at == backend)
            .filter_map(|(_, talk)| talk.upgrade());
        match (there.next(), there.next()) {
            (Some(talk), None) => Some(talk),
            _ => None,
        }
    }

    /// Cancels all that wait, and waits until their backends are being told.
    pub async fn close(&self) {
        let parked: Vec<Parked> = lock(&self.parked)
            .drain()
            .map(|(_, parked)| parked)
            .collect();
        for Parked { under_way, .. } in &parked {
            under_way.task.abort();
        }
        for Parked { under_way, .. } in parked {
            let _ = under_way.task.await;
        }
    }

    fn expire_later(self: &Arc<Self>, handle: Handle) -> AbortOnDropHandle<()> {
        let talks = Arc::downgrade(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep(ANSWER_TIMEOUT).await;
            if let Some(talks) = talks.upgrade() {
                talks.expire(&handle).await;
            }
        }))
    }

    /// Nobody came back: the backend is told so, and when it has heard it the call is cancelled.
    async fn expire(&self, handle: &Handle) {
        let Some(parked) = lock(&self.parked).remove(handle) else {
            return;
        };
        let Parked {
            under_way, timer, ..
        } = parked;
        // This is the timer.
        timer.detach();
        let backend = under_way.talk.call.backend.name();
        tracing::warn!(
            backend,
            "nobody answered what a call has asked: it is cancelled"
        );
        under_way.talk.close();
        let _ = tokio::time::timeout(COURTESY, under_way.talk.ended()).await;
    }
}

impl fmt::Debug for Talks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talks")
            .field("parked", &lock(&self.parked).len())
            .field("going", &lock(&self.going).len())
            .finish()
    }
}

/// Ends a talk's place among those under way.
struct Going {
    talks: Arc<Talks>,
    key: usize,
}

impl Drop for Going {
    fn drop(&mut self) {
        lock(&self.talks.going).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
