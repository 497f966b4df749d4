//! Who is signed in to a backend, for reports.
//!
//! Owns what a report says of a sign-in: its state, issuer, scopes and end, never a token. It reads the
//! file alone, and asks no server.

use serde::Serialize;

use super::store::Store;
use crate::config::{BackendConfig, GrantKind};

/// The sign-in of one backend, as it is kept.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Status {
    /// What holds now.
    pub(crate) state: SignInState,
    /// Who issued the token.
    pub(crate) issuer: Option<String>,
    /// How it is kept: `file` or `sealed`.
    pub(crate) store: &'static str,
    /// What it allows.
    pub(crate) scopes: Vec<String>,
    /// In seconds of Unix time; `null` where the server doesn't say.
    pub(crate) expires_at: Option<u64>,
    /// Whether it is renewed by itself.
    pub(crate) renewable: bool,
    /// Why a person has to sign in again.
    pub(crate) why: Option<String>,
    /// What a person types to sign in.
    pub(crate) command: String,
}

/// What holds of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SignInState {
    /// Nobody has signed in.
    None,
    /// There is a token.
    Ok,
    /// A person has to sign in again.
    SignIn,
    /// What is kept can't be read.
    Unavailable,
}

/// The sign-in of this backend; `None` where nobody can sign in.
pub(crate) async fn status(backend: &BackendConfig) -> Option<Status> {
    let sign_in = backend.sign_in.as_ref()?;
    let url = backend.url.as_ref().ok()?;
    let store = Store::of(sign_in, &backend.name, url);
    let mut status = Status {
        state: SignInState::None,
        issuer: None,
        store: match sign_in.sealed_by {
            Some(_) => "sealed",
            None => "file",
        },
        scopes: Vec::new(),
        expires_at: None,
        renewable: false,
        why: None,
        command: sign_in.command.clone(),
    };
    let record = match store.read().await {
        Ok(record) => record,
        Err(why) => {
            status.state = SignInState::Unavailable;
            status.why = Some(why);
            return Some(status);
        }
    };
    if let Some(record) = record {
        status.issuer = record.issuer;
        status.why = record.sign_in.map(|reason| reason.why);
        if let Some(token) = record.token {
            status.scopes = token.scope;
            status.expires_at = token.expires_at;
            let for_itself = sign_in.grant == GrantKind::ClientCredentials;
            status.renewable = token.refresh.is_some() || for_itself;
            status.state = SignInState::Ok;
        }
        if status.why.is_some() {
            status.state = SignInState::SignIn;
        }
    }
    Some(status)
}
