//! What a configuration was loaded from, to load it again.
//!
//! Owns which files count, and which changes of them are the gateway's own. A file that was merely
//! found in the working folder, or that can be read only once, is kept as it was: only the administrator's
//! part of such a configuration is read again. Where nothing was found, the user's own file is taken once it is
//! there. How, is the part of `load`.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::LockFile;
use crate::config::environment::Environment;
use crate::config::overrides::Overrides;
use crate::config::read::{FoundFile, is_client_json};
use crate::files::{self, Stamp, Written};
use crate::sync::Mutex;

/// What a configuration was loaded from.
pub(crate) struct Origin {
    pub(super) overrides: Overrides,
    pub(super) env: Environment,
    /// What is not looked for again.
    pub(super) user: UserFile,
    /// What is used where a file can't be, as it is now.
    pub(super) good: Mutex<Good>,
    /// The stamps of the files, as of the moment before they were read.
    read: Stamps,
    /// What this process has written to the lock, the newest last.
    own_writes: Mutex<VecDeque<Written>>,
}

/// The part of a configuration that is not the administrator's.
pub(super) enum UserFile {
    /// This file, an absolute path, as it is now.
    Chosen(PathBuf),
    /// This file once it is there: at the start there was none at all.
    Awaited(PathBuf),
    /// What was read at the start, a pipe or a file that was merely found: its text is [`Good::users`].
    Kept(FoundFile),
}

impl UserFile {
    /// What was found at the start.
    pub(super) fn of(found: &FoundFile, env: &Environment) -> Self {
        match &found.path {
            // A pipe can be read only once.
            Some(path) if found.trusted && files::is_file(path) => Self::Chosen(path.clone()),
            Some(_) => Self::Kept(found.clone()),
            None => (env.user_file()).map_or_else(|| Self::Kept(found.clone()), Self::Awaited),
        }
    }

    /// The same now; `is_there`: there is a file at the place of one that was awaited.
    pub(super) fn found(&self, is_there: bool) -> FoundFile {
        match self {
            Self::Awaited(_) if !is_there => FoundFile::none(),
            Self::Chosen(path) | Self::Awaited(path) => FoundFile::chosen(path.clone()),
            Self::Kept(found) => found.clone(),
        }
    }

    /// The file that the user chose, whether or not it is there.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Chosen(path) | Self::Awaited(path) => Some(path),
            Self::Kept(..) => None,
        }
    }
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

/// Which parts of a configuration are meant: different people write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The administrator's file.
    pub(crate) administrators: bool,
    /// The user's config file and its lock.
    pub(crate) users: bool,
}

impl Parts {
    /// Everything.
    pub(crate) const ALL: Self = Self {
        administrators: true,
        users: true,
    };

    /// The parts in which two looks at the files differ.
    pub(crate) fn changed(before: Stamps, now: Stamps) -> Self {
        Self {
            administrators: before[2] != now[2],
            users: before[..2] != now[..2],
        }
    }

    /// The stamps of these parts as they are `now`, and those of the others as before.
    pub(crate) fn update(self, before: Stamps, now: Stamps) -> Stamps {
        let users = if self.users { now } else { before };
        let administrators = if self.administrators { now } else { before };
        [users[0], users[1], administrators[2]]
    }
}

