//! JSON-RPC and MCP as data.
//!
//! Owns the types of messages and listings, and what each means in either era of MCP. Pure: no
//! tokio, no I/O. It must not know backends, configs or connections.

pub(crate) mod contact;
pub(crate) mod era;
pub mod error;
pub(crate) mod id_remapper;
pub mod json_scan;
pub(crate) mod listing;
pub mod message;
pub(crate) mod pagination;
pub(crate) mod raw;
pub(crate) mod task;

pub use contact::Contact;
pub use era::{ClientProfile, Era, LogLevel};
pub(crate) use era::{LATEST_LEGACY, LEGACY_VERSIONS, MODERN_VERSION};
pub use error::{Class, Executed, Tally};
pub(crate) use error::{GatewayData, RpcError};
pub(crate) use id_remapper::{Incoming, Outgoing, RequestKey};
pub(crate) use listing::Freshness;
pub use listing::{Kind, Listing};
pub use message::{Id, Notification, Outcome, Request};
pub(crate) use message::{Inbound, Response};
pub use raw::RawJson;
