//! Notices that the config has changed, and loads it again.
//!
//! Owns the thread that looks at the config files and their lock, and when a change counts: once the
//! file stays the same for a moment, so that a file that is being written is not taken half. Looking
//! from time to time works on every file system, through links, and where a file is replaced. The administrator's
//! file counts by itself, whatever is done to the user's. A user's file that is saved all the time is taken as it
//! is after a while; that of the administrator is not, since half of it denies less. It must not know what is done
//! with a config.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::{Config, Origin, Parts, Problems, Stamps};
use crate::observe::signals::Hangups;

/// The time between two looks at the files.
const TICK: Duration = Duration::from_millis(500);
/// How long a file must stay the same before it is loaded.
const QUIET: Duration = Duration::from_millis(200);
/// The longest wait until the user's file stays the same.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What was loaded after a change.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// When the change counted, before the files were read.
    pub(crate) noticed: Instant,
    pub(crate) config: Result<Box<Config>, Problems>,
}

/// What has become of the changes, since the start.
#[derive(Debug, Default)]
pub(crate) struct ReloadCounts {
    applied: AtomicU64,
    refused: AtomicU64,
}

impl ReloadCounts {
    /// Counts a change: `is_used` if at least a part of it is in use.
    pub(crate) fn add(&self, is_used: bool) {
        let count = if is_used {
            &self.applied
        } else {
            &self.refused
        };
        count.fetch_add(1, Relaxed);
    }

    /// Changes that are in use, at least in part.
    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Relaxed)
    }

    /// Changes of which nothing can be used.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The numbers of both, each with its name.
    pub(crate) fn all(&self) -> [(&'static str, u64); 2] {
        [("applied", self.applied()), ("refused", self.refused())]
    }
}

/// Receives what was loaded. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Reloads {
    loaded: mpsc::UnboundedReceiver<Loaded>,
    /// `None` where there is no thread.
    _wake: Option<Sender<()>>,
}

impl Reloads {
    /// Watches the files of a config that is in use; none where it stays as it is. A hangup has them
    /// loaded whether or not they have changed.
    pub(crate) fn watch(config: &Config, hangups: Hangups) -> Self {
        let (send, loaded) = mpsc::unbounded_channel();
        let wake = config.origin.clone().and_then(|origin| {
            let (wake, woken) = channel();
            let thread = thread::Builder::new().name("config".into());
            let watching = thread.spawn(move || Watch::new(origin, send).run(&woken));
            if let Err(error) = watching {
                tracing::warn!(%error, "changes of the config can't be noticed");
                return None;
            }
            let hangup = wake.clone();
            hangups.forward(move || {
                // The thread has ended.
                let _ = hangup.send(());
            });
            Some(wake)
        });
        Self {
            loaded,
            _wake: wake,
        }
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Loaded {
        match self.loaded.recv().await {
            Some(loaded) => loaded,
            None => std::future::pending().await,
        }
    }
}

struct Watch {
    origin: Arc<Origin>,
    loaded: mpsc::UnboundedSender<Loaded>,
    /// The stamps of each part, as of the last load of it.
    seen: Stamps,
    /// Since when the user's part differs from what was loaded last.
    users_differ: Option<Instant>,
}

impl Watch {
    fn new(origin: Arc<Origin>, loaded: mpsc::UnboundedSender<Loaded>) -> Self {
        Self {
            seen: origin.stamps_read(),
            users_differ: None,
            origin,
            loaded,
        }
    }

    fn run(mut self, woken: &Receiver<()>) {
        loop {
            let is_asked = match woken.recv_timeout(TICK) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.loaded.is_closed() {
                return;
            }
            let now = self.origin.stamps_now();
            if now == self.seen && !is_asked {
                continue;
            }
            let Some((now, taken)) = self.settled(now, is_asked, woken) else {
                return;
            };
            let known = self.origin.after_own_writes(self.seen);
            self.seen = taken.update(known, now);
            if taken.users {
                self.users_differ = None;
            }
            // What the gateway itself has written down is in use.
            if known == self.seen && !is_asked {
                continue;
            }
            let noticed = Instant::now();
            let config = self.origin.load(taken).map(Box::new);
            // Noticed at the next look if nobody wants it any more.
            let _ = self.loaded.send(Loaded { noticed, config });
        }
    }