impl Origin {
    /// The user's config file, whether or not it is there; `None` where what was read at the start stays.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.user.path()
    }

    /// The stamps of the files as they were when this was loaded.
    pub(crate) fn stamps_read(&self) -> Stamps {
        self.read
    }

    /// The stamps of the files as they are now. Blocks.
    pub(crate) fn stamps_now(&self) -> Stamps {
        let administrators = self.env.administrators_file();
        let file = self.file().and_then(Stamp::of);
        let lock = lock_place(&self.user.found(file.is_some()), &self.env);
        [
            file,
            lock.as_deref().and_then(Stamp::of),
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

    /// `read` is [`stamps_before`]. `None` where nothing can change.
    pub(super) fn of(
        user: UserFile,
        good: Good,
        (overrides, env): (&Overrides, &Environment),
        read: Stamps,
    ) -> Option<Arc<Self>> {
        if matches!(user, UserFile::Kept(..)) && env.administrators_file().is_none() {
            return None;
        }
        Some(Arc::new(Self {
            overrides: overrides.clone(),
            env: env.clone(),
            user,
            read,
            good: Mutex::new(good),
            own_writes: Mutex::default(),
        }))
    }
}

/// Where the lock is that such a configuration has if anything is pinned, now or after a change.
fn lock_place(found: &FoundFile, env: &Environment) -> Option<PathBuf> {
    let file = found.path.as_deref().filter(|_| found.trusted);
    match file.filter(|file| !is_client_json(file)) {
        Some(file) => Some(LockFile::path_beside(file)),
        None => (env.state_folder()).map(|state| LockFile::administrators_path(&state)),
    }
}

/// Of the user's file and the lock before they are read, and that of the administrator's file.
pub(super) fn stamps_before(
    user: &UserFile,
    found: &FoundFile,
    env: &Environment,
    administrators: Option<Stamp>,
) -> Stamps {
    let file = match user {
        UserFile::Chosen(path) => Stamp::of(path),
        // One that has come since was not read.
        UserFile::Awaited(_) | UserFile::Kept(..) => None,
    };
    let lock = lock_place(found, env);
    [file, lock.as_deref().and_then(Stamp::of), administrators]
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

    const ALL: Parts = Parts::ALL;
    const PINNED: &str =
        "[[backends]]\nname = \"db\"\nurl = \"http://127.0.0.1:9/\"\ntools.pin = \"block\"\n";

    fn chosen(file: &Path) -> Overrides {
        Overrides {
            config: Some(file.to_owned()),
            ..Overrides::default()
        }
    }

    fn lock_of(tool: &str) -> String {
        let sha256 = "0".repeat(64);
        format!(
            "{{\"version\":2,\"pins\":[\n{{\"backend\":\"db\",\"tool\":\"{tool}\",\"sha256\":\"{sha256}\",\"earlier\":[]}}\n]}}\n"
        )
    }

    #[test]
    fn a_lock_that_cant_be_read_any_more_counts_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("sentinel.lock"), lock_of("one")).unwrap();
        for mode in ["block", "warn"] {
            std::fs::write(path("sentinel.toml"), PINNED.replace("block", mode)).unwrap();
            let started = load(&chosen(&path("sentinel.toml")), &Environment::new("."));
            let started = started.unwrap();
            let origin = started.origin.unwrap();
            std::fs::write(path("sentinel.lock"), "half of").unwrap();
            // Twice: what it was is not forgotten.
            for _ in 0..2 {
                let config = origin.load(ALL).unwrap();
                assert_eq!(config.lock.lock, started.lock.lock, "{mode}");
                assert!(config.unused[0].contains("sentinel.lock:1: not a lock"));
            }
            std::fs::write(path("sentinel.lock"), lock_of("two")).unwrap();
            let config = origin.load(ALL).unwrap();
            assert_ne!(config.lock.lock, started.lock.lock);
            assert_eq!(config.unused, [""; 0]);
            std::fs::write(path("sentinel.lock"), lock_of("one")).unwrap();
        }
    }

    #[test]
    fn without_a_lock_that_could_be_read_nothing_is_blocked_by_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("sentinel.lock"), "half of").unwrap();
        std::fs::write(path("sentinel.toml"), PINNED.replace("block", "warn")).unwrap();
        let started = load(&chosen(&path("sentinel.toml")), &Environment::new("."));
        let origin = started.unwrap().origin.unwrap();
        std::fs::write(path("sentinel.toml"), PINNED).unwrap();
        let config = origin.load(ALL).unwrap();
        assert!(config.unused[0].contains("sentinel.lock:1: not a lock"));
        assert_eq!(config.backends[0].tools.pin, crate::config::PinMode::Warn);
    }

    #[test]
    fn what_was_accepted_elsewhere_for_the_administrators_backends_costs_only_those() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let elsewhere = path("sentinel/administrator.lock");
        std::fs::create_dir(path("sentinel")).unwrap();
        std::fs::write(path("sentinel.toml"), PINNED).unwrap();
        std::fs::write(path("sentinel.lock"), lock_of("one")).unwrap();
        let administrators = |pin: &str| {
            let team = PINNED.replace("db", "team").replace("9/", "8/");
            std::fs::write(path("team.toml"), team.replace("block", pin)).unwrap();
        };
        let start = || {
            let env = Environment::new(".").with_state(folder.path());
            let env = env.with_administrators_file(path("team.toml"));
            load(&chosen(&path("sentinel.toml")), &env)
        };
        let tools = |config: &crate::config::Config| -> Vec<String> {
            let pins = config.lock.lock.pins();
            pins.map(|pin| pin.subject.to_string()).collect()
        };
        administrators("warn");
        std::fs::write(&elsewhere, "half of").unwrap();
        let damaged = "administrator.lock:1: not a lock";
        let warned = start().unwrap();
        assert_eq!(tools(&warned), ["one"]);
        assert!(warned.lock.path.is_ok());
        assert!(warned.warnings.iter().any(|why| why.contains(damaged)));
        administrators("block");
        assert!(start().unwrap_err().first().contains(damaged));
        // It never could be read, so "block" can't begin with a reload either.
        assert!(!warned.lock.is_whole);
        let reloaded = warned.origin.unwrap().load(ALL).unwrap();
        assert!(
            reloaded.unused[0].contains(damaged),
            "{:?}",
            reloaded.unused
        );
        let mut backends = reloaded.backends.iter();
        let team = backends.find(|backend| backend.of_administrator).unwrap();
        assert_eq!(team.tools.pin, crate::config::PinMode::Warn);
        // One that could be read counts as it was, beside the other one as it is.
        std::fs::write(&elsewhere, lock_of("two").replace("db", "team")).unwrap();
        let started = start().unwrap();
        assert_eq!(tools(&started), ["one", "two"]);
        std::fs::write(&elsewhere, "half of").unwrap();
        std::fs::write(path("sentinel.lock"), lock_of("three")).unwrap();
        let config = started.origin.unwrap().load(ALL).unwrap();
        assert_eq!(tools(&config), ["three", "two"]);
        assert!(config.unused[0].contains(damaged), "{:?}", config.unused);
    }

    #[test]
    fn the_lock_is_watched_whether_or_not_anything_was_pinned_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let unpinned = PINNED.replace("block", "off");
        std::fs::write(path("sentinel.toml"), unpinned).unwrap();
        let started = load(&chosen(&path("sentinel.toml")), &Environment::new("."));
        let origin = started.unwrap().origin.unwrap();
        assert_eq!(origin.stamps_now(), origin.stamps_read());
        std::fs::write(path("sentinel.lock"), lock_of("one")).unwrap();
        assert_ne!(origin.stamps_now(), origin.stamps_read());
    }

    #[cfg(unix)]
    #[test]
    fn a_config_from_a_pipe_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.toml");
        let (here, mode) = (rustix::fs::CWD, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(here, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let env = Environment::new(folder.path());
        let env = env.with_administrators_file(folder.path().join("team.toml"));
        let started = std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&pipe, "[gateway]\nname = \"piped\"\n").unwrap());
            load(&chosen(&pipe), &env).unwrap()
        });
        let origin = started.origin.unwrap();
        assert_eq!(origin.stamps_now(), origin.stamps_read());
        let config = origin.load(ALL).unwrap();
        assert_eq!((&*config.gateway.name, config.unused.len()), ("piped", 0));
    }

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
