//! Persistent state: the lock file with accepted tool definitions, and the cache of listings.

mod fixture;
mod listing_cache;
mod lock;
mod names;
pub(crate) mod pin_command;
mod pins;
mod profiles;
pub(crate) mod version_0_1;
