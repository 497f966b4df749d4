//! Values of keys that belong together.
//!
//! - `names`: how exposed names are formed.
//! - `arg_rule`: which values an argument of a tool may have.
//! - `sign_in`: how a backend is signed in to.
//! - `tool_mode`: how many of the tools a client sees.
//! - `tool_rules`: which tools of a backend are served, how, and how often.

mod arg_rule;
mod names;
mod sign_in;
mod tool_mode;
mod tool_rules;

pub(crate) use arg_rule::{ArgRule, ArgUse};
pub use names::{NameChars, ToolNames};
pub use sign_in::{GrantKind, ResourceParam, SignIn};
pub(crate) use tool_mode::{GATEWAY_STATUS, READ_MORE};
pub use tool_mode::{SearchExposes, ToolListing, ToolMode};
pub use tool_rules::{RateLimit, ToolRules};
pub(crate) use tool_rules::{ToolRule, View};
