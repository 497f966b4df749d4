//! How a person, or the gateway itself, signs in to a backend.
//!
//! Owns [`SignIn`], the checked keys of `oauth`, with the folders where tokens are and the command that messages
//! show.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Secret, SecretSource};

/// What it takes to sign in to one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// The folder of the tokens.
    pub folder: PathBuf,
    /// What a person types, with absolute paths: for messages.
    pub command: String,
    /// Whether the config has an `oauth` table; else a sign-in is offered where the server's 401
    /// asks for one.
    pub is_configured: bool,
    /// `oauth.grant`
    pub grant: GrantKind,
    /// `oauth.client_id`
    pub client_id: Option<String>,
    /// `oauth.client_secret`
    pub client_secret: Option<SecretSource>,
    /// `oauth.client_key_file`
    pub client_key_file: Option<PathBuf>,
    /// `oauth.client_key_id`
    pub client_key_id: Option<String>,
    /// `oauth.client_metadata_url`
    pub client_metadata_url: Option<String>,
    /// `oauth.issuer`
    pub issuer: Option<String>,
    /// `oauth.scopes`; empty: what the server suggests.
    pub scopes: Vec<String>,
    /// `oauth.resource`
    pub resource: ResourceParam,
    /// `oauth.params`
    pub params: Vec<(String, String)>,
    /// `oauth.callback_port`; `None`: any.
    pub callback_port: Option<u16>,
    /// `oauth.callback_host`; `None`: `127.0.0.1`, or `localhost` where a registration is refused with it.
    pub callback_host: Option<CallbackHost>,
    /// `oauth.assume_pkce`
    pub assume_pkce: bool,
    /// `oauth.allow_private`
    pub allow_private: bool,
    /// `oauth.ask_client`
    pub ask_client: bool,
    /// `gateway.auth_store`: whose key seals the files; `None`: they are not sealed.
    pub sealed_by: Option<SealedBy>,
    /// The folder where mcp-remote keeps its sign-ins, whether or not it exists.
    pub mcp_remote: Option<PathBuf>,
    /// Headers with plain values as they are written, variables and all: mcp-remote names its files by
    /// them.
    pub written_headers: Vec<(String, Secret)>,
}

/// `gateway.auth_store`, where the files of tokens are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedBy {
    /// With a key that the gateway makes and keeps in the keychain of the platform.
    Keychain,
    /// With the key that this command prints.
    Command(Arc<[String]>),
}

/// `oauth.grant`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// A person signs in with a browser that can reach this machine.
    #[default]
    Code,
    /// A person signs in at any device, with a code that the gateway shows.
    Device,
    /// The client signs in for itself; needs `client_id`, and `client_secret` or `client_key_file`.
    ClientCredentials,
}

/// `oauth.callback_host`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CallbackHost {
    /// As the specifications recommend (RFC 8252, section 7.3).
    #[serde(rename = "127.0.0.1")]
    Address,
    /// By name, for servers that take nothing else.
    #[serde(rename = "localhost")]
    Name,
}

impl CallbackHost {
    /// As it stands in a redirect URI.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "127.0.0.1",
            Self::Name => "localhost",
        }
    }
}

/// `oauth.resource`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceParam {
    /// As the backend calls itself.
    Published,
    /// Not named.
    Omitted,
    /// This text.
    Text(String),
}
