//! Methods of extensions: tasks, skills, and those that the gateway does not know.
//!
//! Owns [`request`], what they all are sent with, and [`merged`], lists of several backends. It must not know the methods of MCP itself.

mod merged;
mod methods;
mod request;
mod skills;
mod tasks;

pub(super) use methods::call;
pub(crate) use methods::forward_notification;
pub(super) use skills::{EXTENSION as SKILLS, list as list_skills, of_uri as skill_or_directory};
pub(crate) use tasks::{large_notice_for_client, notice_for_client, state_for_client};
pub(super) use tasks::{list as list_tasks, of_one as task, owner_of_task};
