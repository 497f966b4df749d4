//! Values of keys that belong together, as the rest of the gateway reads them.
//!
//! Owns these types, a file for each group:
//!
//! - `names`: how exposed names are formed.
//! - `arg_rule`: which values an argument of a tool may have.
//! - `closed`: where redirects of a backend may not lead.
//! - `outputs`: the audit file and the log file.
//! - `place`: where a server is, whichever way its URL is written.
//! - `sign_in`: how a backend is signed in to.
//! - `telemetry`: where traces and metrics go.
//! - `tool_mode`: how many of the tools a client sees.
//! - `tool_rules`: which tools of a backend are served, how, and how often.

mod arg_rule;
mod closed;
mod names;
mod outputs;
mod place;
mod sign_in;
mod telemetry;
mod tool_mode;
mod tool_rules;

pub(crate) use arg_rule::{ArgRule, ArgUse, folded};
pub(crate) use closed::Closed;
pub use names::{NameChars, ToolNames};
pub use outputs::{AuditArguments, AuditConfig, FileLevel, LogConfig, OnFailure, RotatingFile};
pub(crate) use place::Place;
pub use sign_in::{CallbackHost, GrantKind, ResourceParam, SealedBy, SignIn};
pub use telemetry::{Destination, TelemetryConfig};
pub(crate) use tool_mode::{GATEWAY_STATUS, READ_MORE};
pub use tool_mode::{SearchExposes, ToolListing, ToolMode};
pub use tool_rules::{RateLimit, ToolRules};
pub(crate) use tool_rules::{ToolRule, View};
