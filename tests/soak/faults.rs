//! The ways to misbehave, and whose turn it is.

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
/// After so many steps the backends together have had every fault.
pub(crate) const STEPS: usize = FAULTS.len().div_ceil(3);

/// How many notifications a flood is: more than fit into what is read at once.
const FLOOD: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Reset,
    HangUp,
    Stall,
    ServerError,
    /// 503 that promises that the call was not taken.
    Unavailable,
    RateLimited,
    /// A body that is no JSON.
    Garbage,
    NotHttp,
    /// One byte at a time.
    Slow,
    Oversized,
    OversizedEvent,
    /// A stream that breaks before the answer.
    Cut,
    /// More progress than anybody wants.
    Flood,
    /// An answer to somebody else, then the right one, twice.
    WrongAnswers,
    LosesSessions,
    DropsConnections,
    Down,
    /// A response with more headers than a client should take.
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

/// The index of the fault that the backend at this place has in this step, this time. All faults
/// have their turn each time, and the next time at another backend.
pub(crate) fn at(time: usize, step: usize, place: usize) -> usize {
    (place + time) % 3 * STEPS + step % STEPS
}

/// How one backend behaves just now: 0 is well.
#[derive(Clone, Default)]
pub(crate) struct Mood(Arc<AtomicUsize>);

impl Mood {
    /// It gets this fault.
    pub(crate) fn turn(&self, index: usize, fake: &FakeBackend) {
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

    /// It is well again.
    pub(crate) fn settle(&self, fake: &FakeBackend) {
        self.0.store(0, Ordering::Relaxed);
        fake.come_up();
    }

    /// What it says in place of what it should.
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
                let mut other = message::text("for somebody else");
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
