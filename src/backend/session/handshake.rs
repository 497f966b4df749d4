//! The handshake with a backend, which finds out what it speaks.
//!
//! A search (B-C-09, B-L-10): candidates (an era, a version, capabilities, a transport) are tried one after the other,
//! and [`search`] decides from what the server said which is next. Owns the limits on requests and
//! time, which error is reported, and what is remembered of a success. It must not know when to connect,
//! nor whether to try again.

mod discover;
mod initialize;
mod profile;
mod refusal;
mod search;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::search::{Candidate, Failure, Offer, Start};
use super::connection::{BEST_EFFORT_TIMEOUT, Connection};
use super::http_sse::HttpSseTransport;
use super::server_profile::{Negotiated, ServerProfile};
use crate::auth::Advice;
use crate::backend::error::{BackendError, Challenge, ConnectKind};
use crate::backend::http::Endpoint;
use crate::backend::stream::ServerMessageHandler;
use crate::config::Protocol;
use crate::protocol::{ClientProfile, Contact, Era, MODERN_VERSION};

/// How long `server/discover` may take at first, and what is left for it after `initialize`.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for all requests of one handshake. The wait for the client does not count.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// One handshake with one server.
pub(in crate::backend) struct Handshake<'a> {
    pub(in crate::backend) endpoint: &'a Arc<Endpoint>,
    /// Where the connection's background messages run.
    pub(in crate::backend) background: &'a TaskTracker,
    /// Takes messages that belong to no call: notifications before the answer to `initialize`, and all on
    /// the HTTP with SSE transport.
    pub(in crate::backend) unsolicited: Arc<dyn ServerMessageHandler>,
    pub(in crate::backend) protocol: Protocol,
    /// Time for one candidate.
    pub(in crate::backend) limit: Duration,
    /// Whether the client's experimental capabilities are declared.
    pub(in crate::backend) passes_experimental: bool,
    /// What the server took the last time.
    pub(in crate::backend) remembered: Option<&'a Contact>,
}

impl Handshake<'_> {
    /// Tries the candidates until one succeeds. `server/discover` is sent at once; the legacy handshake
    /// waits for the client, since a legacy server gets exactly that client's capabilities.
    ///
    /// # Errors
    /// The error of the last `initialize`, or of `server/discover` where that alone was sent.
    pub(in crate::backend) async fn run(
        self,
        client: &mut watch::Receiver<Option<Arc<ClientProfile>>>,
    ) -> Result<Connection, BackendError> {
        let endpoint = Arc::clone(self.endpoint);
        let done = self.search(client).await;
        endpoint.addresses().limit_repeats(usize::MAX);
        done
    }

    async fn search(
        self,
        client: &mut watch::Receiver<Option<Arc<ClientProfile>>>,
    ) -> Result<Connection, BackendError> {
        let (protocol, remembered) = (self.protocol, self.remembered);
        let passes_experimental = self.passes_experimental;
        let mut run = Run::new(self);
        if search::begins_with_discover(protocol, remembered) {
            run.allow_repeats(search::FIRST_REPEATS);
            let found = run.discover(PROBE_TIMEOUT).await;
            let is_over = matches!(run.seen.last(), Some((_, Failure::End)));
            if let Some(connection) = found {
                return Ok(connection);
            }
            if let Some(connection) = run.modern.take_if(|_| protocol == Protocol::Modern) {
                return Ok(connection);
            }
            if is_over || protocol == Protocol::Modern {
                return Err(run.into_error());
            }
        }
        let introduced = client.wait_for(Option::is_some).await;
        let Some(client) = introduced.ok().and_then(|client| client.clone()) else {
            let why = "the gateway is shutting down";
            return Err(BackendError::connect(ConnectKind::ShuttingDown, why));
        };
        let client = match passes_experimental {
            true => client,
            false => Arc::new(client.without_experimental()),
        };
        if let Some(connection) = run.modern.take_if(|_| client.era == Era::Modern) {
            return Ok(connection);
        }
        let start = Start {
            protocol,
            version: client.version,
            has_capabilities: client.capabilities.as_str() != "{}",
            remembered,
        };
        while let Some(candidate) = run.next(&start) {
            if run.left().is_zero() {
                break;
            }
            let found = match candidate {
                Candidate::Discover => run.discover(HANDSHAKE_TIMEOUT).await,
                Candidate::Initialize(offer) => run.initialize(&client, offer).await,
            };
            if let Some(connection) = found {
                return Ok(connection);
            }
        }
        // It refuses the era of the client, though it names it.
        match run.modern.take() {
            Some(connection) => Ok(connection),
            None => Err(run.into_error()),
        }
    }
}

