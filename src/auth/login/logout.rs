//! A person signs out of a backend (RFC 7009).
//!
//! Owns the order: tokens are revoked at the server, then forgotten, also where the server can't be told.

use std::sync::Arc;

use url::Url;

use super::place::{LOCK_TIMEOUT, place};
use crate::auth::client::kept;
use crate::auth::exchange::{learn, send};
use crate::auth::http::Http;
use crate::auth::oauth::token::Refusal;
use crate::auth::store::{Purpose, Record};
use crate::config::{BackendConfig, SignIn};
use crate::transport::http::Pool;

/// What became of the tokens at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// Nobody was signed in.
    Nothing,
    /// The server has been told.
    Yes,
    /// It can't be told, or refuses: for people.
    No(String),
}

/// Revokes the refresh token and the access token, and forgets them; with `forget` the registration,
/// too.
///
/// # Errors
/// For people: they can't be forgotten.
pub(crate) async fn logout(backend: &Arc<BackendConfig>, forget: bool) -> Result<Revoked, String> {
    let (sign_in, store) = place(backend)?;
    let held = store.lock(Purpose::Change, LOCK_TIMEOUT).await?;
    held.ok_or("another gateway renews its sign-in and takes too long")?;
    let Some(mut record) = store.read().await? else {
        return Ok(Revoked::Nothing);
    };
    if record.is_closed {
        let why = record.sign_in.map_or_else(String::new, |reason| reason.why);
        if !forget {
            return Err(format!(
                "nothing was revoked: {why}; --forget removes the file"
            ));
        }
        store.remove().await?;
        return Ok(Revoked::No(why));
    }
    let revoked = match record.token.is_some() {
        true => match revoke(backend, &sign_in, &record).await {
            Ok(()) => Revoked::Yes,
            Err(why) => Revoked::No(backend.scrubber.message(&why).into_owned()),
        },
        false => Revoked::Nothing,
    };
    if forget {
        store.remove().await?;
    } else {
        record.token = None;
        record.sign_in = None;
        record.refreshing = None;
        record.pending = Vec::new();
        record.generation += 1;
        store.write(&record).await?;
    }
    Ok(revoked)
}

async fn revoke(
    backend: &Arc<BackendConfig>,
    sign_in: &SignIn,
    record: &Record,
) -> Result<(), String> {
    let Some(token) = &record.token else {
        return Ok(());
    };
    let stored = record.client.as_ref();
    let stored = stored.ok_or("the client that they were issued to is not known any more")?;
    learn(backend, token);
    let endpoint = record.revocation_endpoint.as_deref();
    let endpoint = endpoint.ok_or("the server has no revocation_endpoint")?;
    let endpoint = Url::parse(endpoint).map_err(|_| "its revocation_endpoint is no URL")?;
    let issuer = record.issuer.as_deref().unwrap_or_default();
    let client = kept(stored, backend, sign_in, issuer).await?;
    let http = Http::new(&Pool::default(), backend, sign_in).await?;
    let mut refused = None;
    let refresh = token.refresh.iter().map(|token| (token, "refresh_token"));
    for (token, kind) in refresh.chain([(&token.access, "access_token")]) {
        let form = vec![
            ("token", token.reveal().to_owned()),
            ("token_type_hint", kind.to_owned()),
        ];
        let fetched = send(&http, &endpoint, &client, form).await?;
        if let Some(refusal) = Refusal::of(fetched.status, &fetched.body) {
            refused.get_or_insert(format!("the {kind}: {refusal}"));
        }
    }
    refused.map_or(Ok(()), Err)
}
