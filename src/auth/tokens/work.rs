//! Gets the token to send: reads the file, and renews the token where it is due or was refused.
//!
//! Owns the order of these steps. A token is renewed under the lock of the machine, after another look at
//! the file, and is used only after it has been written.

use std::sync::Arc;

use url::Url;

use super::state::{Advice, AuthError};
use super::{Cause, LOCK_TIMEOUT, Tokens};
use crate::auth::client::{by_hand, kept};
use crate::auth::discovery::{Found, discover};
use crate::auth::exchange::{self, ExchangeError, learn, now, stored};
use crate::auth::oauth::client::Client;
use crate::auth::oauth::scopes::Choice;
use crate::auth::oauth::token::Grant;
use crate::auth::store::{ClientSource, Purpose, Reason, Record, StoredClient};
use crate::config::Secret;

impl Tokens {
    /// In a task of its own, so that a call that is given up doesn't end a renewal.
    pub(super) async fn work(self: &Arc<Self>, cause: Cause) -> Result<Option<Secret>, AuthError> {
        let tokens = Arc::clone(self);
        let task = self.tasks.spawn(async move { tokens.token(cause).await });
        task.await.unwrap_or_else(|_| {
            let why = "the sign-in can't be renewed: the gateway is shutting down";
            Err(AuthError::Unavailable(why.to_owned()))
        })
    }

    async fn token(&self, cause: Cause) -> Result<Option<Secret>, AuthError> {
        let _one = self.working.lock().await;
        self.reload().await?;
        let (access, due, why) = {
            let state = self.state.lock();
            (
                state.access().cloned(),
                state.is_due(now(), self.is_for_itself()),
                state.why(),
            )
        };
        let is_refused = cause.after_401 && access == cause.refused;
        let by_itself = self.is_for_itself();
        match access {
            // The 401 says where to ask.
            None if by_itself && cause.after_401 => self.get(&cause).await,
            None => Ok(None),
            Some(_) if why.is_some() && !by_itself => Err(self.sign_in_again(why)),
            Some(_) if is_refused && self.state.lock().is_young(now()) => {
                let why = "the server refuses a token that has just been issued: is oauth.resource right? clocks?";
                self.state.lock().refuse(why.to_owned());
                Err(self.sign_in_again(Some(why.to_owned())))
            }
            Some(_) if is_refused || due => self.get(&cause).await,
            Some(access) => Ok(Some(access)),
        }
    }

    /// Reads the file again if it has changed.
    async fn reload(&self) -> Result<(), AuthError> {
        let stamp = self.store.stamp().await;
        if stamp == self.state.lock().stamp() {
            return Ok(());
        }
        let record = self.store.read().await.map_err(AuthError::Unavailable)?;
        self.adopt(record, stamp);
        Ok(())
    }

    fn adopt(&self, record: Option<Record>, stamp: Option<crate::files::Stamp>) {
        if let Some(token) = record.as_ref().and_then(|record| record.token.as_ref()) {
            learn(&self.backend, token);
        }
        self.state.lock().adopt(record, stamp);
    }

    fn sign_in_again(&self, why: Option<String>) -> AuthError {
        AuthError::SignIn(Advice {
            why: why.unwrap_or_else(|| "needs a sign-in".to_owned()),
            command: self.sign_in.command.as_str().into(),
            scopes: Vec::new(),
            is_certain: true,
        })
    }

    /// Gets a new token under the lock of the machine, unless another process has got one.
    async fn get(&self, cause: &Cause) -> Result<Option<Secret>, AuthError> {
        let paused = self.state.lock().pause().map(str::to_owned);
        if let Some(why) = paused {
            return self.old_or(cause, why);
        }
        let seen = self.state.lock().access().cloned();
        let held = self.store.lock(Purpose::Change, LOCK_TIMEOUT).await;
        let held = match held.map_err(AuthError::Unavailable)? {
            Some(held) => held,
            None => {
                let why = "another gateway renews it and takes too long".to_owned();
                return self.old_or(cause, why);
            }
        };
        if let Some(why) = &held.unlocked {
            tracing::debug!(backend = &*self.backend.name, why, "renewed without a lock");
        }
        self.reload().await?;
        {
            let state = self.state.lock();
            if state.access() != seen.as_ref() && state.access().is_some() && !state.is_refused() {
                return Ok(state.access().cloned());
            }
        }
        let record = self.state.lock().record().cloned();
        let record = record.unwrap_or_else(|| self.store.empty());
        match self.is_for_itself() {
            true => self.get_for_itself(record, cause).await,
            false => self.refresh(record, cause).await,
        }
    }

    /// The old token while it is valid; else the reason why there is no new one.
    fn old_or(&self, cause: &Cause, why: String) -> Result<Option<Secret>, AuthError> {
        let state = self.state.lock();
        let access = state.access().cloned();
        let is_refused = cause.after_401 && access == cause.refused;
        if access.is_some() && !is_refused && !state.has_ended(now()) {
            return Ok(access);
        }
        Err(AuthError::Unavailable(format!(
            "the sign-in can't be renewed now ({why}), tried again by itself"
        )))
    }

