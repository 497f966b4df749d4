//! Values of keys that belong together.
//!
//! - `sign_in`: how a backend is signed in to.
//! - `telemetry`: where traces and metrics go.
//! - `tool_mode`: how many of the tools a client sees.

mod sign_in;
mod telemetry;
mod tool_mode;

pub use sign_in::{GrantKind, ResourceParam, SignIn};
pub use telemetry::TelemetryConfig;
pub(crate) use tool_mode::OWN_TOOLS;
pub use tool_mode::{SearchExposes, ToolListing, ToolMode};
