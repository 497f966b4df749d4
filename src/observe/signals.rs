//! Shutdown requests, from signals or from code.
//!
//! Owns [`Shutdown`], the queue of them, and which signals are one. After the second the gateway ends without
//! waiting. SIGHUP has the config loaded again.

use crate::tasks;
use tokio::sync::mpsc::{self, UnboundedSender};

/// Receives requests to shut down. After the second one the gateway ends without waiting.
#[derive(Debug)]
pub struct Shutdown {
    requests: mpsc::UnboundedReceiver<()>,
    /// The requests to load the config again, until they are taken.
    hangups: Hangups,
}

/// Requests to load the config again: SIGHUP, where signals are handled at all.
#[derive(Debug, Default)]
pub(crate) struct Hangups(Option<mpsc::UnboundedReceiver<()>>);

impl Hangups {
    /// Calls `reload` for each.
    pub(crate) fn forward(self, reload: impl Fn() + Send + 'static) {
        if let Some(mut hangups) = self.0 {
            drop(tasks::spawn(async move {
                while hangups.recv().await.is_some() {
                    reload();
                }
            }));
        }
    }
}

impl Shutdown {
    /// A shutdown that code requests by sending on the returned channel.
    pub fn manual() -> (UnboundedSender<()>, Self) {
        let (request, requests) = mpsc::unbounded_channel();
        let shutdown = Self {
            requests,
            hangups: Hangups::default(),
        };
        (request, shutdown)
    }

    /// This shutdown with a channel for requests to load the config again, as SIGHUP is one.
    pub fn with_hangups(self) -> (UnboundedSender<()>, Self) {
        let (hangup, hangups) = mpsc::unbounded_channel();
        let hangups = Hangups(Some(hangups));
        (hangup, Self { hangups, ..self })
    }

    /// A shutdown that SIGTERM and SIGINT request or, on Windows, Ctrl-C, Ctrl-Break and closing the
    /// console. SIGHUP has the config loaded again. Must be called within a runtime.
    pub(crate) fn on_signals() -> Self {
        let (request, mut shutdown) = Self::manual();
        shutdown.hangups = forward(request);
        shutdown
    }

    /// A shutdown for a gateway whose client has started it: requested as
    /// [`on_signals`](Self::on_signals) says, and when the client is gone though stdin stays open
    /// (Unix).
    pub(crate) fn on_signals_and_orphaning() -> Self {
        let (request, mut shutdown) = Self::manual();
        #[cfg(unix)]
        super::orphan::watch(request.clone());
        shutdown.hangups = forward(request);
        shutdown
    }

    /// The requests to load the config again; the second time there are none.
    pub(crate) fn hangups(&mut self) -> Hangups {
        std::mem::take(&mut self.hangups)
    }

    /// Waits for the next request.
    pub(crate) async fn requested(&mut self) {
        if self.requests.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Sends a request for every signal that asks the process to end. Returns the hangups.
#[cfg(unix)]
fn forward(requests: UnboundedSender<()>) -> Hangups {
    use tokio::signal::unix::{SignalKind, signal};

    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let requests = requests.clone();
        match signal(kind) {
            Ok(mut signals) => drop(tasks::spawn(async move {
                while signals.recv().await.is_some() && requests.send(()).is_ok() {}
            })),
            Err(error) => tracing::warn!(%error, "a signal handler can't be installed"),
        }
    }
    // A file that may not grow any more is an error of the write, not the end of the process.
    let no_room = rustix::process::Signal::XFSZ.as_raw();
    drop(signal(SignalKind::from_raw(no_room)));
    // A closed terminal must not kill calls in flight: EOF on stdin ends the gateway in order.
    let (hangup, hangups) = mpsc::unbounded_channel();
    if let Ok(mut signals) = signal(SignalKind::hangup()) {
        drop(tasks::spawn(async move {
            while signals.recv().await.is_some() {
                // Nobody may want to know.
                let _ = hangup.send(());
            }
        }));
    }
    Hangups(Some(hangups))
}

/// Sends a request for every console event that asks the process to end.
#[cfg(windows)]
fn forward(requests: UnboundedSender<()>) -> Hangups {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};

    macro_rules! forward_event {
        ($event:expr) => {
            if let Ok(mut events) = $event {
                let requests = requests.clone();
                drop(tasks::spawn(async move {
                    while events.recv().await.is_some() && requests.send(()).is_ok() {}
                }));
            }
        };
    }
    forward_event!(ctrl_c());
    forward_event!(ctrl_break());
    forward_event!(ctrl_close());
    Hangups::default()
}
