//! One HTTP exchange with one backend.
//!
//! Owns the [`Endpoint`] (clients, address, credentials), sending, redirects, the meaning of an
//! HTTP status, and the bytes of a body, in turns. What they mean belongs to [`super::stream`]. It must not know retries,
//! sessions or callers.

mod continuity;
mod credentials;
mod decompress;
mod endpoint;
mod media;
mod response;
mod side_requests;
mod transport_error;
mod turns;

pub(super) use continuity::SESSION_ID;
pub use credentials::Credentials;
pub(super) use credentials::Renewal;
pub use endpoint::{Endpoint, InFlightGuard};
pub(super) use response::Beginning;
pub use response::Response;

pub(super) use media::{Media, is_event_stream};
pub(super) use side_requests::SideRequests;
pub(super) use turns::{AT_ONCE, EACH, Turn, Turns};
