//! What happens around the gateway, told to those who run it.

pub mod logs;
pub mod signals;
