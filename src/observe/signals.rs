//! Shutdown requests, from signals or from code.

use tokio::sync::mpsc::{self, UnboundedSender};

/// Receives requests to shut down. After the second one the gateway ends without waiting.
#[derive(Debug)]
pub struct Shutdown(mpsc::UnboundedReceiver<()>);

impl Shutdown {
    /// A shutdown that code requests by sending on the returned channel.
    pub fn manual() -> (UnboundedSender<()>, Self) {
        let (request, requests) = mpsc::unbounded_channel();
        (request, Self(requests))
    }

    /// A shutdown that SIGTERM and SIGINT request or, on Windows, Ctrl-C, Ctrl-Break and closing the
    /// console. SIGHUP is ignored. Must be called within a runtime.
    pub(crate) fn on_signals() -> Self {
        let (request, shutdown) = Self::manual();
        forward(request);
        shutdown
    }

    /// The same, for a gateway whose client has started it: also requested when the client is gone
    /// though stdin stays open (Unix).
    pub(crate) fn on_signals_and_orphaning() -> Self {
        let (request, shutdown) = Self::manual();
        #[cfg(unix)]
        super::orphan::watch(request.clone());
        forward(request);
        shutdown
    }

    /// Waits for the next request.
    pub(crate) async fn requested(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Sends a request for every signal that asks the process to end.
#[cfg(unix)]
fn forward(requests: UnboundedSender<()>) {
    use tokio::signal::unix::{SignalKind, signal};

    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let requests = requests.clone();
        match signal(kind) {
            Ok(mut signals) => drop(tokio::spawn(async move {
                while signals.recv().await.is_some() && requests.send(()).is_ok() {}
            })),
            Err(error) => tracing::warn!(%error, "a signal handler can't be installed"),
        }
    }
    // A closed terminal must not kill calls in flight: EOF on stdin ends the gateway in order.
    if let Ok(mut hangups) = signal(SignalKind::hangup()) {
        drop(tokio::spawn(async move {
            while hangups.recv().await.is_some() {}
        }));
    }
}

/// Sends a request for every console event that asks the process to end.
#[cfg(windows)]
fn forward(requests: UnboundedSender<()>) {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};

    macro_rules! forward_event {
        ($event:expr) => {
            if let Ok(mut events) = $event {
                let requests = requests.clone();
                drop(tokio::spawn(async move {
                    while events.recv().await.is_some() && requests.send(()).is_ok() {}
                }));
            }
        };
    }
    forward_event!(ctrl_c());
    forward_event!(ctrl_break());
    forward_event!(ctrl_close());
}
