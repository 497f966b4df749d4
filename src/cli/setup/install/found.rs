//! The config that the entry will name, if it names any.
//!
//! Owns that an entry names no file that only lies in the working folder: an entry makes it trusted.

use std::path::PathBuf;

use crate::cli::exit::BAD_CONFIG;
use crate::cli::setup::failed;
use crate::cli::terminal::{report_problems, warn};
use crate::config::{Config, Environment, Overrides, load};
use crate::files;
use crate::shell;
use crate::text::keep_from_output;

/// The config that the entry will name.
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// `None` if it is not there yet.
    pub(super) config: Option<Config>,
}

/// The config that the flags and the environment name, which must be one that runs, or with `or_new` one
/// that can be made. `clients` are the words of the command, for messages.
pub(super) fn usable_config(
    overrides: &Overrides,
    env: &Environment,
    or_new: bool,
    clients: &[String],
) -> Result<Found, u8> {
    if !overrides.backends.is_empty()
        || !overrides.headers.is_empty()
        || !overrides.bearer_env.is_empty()
    {
        failed("an entry names a config file: put the backends into sentinel.toml, not into flags");
        return Err(BAD_CONFIG);
    }
    let named = overrides.config.clone();
    let named = named.or_else(|| env.variable("SENTINEL_CONFIG").map(PathBuf::from));
    let is_named = named.is_some();
    let path = named.map(|path| env.absolute(&path, None));
    let path = path.or_else(|| env.user_file());
    let is_there = path.as_deref().is_some_and(files::exists);
    if let Some(path) = path.filter(|_| or_new && !is_there) {
        return Ok(Found { path, config: None });
    }
    if !is_named && !is_there {
        refuse_working_file(env, clients)?;
    }
    let config = load(overrides, env).map_err(|problems| report_problems(&problems))?;
    keep_from_output(config.backends.iter().map(|backend| &backend.scrubber));
    for warning in &config.warnings {
        warn(warning);
    }
    Ok(Found {
        path: config.source.clone().ok_or(BAD_CONFIG)?,
        config: Some(config),
    })
}

/// A file in the working folder is not used: anybody may have written it, and an entry that names it would
/// trust it with secrets and let it start commands.
fn refuse_working_file(env: &Environment, clients: &[String]) -> Result<(), u8> {
    let working = env.working_file();
    if !files::is_file(&working) {
        return Ok(());
    }
    let word = |text: &str| shell::word(text).into_owned();
    let clients: Vec<String> = clients.iter().map(|client| word(client)).collect();
    failed(&format!(
        "{} was only found in the working folder, so no entry names it: a client would trust it with secrets and run its commands; \
         if it is yours: sentinel-gateway install {} --config {}",
        working.display(),
        clients.join(" "),
        word(&working.to_string_lossy())
    ));
    Err(BAD_CONFIG)
}
