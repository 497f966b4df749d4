//! The config that the entry will name, if it names any.
//!
//! Owns that an entry names no file that only lies in the working folder: an entry makes it trusted.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::exit::BAD_CONFIG;
use crate::cli::setup::failed;
use crate::cli::terminal::{report_problems, warn};
use crate::config::{Config, Environment, Overrides, load};
use crate::files;
use crate::shell;
use crate::sync::Mutex;
use crate::text::keep_from_output;

/// The config that the entry will name.
pub(super) struct Found {
    /// The file of the user.
    pub(super) path: PathBuf,
    /// `None` if there is none yet: neither the user's nor one of the administrator with backends.
    pub(super) config: Option<Config>,
    /// The variables that it names.
    pub(super) variables: Vec<String>,
}

impl Found {
    /// Whether the user's file is there. Without it the administrator's is the only one.
    pub(super) fn is_there(&self) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(|config| config.source.is_some())
    }
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
    let Some(path) = path.or_else(|| env.user_file()) else {
        failed("the folder for the config is not known: name a file with --config");
        return Err(BAD_CONFIG);
    };
    let (env, looked_up) = recording(env);
    let config = match files::exists(&path) {
        false if is_named && or_new => None,
        false if !is_named => of_administrator(overrides, &env, or_new, clients)?,
        _ => Some(load(overrides, &env).map_err(|problems| report_problems(&problems))?),
    };
    if let Some(config) = &config {
        keep_from_output(config.backends.iter().map(|backend| &backend.scrubber));
        for warning in &config.warnings {
            warn(warning);
        }
    }
    let mut variables: Vec<String> = looked_up.lock().iter().cloned().collect();
    // What collectors of telemetry may be told by is no secret of a backend: most of it is never set.
    variables.retain(|name| !name.starts_with("OTEL_") || env.variable(name).is_some());
    Ok(Found {
        path,
        config,
        variables,
    })
}

/// The gateway's own variables, which it looks up without being told to.
const OWN: [&str; 3] = [
    "SENTINEL_CONFIG",
    "MCP_REMOTE_CONFIG_DIR",
    "XDG_RUNTIME_DIR",
];

/// The same environment, and the names of the variables that are looked up in it.
fn recording(env: &Environment) -> (Environment, Arc<Mutex<BTreeSet<String>>>) {
    let names = Arc::new(Mutex::new(BTreeSet::new()));
    let (looked_up, inner) = (Arc::clone(&names), env.clone());
    let env = env.clone().with_variables(move |name| {
        if !OWN.contains(&name) {
            looked_up.lock().insert(name.to_owned());
        }
        inner.variable(name)
    });
    (env, names)
}

/// The administrator's config, where the user has no file; `None` where there is none but one can be made.
/// A file in the working folder is not used: anybody may have written it, and an entry that names it would
/// trust it with secrets and let it start commands.
fn of_administrator(
    overrides: &Overrides,
    env: &Environment,
    or_new: bool,
    clients: &[String],
) -> Result<Option<Config>, u8> {
    let folder = env
        .user_file()
        .and_then(|file| file.parent().map(PathBuf::from));
    // Where the user's file would be there is no other one.
    let elsewhere = env.clone().with_working_folder(&folder.unwrap_or_default());
    let problems = match load(overrides, &elsewhere) {
        Ok(config) => return Ok(Some(config)),
        Err(_) if or_new => return Ok(None),
        Err(problems) => problems,
    };
    let working = env.working_file();
    if files::is_file(&working) {
        let word = |text: &str| shell::word(text).into_owned();
        let clients: Vec<String> = clients.iter().map(|client| word(client)).collect();
        failed(&format!(
            "{} was only found in the working folder, so no entry names it: a client would trust it with secrets and run its commands; \
             if it is yours: sentinel-gateway install {} --config {}",
            working.display(),
            clients.join(" "),
            word(&working.to_string_lossy())
        ));
        return Err(BAD_CONFIG);
    }
    let problems = load(overrides, env).err().unwrap_or(problems);
    Err(report_problems(&problems))
}
