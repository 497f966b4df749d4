//! The one or two sessions of a backend.
//!
//! Owns which session a call belongs to, and starting the second one when a call needs it.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::context::BackendContext;
use super::supervise::{Role, supervise};
use crate::auth::Wanting;
use crate::backend::error::BackendError;
use crate::backend::http::Turns;
use crate::backend::session::{Connection, LogLevels, Session};
use crate::budget::Budget;
use crate::config::BackendConfig;
use crate::protocol::{ClientProfile, Era};
use crate::tasks;

/// The sessions of one backend: one that lists and reports, and for clients of the other era a
/// second one with a legacy server (X-ML-01).
#[derive(Debug)]
pub(in crate::backend) struct Sessions {
    pub(in crate::backend) primary: Arc<Session>,
    other_era: OnceLock<Arc<Session>>,
    context: BackendContext,
}

impl Sessions {
    /// One session, not started.
    pub(in crate::backend) fn new(config: Arc<BackendConfig>, context: BackendContext) -> Self {
        Self {
            primary: Arc::new(Session::new(config, LogLevels::default())),
            other_era: OnceLock::new(),
            context,
        }
    }

    /// Starts the supervisor of the primary session, for the client that comes first.
    pub(in crate::backend) fn start(&self, client: watch::Receiver<Option<Arc<ClientProfile>>>) {
        let (session, context) = (Arc::clone(&self.primary), self.context.clone());
        tasks::spawn(supervise(session, context, Role::Primary, client));
    }

    /// Files and commands with secrets are read again, and where there is no connection one is made.
    pub(in crate::backend) fn read_secrets_again(&self) {
        let credentials = Arc::clone(&self.context.credentials);
        if credentials.is_renewable() {
            let reading = async move { credentials.reload().await };
            self.primary.background.spawn(reading);
        }
        for session in self.all().filter(|session| session.ready().is_none()) {
            session.connect_now.notify_one();
        }
    }

    /// What a sign-in by a person begins with, where one is wanted.
    pub(in crate::backend) fn wanting(&self) -> Option<Wanting> {
        self.context.credentials.tokens.as_ref()?.wanting()
    }

    /// Where its bytes are charged.
    pub(in crate::backend) fn budget(&self) -> &Budget {
        &self.context.budget
    }

    /// The turns of its responses.
    pub(in crate::backend) fn turns(&self) -> &Turns {
        &self.context.turns
    }

    /// Resolves when no renewal of the credentials is under way.
    pub(in crate::backend) async fn finish_renewal(&self) {
        self.context.credentials.finish().await;
    }

    /// The sessions that exist.
    pub(in crate::backend) fn all(&self) -> impl Iterator<Item = &Arc<Session>> {
        std::iter::once(&self.primary).chain(self.other_era.get())
    }

    /// The session for a call of this client, and its connection.
    ///
    /// # Errors
    /// When no connection can be made.
    pub(in crate::backend) async fn connection_for(
        &self,
        caller: &ClientProfile,
    ) -> Result<(&Arc<Session>, Arc<Connection>), BackendError> {
        let connection = self.primary.connection().await?;
        let session = self.session_for(&connection, caller);
        if Arc::ptr_eq(session, &self.primary) {
            return Ok((session, connection));
        }
        Ok((session, session.connection().await?))
    }

    /// The session for calls of modern clients, as far as is known now.
    pub(in crate::backend) fn of_modern_clients(&self) -> &Arc<Session> {
        match self.primary.ready() {
            Some(connection) => self.session_for(&connection, &ClientProfile::superset()),
            None => &self.primary,
        }
    }

    fn session_for(&self, connection: &Connection, caller: &ClientProfile) -> &Arc<Session> {
        let fits = connection.era == Era::Modern || self.primary.client_era() == caller.era;
        if fits {
            &self.primary
        } else {
            self.other_era.get_or_init(|| self.start_other(caller))
        }
    }

    fn start_other(&self, caller: &ClientProfile) -> Arc<Session> {
        let client = match caller.era {
            Era::Modern => ClientProfile::superset_for(caller),
            Era::Legacy => caller.clone(),
        };
        let config = Arc::clone(&self.primary.config);
        let levels = self.primary.log_levels.standing_only();
        let session = Arc::new(Session::new(config, levels));
        match caller.era {
            Era::Modern => session.stop_forwarding_unsolicited(),
            Era::Legacy => self.primary.stop_forwarding_unsolicited(),
        }
        let (_, client) = watch::channel(Some(Arc::new(client)));
        let context = self.context.clone();
        tasks::spawn(supervise(
            Arc::clone(&session),
            context,
            Role::OtherEra,
            client,
        ));
        session
    }
}
