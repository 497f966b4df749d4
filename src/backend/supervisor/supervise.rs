//! Keeps one session connected.
//!
//! Owns the life of its connection: the first one, the lists, and the one re-initialize when a session
//! is lost. One task a session, so that all calls share the one attempt to connect. It must not know
//! calls.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};

use super::connection_handler::ConnectionHandler;
use super::context::BackendContext;
use super::lists::Lists;
use super::pause::Pauses;
use super::{get_stream, subscription_stream};
use crate::backend::error::{BackendError, ConnectKind};
use crate::backend::http::Endpoint;
use crate::backend::session::{Connection, Handshake, Session, State};
use crate::backend::stream::ServerMessageHandler;
use crate::config::ServerStream;
use crate::observe::logs::panic_text;
use crate::protocol::{ClientProfile, Contact, Era};

/// Longest time for one step of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a server to say whether it has a GET stream, before the first call goes out: requests
/// that it sends there earlier are lost.
const GET_STREAM_TIMEOUT: Duration = Duration::from_millis(500);

/// The wait after a panic if waiting panics too.
const AFTER_TWO_PANICS: Duration = Duration::from_secs(60);

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It lists, and its outages are reported.
    Primary,
    /// A second session with a legacy server, for calls of clients of the other era.
    OtherEra,
}

/// Keeps a session connected until it shuts down, or the receiver of its events is dropped.
/// `client` yields the client that the session is initialized for.
pub(super) async fn supervise(
    session: Arc<Session>,
    context: BackendContext,
    role: Role,
    client: watch::Receiver<Option<Arc<ClientProfile>>>,
) {
    let shutting_down = session.shutting_down.clone();
    let mut supervisor = Supervisor {
        // The second session is one with a legacy server.
        contact: (role == Role::OtherEra).then(Contact::default),
        is_first: role == Role::Primary,
        role,
        handler: ConnectionHandler { session, context },
        client,
        lists: Lists::new(),
        pauses: Pauses::new(role == Role::Primary),
    };
    tokio::select! {
        // What the end interrupts is not reported.
        biased;
        () = shutting_down.cancelled() => {}
        () = supervisor.run_despite_panics() => {}
    }
}

struct Supervisor {
    role: Role,
    /// The session, and where its unsolicited messages go.
    handler: ConnectionHandler,
    client: watch::Receiver<Option<Arc<ClientProfile>>>,
    /// How the server was connected the last time, so that a reconnect need not search.
    contact: Option<Contact>,
    /// No connection was attempted yet.
    is_first: bool,
    lists: Lists,
    pauses: Pauses,
}

impl Supervisor {
    /// A panic takes the backend down like any other failure, and it is tried again.
    async fn run_despite_panics(&mut self) {
        while let Err(panic) = AssertUnwindSafe(self.run()).catch_unwind().await {
            let why = panic_text(&*panic);
            let pause = self.pauses.after_panic(&self.handler, why);
            if AssertUnwindSafe(pause).catch_unwind().await.is_err() {
                tokio::time::sleep(AFTER_TWO_PANICS).await;
            }
        }
    }

    async fn run(&mut self) {
        while !self.handler.context.events.is_closed() {
            let connected = self.connect().await;
            let serving = |connection: &Arc<Connection>| {
                let early = self.handler.session.served.begin(connection);
                early
                    .into_iter()
                    .for_each(|said| self.handler.notification(said));
            };
            match connected.inspect(serving) {
                Ok(connection) => match self.client().await {
                    Some(client) => match self.serve(&connection, &client).await {
                        Some(why) => self.pauses.after_panic(&self.handler, &why).await,
                        None => self.pauses.after_loss(&self.handler).await,
                    },
                    // The gateway is gone.
                    None => return,
                },
                Err(BackendError::Connect {
                    kind: ConnectKind::ShuttingDown,
                    ..
                }) => return,
                Err(error) => self.pauses.after_failure(&self.handler, error).await,
            }
        }
    }

