//! Which calls may be made now.
//!
//! Owns [`Admission`], the one place where a call to a backend is admitted or refused, and its
//! rules; currently a circuit breaker for each backend. It must not know what a backend or a call
//! is: it gets an id, and the [`Health`] signal of a finished call.

mod admission;
mod breaker;

pub(crate) use admission::Permit;
pub use admission::{Admission, Refusal};
pub(crate) use breaker::Health;
