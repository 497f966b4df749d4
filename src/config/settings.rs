//! Values of keys that belong together.
//!
//! - `names`: how exposed names are formed.
//! - `sign_in`: how a backend is signed in to.
//! - `tool_mode`: how many of the tools a client sees.
//! - `tool_rules`: which tools of a backend are served, how, and how often.

mod names;
mod sign_in;
mod tool_mode;
mod tool_rules;

pub use names::{NameChars, ToolNames};
pub use sign_in::{GrantKind, ResourceParam, SignIn};
pub(crate) use tool_mode::{GATEWAY_STATUS, READ_MORE};
pub use tool_mode::{SearchExposes, ToolListing, ToolMode};
pub use tool_rules::{RateLimit, ToolRules};
pub(crate) use tool_rules::{ToolRule, View};
