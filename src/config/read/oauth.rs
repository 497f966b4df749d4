//! `oauth` of a backend and `gateway.auth_store` as written.
//!
//! Owns their keys, with meaning and default, from which the schema is made.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret_form::SecretForm;
use crate::config::{CallbackHost, GrantKind};

/// `gateway.auth_store`
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(example = &"file")]
pub(in crate::config) enum AuthStoreForm {
    /// By a name.
    Named(NamedStore),
    /// Sealed.
    Sealed(KeyForm),
}

/// Stores that need nothing else.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum NamedStore {
    /// In files as they are.
    File,
    /// In files that are sealed with a key which the gateway makes once and keeps in the keychain of the platform: by `secret-tool` on Linux, `security` on macOS, PowerShell's data protection on Windows.
    Keychain,
}

/// What seals the files.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct KeyForm {
    /// The command that prints the key, at least 32 random characters, as a list of program and arguments; run when a token is first read or written.
    #[schemars(length(min = 1), example = ["pass", "show", "sentinel"])]
    pub(in crate::config) key_command: Vec<String>,
}

/// `oauth`
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(example = false)]
pub(in crate::config) enum OAuthForm {
    /// Whether people can sign in.
    Switch(bool),
    /// How.
    Settings(Box<OAuthSettings>),
}

/// How the gateway signs in to a backend. Nothing is needed where the authorization server takes registrations.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct OAuthSettings {
    /// Who signs in, and where: a person in a browser here, a person at another device, or the client itself.
    pub(in crate::config) grant: GrantKind,
    /// The id of a client that was registered by hand.
    #[schemars(length(min = 1), example = &"sentinel")]
    pub(in crate::config) client_id: Option<String>,
    /// Its secret, if it has one.
    pub(in crate::config) client_secret: Option<SecretForm>,
    /// The PEM file of its private key, if it proves itself with one (`private_key_jwt`): Ed25519, P-256, P-384 or RSA.
    #[schemars(length(min = 1), example = &"client-key.pem")]
    pub(in crate::config) client_key_file: Option<String>,
    /// The id that the server has for the key.
    #[schemars(length(min = 1), example = &"key-1")]
    pub(in crate::config) client_key_id: Option<String>,
    /// The https URL of the client's metadata document, for servers that take such URLs as ids.
    #[schemars(length(min = 1), example = &"https://example.com/sentinel.json")]
    pub(in crate::config) client_metadata_url: Option<String>,
    /// The issuer to use, letter for letter, if the backend names none, several, or another one.
    #[schemars(length(min = 1), example = &"https://auth.example.com")]
    pub(in crate::config) issuer: Option<String>,
    /// The scopes to ask for, in place of those that the backend suggests.
    #[schemars(example = ["notes:read"])]
    pub(in crate::config) scopes: Vec<String>,
    /// The resource that the token is for: as the backend calls itself, not named, or this text.
    pub(in crate::config) resource: ResourceForm,
    /// Further parameters of the authorization request.
    #[schemars(extend("additionalProperties" = { "type": "string" }))]
    pub(in crate::config) params: BTreeMap<String, String>,
    /// The port that the browser returns to, if the registration names one.
    #[schemars(range(min = 1, max = 65_535))]
    pub(in crate::config) callback_port: Option<u16>,
    /// How the redirect URI names this machine. Without it `127.0.0.1`, and `localhost` where a server refuses to register that.
    pub(in crate::config) callback_host: Option<CallbackHost>,
    /// Whether a server that says nothing of PKCE is taken to support it.
    pub(in crate::config) assume_pkce: bool,
    /// Whether an authorization server may be at a private address, though the backend is not.
    pub(in crate::config) allow_private: bool,
    /// Whether a call that needs a sign-in offers it through the client: one that supports elicitation by URL shows the address to its user.
    pub(in crate::config) ask_client: bool,
}

/// `oauth.resource`
#[derive(Deserialize, serde::Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(example = false)]
pub(in crate::config) enum ResourceForm {
    /// Whether it is named.
    Switch(bool),
    /// The text to send.
    Text(String),
}

impl Default for ResourceForm {
    fn default() -> Self {
        Self::Switch(true)
    }
}
