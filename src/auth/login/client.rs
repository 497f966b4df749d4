//! Who the gateway is to an authorization server: by hand, by document, or registered, in this order
//! (MCP 2026-07-28, basic/authorization/client-registration).

use crate::auth::client::by_hand;
use crate::auth::exchange::now;
use crate::auth::http::{Http, shown};
use crate::auth::oauth::client::{Client, ClientAuth, Registration, read_registration};
use crate::auth::oauth::metadata::ServerMetadata;
use crate::auth::store::{How, StoredClient};
use crate::config::{BackendConfig, SignIn};
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
    pub(super) scopes: &'a [String],
    /// For the device grant.
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
            return Ok((self.stored(client, How::Config, None), false));
        }
        let document = self.sign_in.client_metadata_url.as_ref();
        if let Some(url) = document.filter(|_| self.server.takes_client_documents) {
            let client = Client {
                id: url.clone(),
                secret: None,
                key: None,
                auth: ClientAuth::None,
            };
            return Ok((self.stored(client, How::Document, None), false));
        }
        let earlier = self.known.filter(|known| {
            let fits = known.redirect_uri.as_deref() == Some(self.redirect_uri);
            known.how == How::Registered && fits
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
        let registration = Registration {
            redirect_uri: self.redirect_uri,
            scopes: self.scopes,
            device: self.device,
            auth_methods: self.server.token_auth_methods.as_deref(),
        };
        let answer = self
            .http
            .post_json(endpoint, registration.document())
            .await?;
        let registered = read_registration(answer.status, &answer.body);
        let registered = registered.map_err(|why| {
            format!(
                "{} refuses the registration ({why}): {}",
                shown(endpoint),
                advice()
            )
        })?;
        if let Some(secret) = &registered.client.secret {
            self.learn(secret.reveal());
        }
        let expires_at = registered.secret_expires_at.filter(|at| *at > now());
        Ok(self.stored(registered.client, How::Registered, expires_at))
    }

    /// With the port only where it is fixed: loopback ports may differ (RFC 8252, section 7.3).
    fn redirect_uri_by_hand(&self) -> String {
        match self.sign_in.callback_port {
            Some(port) => format!("http://127.0.0.1:{port}/callback"),
            None => "http://127.0.0.1/callback".to_owned(),
        }
    }

    fn stored(&self, client: Client, how: How, secret_expires_at: Option<u64>) -> StoredClient {
        StoredClient {
            client,
            how,
            redirect_uri: Some(self.redirect_uri.to_owned()),
            secret_expires_at,
        }
    }

    fn learn(&self, secret: &str) {
        self.backend.scrubber.learn(secret, Reach::Everywhere);
    }
}
