//! One HTTP exchange with one backend.
//!
//! Owns the [`Endpoint`] (clients, address, credentials), sending, redirects, and the meaning of
//! an HTTP status. Reading a response body belongs to [`super::stream`]. It must not know retries,
//! sessions or callers.

mod credentials;
mod endpoint;
mod media;
mod redirect;
mod side_requests;
mod transport_error;

pub use credentials::Credentials;
pub(super) use credentials::Renewal;
pub(super) use endpoint::Beginning;
pub use endpoint::{Endpoint, InFlightGuard};

pub(super) use media::{Media, is_event_stream};
pub(super) use side_requests::SideRequests;
pub(super) use transport_error::classify;
