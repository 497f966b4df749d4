//! What a sign-in takes over from mcp-remote: its registration, and with consent its tokens.
//!
//! Owns which of both is taken. Tokens are only where their issuer is certain, and a registration is
//! tried once: the note of it is kept before a browser is sent there.

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::listener::Listener;
use super::place::to_change;
use super::step::{Options, Step, Take, Taken};
use crate::auth::discovery::Found;
use crate::auth::exchange::{learn, now};
use crate::auth::store::mcp_remote::{Kept, KeptTokens, find};
use crate::auth::store::{ClientSource, Record, Store, StoredClient, StoredToken};
use crate::config::{BackendConfig, SignIn};
use crate::text::Reach;

/// What a sign-in stands on.
pub(super) enum Basis {
    /// Nothing of mcp-remote.
    Here,
    /// The registration of mcp-remote.
    Client,
    /// These tokens of mcp-remote, which are still in its file.
    Tokens(Box<KeptTokens>),
}

impl Basis {
    pub(super) fn taken(&self) -> Taken {
        match self {
            Self::Here => Taken::Nothing,
            Self::Client => Taken::Client,
            Self::Tokens(_) => Taken::Tokens,
        }
    }
}

/// One sign-in, as far as mcp-remote's matters to it.
pub(super) struct Takeover<'a> {
    pub(super) backend: &'a BackendConfig,
    pub(super) sign_in: &'a SignIn,
    /// The record as it will be kept.
    pub(super) record: &'a mut Record,
    pub(super) store: &'a Store,
    pub(super) options: &'a Options,
    pub(super) step: &'a mut (dyn FnMut(Step<'_>) + Send + Sync),
}

