//! What a gateway says of itself while it runs, and the private sockets on which it says it.
//!
//! Owns the document: which facts there are, and what they are made from. A gateway listens on a socket
//! that only its user can reach, and answers each connection with one document; it takes no orders there.
//! Neither arguments nor results of calls are in it. It must not know how the document is shown.
//!
//! - `document`: the document as data. `gather`: makes it from a snapshot.
//! - `server`: the socket of a running gateway. `reader`: asks all of them. Both on Unix only.
//! - `metrics`: the document as metrics. `http`: serves them, for Prometheus.

#[cfg_attr(not(unix), allow(dead_code, reason = "sockets alone show it all"))]
mod document;
#[cfg_attr(not(unix), allow(dead_code, reason = "sockets alone show it all"))]
mod gather;
mod http;
mod metrics;
#[cfg(not(unix))]
mod no_server;
#[cfg(unix)]
mod place;
#[cfg(unix)]
mod reader;
#[cfg(unix)]
mod server;

#[cfg(unix)]
pub(crate) use document::GatewayStatus;
pub(crate) use document::{BackendStatus, State};
#[cfg(test)]
#[cfg(unix)]
pub(crate) use document::{ClientStatus, ErrorStatus};
pub(crate) use gather::{Counts, Facts, backends};
pub(crate) use http::HttpServer;
#[cfg(not(unix))]
pub(crate) use no_server::StatusServer;
#[cfg(unix)]
pub(crate) use reader::{Unread, read_all};
#[cfg(unix)]
pub(crate) use server::StatusServer;
