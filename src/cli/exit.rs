//! The exit statuses of all commands.

/// Success.
pub(super) const OK: u8 = 0;
/// Something failed at run time.
pub(super) const FAILED: u8 = 1;
/// Bad config or usage.
pub(super) const BAD_CONFIG: u8 = 2;
