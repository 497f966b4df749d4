//! The second session with a legacy backend (X-ML-01).
//!
//! A legacy session is introduced to one client and has its capabilities for good. Where clients of
//! both eras stand before the gateway, a call of the other era gets a session of its own. Owns
//! making it, once, and which session a call belongs in. It must not know calls.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::error::BackendError;
use super::event::BackendEvent;
use super::pool::Pool;
use super::session::Connection;
use super::supervisor;
use super::{HttpBackend, State};
use crate::budget::Budget;
use crate::protocol::{ClientProfile, Era};

/// What it takes to keep a backend connected.
#[derive(Debug, Clone)]
pub(super) struct BackendContext {
    pub(super) pool: Pool,
    pub(super) max_message_bytes: usize,
    pub(super) budget: Budget,
    pub(super) events: mpsc::UnboundedSender<BackendEvent>,
}

impl HttpBackend {
    /// The link for a call of this client, and the backend to tell if it is lost.
    pub(super) async fn connection_for(
        &self,
        caller: &ClientProfile,
    ) -> Result<(&Self, Arc<Connection>), BackendError> {
        let connection = self.connection().await?;
        match self.second_for(&connection, caller) {
            Some(second) => Ok((second, second.connection().await?)),
            None => Ok((self, connection)),
        }
    }

    /// The session of modern clients, as far as is known now.
    pub(super) fn of_modern_clients(self: &Arc<Self>) -> &Arc<Self> {
        let second = match self.state() {
            State::Ready(connection) => self.second_for(&connection, &ClientProfile::superset()),
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
        self.client_era() == Era::Legacy || !one_of_two
    }

    /// The era of the client that its session is introduced to.
    pub(super) fn client_era(&self) -> Era {
        *self.client_era.get().unwrap_or(&Era::Legacy)
    }

    fn second_for(&self, connection: &Connection, caller: &ClientProfile) -> Option<&Arc<Self>> {
        let fits = connection.era == Era::Modern || self.client_era() == caller.era;
        (!fits).then(|| self.second.get_or_init(|| self.start_second(caller)))
    }

    fn start_second(&self, caller: &ClientProfile) -> Arc<Self> {
        let client = match caller.era {
            Era::Modern => ClientProfile::superset(),
            Era::Legacy => caller.clone(),
        };
        let second = Arc::new(Self {
            is_second: true,
            shared_pause: self.shared_pause.clone(),
            levels: self.levels.standing_only(),
            ..Self::new(Arc::clone(&self.config), self.index, self.context.clone())
        });
        let (_, introduction) = watch::channel(Some(Arc::new(client)));
        tokio::spawn(supervisor::keep(Arc::clone(&second), introduction));
        second
    }
}
