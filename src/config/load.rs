//! Loads the configuration: locate, read, apply the flags, check.
//!
//! Owns what becomes of the rest when a part can't be used while the gateway runs: each file keeps what it last
//! said until it can be, and what the other one says takes effect all the same. So neither a user's mistake keeps
//! an administrator's denial from them, nor the other way round.

mod administrator;
mod checked;
mod merge;
mod occasion;
mod origin;
mod outputs;

use std::path::Path;
use std::sync::Arc;

use super::Config;
use super::environment::Environment;
use super::overrides::Overrides;
use super::problem::Problems;
use super::read::{self, FoundFile};
use crate::files;
use administrator::Administrator;
use merge::{Sources, merge};
use occasion::Occasion;
use origin::UserFile;
pub(crate) use origin::{Origin, Parts, Stamps};

impl Config {
    /// Whether a running gateway takes what is written to its file.
    pub fn may_change(&self) -> bool {
        self.origin
            .as_ref()
            .is_some_and(|origin| origin.file().is_some())
    }
}

/// Locates, reads and checks the configuration.
///
/// # Errors
/// Every problem of the file and the flags. What affects one backend only (a variable that isn't
/// set, a file that isn't trusted with secrets) is no error: that backend is down for this reason.
pub fn load(overrides: &Overrides, env: &Environment) -> Result<Config, Problems> {
    let (stamp, text) = administrator::text(env);
    let administrator = Administrator::read(env, text?)?;
    let has_backends = !administrator.written.backends.is_empty();
    let is_optional = !overrides.backends.is_empty() || has_backends;
    let named = overrides.config.as_deref();
    let found = read::locate(named, is_optional, has_backends, env)?;
    let user = UserFile::of(&found, env);
    let read = origin::stamps_before(&user, &found, env, stamp);
    let path = found.path.as_ref();
    let text = path.map(|path| read::text(path, found.trusted)).transpose();
    let sources = Sources {
        administrator,
        text: text?,
        found,
    };
    let (mut config, good) = merge(sources, overrides, env, Occasion::Start)?;
    config.origin = Origin::of(user, good, (overrides, env), read);
    Ok(config)
}

/// Checks what is to be written, as if it stood in the user's file at this path and that were all of it.
///
/// # Errors
/// As [`load`].
pub(crate) fn check_text(text: String, path: &Path, env: &Environment) -> Result<Config, Problems> {
    let (_, administrators) = administrator::text(env);
    let sources = Sources {
        administrator: Administrator::read(env, administrators?)?,
        found: FoundFile::chosen(path.to_owned()),
        text: Some(text),
    };
    let (config, _) = merge(sources, &Overrides::default(), env, Occasion::Start)?;
    Ok(config)
}

/// What a file says; the problems, if it can't be read.
type Text = Result<Option<String>, Problems>;

impl Origin {
    /// Loads the configuration as it is written now, or as much of it as can be used: `unused` of the result
    /// says what can't. A part that is not `taken` counts as it was. Blocks, but never on a pipe.
    ///
    /// # Errors
    /// As [`load`], if nothing of what is written now can be used.
    pub(crate) fn load(self: &Arc<Self>, taken: Parts) -> Result<Config, Problems> {
        let before = self.good.lock().clone();
        let administrators = match taken.administrators {
            true => administrator::text(&self.env).1,
            false => Ok(before.administrators.clone()),
        };
        let users = match &self.user {
            UserFile::Awaited(path) if before.users.is_none() && !files::exists(path) => Ok(None),
            UserFile::Chosen(path) | UserFile::Awaited(path) if taken.users => {
                read::text_again(path).map(Some)
            }
            _ => Ok(before.users.clone()),
        };
        let change = Occasion::Change(&before.lock);
        let load = |administrators: &Text, users: &Text, occasion| {
            let text = users.clone()?;
            let sources = Sources {
                administrator: Administrator::read(&self.env, administrators.clone()?)?,
                found: self.user.found(text.is_some()),
                text,
            };
            merge(sources, &self.overrides, &self.env, occasion)
        };
        let (mut config, good) = load(&administrators, &users, change).or_else(|why| {
            let users_before = Occasion::UsersAsBefore(&before.lock);
            let (mut config, good) = load(&administrators, &Ok(before.users.clone()), users_before)
                .or_else(|_| {
                    let administrators = Ok(before.administrators.clone());
                    load(&administrators, &users, change)
                })
                .map_err(|_| why.clone())?;
            let because = why.iter().map(ToString::to_string);
            config.unused = because.chain(config.unused).collect();
            Ok((config, good))
        })?;
        *self.good.lock() = good;
        config.origin = Some(Arc::clone(self));
        Ok(config)
    }
}