    /// Makes a connection: the handshake begins with what worked the last time.
    async fn connect(&mut self) -> Result<Arc<Connection>, BackendError> {
        let config = Arc::clone(&self.handler.session.config);
        let context = self.handler.context.clone();
        let resolving = Endpoint::resolve(
            &config,
            context.credentials,
            &context.pool,
            context.max_message_bytes,
            context.budget,
        );
        let endpoint = self.limited("give its secrets", resolving).await?;
        let endpoint = Arc::new(endpoint.sharing(context.side_requests, context.turns));
        if std::mem::take(&mut self.is_first) {
            self.contact = context.contacts.of(&config.name).await;
        }
        let handshake = Handshake {
            endpoint: &endpoint,
            background: &self.handler.session.background,
            unsolicited: Arc::new(self.handler.clone()),
            protocol: config.protocol,
            limit: HANDSHAKE_TIMEOUT.min(config.timeout),
            passes_experimental: config.experimental,
            remembered: self.contact.as_ref(),
        };
        let connection = handshake.run(&mut self.client).await;
        match &connection {
            Ok(connection) => self.contact.clone_from(&connection.contact),
            // It says nothing about how to begin.
            Err(BackendError::Connect { .. }) => {}
            Err(_) => self.contact = None,
        }
        connection.map(Arc::new)
    }

    async fn client(&mut self) -> Option<Arc<ClientProfile>> {
        let client = self.client.wait_for(Option::is_some).await;
        let client = client.ok().and_then(|client| client.clone());
        if let Some(client) = &client {
            self.handler.session.set_client_era(client.era);
        }
        client
    }

    async fn limited<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let limit = HANDSHAKE_TIMEOUT.min(self.handler.session.config.timeout);
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let within = limit.as_secs();
            let why = format!("the server does not {what} within {within} s");
            Err(BackendError::Silent(why))
        })
    }

    /// While connected: keeps the lists and reads what the server sends, until the connection ends.
    /// Returns the text of a panic elsewhere in the gateway, if that ends it.
    async fn serve(
        &mut self,
        connection: &Arc<Connection>,
        client: &ClientProfile,
    ) -> Option<String> {
        let handler = self.handler.clone();
        let session = &handler.session;
        self.pauses.connected();
        // Dropped as it is where the session is shut down.
        let mut timer = handler.context.session_times.begin(connection.version);
        tracing::info!(
            backend = session.name(),
            server = connection.server.name,
            server_version = connection.server.version,
            era = connection.era.name(),
            protocol = connection.version,
            "connected"
        );
        let wants_stream = session.config.server_stream == ServerStream::Auto
            && !handler.context.one_slot.is_certain();
        let has_get_stream = wants_stream && connection.may_have_get_stream();
        let opened = Notify::new();
        let up = async {
            if has_get_stream {
                let _ = tokio::time::timeout(GET_STREAM_TIMEOUT, opened.notified()).await;
            }
            session.set_state(State::Ready(Arc::clone(connection)));
            session.restore(connection);
            session.wait_disconnected().await;
        };
        let server_stream = async {
            match connection.era {
                Era::Modern => subscription_stream::run(connection, &handler, client).await,
                Era::Legacy if has_get_stream => {
                    get_stream::run(connection, &handler, &opened).await
                }
                Era::Legacy => {}
            }
            // It has no such stream, or the connection has ended.
            std::future::pending().await
        };
        let lists = async {
            match self.role {
                Role::Primary => self.lists.keep(connection, client, &handler).await,
                Role::OtherEra => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            biased;
            () = up => None,
            () = handler.context.events.closed() => return None,
            () = connection.ended() => {
                session.disconnected(connection);
                None
            }
            why = session.failed() => Some(why),
            () = server_stream => None,
            () = lists => None,
        };
        timer.lose();
        why
    }
}
