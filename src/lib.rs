//! Sentinel Gateway: one stdio MCP server in front of many HTTP MCP servers.

pub mod backend;
pub mod cli;
pub mod config;
pub mod protocol;
pub mod transport;