    async fn refresh(
        &self,
        mut record: Record,
        cause: &Cause,
    ) -> Result<Option<Secret>, AuthError> {
        let parts = record.token.clone().zip(record.client.clone());
        let endpoint = record.token_endpoint.as_deref().map(Url::parse);
        let (Some((token, stored_client)), Some(Ok(endpoint))) = (parts, endpoint) else {
            return Ok(None);
        };
        let Some(refresh) = &token.refresh else {
            let why = "the sign-in has ended: there is no refresh token";
            let has_ended = self.state.lock().has_ended(now());
            if !cause.after_401 && !has_ended {
                return Ok(Some(token.access));
            }
            self.state.lock().refuse(why.to_owned());
            return Err(self.sign_in_again(Some(why.to_owned())));
        };
        let issuer = record.issuer.as_deref().unwrap_or_default();
        let client = kept(&stored_client, &self.backend, &self.sign_in, issuer).await;
        let client = client.map_err(AuthError::Unavailable)?;
        let asked_at = now();
        record.refreshing = Some(asked_at);
        self.keep(&record).await.map_err(AuthError::Unavailable)?;
        let http = self.http().await.map_err(AuthError::Unavailable)?;
        let resource = record.resource.clone();
        let grant = Grant::Refresh(refresh.reveal());
        let answer = exchange::token(&http, &endpoint, &client, grant, resource.as_deref()).await;
        record.refreshing = None;
        match answer {
            Ok(answer) => {
                let requested = record.requested.clone();
                let new = stored(answer, asked_at, Some(&token), &requested);
                Ok(Some(self.use_new(record, new).await))
            }
            Err(error) => self.refused(record, cause, &error, &endpoint).await,
        }
    }

    /// A new token is used only after it has been written.
    async fn use_new(&self, mut record: Record, token: crate::auth::store::StoredToken) -> Secret {
        let access = token.access.clone();
        record.token = Some(token);
        record.generation += 1;
        record.sign_in = None;
        if let Err(why) = self.keep(&record).await {
            tracing::warn!(
                backend = &*self.backend.name,
                why,
                "a new token can't be kept"
            );
            self.adopt(Some(record), self.store.stamp().await);
        }
        self.state.lock().succeeded();
        access
    }

    async fn refused(
        &self,
        mut record: Record,
        cause: &Cause,
        error: &ExchangeError,
        endpoint: &Url,
    ) -> Result<Option<Secret>, AuthError> {
        let why = self
            .backend
            .scrubber
            .message(&error.to_string())
            .into_owned();
        let host = endpoint.host_str().unwrap_or_default();
        let is_final = matches!(
            error.code(),
            Some("invalid_grant" | "invalid_client" | "unauthorized_client")
        );
        if !is_final {
            let _ = self.keep(&record).await;
            let why = format!("{host}: {why}");
            self.state.lock().failed(why.clone());
            return self.old_or(cause, why);
        }
        let why = format!("the sign-in has ended ({host}: {why})");
        record.sign_in = Some(Reason {
            since: now(),
            why: why.clone(),
        });
        let is_registered = |client: &StoredClient| client.how == ClientSource::Registered;
        if error.code() == Some("invalid_client") {
            // The next login registers anew.
            record.client = record.client.filter(|client| !is_registered(client));
        }
        if let Err(why) = self.keep(&record).await {
            tracing::warn!(
                backend = &*self.backend.name,
                why,
                "the end of a sign-in can't be kept"
            );
            self.adopt(Some(record), self.store.stamp().await);
        }
        Err(self.sign_in_again(Some(why)))
    }

    /// `client_credentials`: finds the server, if it isn't known, and asks for a token.
    async fn get_for_itself(
        &self,
        mut record: Record,
        cause: &Cause,
    ) -> Result<Option<Secret>, AuthError> {
        let asked_at = now();
        let got = async {
            let http = self.http().await?;
            let challenge = cause.challenge.as_ref();
            let known = record.issuer.as_deref();
            let found = discover(&http, &self.sign_in, challenge, known).await?;
            let methods = found.server.token_auth_methods.as_deref();
            let issuer = &found.server.issuer;
            let client = by_hand(&self.backend, &self.sign_in, issuer, methods).await?;
            let scopes = Choice {
                configured: &self.sign_in.scopes,
                challenged: challenge.and_then(|challenge| challenge.scope.as_deref()),
                of_resource: found.scopes_supported.as_deref(),
                ..Choice::default()
            };
            let scopes = scopes.scopes();
            let endpoint = &found.server.token_endpoint;
            let grant = Grant::ClientCredentials(&scopes);
            let resource = found.resource.as_deref();
            let answer = exchange::token(&http, endpoint, &client, grant, resource).await;
            let answer = answer
                .map_err(|error| format!("{}: {error}", endpoint.host_str().unwrap_or_default()))?;
            let token = stored(answer, asked_at, None, &scopes);
            note_server(&mut record, found, client);
            record.requested = scopes;
            Ok(token)
        };
        let got: Result<_, String> = got.await;
        match got {
            Ok(token) => Ok(Some(self.use_new(record, token).await)),
            Err(why) => {
                let why = self.backend.scrubber.message(&why).into_owned();
                self.state.lock().failed(why.clone());
                self.old_or(cause, why)
            }
        }
    }

    /// Writes the record, and takes it for what was read.
    async fn keep(&self, record: &Record) -> Result<(), String> {
        self.store.write(record).await?;
        self.adopt(Some(record.clone()), self.store.stamp().await);
        Ok(())
    }
}

/// Where the client got its token. Its secret stays in the config.
fn note_server(record: &mut Record, found: Found, client: Client) {
    record.issuer = Some(found.server.issuer);
    record.token_endpoint = Some(found.server.token_endpoint.into());
    record.revocation_endpoint = found.server.revocation_endpoint.map(String::from);
    record.resource = found.resource;
    record.client = Some(StoredClient {
        client: Client {
            secret: None,
            key: None,
            ..client
        },
        how: ClientSource::Config,
        redirect_uri: None,
        secret_expires_at: None,
        scope: Vec::new(),
    });
}
