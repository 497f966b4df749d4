//! What the supervisors of a backend's sessions share.
//!
//! Owns [`BackendContext`], what it takes to connect a backend and to report on it, and [`OneSlot`], the
//! evidence that an open GET stream keeps this server from answering requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::event::BackendEvent;
use crate::backend::deadline::SharedPause;
use crate::backend::http::{Credentials, SideRequests, Turns};
use crate::budget::Budget;
use crate::call_report::BackendId;
#[cfg(test)]
use crate::config::BackendConfig;
#[cfg(test)]
use crate::observe::call_stats::SessionBook;
use crate::observe::call_stats::SessionTimes;
use crate::state::Contacts;
use crate::transport::http::Pool;

/// What it takes to connect one backend and to report on it. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::backend) struct BackendContext {
    pub(in crate::backend) id: BackendId,
    pub(in crate::backend) pool: Pool,
    pub(in crate::backend) credentials: Arc<Credentials>,
    pub(in crate::backend) side_requests: Arc<SideRequests>,
    pub(in crate::backend) turns: Turns,
    pub(in crate::backend) max_message_bytes: usize,
    pub(in crate::backend) budget: Budget,
    pub(in crate::backend) shared_pause: SharedPause,
    pub(in crate::backend) contacts: Contacts,
    /// Whether the GET stream is in the way of requests.
    pub(in crate::backend) one_slot: OneSlot,
    pub(in crate::backend) events: mpsc::UnboundedSender<BackendEvent>,
    pub(in crate::backend) session_times: SessionTimes,
}

#[cfg(test)]
impl BackendContext {
    /// The context of a backend that is never connected.
    pub(in crate::backend) fn unsupervised(config: &Arc<BackendConfig>, id: BackendId) -> Self {
        Self {
            id,
            pool: Pool::default(),
            credentials: Arc::new(Credentials::new(Arc::clone(config), &Pool::default())),
            side_requests: Arc::new(SideRequests::new()),
            turns: Turns::new(),
            max_message_bytes: usize::MAX,
            budget: Budget::new(usize::MAX),
            shared_pause: SharedPause::default(),
            contacts: Contacts::none(),
            one_slot: OneSlot::default(),
            events: mpsc::unbounded_channel().0,
            session_times: SessionBook::default().of(&config.name, None, None),
        }
    }
}

/// How often the GET stream must have been in the way of requests.
const CERTAIN: usize = 2;

/// How often the stream of a backend was in the way of its requests. Clones share it.
#[derive(Debug, Clone, Default)]
pub(in crate::backend) struct OneSlot(Arc<AtomicUsize>);

impl OneSlot {
    /// Whether the stream stays closed.
    pub(in crate::backend) fn is_certain(&self) -> bool {
        self.0.load(Relaxed) >= CERTAIN
    }

    /// Whether the stream was in the way of a request once.
    pub(super) fn is_suspected(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    /// The stream was in the way of a request once more.
    pub(super) fn was_in_the_way(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// The stream is not in the way: a request was answered while it was open.
    pub(super) fn was_not_in_the_way(&self) {
        self.0.store(0, Relaxed);
    }
}
