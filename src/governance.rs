//! Which calls may be made now.
//!
//! Owns [`Admission`], the one place where a call to a backend is admitted or refused, and its
//! rules: a circuit breaker for each backend, and the limits that the config sets. It must not know
//! what a backend is: it gets an id, and the [`Health`] signal of a finished call.

mod admission;
mod breaker;
mod limits;

pub(crate) use admission::Permit;
pub use admission::{Admission, Refusal};
pub(crate) use breaker::Health;
pub(crate) use limits::ClientCall;
