//! JSON-RPC and MCP as data: pure, no tokio, no I/O.

pub mod client;
pub mod error;
pub mod id_remapper;
pub mod listing;
pub mod message;
pub mod raw;
pub mod skim;

pub use client::ClientProfile;
pub use error::{Class, Executed, GatewayData, RpcError};
pub use id_remapper::{Asked, InFlight, Ticket};
pub use listing::{Kind, Listing};
pub use message::{Id, Inbound, Notification, Outcome, Request, Response};
pub use raw::RawJson;

/// Legacy protocol versions (those with `initialize`), oldest first.
pub const LEGACY_VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The latest legacy version: what a client that asks for an unknown one is answered.
pub const LATEST_LEGACY: &str = "2025-11-25";
