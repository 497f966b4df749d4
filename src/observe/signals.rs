//! The wish that we end, the operating system's above all.

use tokio::sync::mpsc::{self, UnboundedSender};

/// The wish that the gateway ends; a second one is urgent.
#[derive(Debug)]
pub struct Shutdown(mpsc::UnboundedReceiver<()>);

impl Shutdown {
    /// One that somebody else in this process triggers.
    pub fn manual() -> (UnboundedSender<()>, Self) {
        let (wish, wishes) = mpsc::unbounded_channel();
        (wish, Self(wishes))
    }

    /// SIGTERM, SIGINT and, on Windows, Ctrl-C, Ctrl-Break and the console's close. A SIGHUP only
    /// must not kill.
    pub fn on_signals() -> Self {
        let (wish, shutdown) = Self::manual();
        forward(wish);
        shutdown
    }

    pub(crate) async fn requested(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Sends a wish for every signal that asks a process to end.
#[cfg(unix)]
fn forward(wishes: UnboundedSender<()>) {
    use tokio::signal::unix::{SignalKind, signal};

    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let wishes = wishes.clone();
        match signal(kind) {
            Ok(mut signals) => drop(tokio::spawn(async move {
                while signals.recv().await.is_some() && wishes.send(()).is_ok() {}
            })),
            Err(error) => tracing::warn!(%error, "a signal can't be listened to"),
        }
    }
    // A terminal that goes away must not kill calls in flight: EOF does that in good order.
    if let Ok(mut hangups) = signal(SignalKind::hangup()) {
        drop(tokio::spawn(async move {
            while hangups.recv().await.is_some() {}
        }));
    }
}

/// Sends a wish for every console event that asks a process to end.
#[cfg(windows)]
fn forward(wishes: UnboundedSender<()>) {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};

    macro_rules! listen {
        ($event:expr) => {
            if let Ok(mut events) = $event {
                let wishes = wishes.clone();
                drop(tokio::spawn(async move {
                    while events.recv().await.is_some() && wishes.send(()).is_ok() {}
                }));
            }
        };
    }
    listen!(ctrl_c());
    listen!(ctrl_break());
    listen!(ctrl_close());
}
