//! Persistent state: the lock file with accepted tool definitions, and the cache of listings.

mod fixture;
mod listing_cache;
mod lock;
mod names;
mod pin_command;
mod pins;
mod profiles;
mod version_0_1;
