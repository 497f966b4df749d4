//! What outlives a run: the definitions of tools that were accepted, and what backends listed at
//! last contact.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

#[path = "state/house.rs"]
mod house;
#[path = "state/last_good.rs"]
mod last_good;
#[path = "state/lock.rs"]
mod lock;
#[path = "state/pin_command.rs"]
mod pin_command;
#[path = "state/pins.rs"]
mod pins;
