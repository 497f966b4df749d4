//! The steps of one sign-in, in a browser or at another device.
//!
//! Owns their order, and the record as it will be kept. The caller writes it, so a sign-in that fails
//! changes nothing of it.

use tokio::sync::mpsc;

use super::client::ClientChoice;
use super::listener::Listener;
use super::mcp_remote::{Basis, Takeover};
use super::step::{Options, Step};
use super::wait;
use crate::auth::discovery::{Found, discover};
use crate::auth::exchange::{self, learn, now, stored};
use crate::auth::http::Http;
use crate::auth::oauth::authorization::{AuthorizationRequest, Expected, OneTime};
use crate::auth::oauth::challenge::BearerChallenge;
use crate::auth::oauth::client::{Client, ClientAuth};
use crate::auth::oauth::scopes::{self, Choice};
use crate::auth::oauth::token::{Grant, TokenAnswer, read_device};
use crate::auth::store::{ClientSource, Record, Store, StoredClient};
use crate::config::{BackendConfig, CallbackHost, GrantKind, SignIn};
use crate::text::Reach;

/// Why there is no sign-in.
pub(super) struct Failed {
    pub(super) why: String,
    /// The registration may be what is wrong.
    pub(super) forget_client: bool,
}

impl<T: Into<String>> From<T> for Failed {
    fn from(why: T) -> Self {
        Self {
            why: why.into(),
            forget_client: false,
        }
    }
}

/// One sign-in.
pub(super) struct Flow<'a> {
    pub(super) backend: &'a BackendConfig,
    pub(super) sign_in: &'a SignIn,
    pub(super) http: Http,
    /// The record as it will be kept.
    pub(super) record: Record,
    pub(super) store: &'a Store,
    pub(super) options: &'a Options,
    pub(super) step: &'a mut (dyn FnMut(Step<'_>) + Send + Sync),
}

