//! Which calls may be made now.
//!
//! Owns [`Admission`], the one point where a call to a backend is admitted or refused, and the rules
//! that it asks; today that is a circuit breaker for each backend. It must not know what a backend
//! or a call is: it gets an id, and is told how the call ended ([`Health`]).

mod admission;
mod breaker;

pub use admission::{Admission, Permit, Refusal};
pub use breaker::Health;