    /// Waits until a part that has changed can be taken, or the user's where a hangup has asked for it. Returns the
    /// files as they are then, and which parts can be taken; `None` if nobody wants them any more.
    fn settled(
        &mut self,
        mut now: Stamps,
        is_asked: bool,
        woken: &Receiver<()>,
    ) -> Option<(Stamps, Parts)> {
        let mut before = now;
        loop {
            let differs = Parts::changed(self.seen, now);
            if now == self.seen {
                return Some((now, Parts::ALL));
            }
            if differs.users {
                self.users_differ.get_or_insert_with(Instant::now);
            } else {
                self.users_differ = None;
            }
            match woken.recv_timeout(QUIET) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            now = self.origin.stamps_now();
            let moves = Parts::changed(std::mem::replace(&mut before, now), now);
            let is_late = (self.users_differ).is_some_and(|since| since.elapsed() >= LONGEST_WAIT);
            let quiet = Parts {
                administrators: !moves.administrators,
                users: !moves.users || is_late,
            };
            let differs = Parts::changed(self.seen, now);
            if differs.administrators && quiet.administrators
                || (differs.users || is_asked) && quiet.users
            {
                return Some((now, quiet));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, Overrides, load};

    fn watch(file: &Path) -> Reloads {
        let overrides = Overrides {
            config: Some(file.to_owned()),
            ..Overrides::default()
        };
        let config = load(&overrides, &Environment::new(".")).unwrap();
        Reloads::watch(&config, Hangups::default())
    }

    const TEAM: &str = "[[backends]]\nname = \"team\"\nurl = \"http://127.0.0.1:9/\"\n";

    /// Watches both files, of which the administrator's has a backend.
    fn watch_both(folder: &Path) -> Reloads {
        let (team, user) = (folder.join("team.toml"), folder.join("sentinel.toml"));
        replace(&team, TEAM);
        std::fs::write(&user, "[gateway]\nname = \"first\"\n").unwrap();
        let env = Environment::new(folder).with_administrators_file(team);
        let overrides = Overrides {
            config: Some(user),
            ..Overrides::default()
        };
        Reloads::watch(&load(&overrides, &env).unwrap(), Hangups::default())
    }

    /// In one step, so that no half of it can be taken.
    fn replace(file: &Path, text: &str) {
        let new = file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, file).unwrap();
    }

    #[tokio::test]
    async fn fault_103_the_users_saves_dont_delay_the_administrators_change() {
        let folder = tempfile::tempdir().unwrap();
        let user = folder.path().join("sentinel.toml");
        let mut reloads = watch_both(folder.path());
        let denied = format!("{TEAM}enabled = false\n");
        let (begun, mut saved) = (Instant::now(), 0);
        let loaded = loop {
            assert!(begun.elapsed() < 4 * LONGEST_WAIT, "it is never taken");
            saved += 1;
            replace(&user, &format!("[gateway]\nname = \"saved-{saved:09}\""));
            if saved == 1 {
                replace(&folder.path().join("team.toml"), &denied);
            }
            if let Ok(loaded) = tokio::time::timeout(QUIET / 8, reloads.next()).await {
                break loaded.config.unwrap();
            }
        };
        assert!(begun.elapsed() < LONGEST_WAIT, "{:?}", begun.elapsed());
        assert!(loaded.backends.is_empty(), "{:?}", loaded.backends);
        assert_eq!(loaded.gateway.name, "first", "it was still being saved");
    }

    #[tokio::test]
    async fn fault_103_an_administrators_file_that_changes_all_the_time_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (team, user) = (
            folder.path().join("team.toml"),
            folder.path().join("sentinel.toml"),
        );
        let mut reloads = watch_both(folder.path());
        let begun = Instant::now();
        let (mut written, mut is_busy) = (begun, false);
        let mut names = Vec::new();
        replace(&user, "[gateway]\nname = \"second\"\n");
        while begun.elapsed() < LONGEST_WAIT + 3 * TICK {
            // Nothing is denied, and nothing offered, by an empty one.
            for text in ["", "# half"] {
                replace(&team, text);
                // A busy machine may have left the file alone for long enough.
                is_busy |= written.elapsed() >= QUIET;
                written = Instant::now();
            }
            if let Ok(loaded) = tokio::time::timeout(QUIET / 8, reloads.next()).await {
                let config = loaded.config.unwrap();
                assert!(
                    is_busy || config.backends.len() == 1,
                    "half a file is taken"
                );
                names.push(config.gateway.name.clone());
            }
        }
        assert!(names.contains(&"second".to_owned()), "{names:?}");
        replace(&team, &format!("{TEAM}enabled = false\n"));
        while !reloads.next().await.config.unwrap().backends.is_empty() {}
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn fault_103_a_pipe_in_place_of_the_users_file_keeps_no_denial_away() {
        let folder = tempfile::tempdir().unwrap();
        let user = folder.path().join("sentinel.toml");
        let mut reloads = watch_both(folder.path());
        std::fs::remove_file(&user).unwrap();
        let (here, mode) = (rustix::fs::CWD, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(here, &user, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let mut next = async || {
            let next = tokio::time::timeout(4 * LONGEST_WAIT, reloads.next()).await;
            next.expect("the thread waits for the pipe").config.unwrap()
        };
        let mut config = next().await;
        while config
            .unused
            .iter()
            .all(|why| !why.contains("is not a regular file"))
        {
            config = next().await;
        }
        assert_eq!((&*config.gateway.name, config.backends.len()), ("first", 1));
        let denied = format!("{TEAM}enabled = false\n");
        replace(&folder.path().join("team.toml"), &denied);
        while !next().await.backends.is_empty() {}
    }

    /// Each write is followed by the next within [`QUIET`].
    #[tokio::test]
    async fn fault_82_a_file_counts_once_it_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.toml");
        std::fs::write(&file, "").unwrap();
        let mut reloads = watch(&file);
        let begun = Instant::now();
        let mut half = true;
        while begun.elapsed() < 3 * TICK {
            let text = match half {
                true => "[gateway]\nname = \"ha",
                false => "[gateway]\nname = \"whole\"\n# and more",
            };
            half = !half;
            std::fs::write(&file, text).unwrap();
            let written = Instant::now();
            let taken = tokio::time::timeout(QUIET / 8, reloads.next()).await;
            // A busy machine may have left the file alone for long enough.
            assert!(
                taken.is_err() || written.elapsed() >= QUIET,
                "half a file is taken: {taken:?}"
            );
        }
        std::fs::write(&file, "[gateway]\nname = \"last\"\n").unwrap();
        let written = Instant::now();
        let is_last =
            |loaded: Loaded| (loaded.config).is_ok_and(|config| config.gateway.name == "last");
        while !is_last(reloads.next().await) {}
        assert!(written.elapsed() >= QUIET);
    }

    /// The file is saved each time before it has stayed the same for long enough.
    #[tokio::test]
    async fn a_file_that_is_saved_all_the_time_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.toml");
        std::fs::write(&file, "").unwrap();
        let mut reloads = watch(&file);
        let (begun, mut saved) = (Instant::now(), 0);
        let loaded = loop {
            assert!(begun.elapsed() < 4 * LONGEST_WAIT, "it is never taken");
            saved += 1;
            // In one step, so that no half of it can be taken.
            let new = folder.path().join("new");
            std::fs::write(&new, format!("[gateway]\nname = \"saved-{saved:09}\"")).unwrap();
            std::fs::rename(&new, &file).unwrap();
            if let Ok(loaded) = tokio::time::timeout(QUIET / 8, reloads.next()).await {
                break loaded;
            }
        };
        let name = loaded.config.unwrap().gateway.name.clone();
        assert!(name.starts_with("saved-"), "{name}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_to_another_file_and_a_file_that_comes_back_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = |name: &str| format!("[gateway]\nname = \"{name}\"\n");
        for name in ["one", "two"] {
            std::fs::write(path(name), text(name)).unwrap();
        }
        let file = path("sentinel.toml");
        std::os::unix::fs::symlink(path("one"), &file).unwrap();
        let mut reloads = watch(&file);
        // As Kubernetes does it.
        std::os::unix::fs::symlink(path("two"), path("new")).unwrap();
        std::fs::rename(path("new"), &file).unwrap();
        assert_eq!(reloads.next().await.config.unwrap().gateway.name, "two");
        std::fs::remove_file(&file).unwrap();
        let missing = reloads.next().await.config.unwrap();
        assert_eq!(missing.gateway.name, "two", "what it said before stays");
        assert!(
            missing.unused[0].contains("no such file"),
            "{:?}",
            missing.unused
        );
        std::fs::write(&file, text("six")).unwrap();
        assert_eq!(reloads.next().await.config.unwrap().gateway.name, "six");
    }
}
