//! A client that the config names, with the credential that it has there.
//!
//! Owns reading that credential when it is needed: it is not kept with the tokens.

use super::oauth::assertion::ClientKey;
use super::oauth::client::{Client, ClientAuth};
use super::secrets::reveal;
use super::store::{ClientSource, StoredClient};
use crate::config::{BackendConfig, SignIn};
use crate::files::{MAX_SECRET, read_configured};
use crate::text::Reach;

/// The client of the config, at the server of this issuer that takes these methods.
///
/// # Errors
/// For people: why there is no credential, with its key.
pub(super) async fn by_hand(
    backend: &BackendConfig,
    sign_in: &SignIn,
    issuer: &str,
    methods: Option<&[String]>,
) -> Result<Client, String> {
    let mut client = Client {
        id: sign_in.client_id.clone().unwrap_or_default(),
        secret: None,
        key: None,
        auth: ClientAuth::None,
    };
    add_credential(&mut client, backend, sign_in, issuer).await?;
    client.auth = match client.key {
        Some(_) => ClientAuth::PrivateKey,
        None => ClientAuth::choose(client.secret.is_some(), methods),
    };
    Ok(client)
}

/// A client that was kept, with the credential that the config has for it.
///
/// # Errors
/// For people: why there is no credential, with its key.
pub(super) async fn kept(
    stored: &StoredClient,
    backend: &BackendConfig,
    sign_in: &SignIn,
    issuer: &str,
) -> Result<Client, String> {
    let mut client = stored.client.clone();
    if stored.how == ClientSource::Config {
        add_credential(&mut client, backend, sign_in, issuer).await?;
        // The config may have changed since.
        if client.key.is_some() {
            client.auth = ClientAuth::PrivateKey;
        } else if client.auth == ClientAuth::PrivateKey {
            client.auth = ClientAuth::choose(client.secret.is_some(), None);
        }
    }
    Ok(client)
}

async fn add_credential(
    client: &mut Client,
    backend: &BackendConfig,
    sign_in: &SignIn,
    issuer: &str,
) -> Result<(), String> {
    if let Some(source) = &sign_in.client_secret {
        let secret = reveal(source).await;
        let secret = secret.map_err(|why| format!("oauth.client_secret: {why}"))?;
        let scrubber = &backend.scrubber;
        scrubber.learn(secret.reveal(), Reach::Everywhere);
        client.secret = Some(secret);
    }
    if let Some(path) = &sign_in.client_key_file {
        let wrong = |why: String| format!("oauth.client_key_file: the file {why}");
        let pem = read_configured(path, MAX_SECRET).await.map_err(wrong)?;
        let id = sign_in.client_key_id.as_deref();
        let key = ClientKey::from_pem(&pem, id, issuer);
        let key = key.map_err(|why| wrong(format!("{} can't be used: {why}", path.display())))?;
        client.key = Some(key);
    }
    Ok(())
}
