//! A person signs in to a backend, or out.
//!
//! Owns the steps from the server's challenge to a token in the store. The listener is bound before
//! the URL exists, and one process at a time signs in to a backend. It must not know how a person is
//! shown what to do: [`Step`] says what there is to show.

mod client;
mod flow;
mod listener;
mod logout;
mod mcp_remote;
mod offer;
mod place;
mod step;
mod wait;

use std::sync::Arc;

use tokio::sync::mpsc;

use super::http::Http;
use super::oauth::challenge::BearerChallenge;
use super::store::mcp_remote::{release, restore};
use super::store::{Purpose, Record, Store};
use crate::config::BackendConfig;
use crate::transport::http::Pool;
use flow::{Failed, Flow};
pub(crate) use logout::{Revoked, logout};
use mcp_remote::Basis;
pub(crate) use offer::{Offer, Stage};
use place::{LOCK_TIMEOUT, place, to_change};
pub(crate) use step::{Options, Step, Take, Taken};

/// A sign-in that holds.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// Who issued the token.
    pub(crate) issuer: String,
    /// What it allows.
    pub(crate) scopes: Vec<String>,
    /// In seconds of Unix time; `None` where the server doesn't say.
    pub(crate) expires_at: Option<u64>,
    /// Whether it is renewed by itself.
    pub(crate) renewable: bool,
    /// What was taken over from mcp-remote.
    pub(crate) taken: Taken,
}

/// Signs a person in. `lines` are what the person types: the address that the browser ended at, if
/// that can't reach this machine.
///
/// # Errors
/// For people: what went wrong, where, and what to do.
pub(crate) async fn login(
    backend: &Arc<BackendConfig>,
    challenge: Option<&BearerChallenge>,
    options: &Options,
    lines: &mut mpsc::UnboundedReceiver<String>,
    step: &mut (dyn FnMut(Step<'_>) + Send + Sync),
) -> Result<SignedIn, String> {
    let (sign_in, store) = place(backend)?;
    store.ready().await?;
    let mut before = options.instead_of;
    let held = match store.try_lock(Purpose::Login).await? {
        Some(held) => held,
        None => {
            let found = generation(store.read().await?.as_ref());
            before = before.or(Some(found));
            step(Step::Busy);
            let held = store.lock(Purpose::Login, options.wait).await?;
            held.ok_or("somebody else is still signing in to it")?
        }
    };
    let record = store.read().await?;
    if let Some(record) = &record
        && before.is_some_and(|before| before != record.generation)
        && let Some(signed_in) = signed_in(record)
    {
        return Ok(signed_in);
    }
    let http = Http::new(&Pool::default(), backend, &sign_in).await?;
    let mut flow = Flow {
        backend,
        sign_in: &sign_in,
        http,
        record: record.unwrap_or_else(|| store.empty()),
        store: &store,
        options,
        step,
    };
    let outcome = flow.run(challenge, lines).await;
    let Flow { record, .. } = flow;
    match outcome {
        Ok(basis) => {
            save(&store, &record, &basis).await?;
            drop(held);
            let signed_in = signed_in(&record).ok_or_else(|| "there is no token".to_owned())?;
            Ok(SignedIn {
                taken: basis.taken(),
                ..signed_in
            })
        }
        Err(Failed { why, forget_client }) => {
            if forget_client {
                forget(&store).await?;
            }
            Err(why)
        }
    }
}

fn generation(record: Option<&Record>) -> u64 {
    record.map_or(0, |record| record.generation)
}

/// What a record says of the sign-in; `None` where it is none that holds.
fn signed_in(record: &Record) -> Option<SignedIn> {
    let token = record.token.as_ref().filter(|_| record.sign_in.is_none())?;
    Some(SignedIn {
        issuer: record.issuer.clone().unwrap_or_default(),
        scopes: token.scope.clone(),
        expires_at: token.expires_at,
        renewable: token.refresh.is_some(),
        taken: Taken::Nothing,
    })
}

/// Replaces what is kept. A renewal that has come between is not lost: its token is older than ours.
/// Tokens of mcp-remote are ours only when they are not its any more: a crash between may lose a sign-in,
/// but never leaves a token with two users.
async fn save(store: &Store, record: &Record, basis: &Basis) -> Result<(), String> {
    let _held = to_change(store).await?;
    let current = store.read().await?;
    let mut record = record.clone();
    record.generation = generation(current.as_ref()).max(record.generation) + 1;
    let sign_ins = current.map_or(0, |current| current.sign_ins);
    record.sign_ins = sign_ins.max(record.sign_ins) + 1;
    record.is_closed = false;
    let Basis::Tokens(tokens) = basis else {
        return store.write(&record).await;
    };
    let released = release(tokens).await;
    released.map_err(|why| format!("mcp-remote's sign-in can't be taken over: {why}"))?;
    let written = store.write(&record).await;
    if written.is_err() {
        restore(tokens).await?;
    }
    written
}

/// The next sign-in registers anew. A client that a token is renewed and revoked with stays for that.
async fn forget(store: &Store) -> Result<(), String> {
    let Some(_held) = store.lock(Purpose::Change, LOCK_TIMEOUT).await? else {
        return Ok(());
    };
    match store.read().await? {
        Some(mut record) if record.client.is_some() => {
            match signed_in(&record) {
                Some(_) => record.register_anew = true,
                None => record.client = None,
            }
            store.write(&record).await
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_without_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::parse("https://h.example/mcp").unwrap();
        let store = Store::new(folder.path().join("sentinel/auth"), "notes", &url, None);
        let held = store.try_lock(Purpose::Change).await.unwrap();
        let why = save(&store, &store.empty(), &Basis::Here)
            .await
            .unwrap_err();
        assert!(why.ends_with("takes too long; try again"), "{why}");
        forget(&store).await.unwrap();
        assert!(store.read().await.unwrap().is_none());
        drop(held);
        save(&store, &store.empty(), &Basis::Here).await.unwrap();
        assert_eq!(store.read().await.unwrap().unwrap().generation, 1);
    }
}
