//! Values of keys that belong together.
//!
//! - `sign_in`: how a backend is signed in to.
//! - `tool_mode`: how many of the tools a client sees.
//! - `tool_rules`: `tools.*` of a backend.

mod sign_in;
mod tool_mode;
mod tool_rules;

pub use sign_in::{GrantKind, ResourceParam, SignIn};
pub(crate) use tool_mode::READ_MORE;
pub use tool_mode::{SearchExposes, ToolListing, ToolMode};
pub use tool_rules::ToolRules;
pub(crate) use tool_rules::{ToolRule, View};
