//! Why a configuration is loaded.
//!
//! Owns which problems count then. At the start all of them do. Later, flags that don't fit are left out, and of
//! a user's file that is used as before what doesn't fit the administrator's any more.

use crate::config::LockFile;
use crate::config::problem::{Problems, Report};

/// Why a configuration is loaded.
#[derive(Clone, Copy)]
pub(super) enum Occasion<'a> {
    /// The gateway starts: every problem counts.
    Start,
    /// A file may have changed: flags that don't fit are left out.
    /// This is the lock as it was read last.
    Change(&'a LockFile),
    /// The user's file is not used as it is now, or doesn't fit the administrator's. It was good beside another
    /// one, so what of it doesn't fit is left out.
    UsersAsBefore(&'a LockFile),
}

impl Occasion<'_> {
    /// The lock in place of one that can't be read: the last one that could be.
    pub(super) fn lock_before(self) -> Option<LockFile> {
        match self {
            Self::Change(lock) | Self::UsersAsBefore(lock) => {
                Some(lock).filter(|lock| lock.path.is_ok()).cloned()
            }
            Self::Start => None,
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
            Self::Start | Self::Change(_) => (own.followed_by(users.problems), unused),
            Self::UsersAsBefore(_) => {
                unused.extend(users.problems.iter().map(ToString::to_string));
                (own, unused)
            }
        }
    }
}