impl Flow<'_> {
    /// Runs the sign-in from the challenge to a token in the record.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn run(
        &mut self,
        challenge: Option<&BearerChallenge>,
        lines: &mut mpsc::UnboundedReceiver<String>,
    ) -> Result<Basis, Failed> {
        let known = self.record.issuer.clone();
        let found = discover(&self.http, self.sign_in, challenge, known.as_deref()).await?;
        self.check_issuer(&found)?;
        let takeover = Takeover {
            backend: self.backend,
            sign_in: self.sign_in,
            record: &mut self.record,
            store: self.store,
            options: self.options,
            step: &mut *self.step,
        };
        let basis = match takeover.basis(&found, lines).await? {
            basis @ Basis::Tokens(_) => return Ok(basis),
            basis => basis,
        };
        let scopes = self.scopes(challenge, &found);
        let device = self.options.device || self.sign_in.grant == GrantKind::Device;
        let (client, answer, asked_at) = match device {
            true => self.by_device(&found, &scopes).await?,
            false => self.by_browser(&found, &scopes, lines).await?,
        };
        let token = stored(answer, asked_at, None, &scopes);
        learn(self.backend, &token);
        let record = &mut self.record;
        record.issuer = Some(found.server.issuer);
        record.token_endpoint = Some(found.server.token_endpoint.into());
        record.revocation_endpoint = found.server.revocation_endpoint.map(String::from);
        record.resource = found.resource;
        record.client = Some(without_configured_secret(client));
        record.register_anew = false;
        record.token = Some(token);
        record.requested = scopes;
        record.pending = Vec::new();
        record.refreshing = None;
        record.sign_in = None;
        Ok(basis)
    }

    /// A client that was registered by hand belongs to one issuer.
    fn check_issuer(&self, found: &Found) -> Result<(), String> {
        let by_hand = self.sign_in.client_id.is_some() && self.sign_in.issuer.is_none();
        match &self.record.issuer {
            Some(before) if by_hand && *before != found.server.issuer => Err(format!(
                "it now names the issuer {}, and oauth.client_id was used at {before}: set oauth.issuer to the one that the client is registered at",
                found.server.issuer
            )),
            _ => Ok(()),
        }
    }

    fn scopes(&self, challenge: Option<&BearerChallenge>, found: &Found) -> Vec<String> {
        let same_issuer = self.record.issuer.as_ref() == Some(&found.server.issuer);
        let keeps = same_issuer && self.sign_in.scopes.is_empty();
        let requested = self.record.requested.as_slice();
        let requested = if keeps { requested } else { &[] };
        let held = scopes::union(requested, self.record.pending.iter().map(String::as_str));
        let choice = Choice {
            configured: &self.sign_in.scopes,
            challenged: challenge.and_then(|challenge| challenge.scope.as_deref()),
            of_resource: found.scopes_supported.as_deref(),
            of_server: &found.server.scopes_supported,
            held: &held,
        };
        let more = self.options.scopes.iter().map(String::as_str);
        scopes::union(&choice.scopes(), more)
    }

    async fn by_browser(
        &mut self,
        found: &Found,
        scopes: &[String],
        lines: &mut mpsc::UnboundedReceiver<String>,
    ) -> Result<(StoredClient, TokenAnswer, u64), Failed> {
        let server = &found.server;
        let issuer = &server.issuer;
        let endpoint = server.authorization_endpoint.as_ref();
        let endpoint = endpoint
            .ok_or_else(|| format!("{issuer} has no authorization_endpoint: try --device"))?;
        if !server.takes_s256 && !self.sign_in.assume_pkce {
            return Err(format!(
                "{issuer} says nothing of PKCE (code_challenge_methods_supported): oauth.assume_pkce = true if you know better"
            ).into());
        }
        let mut listener = self.listen(issuer).await?;
        let (client, redirect_uri, is_reused) =
            self.client_at(&mut listener, found, scopes).await?;
        let one_time = OneTime::new();
        let scrubber = &self.backend.scrubber;
        scrubber.learn(one_time.state.reveal(), Reach::Quotes);
        scrubber.learn(one_time.verifier.reveal(), Reach::Everywhere);
        let url = AuthorizationRequest {
            endpoint,
            client_id: &client.client.id,
            redirect_uri: &redirect_uri,
            scopes,
            resource: found.resource.as_deref(),
            params: &self.sign_in.params,
            switch: self.options.switch,
            one_time: &one_time,
        }
        .url();
        let expected = Expected {
            state: one_time.state.clone(),
            issuer: issuer.clone(),
            names_issuer: server.names_issuer,
        };
        (self.step)(Step::Visit(&url));
        let code = wait::for_code(&listener, &expected, lines, self.options.wait, self.step).await;
        let code = code.map_err(|error| Failed {
            forget_client: is_reused && error.blames_client,
            why: error.why,
        })?;
        scrubber.learn(code.reveal(), Reach::Everywhere);
        let asked_at = now();
        let grant = Grant::Code {
            code: code.reveal(),
            redirect_uri: &redirect_uri,
            verifier: one_time.verifier.reveal(),
        };
        let answer = self.exchange(found, &client.client, grant).await;
        let answer = answer.map_err(|error| Failed {
            forget_client: is_reused && error.code() == Some("invalid_client"),
            why: self.explain(found, &error),
        })?;
        Ok((client, answer, asked_at))
    }

    /// The client that a browser brings back to this listener, at which URI, and whether it was registered
    /// earlier.
    async fn client_at(
        &self,
        listener: &mut Listener,
        found: &Found,
        scopes: &[String],
    ) -> Result<(StoredClient, String, bool), String> {
        let by_name = listener.redirect_uri(CallbackHost::Name);
        let host = self.sign_in.callback_host;
        let first = listener.redirect_uri(host.unwrap_or(CallbackHost::Address));
        let other = host.is_none().then_some(&*by_name);
        let (client, is_reused) = self.client(found, (&first, other), scopes, false).await?;
        let redirect_uri = client.redirect_uri.clone().unwrap_or(first);
        if redirect_uri == by_name {
            let bound = listener.bind_ipv6().await;
            bound.map_err(|error| format!("the port of {by_name} is not free: {error}"))?;
        }
        Ok((client, redirect_uri, is_reused))
    }

    /// Binds the port of the config, else that of the registration, else any.
    async fn listen(&self, issuer: &str) -> Result<Listener, String> {
        if let Some(port) = self.sign_in.callback_port {
            let bound = Listener::bind(port).await;
            return bound.map_err(|error| {
                format!("port {port} is not free (oauth.callback_port): {error}")
            });
        }
        let registered = self.record.client_of(issuer, now());
        let registered = registered.and_then(|client| client.redirect_uri.as_deref());
        let bound = match registered {
            Some(uri) => Listener::at(uri).await.ok(),
            None => None,
        };
        match bound {
            Some(listener) => Ok(listener),
            None => Listener::bind(0)
                .await
                .map_err(|error| format!("no port of this machine can be opened: {error}")),
        }
    }

    async fn by_device(
        &mut self,
        found: &Found,
        scopes: &[String],
    ) -> Result<(StoredClient, TokenAnswer, u64), Failed> {
        let server = &found.server;
        let endpoint = server.device_authorization_endpoint.as_ref();
        let endpoint = endpoint.ok_or_else(|| {
            format!(
                "{} has no device_authorization_endpoint: leave out --device",
                server.issuer
            )
        })?;
        let (client, _) = self
            .client(found, ("http://127.0.0.1/callback", None), scopes, true)
            .await?;
        let mut form: Vec<(&'static str, String)> = Vec::new();
        if !scopes.is_empty() {
            form.push(("scope", scopes.join(" ")));
        }
        form.extend(
            found
                .resource
                .clone()
                .map(|resource| ("resource", resource)),
        );
        if matches!(
            client.client.auth,
            ClientAuth::Basic | ClientAuth::PrivateKey
        ) {
            form.push(("client_id", client.client.id.clone()));
        }
        let fetched = exchange::send(&self.http, endpoint, &client.client, form).await?;
        let answer = read_device(fetched.status, &fetched.body, self.http.rules)
            .map_err(|why| format!("{}: {why}", crate::auth::http::shown(endpoint)))?;
        let code = &answer.device_code;
        self.backend
            .scrubber
            .learn(code.reveal(), Reach::Everywhere);
        (self.step)(Step::Enter(&answer));
        let limit = self.options.wait.min(answer.expires_in);
        let asking = wait::Device {
            interval: answer.interval,
            limit,
        };
        let ask = || async {
            let grant = Grant::Device(code.reveal());
            (self.exchange(found, &client.client, grant).await, now())
        };
        let (token, asked_at) = asking.run(ask).await.map_err(|error| match error {
            Some(error) => self.explain(found, &error),
            None => format!("nobody has entered the code within {} s", limit.as_secs()),
        })?;
        Ok((client, token, asked_at))
    }

    async fn exchange(
        &self,
        found: &Found,
        client: &Client,
        grant: Grant<'_>,
    ) -> Result<TokenAnswer, exchange::ExchangeError> {
        let endpoint = &found.server.token_endpoint;
        exchange::token(
            &self.http,
            endpoint,
            client,
            grant,
            found.resource.as_deref(),
        )
        .await
    }

    async fn client(
        &self,
        found: &Found,
        (redirect_uri, other_uri): (&str, Option<&str>),
        scopes: &[String],
        device: bool,
    ) -> Result<(StoredClient, bool), String> {
        let choice = ClientChoice {
            http: &self.http,
            backend: self.backend,
            sign_in: self.sign_in,
            server: &found.server,
            known: self.record.client_of(&found.server.issuer, now()),
            redirect_uri,
            other_uri,
            scopes,
            device,
        };
        choice.client().await
    }

    fn explain(&self, found: &Found, error: &exchange::ExchangeError) -> String {
        let host = found.server.token_endpoint.host_str().unwrap_or_default();
        let why = format!("{host} gives no token: {error}");
        let why = self.backend.scrubber.message(&why).into_owned();
        match error.code() {
            // Of Microsoft Entra, too (AADSTS9010010).
            Some("invalid_target") => {
                format!("{why}; oauth.resource = false leaves the resource out")
            }
            _ if why.contains("AADSTS9010010") => {
                format!("{why}; oauth.resource = false leaves the resource out")
            }
            _ => why,
        }
    }
}

/// A secret of the config stays there.
fn without_configured_secret(mut client: StoredClient) -> StoredClient {
    if client.how == ClientSource::Config {
        client.client.secret = None;
        client.client.key = None;
    }
    client
}
