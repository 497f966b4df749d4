//! Notices that the config has changed, and loads it again.
//!
//! Owns the thread that looks at the config file and its lock, and when a change counts: once the
//! files stay the same for a moment, so that a file that is being written is not taken half. Looking
//! from time to time works on every file system, through links, and where a file is replaced. A file that is
//! saved all the time is taken as it is after a while. It must not know what is done with a config.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::{Config, Origin, Problems, Stamps};
use crate::observe::signals::Hangups;

/// From one look to the next.
const TICK: Duration = Duration::from_millis(500);
/// How long files must stay the same.
const QUIET: Duration = Duration::from_millis(200);
/// How long that is waited for: one file that never stays the same must not hide what another one says.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What was loaded after a change.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// When the change counted, before the files were read.
    pub(crate) noticed: Instant,
    pub(crate) config: Result<Box<Config>, Problems>,
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
    /// As of the last load.
    seen: Stamps,
}

impl Watch {
    fn new(origin: Arc<Origin>, loaded: mpsc::UnboundedSender<Loaded>) -> Self {
        Self {
            seen: origin.stamps_read(),
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
            let before = self.seen;
            let mut now = self.origin.stamps_now();
            if now == self.seen && !is_asked {
                continue;
            }
            let begun = Instant::now();
            while now != self.seen && begun.elapsed() < LONGEST_WAIT {
                match woken.recv_timeout(QUIET) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                self.seen = std::mem::replace(&mut now, self.origin.stamps_now());
            }
            // What the gateway itself has written down is in use.
            if self.origin.after_own_writes(before) == self.seen && !is_asked {
                continue;
            }
            let noticed = Instant::now();
            let config = self.origin.load().map(Box::new);
            // Noticed at the next look if nobody wants it any more.
            let _ = self.loaded.send(Loaded { noticed, config });
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
