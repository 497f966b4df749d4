//! What is said to a person who starts the gateway on a terminal without a config.
//!
//! Owns that text, and whether there is a config in any of the usual places.

use crate::config::{Environment, Overrides};
use crate::files;

/// What the gateway is, and what to type next.
const INTRODUCTION: &str = "\
Sentinel Gateway: one MCP server for your client, in front of many MCP servers over HTTP. It has no config yet.
  sentinel-gateway install                           shows which clients are here
  sentinel-gateway install claude-desktop --import   takes over a client's servers, after showing what it writes
  sentinel-gateway init                              asks for the URL of a server, and writes a first config
  sentinel-gateway --help                            shows all that it does";

/// Whether neither the flags nor any of the usual places have a config.
pub(in crate::cli) fn has_no_config(overrides: &Overrides, env: &Environment) -> bool {
    let is_named = overrides.config.is_some() || env.variable("SENTINEL_CONFIG").is_some();
    let is_administered = env.administrators_path().is_some_and(files::exists);
    let is_there = env.user_file().is_some_and(|path| files::exists(&path))
        || files::is_file(&env.working_file());
    !is_named && !is_there && !is_administered && overrides.backends.is_empty()
}

/// Prints it on stderr.
pub(in crate::cli) fn introduce() {
    anstream::eprintln!("{INTRODUCTION}");
}
