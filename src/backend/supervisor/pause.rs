//! The time between two connections of one session.
//!
//! Owns how long it is. An attempt to connect that failed is followed by a longer and longer wait,
//! which a call ends: but even calls don't cause attempts without a pause between them. A connection
//! that ends soon after it was made is followed by such waits too, but for the first, since a server
//! that restarts loses its sessions once. It must not know how a connection is made.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::connection_handler::ConnectionHandler;
use super::event::BackendEvent;
use crate::backend::backoff::{Backoff, Series, jitter};
use crate::backend::error::{BackendError, ConnectKind};
use crate::backend::session::State;

/// The longest wait between attempts that a server may ask for with `Retry-After`.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// The attempts to connect one session.
pub(super) struct Pauses {
    /// Whether the session's outages are reported.
    reports: bool,
    /// Consecutive ones that failed.
    failures: Backoff,
    /// Consecutive ones whose connection ended soon.
    losses: Backoff,
    /// When the last one succeeded, until its connection ends.
    connected_at: Option<Instant>,
}

impl Pauses {
    /// The pauses of a supervisor before its first attempt.
    pub(super) fn new(reports: bool) -> Self {
        Self {
            reports,
            failures: Backoff::new(Series::RECONNECT),
            losses: Backoff::new(Series::RECONNECT),
            connected_at: None,
        }
    }

    /// An attempt has succeeded.
    pub(super) fn connected(&mut self) {
        self.failures.reset();
        self.connected_at = Some(Instant::now());
    }

    /// A connection has ended, if there was one.
    fn disconnected(&mut self) {
        let life = self.connected_at.take().map(|at| at.elapsed());
        self.losses.lasted(life.unwrap_or_default());
    }

    /// The least time between two attempts, though calls wait for the second.
    fn least(&self) -> Duration {
        let earlier = self.failures.waits().max(self.losses.waits());
        Series::ON_DEMAND.delay(earlier.saturating_sub(1), &mut jitter())
    }

    /// After an attempt that failed: reports it, and waits until it is time to try again, as the server
    /// asks or later, or a call needs it.
    pub(super) async fn after_failure(&mut self, handler: &ConnectionHandler, error: BackendError) {
        let asked = error.retry_after().unwrap_or_default();
        let delay = self.failures.next_delay(&mut jitter());
        let delay = delay.max(asked.min(LONGEST_ASKED));
        self.stay_down(handler, error, delay).await;
    }

    /// After a panic of the gateway that has to do with this server: the same.
    pub(super) async fn after_panic(&mut self, handler: &ConnectionHandler, why: &str) {
        self.disconnected();
        let delay = self.losses.next_delay(&mut jitter());
        let said = handler.context.credentials.snippet(why.as_bytes());
        let why = format!("the gateway failed on this server ({said})");
        let error = BackendError::connect(ConnectKind::Internal, why);
        self.stay_down(handler, error, delay).await;
    }

    async fn stay_down(
        &mut self,
        handler: &ConnectionHandler,
        error: BackendError,
        delay: Duration,
    ) {
        let least = self.least().min(delay);
        let ConnectionHandler { session, context } = handler;
        // The calls that have asked so far get this error.
        let _ = session.connect_now.notified().now_or_never();
        let awaits_sign_in = error.awaits_sign_in();
        let used = context.credentials.generation();
        let failures = self.report_down(handler, error, delay);
        tokio::select! {
            () = context.events.closed() => {}
            () = context.credentials.changed(used), if awaits_sign_in => {}
            () = tokio::time::sleep(delay), if !awaits_sign_in => {}
            () = async {
                tokio::time::sleep(least).await;
                session.connect_now.notified().await;
            } => {}
        }
        session.set_state(State::Connecting { failures });
    }

    /// After a connection that has ended. Calls that come meanwhile wait for the next one.
    pub(super) async fn after_loss(&mut self, handler: &ConnectionHandler) {
        self.disconnected();
        if self.losses.waits() == 0 {
            return self.losses.count();
        }
        let delay = self.losses.next_delay(&mut jitter());
        let least = self.least().min(delay);
        let ConnectionHandler { session, context } = handler;
        tokio::select! {
            () = context.events.closed() => return,
            () = tokio::time::sleep(least) => {}
        }
        if session.connect_now.notified().now_or_never().is_some() {
            return;
        }
        let why = "its connections end soon after they are made";
        let error = BackendError::connect(ConnectKind::Other, why);
        let failures = self.report_down(handler, error, delay);
        tokio::select! {
            () = context.events.closed() => {}
            () = tokio::time::sleep(delay - least) => {}
            () = session.connect_now.notified() => {}
        }
        session.set_state(State::Connecting { failures });
    }

    /// Reports that there is no connection, and returns how many attempts have failed.
    fn report_down(
        &self,
        handler: &ConnectionHandler,
        error: BackendError,
        delay: Duration,
    ) -> u64 {
        let ConnectionHandler { session, context } = handler;
        let why = error.explain(&session.config.shown_url);
        tracing::warn!(
            backend = session.name(),
            error = why,
            retry_in_ms = delay.as_millis() as u64,
            "backend is down"
        );
        let failures = session.failures() + 1;
        session.set_state(State::Down { error, failures });
        if self.reports {
            let _ = context.events.send(BackendEvent::Down {
                backend: context.id,
            });
        }
        failures
    }
}
