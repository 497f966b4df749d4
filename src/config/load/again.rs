//! Loads a configuration again, for a gateway that runs.
//!
//! Owns what becomes of the rest when a part can't be used as it is now: each file keeps what it last said
//! until it can be, and what the other one says takes effect all the same. So neither a user's mistake keeps
//! an administrator's denial from them, nor the other way round. A flag that no longer fits the files is left
//! out: at the start it is an error, since someone has just typed it.

use std::sync::Arc;

use super::administrator::{self, Administrator};
use super::origin::{Origin, UserFile};
use super::{Sources, load_from, text_of};
use crate::config::problem::{Problems, Report};
use crate::config::read::FoundFile;
use crate::config::{Config, LockFile};

/// Why a configuration is loaded.
#[derive(Clone, Copy)]
pub(super) enum Occasion<'a> {
    /// The gateway starts: every problem counts.
    Start,
    /// A file may have changed: flags that don't fit are left out.
    Change,
    /// The user's file is not used as it is now, or doesn't fit the administrator's. It was good beside another
    /// one, so what of it doesn't fit is left out.
    UsersAsBefore(&'a LockFile),
}

impl Occasion<'_> {
    /// The lock in place of one that can't be read.
    pub(super) fn lock_before(self) -> Option<LockFile> {
        match self {
            Self::UsersAsBefore(lock) => Some(lock.clone()),
            Self::Start | Self::Change => None,
        }
    }

    /// The problems that keep the configuration from being used, and those of what is left out.
    pub(super) fn sort(
        self,
        administrators: &mut Report,
        users: Report,
    ) -> (Problems, Vec<String>) {
        let own = std::mem::take(&mut administrators.problems);
        let mut unused = users.misfits;
        match self {
            Self::Start | Self::Change => (own.followed_by(users.problems), unused),
            Self::UsersAsBefore(_) => {
                unused.extend(users.problems.iter().map(ToString::to_string));
                (own, unused)
            }
        }
    }
}

/// What a file says; the problems, if it can't be read.
type Text = Result<Option<String>, Problems>;

impl Origin {
    /// Loads the configuration as it is written now, or as much of it as can be used: `unused` of the result
    /// says what can't. Blocks.
    ///
    /// # Errors
    /// As [`super::load`], if nothing of what is written now can be used.
    pub(crate) fn load(self: &Arc<Self>) -> Result<Config, Problems> {
        let before = self.good.lock().clone();
        let (_, administrators) = administrator::text(&self.env);
        let (found, users) = match &self.user {
            UserFile::Chosen(path) => {
                let found = FoundFile::chosen(path.clone());
                let text = text_of(&found);
                (found, text)
            }
            UserFile::Kept(found) => (found.clone(), Ok(before.users.clone())),
        };
        let load = |administrators: &Text, users: &Text, occasion| {
            let sources = Sources {
                administrator: Administrator::read(&self.env, administrators.clone()?)?,
                found: found.clone(),
                text: users.clone()?,
            };
            load_from(sources, &self.overrides, &self.env, occasion)
        };
        let (mut config, good) =
            load(&administrators, &users, Occasion::Change).or_else(|why| {
                let users_before = Occasion::UsersAsBefore(&before.lock);
                let (mut config, good) =
                    load(&administrators, &Ok(before.users.clone()), users_before)
                        .or_else(|_| {
                            let administrators = Ok(before.administrators.clone());
                            load(&administrators, &users, Occasion::Change)
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
