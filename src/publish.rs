//! Turns the listings of backends into snapshots.
//!
//! Owns [`Publisher`], which builds the next snapshot, and [`list_changed`], which names the
//! notifications that a new snapshot requires. It must not know requests, nor how a listing was
//! fetched.

mod builder;
mod list_changed;
mod pinning;
mod publisher;
mod reported;
mod rule_check;

pub(crate) use builder::{BuildOutput, Publication};
use list_changed::list_changed;
pub(crate) use publisher::{Publisher, Reconfiguration, retire};
