//! What outlives a run: the definitions of tools that were accepted, and what backends listed at
//! last contact.

mod house;
mod last_good;
mod lock;
mod pin_command;
mod pins;
