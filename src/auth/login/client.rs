//! Which client the gateway is at an authorization server.
//!
//! Owns the order (MCP 2026-07-28, basic/authorization/client-registration): the client that the config
//! names, the URL of its metadata document, one registered earlier, and last a new registration.

use url::Url;

use crate::auth::client::by_hand;
use crate::auth::exchange::now;
use crate::auth::http::{Http, shown};
use crate::auth::oauth::client::{Client, ClientAuth, Registration, read_registration};
use crate::auth::oauth::metadata::ServerMetadata;
use crate::auth::oauth::scopes;
use crate::auth::store::{ClientSource, StoredClient};
use crate::config::{BackendConfig, CallbackHost, SignIn};
use crate::text::Reach;

/// What the choice depends on.
pub(super) struct ClientChoice<'a> {
    pub(super) http: &'a Http,
    pub(super) backend: &'a BackendConfig,
    pub(super) sign_in: &'a SignIn,
    pub(super) server: &'a ServerMetadata,
    /// Kept of an earlier sign-in at the same issuer.
    pub(super) known: Option<&'a StoredClient>,
    pub(super) redirect_uri: &'a str,
    /// Registered where the first is refused.
    pub(super) other_uri: Option<&'a str>,
    pub(super) scopes: &'a [String],
    /// Whether the client is used for the device grant.
    pub(super) device: bool,
}

impl ClientChoice<'_> {
    /// The client, and whether it is one that was registered earlier.
    ///
    /// # Errors
    /// For people: why there is none, and what to do.
    pub(super) async fn client(&self) -> Result<(StoredClient, bool), String> {
        if self.sign_in.client_id.is_some() {
            let (issuer, methods) = (&self.server.issuer, &self.server.token_auth_methods);
            let client = by_hand(self.backend, self.sign_in, issuer, methods.as_deref()).await?;
            return Ok((
                self.stored(client, ClientSource::Config, self.redirect_uri),
                false,
            ));
        }
        let document = self.sign_in.client_metadata_url.as_ref();
        if let Some(url) = document.filter(|_| self.server.takes_client_documents) {
            let client = Client {
                id: url.clone(),
                secret: None,
                key: None,
                auth: ClientAuth::None,
            };
            return Ok((
                self.stored(client, ClientSource::Document, self.redirect_uri),
                false,
            ));
        }
        let earlier = self.known.filter(|known| {
            let uri = known.redirect_uri.as_deref();
            let fits = uri == Some(self.redirect_uri) || uri == self.other_uri;
            // It may ask for no other (RFC 7591, section 2).
            let of = &known.scope;
            let may_ask = of.is_empty() || self.scopes.iter().all(|scope| of.contains(scope));
            known.how == ClientSource::Registered && uri.is_some() && fits && may_ask
        });
        match earlier {
            Some(earlier) => Ok((earlier.clone(), true)),
            None => Ok((self.register().await?, false)),
        }
    }

    async fn register(&self) -> Result<StoredClient, String> {
        let advice = || {
            format!(
                "register a client there with the redirect URI {}, then set oauth.client_id (and client_secret) of this backend",
                self.redirect_uri_by_hand()
            )
        };
        let issuer = &self.server.issuer;
        let Some(endpoint) = &self.server.registration_endpoint else {
            return Err(format!("{issuer} takes no registrations: {}", advice()));
        };
        let refused = match self.register_with(endpoint, self.redirect_uri).await? {
            Ok(client) => return Ok(client),
            Err(refused) => refused,
        };
        // Some servers want a name (RFC 7591, section 3.2.2: a refusal is a 400).
        if let Some(other) = self.other_uri.filter(|_| refused.0 == 400)
            && let Ok(client) = self.register_with(endpoint, other).await?
        {
            return Ok(client);
        }
        let (shown, why) = (shown(endpoint), refused.1);
        Err(format!(
            "{shown} refuses the registration ({why}): {}",
            advice()
        ))
    }

    /// Registers with this redirect URI; or the status and the words of the refusal.
    async fn register_with(
        &self,
        endpoint: &Url,
        redirect_uri: &str,
    ) -> Result<Result<StoredClient, (u16, String)>, String> {
        let registration = Registration {
            redirect_uri,
            scopes: self.scopes,
            device: self.device,
            auth_methods: self.server.token_auth_methods.as_deref(),
        };
        let document = registration.document();
        let answer = self.http.post_json(endpoint, document).await?;
        let registered = match read_registration(answer.status, &answer.body) {
            Ok(registered) => registered,
            Err(why) => return Ok(Err((answer.status, why))),
        };
        if let Some(secret) = &registered.client.secret {
            self.learn(secret.reveal());
        }
        let expires_at = registered.secret_expires_at.filter(|at| *at > now());
        let client = self.stored(registered.client, ClientSource::Registered, redirect_uri);
        Ok(Ok(StoredClient {
            scope: scopes::union(self.scopes, registered.scope.iter().map(String::as_str)),
            secret_expires_at: expires_at,
            ..client
        }))
    }

    /// With the port only where it is fixed: loopback ports may differ (RFC 8252, section 7.3).
    fn redirect_uri_by_hand(&self) -> String {
        let host = self.sign_in.callback_host.unwrap_or(CallbackHost::Address);
        let host = host.name();
        match self.sign_in.callback_port {
            Some(port) => format!("http://{host}:{port}/callback"),
            None => format!("http://{host}/callback"),
        }
    }

    fn stored(&self, client: Client, how: ClientSource, redirect_uri: &str) -> StoredClient {
        StoredClient {
            client,
            how,
            redirect_uri: Some(redirect_uri.to_owned()),
            secret_expires_at: None,
            scope: Vec::new(),
        }
    }

    fn learn(&self, secret: &str) {
        self.backend.scrubber.learn(secret, Reach::Everywhere);
    }
}