/// A handshake under way.
struct Run<'a> {
    handshake: Handshake<'a>,
    seen: Vec<(Candidate, Failure)>,
    /// Time that requests took.
    spent: Duration,
    /// Redirects and repeats that the candidates before this one took.
    repeats: usize,
    /// Those that this one may take, besides `kept`.
    allowed_repeats: usize,
    /// A repeat that only `notifications/initialized` may take.
    kept: usize,
    /// The error of the last `initialize`.
    refused: Option<BackendError>,
    /// The error of the first `server/discover`.
    probe: Option<BackendError>,
    /// The connection to a server that is modern and legacy.
    modern: Option<Connection>,
    http_sse: Option<HttpSseTransport>,
}

impl<'a> Run<'a> {
    fn new(handshake: Handshake<'a>) -> Self {
        Self {
            handshake,
            seen: Vec::new(),
            spent: Duration::ZERO,
            repeats: 0,
            allowed_repeats: 0,
            kept: 0,
            refused: None,
            probe: None,
            modern: None,
            http_sse: None,
        }
    }

    /// The next candidate, which may take the redirects and repeats that are left.
    fn next(&mut self, start: &Start<'_>) -> Option<Candidate> {
        let allowed = std::mem::take(&mut self.allowed_repeats);
        self.repeats +=
            allowed.saturating_sub(self.handshake.endpoint.addresses().limit_repeats(0));
        let (candidate, repeats) = search::next(start, &self.seen, self.repeats)?;
        let confirms = matches!(candidate, Candidate::Initialize(_));
        self.kept = usize::from(confirms && repeats > 0);
        self.allow_repeats(repeats - self.kept);
        Some(candidate)
    }

    fn allow_repeats(&mut self, most: usize) {
        self.allowed_repeats = most;
        self.handshake.endpoint.addresses().limit_repeats(most);
    }

    fn left(&self) -> Duration {
        HANDSHAKE_TIMEOUT.saturating_sub(self.spent)
    }

    /// Sends `server/discover`, for at most `patience`. A server of both eras is kept in `modern`.
    async fn discover(&mut self, patience: Duration) -> Option<Connection> {
        let endpoint = Arc::clone(self.handshake.endpoint);
        let sent_at = Instant::now();
        let limit = patience.min(self.handshake.limit);
        let silent = |error| (Failure::Silent, error);
        let sent = discover::discover(&endpoint);
        let (failure, error) = match self.within(limit, "server/discover", silent, sent).await {
            Ok(discovered) => {
                let connection = self.modern_connection(discovered.server, sent_at.elapsed());
                if !discovered.is_legacy_too {
                    return Some(connection);
                }
                self.modern = Some(connection);
                self.seen.push((Candidate::Discover, Failure::AlsoLegacy));
                return None;
            }
            Err(failure) => failure,
        };
        tracing::debug!(backend = endpoint.backend(), ?failure, %error, "server/discover is not answered as a modern server does");
        self.seen.push((Candidate::Discover, failure));
        self.probe.get_or_insert(error);
        None
    }

    /// Sends `initialize` with this offer, then `notifications/initialized`.
    async fn initialize(&mut self, client: &ClientProfile, offer: Offer) -> Option<Connection> {
        if offer.http_sse && self.http_sse.is_none() && !self.open_http_sse(offer).await {
            return None;
        }
        let endpoint = Arc::clone(self.handshake.endpoint);
        // Where it may yet turn out to be modern, some time is left for that.
        let open = (self.seen.iter()).all(|(_, failure)| failure.is_undecided());
        let reserved = if open { PROBE_TIMEOUT } else { Duration::ZERO };
        let limit = (self.handshake.limit).min(self.left().saturating_sub(reserved));
        let transport = self.http_sse.take().filter(|_| offer.http_sse);
        let silent = |error| (Failure::Silent, error);
        let unsolicited = Arc::clone(&self.handshake.unsolicited);
        let sent =
            initialize::initialize(&endpoint, client, offer, transport.as_ref(), &*unsolicited);
        match self.within(limit, "initialize", silent, sent).await {
            Ok((negotiated, session)) => {
                let contact = self.contact(client, offer, &negotiated.server);
                let background = self.handshake.background.clone();
                let mut connection = match transport {
                    Some(http_sse) => Connection::old(endpoint, background, negotiated, http_sse),
                    None => Connection::legacy(endpoint, background, negotiated, session),
                };
                connection.contact = contact;
                self.confirm(&connection, client, offer).await;
                Some(connection)
            }
            Err((failure, error)) => {
                tracing::debug!(backend = endpoint.backend(), ?offer, ?failure, %error, "initialize is refused");
                self.http_sse = transport;
                self.seen.push((Candidate::Initialize(offer), failure));
                self.refused = Some(error);
                None
            }
        }
    }

