//! What a configuration was loaded from, to load it again.
//!
//! Owns which files count, and which changes of them are the gateway's own. A file that was merely
//! found in the working folder is kept as it was: only the administrator's part of such a configuration
//! is read again. How, is the part of `load`.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::LockFile;
use crate::config::environment::Environment;
use crate::config::overrides::Overrides;
use crate::config::read::{FoundFile, is_client_json};
use crate::files::{Stamp, Written};
use crate::sync::Mutex;

/// What a configuration was loaded from.
pub(crate) struct Origin {
    pub(super) overrides: Overrides,
    pub(super) env: Environment,
    /// What is not looked for again.
    pub(super) user: UserFile,
    /// What is used where a file can't be, as it is now.
    pub(super) good: Mutex<Good>,
    /// The lock beside the user's file, where it is used.
    lock: Option<PathBuf>,
    /// As of the moment before they were read.
    read: Stamps,
    /// What this process has written to the lock, the newest last.
    own_writes: Mutex<VecDeque<Written>>,
}

/// The part of a configuration that is not the administrator's.
pub(super) enum UserFile {
    /// This file, an absolute path, as it is now.
    Chosen(PathBuf),
    /// What was read at the start: its text is [`Good::users`].
    Kept(FoundFile),
}

/// What the files said when each was last in use.
#[derive(Clone)]
pub(super) struct Good {
    /// `None` where there is no administrator's file.
    pub(super) administrators: Option<String>,
    /// `None` where there is no file of the user's.
    pub(super) users: Option<String>,
    pub(super) lock: LockFile,
}

impl Good {
    pub(super) fn of(
        administrators: Option<String>,
        users: Option<String>,
        lock: &LockFile,
    ) -> Self {
        let lock = lock.clone();
        Self {
            administrators,
            users,
            lock,
        }
    }
}

/// Most writes of its own that are remembered, where nobody looks at the files.
const MAX_OWN_WRITES: usize = 64;

/// What changes whenever the config file, its lock or the administrator's file does.
pub(crate) type Stamps = [Option<Stamp>; 3];

impl Origin {
    /// The user's config file; `None` where there is none that the user chose.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.user {
            UserFile::Chosen(path) => Some(path),
            UserFile::Kept(..) => None,
        }
    }

    /// Of the files as they were when this was loaded.
    pub(crate) fn stamps_read(&self) -> Stamps {
        self.read
    }

    /// Of the files as they are now. Blocks.
    pub(crate) fn stamps_now(&self) -> Stamps {
        let administrators = self.env.administrators_file();
        [
            self.file().and_then(Stamp::of),
            self.lock.as_deref().and_then(Stamp::of),
            administrators.and_then(|file| Stamp::of(&file.path)),
        ]
    }

    /// The lock was written by this process.
    pub(crate) fn wrote_lock(&self, written: Written) {
        let mut own = self.own_writes.lock();
        own.push_back(written);
        if own.len() > MAX_OWN_WRITES {
            own.pop_front();
        }
    }

    /// What the files are after the writes of this process alone, if they were `seen`.
    pub(crate) fn after_own_writes(&self, seen: Stamps) -> Stamps {
        let [file, mut lock, administrators] = seen;
        for Written { before, after } in self.own_writes.lock().drain(..) {
            if before == lock {
                lock = after;
            }
        }
        [file, lock, administrators]
    }

    /// `read` is of the user's file, the lock beside it, and the administrator's file. `None` where nothing
    /// can change.
    pub(super) fn of(
        found: FoundFile,
        good: Good,
        (overrides, env): (&Overrides, &Environment),
        read: Stamps,
    ) -> Option<Arc<Self>> {
        let user = match found.path.clone().filter(|_| found.trusted) {
            Some(path) => UserFile::Chosen(path),
            None => UserFile::Kept(found),
        };
        if matches!(user, UserFile::Kept(..)) && env.administrators_file().is_none() {
            return None;
        }
        let lock = good.lock.path.clone().ok();
        Some(Arc::new(Self {
            overrides: overrides.clone(),
            env: env.clone(),
            user,
            read: [read[0], read[1].filter(|_| lock.is_some()), read[2]],
            lock,
            good: Mutex::new(good),
            own_writes: Mutex::default(),
        }))
    }
}

/// Of the user's file and the lock before they are read, and that of the administrator's file.
pub(super) fn stamps_before(
    found: &FoundFile,
    env: &Environment,
    administrators: Option<Stamp>,
) -> Stamps {
    let file = found.path.as_deref().filter(|_| found.trusted);
    let beside = file.filter(|file| !is_client_json(file));
    let lock = match beside {
        Some(file) => Some(LockFile::path_beside(file)),
        None => (env.state_folder()).map(|state| LockFile::administrators_path(&state)),
    };
    [
        file.and_then(Stamp::of),
        lock.as_deref().and_then(Stamp::of),
        administrators,
    ]
}

/// Shows only what is no secret.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("file", &self.file())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    /// A lock that this process has written, though another one has written before it.
    #[test]
    fn what_the_gateway_writes_to_its_lock_is_no_change_of_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("sentinel.toml"), "").unwrap();
        let overrides = Overrides {
            config: Some(path("sentinel.toml")),
            ..Overrides::default()
        };
        let config = load(&overrides, &Environment::new(".")).unwrap();
        let origin = config.origin.unwrap();
        let stamp = |length: usize| {
            std::fs::write(path("x"), "x".repeat(length)).unwrap();
            Stamp::of(&path("x"))
        };
        let written = |before, after| Written { before, after };
        let [none, one, two, three] = [None, stamp(1), stamp(2), stamp(3)];
        let file = origin.stamps_read()[0];
        origin.wrote_lock(written(none, one));
        origin.wrote_lock(written(one, two));
        assert_eq!(
            origin.after_own_writes([file, none, none]),
            [file, two, none]
        );
        // Another program has written between what was seen and what was written here.
        origin.wrote_lock(written(three, one));
        assert_eq!(
            origin.after_own_writes([file, two, none]),
            [file, two, none]
        );
    }
}
