//! Signing in to backends: OAuth 2.1 as a client (MCP 2026-07-28, basic/authorization).
//!
//! Owns how a backend's authorization server is found, and how tokens are got, kept and renewed:
//!
//! - `oauth`: the protocol as data, pure. `http`: exchanges with authorization servers.
//! - `store`: the tokens of this user, the locks between processes, and what mcp-remote keeps.
//! - `secrets`: secrets that the config names. `discovery`: where to sign in.
//! - `tokens`: the token of a backend while the gateway runs. It opens no browser and no port.
//! - `login`: a person signs in, or out, at a terminal or through a client. `status`: who is signed in.
//! - `client`: a client that the config names. `exchange`: one exchange with the token endpoint.
//!
//! It must not know calls, sessions or what is printed.

mod client;
mod discovery;
mod exchange;
mod http;
pub(crate) mod login;
pub mod oauth;
pub(crate) mod secrets;
pub(crate) mod status;
pub(crate) mod store;
mod tokens;

pub use tokens::Advice;
pub(crate) use tokens::{AuthError, Tokens, Wanting};
