//! Whether and where a person can sign in to a backend.
//!
//! Owns the reasons why nobody can, and how long a command waits for the lock of the file.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::store::{Held, Purpose, Store};
use crate::config::{BackendConfig, GrantKind, SignIn};

/// Longest wait for a process that changes the file.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for the file where a person has signed in: longer than a renewal by another process
/// takes.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(90);

/// The lock to change what is kept.
///
/// # Errors
/// For people: why there is none.
pub(super) async fn to_change(store: &Store) -> Result<Held, String> {
    let held = store.lock(Purpose::Change, CHANGE_TIMEOUT).await?;
    let busy = "another gateway renews this sign-in and takes too long; try again";
    held.ok_or_else(|| busy.to_owned())
}

/// Where the sign-in to a backend is kept, and how it is done.
///
/// # Errors
/// For people: why nobody can sign in.
pub(super) fn place(backend: &BackendConfig) -> Result<(Arc<SignIn>, Store), String> {
    let url = backend.url.as_ref()?;
    let sign_in = backend.sign_in.as_ref().ok_or(
        "nobody can sign in to it: it has a token of its own (bearer or a header), oauth is false, \
         its url is plain http to another machine, or its config is not trusted (name it with --config)",
    )?;
    if sign_in.grant == GrantKind::ClientCredentials {
        return Err("it signs in by itself (oauth.grant = \"client_credentials\")".to_owned());
    }
    let store = Store::of(sign_in, &backend.name, url);
    Ok((Arc::clone(sign_in), store))
}