    /// Opens the stream of the HTTP with SSE transport; whether there is one.
    async fn open_http_sse(&mut self, offer: Offer) -> bool {
        let endpoint = Arc::clone(self.handshake.endpoint);
        let unsolicited = Arc::clone(&self.handshake.unsolicited);
        let silent = |error| error;
        let limit = self.handshake.limit;
        let opening = HttpSseTransport::open(&endpoint, unsolicited);
        let failure = match self.within(limit, "GET", silent, opening).await {
            Ok(http_sse) => {
                self.http_sse = Some(http_sse);
                return true;
            }
            // It has one, which must not be used.
            Err(wrong @ BackendError::Handshake(_)) => {
                self.refused = Some(wrong);
                Failure::End
            }
            Err(error) => {
                tracing::debug!(backend = endpoint.backend(), %error, "the server has no HTTP with SSE transport");
                self.refused.get_or_insert(error);
                Failure::WithoutSse
            }
        };
        self.seen.push((Candidate::Initialize(offer), failure));
        false
    }

    /// `notifications/initialized`. What a server answers to it changes nothing (B-L-02).
    async fn confirm(&self, connection: &Connection, client: &ClientProfile, offer: Offer) {
        let backend = connection.backend();
        if offer.bare {
            tracing::warn!(
                backend,
                "the server refuses the capabilities of the client, so it is connected without them: it can't ask the client for anything"
            );
        } else if offer.version != client.version {
            tracing::info!(
                backend,
                refused = client.version,
                taken = offer.version,
                "the server refuses the newest version"
            );
        }
        let addresses = self.handshake.endpoint.addresses();
        addresses.limit_repeats(addresses.limit_repeats(0) + self.kept);
        let sent = connection.notify("notifications/initialized", None);
        match tokio::time::timeout(BEST_EFFORT_TIMEOUT, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(backend, %error, "notifications/initialized was not taken");
            }
            Err(_) => tracing::debug!(
                backend,
                "notifications/initialized was not answered in time"
            ),
        }
    }

    /// What is remembered of this success: nothing where the era is not certain, or where it is the
    /// client's that decides.
    fn contact(
        &self,
        client: &ClientProfile,
        offer: Offer,
        server: &ServerProfile,
    ) -> Option<Contact> {
        if self.seen.iter().any(|(_, failure)| failure.leaves_open()) {
            return None;
        }
        let server = format!("{} {}", server.name, server.version);
        // A server that was replaced is asked anew the next time.
        let is_other = (self.handshake.remembered)
            .is_some_and(|contact| !contact.server.is_empty() && contact.server != server);
        let version = Some(offer.version).filter(|version| *version != client.version);
        Some(Contact {
            version: version.filter(|_| !is_other).map(str::to_owned),
            bare: offer.bare && !is_other,
            http_sse: offer.http_sse,
            server,
        })
    }

    fn modern_connection(&self, server: ServerProfile, latency: Duration) -> Connection {
        let negotiated = Negotiated {
            version: MODERN_VERSION,
            server,
            latency,
        };
        let (endpoint, background) = (self.handshake.endpoint, self.handshake.background);
        Connection::modern(Arc::clone(endpoint), background.clone(), negotiated)
            .with_experimental(self.handshake.passes_experimental)
    }

    /// Runs a candidate for at most `limit` of the time that is left, which it takes from.
    async fn within<T, E>(
        &mut self,
        limit: Duration,
        what: &str,
        silent: impl FnOnce(BackendError) -> E,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (begun, limit) = (Instant::now(), limit.min(self.left()));
        let done = tokio::time::timeout(limit, work).await;
        self.spent += begun.elapsed();
        done.unwrap_or_else(|_| {
            let secs = limit.as_secs();
            let why = format!("the server does not answer {what} within {secs} s");
            Err(silent(BackendError::Silent(why)))
        })
    }

    /// The error of the whole handshake. What a probe said about signing in is kept.
    fn into_error(self) -> BackendError {
        let is_modern = self.seen.iter().any(|(_, failure)| failure.is_modern());
        // A modern server has nothing to say about `initialize`.
        let refused = self.refused.filter(|_| !is_modern || self.probe.is_none());
        let (probe, mut error) = match (self.probe, refused) {
            (Some(probe), Some(refused)) if discover::says_when(&probe, &refused) => return probe,
            (probe, Some(refused)) => (probe, refused),
            (Some(probe), None) => return probe,
            (None, None) => {
                let why = format!(
                    "the handshake takes longer than {} s",
                    HANDSHAKE_TIMEOUT.as_secs()
                );
                return BackendError::Silent(why);
            }
        };
        if let BackendError::AuthRequired {
            challenge, sign_in, ..
        } = &mut error
            && challenge.is_none()
            && let Some((of_probe, advice)) = probe.and_then(challenge_of)
        {
            (*challenge, *sign_in) = (Some(of_probe), advice);
        }
        error
    }
}

/// What a probe said about signing in, and what a person can do.
fn challenge_of(error: BackendError) -> Option<(Challenge, Option<Arc<Advice>>)> {
    match error {
        BackendError::AuthRequired {
            challenge, sign_in, ..
        } => Some((challenge?, sign_in)),
        _ => None,
    }
}