impl Takeover<'_> {
    /// Takes over what there is of this issuer and is wanted. A client that the config names, or one that
    /// we have already, stays.
    ///
    /// # Errors
    /// If a note of it can't be kept.
    pub(super) async fn basis(
        mut self,
        found: &Found,
        lines: &mut mpsc::UnboundedReceiver<String>,
    ) -> Result<Basis, String> {
        let kept = match self.sign_in.client_id {
            None => self.kept(&found.server.issuer).await,
            Some(_) => None,
        };
        let Some(mut kept) = kept else {
            if self.options.take == Take::Yes {
                (self.step)(Step::NothingToTake);
            }
            return Ok(Basis::Here);
        };
        let is_certain = kept.is_certain(self.sign_in);
        match kept.tokens.take() {
            // They would go to whomever the server names now.
            Some(_) if !is_certain => self.leave(),
            Some(tokens) if self.wants(lines).await => {
                self.take(found, kept, &tokens);
                return Ok(Basis::Tokens(Box::new(tokens)));
            }
            None if self.options.take == Take::Yes => (self.step)(Step::NothingToTake),
            _ => {}
        }
        self.adopt(found, kept).await
    }

    /// What mcp-remote keeps of this server, if it is not another issuer's. Newer releases say whose it is;
    /// older ones ask the server that the URL leads to, which may name another by now.
    async fn kept(&self, issuer: &str) -> Option<Kept> {
        let url = self.backend.url.as_ref().ok()?;
        let kept = find(self.sign_in, url).await?;
        let is_of_issuer = kept.issuer.as_ref().is_none_or(|of| of == issuer);
        let is_valid = kept.secret_expires_at.is_none_or(|at| at > now());
        if !is_of_issuer || !is_valid {
            return None;
        }
        if let Some(secret) = &kept.client.secret {
            let scrubber = &self.backend.scrubber;
            scrubber.learn(secret.reveal(), Reach::Everywhere);
        }
        Some(kept)
    }

    /// Says why mcp-remote's tokens stay where they are, to a person who may expect otherwise.
    fn leave(&mut self) {
        if self.is_new() || self.options.take == Take::Yes {
            (self.step)(Step::Uncertain);
        }
    }

    /// Whether nobody has signed in here before.
    fn is_new(&self) -> bool {
        self.record.token.is_none() && self.record.sign_in.is_none()
    }

    /// Whether the person wants mcp-remote's tokens. Where we have been signed in, they are another
    /// sign-in, which stays what it is.
    async fn wants(&mut self, lines: &mut mpsc::UnboundedReceiver<String>) -> bool {
        let is_new = self.is_new();
        let asks_otherwise = self.options.switch || !self.options.scopes.is_empty();
        match self.options.take {
            Take::Yes => true,
            Take::Ask if is_new && !asks_otherwise => {
                (self.step)(Step::Offer);
                let answer = timeout(self.options.wait, lines.recv()).await;
                let answer = answer.ok().flatten().unwrap_or_default();
                let is_wanted = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
                if !is_wanted {
                    (self.step)(Step::Beside);
                }
                is_wanted
            }
            Take::Ask | Take::No => {
                if is_new {
                    (self.step)(Step::Beside);
                }
                false
            }
        }
    }

    fn take(&mut self, found: &Found, kept: Kept, tokens: &KeptTokens) {
        let server = &found.server;
        let record = &mut self.record;
        record.issuer = Some(server.issuer.clone());
        record.token_endpoint = Some(server.token_endpoint.to_string());
        record.revocation_endpoint = server.revocation_endpoint.as_ref().map(ToString::to_string);
        record.resource.clone_from(&found.resource);
        record.tried_client = Some(kept.client.id.clone());
        record.client = Some(stored(kept));
        record.register_anew = false;
        let token = StoredToken {
            access: tokens.access.clone(),
            refresh: Some(tokens.refresh.clone()),
            obtained_at: tokens.obtained_at,
            expires_at: tokens.expires_at,
            scope: tokens.scope.clone(),
        };
        learn(self.backend, &token);
        record.requested.clone_from(&token.scope);
        record.token = Some(token);
        record.pending = Vec::new();
        record.refreshing = None;
        record.sign_in = None;
    }

    /// Whether a browser can come back to this redirect URI now: its port is free, and the config wants no other.
    async fn can_return_to(&self, redirect_uri: Option<&str>) -> bool {
        let (Some(uri), None) = (redirect_uri, self.sign_in.callback_port) else {
            return false;
        };
        let host = self.sign_in.callback_host;
        match Listener::at(uri).await {
            Ok(listener) => host.is_none_or(|host| listener.redirect_uri(host) == uri),
            Err(_) => false,
        }
    }

    /// Uses the registration, once: the note is kept before a browser is sent there, so that a server which
    /// doesn't know it any more stops one sign-in at most.
    async fn adopt(&mut self, found: &Found, kept: Kept) -> Result<Basis, String> {
        let issuer = &found.server.issuer;
        let is_needed = self.record.client_of(issuer, now()).is_none() && !self.options.device;
        let is_tried = self.record.tried_client.as_ref() == Some(&kept.client.id);
        let may_be_sent = kept.client.secret.is_none() || kept.is_certain(self.sign_in);
        let uri = kept.redirect_uri.as_deref();
        if !is_needed || is_tried || !may_be_sent || !self.can_return_to(uri).await {
            return Ok(Basis::Here);
        }
        self.record.tried_client = Some(kept.client.id.clone());
        note_tried(self.store, &kept.client.id).await?;
        self.record.issuer = Some(issuer.clone());
        self.record.client = Some(stored(kept));
        self.record.register_anew = false;
        Ok(Basis::Client)
    }
}

/// Keeps which client of mcp-remote a sign-in uses.
async fn note_tried(store: &Store, id: &str) -> Result<(), String> {
    let _held = to_change(store).await?;
    let mut record = store.read().await?.unwrap_or_else(|| store.empty());
    if record.is_closed {
        // The sign-in replaces it, if it comes to its end.
        return Ok(());
    }
    record.tried_client = Some(id.to_owned());
    store.write(&record).await
}

fn stored(kept: Kept) -> StoredClient {
    StoredClient {
        client: kept.client,
        how: ClientSource::Registered,
        redirect_uri: kept.redirect_uri,
        secret_expires_at: kept.secret_expires_at,
        scope: Vec::new(),
    }
}
