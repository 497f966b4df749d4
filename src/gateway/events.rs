//! What can happen, and which of it comes first.

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::backend::BackendEvent;
use crate::dispatch::TaskEvent;
use crate::observe::signals::Shutdown;
use crate::transport::stdio::{StdinEvent, WriteEnd, Writer};

/// Internal events in a row before the client's lines get their turn.
const FAIRNESS: u32 = 64;

/// Everything that can happen.
pub(super) enum Event {
    /// A task has something to say.
    Task(TaskEvent),
    /// A keeper has something to say.
    HttpBackend(BackendEvent),
    /// Backends have had their time to connect.
    StartupOver,
    /// The client has sent a line.
    Line(StdinEvent),
    /// The client sends no more.
    EndOfInput,
    /// Nobody reads our answers.
    WriteEnd(WriteEnd),
    /// Somebody wants us to end.
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
    /// Events in a row that were none of the client's.
    streak: u32,
}

/// Until when the loop waits for what it waits for.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// When backends have had their time; `None` until a client was introduced, and after.
    pub(super) startup: Option<Instant>,
    /// When calls in flight have had theirs; `Some` from EOF or a signal on.
    pub(super) drain: Option<Instant>,
}

impl Inputs {
    pub(crate) fn new(
        lines: mpsc::Receiver<StdinEvent>,
        backends: mpsc::UnboundedReceiver<BackendEvent>,
        shutdown: Shutdown,
        writer: Writer,
    ) -> Self {
        Self {
            lines,
            backends,
            shutdown,
            writer,
            streak: 0,
        }
    }

    /// The order is part of the design: what goes out, what happens inside, what comes in. After a
    /// while of the first two the client's lines go first, so that a flood from a backend can't
    /// keep a cancellation waiting.
    pub(super) async fn next(
        &mut self,
        tasks: &mut mpsc::UnboundedReceiver<TaskEvent>,
        deadlines: &Deadlines,
    ) -> Event {
        self.streak += 1;
        if self.streak > FAIRNESS {
            self.streak = 0;
            if deadlines.drain.is_none()
                && let Ok(line) = self.lines.try_recv()
            {
                return Event::Line(line);
            }
            if let Some(event) = self.others(deadlines).now_or_never() {
                return event;
            }
        }
        // All that is there, whatever the runtime would have done in between: a backend that pours
        // would say more meanwhile than is taken in.
        if let Ok(event) = tasks.try_recv() {
            return Event::Task(event);
        }
        tokio::select! {
            biased;
            Some(event) = tasks.recv() => Event::Task(event),
            event = self.others(deadlines) => event,
        }
    }

    async fn others(&mut self, deadlines: &Deadlines) -> Event {
        tokio::select! {
            biased;
            end = self.writer.ended() => Event::WriteEnd(end),
            () = self.shutdown.requested() => Event::Signal,
            Some(event) = self.backends.recv() => Event::HttpBackend(event),
            () = until(deadlines.startup) => Event::StartupOver,
            () = until(deadlines.drain) => Event::DrainOver,
            line = self.lines.recv(), if deadlines.drain.is_none() => {
                self.streak = 0;
                line.map_or(Event::EndOfInput, Event::Line)
            }
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
