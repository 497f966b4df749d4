//! The second session with a legacy backend (X-ML-01).
//!
//! A legacy session is introduced to one client and has its capabilities for good. Where clients of
//! both eras stand before the gateway, a call of the other era gets a session of its own. Owns
//! making it, once, and which session a call belongs in. It must not know calls.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::error::BackendError;
use super::event::BackendEvent;
use super::keeper;
use super::pool::Pool;
use super::session::Link;
use super::{Backend, State};
use crate::budget::Budget;
use crate::protocol::{ClientProfile, Era};

/// What it takes to keep a backend connected.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) pool: Pool,
    pub(super) max_message_bytes: usize,
    pub(super) budget: Budget,
    pub(super) events: mpsc::UnboundedSender<BackendEvent>,
}

impl Backend {
    /// The link for a call of this client, and the backend to tell if it is lost.
    pub(super) async fn link_for(
        &self,
        caller: &ClientProfile,
    ) -> Result<(&Self, Arc<Link>), BackendError> {
        let link = self.link().await?;
        match self.second_for(&link, caller) {
            Some(second) => Ok((second, second.link().await?)),
            None => Ok((self, link)),
        }
    }

    /// The session of modern clients, as far as is known now.
    pub(super) fn of_modern_clients(self: &Arc<Self>) -> &Arc<Self> {
        let second = match self.state() {
            State::Ready(link) => self.second_for(&link, &ClientProfile::superset()),
            _ => None,
        };
        second.unwrap_or(self)
    }

    /// All of them.
    pub(super) fn sessions(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::once(self).chain(self.second.get())
    }

    /// Whether what it says of its own accord is said to whoever there is: where there are two
    /// sessions, that of modern clients says the same as the other, and none of them has asked.
    pub(super) fn speaks_to_all(&self) -> bool {
        let one_of_two = self.is_second || self.second.get().is_some();
        self.introduced() == Era::Legacy || !one_of_two
    }

    /// The era of the client that its session is introduced to.
    pub(super) fn introduced(&self) -> Era {
        *self.introduced.get().unwrap_or(&Era::Legacy)
    }

    fn second_for(&self, link: &Link, caller: &ClientProfile) -> Option<&Arc<Self>> {
        let fits = link.era == Era::Modern || self.introduced() == caller.era;
        (!fits).then(|| self.second.get_or_init(|| self.start_second(caller)))
    }

    fn start_second(&self, caller: &ClientProfile) -> Arc<Self> {
        let client = match caller.era {
            Era::Modern => ClientProfile::superset(),
            Era::Legacy => caller.clone(),
        };
        let second = Arc::new(Self {
            is_second: true,
            standstill: self.standstill.clone(),
            levels: self.levels.standing_alone(),
            ..Self::new(Arc::clone(&self.config), self.index, self.means.clone())
        });
        let (_, introduction) = watch::channel(Some(Arc::new(client)));
        tokio::spawn(keeper::keep(Arc::clone(&second), introduction));
        second
    }
}
