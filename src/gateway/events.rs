//! The events that the loop handles, and their order.
//!
//! Owns the sources of events, and the deadlines of the loop. It must not know how an event is handled.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::backend::BackendEvent;
use crate::dispatch::TaskEvent;
use crate::observe::signals::Shutdown;
use crate::publish::{BuildOutput, Publisher};
use crate::reload::{Loaded, Reloads};
use crate::state::CachedListings;
use crate::transport::stdio::{StdinEvent, WriteEnd, Writer};

/// Consecutive events not caused by client input before a line of the client is taken.
const FAIRNESS: u32 = 64;

/// How long the client's first line waits for the listings of earlier runs.
const HOLD: Duration = Duration::from_millis(200);

/// What the loop handles, one at a time.
pub(super) enum Event {
    /// A task of a request reports something.
    Task(TaskEvent),
    /// Something has happened with a backend.
    Backend(BackendEvent),
    /// What takes longer was built on another thread.
    Built(Box<BuildOutput>),
    /// The listings of earlier runs are read.
    CacheRead(CachedListings),
    /// Backends have had their time to connect.
    StartupOver,
    /// The config was loaded again.
    Reloaded(Loaded),
    /// New backends have had their time to list.
    Announce,
    /// The client has sent a line.
    Line(StdinEvent),
    /// The client sends no more.
    EndOfInput,
    /// The writer has ended, or is stuck.
    WriteEnd(WriteEnd),
    /// The process is asked to end.
    Signal,
    /// Calls in flight have had their time to finish.
    DrainOver,
}

/// What arrives from outside the loop.
pub(crate) struct Inputs {
    pub(crate) lines: mpsc::Receiver<StdinEvent>,
    pub(crate) backends: mpsc::UnboundedReceiver<BackendEvent>,
    pub(crate) shutdown: Shutdown,
    pub(crate) writer: Writer,
    reloads: Reloads,
    /// `None` once it is read.
    cached: Option<BoxFuture<'static, CachedListings>>,
    /// Until when no line is taken before the listings of earlier runs are read: the answer to a
    /// handshake says what is in them.
    hold: Option<Instant>,
    /// Consecutive events not caused by client input.
    streak: u32,
}

/// Until when the loop waits.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// End of `startup_wait`; `None` before a client is introduced, and after the wait.
    pub(super) startup: Option<Instant>,
    /// End of `drain`; `Some` from the end of input or a signal on.
    pub(super) drain: Option<Instant>,
    /// When clients are told which lists a reload has changed.
    pub(super) announce: Option<Instant>,
}

impl Inputs {
    pub(crate) fn new(
        lines: mpsc::Receiver<StdinEvent>,
        backends: mpsc::UnboundedReceiver<BackendEvent>,
        shutdown: Shutdown,
        writer: Writer,
        reloads: Reloads,
        cached: BoxFuture<'static, CachedListings>,
    ) -> Self {
        Self {
            lines,
            backends,
            shutdown,
            writer,
            reloads,
            cached: Some(cached),
            hold: Some(Instant::now() + HOLD),
            streak: 0,
        }
    }

    /// The next event. The order is part of the design: output, then internal events, then input.
    /// After [`FAIRNESS`] of the first two a line of the client goes first, so that a flood from a
    /// backend can't delay a cancellation.
    pub(super) async fn next(
        &mut self,
        tasks: &mut mpsc::UnboundedReceiver<TaskEvent>,
        publisher: &mut Publisher,
        deadlines: &Deadlines,
    ) -> Event {
        self.streak += 1;
        if self.streak > FAIRNESS {
            self.streak = 0;
            if deadlines.drain.is_none()
                && !self.is_held()
                && let Ok(line) = self.lines.try_recv()
            {
                return Event::Line(line);
            }
            if let Some(event) = self.others(publisher, deadlines).now_or_never() {
                return event;
            }
        }
        // Without yielding to the runtime: a backend that floods would send more meanwhile than is
        // handled.
        if let Ok(event) = tasks.try_recv() {
            return Event::Task(event);
        }
        tokio::select! {
            biased;
            Some(event) = tasks.recv() => Event::Task(event),
            event = self.others(publisher, deadlines) => event,
        }
    }

    /// Whether no line is taken yet.
    fn is_held(&self) -> bool {
        self.cached.is_some() && self.hold.is_some()
    }

    async fn others(&mut self, publisher: &mut Publisher, deadlines: &Deadlines) -> Event {
        if self.is_held() {
            let limit = self.hold;
            tokio::select! {
                biased;
                event = self.others_at_once(publisher, deadlines) => return event,
                () = until(limit) => self.hold = None,
            }
        }
        self.others_at_once(publisher, deadlines).await
    }

    async fn others_at_once(&mut self, publisher: &mut Publisher, deadlines: &Deadlines) -> Event {
        let is_held = self.is_held();
        tokio::select! {
            biased;
            end = self.writer.ended() => Event::WriteEnd(end),
            () = self.shutdown.requested() => Event::Signal,
            built = publisher.built() => Event::Built(Box::new(built)),
            cached = read(&mut self.cached) => Event::CacheRead(cached),
            Some(event) = self.backends.recv() => Event::Backend(event),
            () = until(deadlines.startup) => Event::StartupOver,
            () = until(deadlines.drain) => Event::DrainOver,
            loaded = self.reloads.next() => Event::Reloaded(loaded),
            () = until(deadlines.announce) => Event::Announce,
            line = self.lines.recv(), if deadlines.drain.is_none() && !is_held => {
                self.streak = 0;
                line.map_or(Event::EndOfInput, Event::Line)
            }
        }
    }
}

async fn read(cached: &mut Option<BoxFuture<'static, CachedListings>>) -> CachedListings {
    match cached {
        Some(reading) => {
            let read = reading.await;
            *cached = None;
            read
        }
        None => std::future::pending().await,
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
