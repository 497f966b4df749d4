//! The second client: it calls a backend that nobody else calls, one call after the other, and pings
//! the gateway in between.
//!
//! Owns how long that takes while the first client's backends are faulty or not. It writes to the
//! gateway's one stdin, like the first client, and its answers pass the same checks. It must not know
//! when there are faults.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Result;
use super::client::Line;
use super::traffic::{self, LIMIT, Outgoing};

/// The pause between two calls, so that it adds little load.
const PAUSE: Duration = Duration::from_millis(4);
/// Every so many calls there is a ping.
const PING_EVERY: usize = 5;

/// Durations of its calls and its pings.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) calls: Vec<Duration>,
    pub(crate) pings: Vec<Duration>,
}

pub(crate) struct SecondClient {
    thread: JoinHandle<Result<()>>,
    times: Arc<Mutex<Times>>,
    ends: Arc<AtomicBool>,
}

impl SecondClient {
    /// Begins to call the backend of this name.
    pub(crate) fn start(line: Line, backend: &'static str) -> Self {
        let (times, ends) = (Arc::<Mutex<Times>>::default(), Arc::<AtomicBool>::default());
        let (timing, ending) = (Arc::clone(&times), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            for number in 0.. {
                if ending.load(Ordering::Relaxed) {
                    break;
                }
                let modern = number % 2 == 1;
                let call = time(&line, |id| traffic::echo(id, backend, modern))?;
                let ping = (number % PING_EVERY == 0).then(|| time(&line, traffic::ping));
                let ping = ping.transpose()?;
                let mut times = timing.lock().unwrap_or_else(PoisonError::into_inner);
                times.calls.push(call);
                times.pings.extend(ping);
                drop(times);
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        Self {
            thread,
            times,
            ends,
        }
    }

    /// The durations since the last call of this.
    pub(crate) fn times(&self) -> Times {
        std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends it after its call in flight.
    pub(crate) fn end(self) -> Result<()> {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| "the second client panicked")?
    }
}

/// The duration of one request. An answer that is lost counts as one at the limit, and the tracker
/// reports it.
fn time(line: &Line, request: impl FnOnce(u64) -> Outgoing) -> Result<Duration> {
    let (answered, duration) = channel::<Duration>();
    line.send(|id| with_report(request(id), answered))?;
    Ok(duration.recv_timeout(LIMIT).unwrap_or(LIMIT))
}

fn with_report(mut outgoing: Outgoing, answered: Sender<Duration>) -> Outgoing {
    outgoing.info.answered = Some(answered);
    outgoing
}
