//! JSON-RPC and MCP as data.
//!
//! Owns the types of messages and listings, and what each means in either era of MCP. Pure: no
//! tokio, no I/O. It must not know backends, configs or connections.

pub mod client;
pub mod era;
pub mod error;
pub mod id_remapper;
pub mod json_scan;
pub mod listing;
pub mod message;
pub mod raw;
pub mod task;

pub use client::ClientProfile;
pub use era::{Era, LATEST_LEGACY, LEGACY_VERSIONS, LogLevel, MODERN_VERSION};
pub use error::{Class, Executed, GatewayData, RpcError};
pub use id_remapper::{Incoming, Outgoing, RequestKey};
pub use listing::{Freshness, Kind, Listing};
pub use message::{Id, Inbound, Notification, Outcome, Request, Response};
pub use raw::RawJson;
