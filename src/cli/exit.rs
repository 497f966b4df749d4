//! The exit statuses of all commands.
//!
//! Owns the three numbers and what each means: scripts rely on them.

/// Success.
pub(super) const OK: u8 = 0;
/// Something failed at run time.
pub(super) const FAILED: u8 = 1;
/// Bad config or usage.
pub(super) const BAD_CONFIG: u8 = 2;
