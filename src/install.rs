//! Puts the gateway's entry into files of clients, and takes it out again.
//!
//! Owns the order of what is written (backup, record, file), what is kept for the way back, and the
//! place of the executable that an entry names. It must not ask anybody anything, print, or run what a
//! client's file names.

pub(crate) mod executable;
mod plan;
mod record;
pub(crate) mod running;

pub(crate) use plan::{Place, Plan, Unwanted, Wanted, plan_fix, plan_install, plan_uninstall};

/// The name of an entry where no other one is given.
pub(crate) const DEFAULT_NAME: &str = "sentinel";
