//! The faults, and their schedule.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::common::fake::FakeBackend;
use super::common::message;
use super::common::reply::Reply;
use super::common::wire::Request;
use super::{MAX_MESSAGE, backends};

/// How long each fault lasts.
pub(crate) const STEP: Duration = Duration::from_millis(800);
/// The number of steps after which the backends together have had every fault.
pub(crate) const STEPS: usize = FAULTS.len().div_ceil(3);

/// The number of notifications of a flood: more than fit into one read.
const FLOOD: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Reset,
    HangUp,
    Stall,
    ServerError,
    /// 503 with `Retry-After`, so the call was not executed.
    Unavailable,
    RateLimited,
    /// A body that is not JSON.
    Garbage,
    NotHttp,
    /// One byte at a time.
    Slow,
    Oversized,
    OversizedEvent,
    /// A stream that breaks before the answer.
    Cut,
    /// Many progress notifications, without an answer.
    Flood,
    /// An answer with another id, then the right one, twice.
    WrongAnswers,
    LosesSessions,
    DropsConnections,
    Down,
    /// A response with more headers than a client should accept.
    Headers,
}

const FAULTS: [Fault; 18] = [
    Fault::Reset,
    Fault::HangUp,
    Fault::Stall,
    Fault::ServerError,
    Fault::Unavailable,
    Fault::RateLimited,
    Fault::Garbage,
    Fault::NotHttp,
    Fault::Slow,
    Fault::Oversized,
    Fault::OversizedEvent,
    Fault::Cut,
    Fault::Flood,
    Fault::WrongAnswers,
    Fault::LosesSessions,
    Fault::DropsConnections,
    Fault::Down,
    Fault::Headers,
];

/// The index of the fault of the backend at `position` in `step` of `cycle`. Every cycle has every
/// fault, each at another backend than in the cycle before.
pub(crate) fn at(cycle: usize, step: usize, position: usize) -> usize {
    (position + cycle) % 3 * STEPS + step % STEPS
}

/// The current fault of one backend: its index plus one, or 0 for none.
#[derive(Clone, Default)]
pub(crate) struct CurrentFault(Arc<AtomicUsize>);

impl CurrentFault {
    /// Sets a fault.
    pub(crate) fn set(&self, index: usize, fake: &FakeBackend) {
        let fault = FAULTS[index];
        self.0.store(index + 1, Ordering::Relaxed);
        fake.come_up();
        match fault {
            Fault::LosesSessions => drop(fake.forget_sessions()),
            Fault::DropsConnections => drop(fake.drop_connections()),
            Fault::Down => drop(fake.go_down()),
            _ => {}
        }
    }

    /// Ends the fault.
    pub(crate) fn clear(&self, fake: &FakeBackend) {
        self.0.store(0, Ordering::Relaxed);
        fake.come_up();
    }

    /// The faulty reply in place of the normal one, if there is a fault.
    pub(crate) fn reply(&self, request: &Request) -> Option<Reply> {
        let fault = FAULTS.get(self.0.load(Ordering::Relaxed).checked_sub(1)?)?;
        let has_answer = !request.message["id"].is_null();
        has_answer.then(|| fault.reply(request)).flatten()
    }
}

impl Fault {
    fn reply(self, request: &Request) -> Option<Reply> {
        let json = || Reply::status(200).header("content-type", "application/json");
        Some(match self {
            Self::Reset => Reply::reset(),
            Self::HangUp => Reply::hang_up(),
            Self::Stall => Reply::stall(),
            Self::ServerError => Reply::status(500).body("out of order"),
            Self::Unavailable => Reply::status(503).header("retry-after", "0"),
            Self::RateLimited => Reply::status(429).header("retry-after", "1"),
            Self::Garbage => json().body("{\"jsonrpc\": \"2.0\", oops"),
            Self::NotHttp => Reply::raw("SSH-2.0-not-a-web-server\r\n").then_hang_up(),
            Self::Slow => Reply::json(&backends::done(request)).byte_by_byte(STEP / 100),
            Self::Oversized => json().bytes(vec![b' '; MAX_MESSAGE + 1]),
            Self::OversizedEvent => Reply::sse().bytes(vec![b'x'; MAX_MESSAGE + 1]),
            Self::Cut => Reply::sse().event(message::progress(1.0)).then_hang_up(),
            Self::Flood => {
                let report = format!("data: {}\n\n", message::progress(1.0));
                Reply::sse().body(report.repeat(FLOOD)).then_hang_up()
            }
            Self::WrongAnswers => {
                let mut other = message::text("for another request");
                other["id"] = json!(u64::MAX);
                let right = backends::done(request);
                Reply::sse().event(other).event(right.clone()).event(right)
            }
            Self::Headers => {
                let many = (0..500).fold(Reply::status(200), |reply, n| {
                    reply.header(&format!("x-{n}"), "x")
                });
                many.body("?")
            }
            Self::LosesSessions | Self::DropsConnections | Self::Down => return None,
        })
    }
}
