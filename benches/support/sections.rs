//! The sections of the benchmark.
//!
//! Owns what is measured in each section. It must not know the targets.

mod calls;
mod eras;
mod features;
mod fleet;
mod instructions;
mod resources;
mod soak;
mod start;

use std::time::Duration;

use crate::support::Result;
use crate::support::call::{Call, HUGE, JSON_SMALL, LARGE, MIDDLE, SSE_SMALL, Shape, tool};
use crate::support::client::direct::Direct;
use crate::support::client::driver::CallDriver;
use crate::support::client::stdio::StdioClient;
use crate::support::mock::Servers;
use crate::support::process::Program;
use crate::support::process::setup::{Mock, Setup, Subject};
use crate::support::report::results::{Results, Route, Section};

/// The usual number of concurrent calls.
const CONCURRENCY: usize = 64;

/// Time from the handshake to measuring an idle process, in which its threads become idle.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// The usual gateway.
const USUAL: (&str, &str) = ("usual", "");
/// A gateway that accepts responses over the default limit.
const RAISED: (&str, &str) = ("raised", "max_message_bytes = 134217728");

/// The processes, and the number of calls.
pub(crate) struct Benchmark {
    subject: Subject,
    relay: Program,
    mock: Mock,
    effort: Effort,
}

/// The amount of work in one round. A round has slices, in which the routes alternate, so that other load on the machine affects all of them.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    slices: usize,
    /// Calls in a slice, one at a time and concurrent.
    sequential: usize,
    concurrent: usize,
    /// Calls in a round, for large responses.
    large: usize,
    huge: usize,
    starts: usize,
    soak: usize,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        slices: 10,
        sequential: 200,
        concurrent: 2000,
        large: 9,
        huge: 3,
        starts: 15,
        soak: 1_000_000,
    };
    pub(crate) const QUICK: Self = Self {
        slices: 5,
        sequential: 100,
        concurrent: 1000,
        large: 3,
        huge: 1,
        starts: 5,
        soak: 50_000,
    };
}

type Client = Box<dyn CallDriver>;
type Clients = Vec<(Route, Client)>;

impl Benchmark {
    pub(crate) fn new(subject: Subject, effort: Effort) -> Result<Self> {
        let mock = Mock::start(Servers::Legacy)?;
        Ok(Self {
            subject,
            relay: Program::own_role("relay", mock.url())?,
            mock,
            effort,
        })
    }

    /// Runs one round of a section over all routes.
    pub(crate) fn measure(
        &self,
        section: Section,
        round: usize,
        results: &mut Results,
    ) -> Result<()> {
        let Effort {
            large,
            huge,
            concurrent: many,
            ..
        } = self.effort;
        let sized = |shape, bytes| Call::from(tool(shape, bytes));
        match section {
            Section::Small => self.calls(section, JSON_SMALL.into(), many, round, results),
            Section::Sse => self.calls(section, SSE_SMALL.into(), many, round, results),
            Section::Middle => {
                let call = sized(Shape::Json, MIDDLE);
                self.calls(section, call, many / 5, round, results)
            }
            Section::MiddleSse => {
                let call = sized(Shape::Sse, MIDDLE);
                self.calls(section, call, many / 5, round, results)
            }
            Section::Large => {
                self.one_answer(section, sized(Shape::Json, LARGE), large, round, results)
            }
            Section::LargeSse => {
                self.one_answer(section, sized(Shape::Sse, LARGE), large, round, results)
            }
            Section::Huge => {
                self.one_answer(section, sized(Shape::Json, HUGE), huge, round, results)
            }
            Section::HugeSse => {
                self.one_answer(section, sized(Shape::Sse, HUGE), huge, round, results)
            }
            Section::Arguments => {
                let call = Call {
                    padding: LARGE,
                    ..JSON_SMALL.into()
                };
                self.one_answer(section, call, large, round, results)
            }
            Section::Progress => self.progress(round, results),
            Section::Stream => self.stream(round, results),
            Section::Crowd => self.crowd(results),
            Section::Fleet => self.fleet(results),
            Section::Eras => self.eras(round, results),
            Section::Start => self.start(round, results),
            Section::Instructions => self.instructions(results),
            Section::Features => self.features(round, results),
            Section::Resources => self.resources(results),
            Section::Soak => self.soak(results),
            Section::LegacyToLegacy
            | Section::ModernToModern
            | Section::LegacyToModern
            | Section::ModernToLegacy
            | Section::Audit
            | Section::Prometheus
            | Section::Otlp
            | Section::SignedIn
            | Section::SearchMode
            | Section::Aliased
            | Section::Unaliased
            | Section::Allocations => Err("not a section of this bench".into()),
        }
    }

    /// The process under test, with one backend.
    fn alone(&self, (name, gateway): (&'static str, &'static str)) -> Result<Program> {
        let program = self.subject.program(&Setup {
            name,
            gateway,
            urls: &self.mock.urls,
            ..Setup::default()
        })?;
        program.ok_or_else(|| "the subject takes one backend".into())
    }

    /// Clients of all routes, ready for this call. The processes are new in each round, since the speed of a process varies from start to
    /// start, and the order rotates.
    fn open(
        &self,
        kind: (&'static str, &'static str),
        call: Call,
        round: usize,
    ) -> Result<Clients> {
        let gateway = self.alone(kind)?;
        let mut clients: Clients = vec![
            (Route::Gateway, Box::new(StdioClient::open(&gateway, call)?)),
            (
                Route::Relay,
                Box::new(StdioClient::open(&self.relay, call)?),
            ),
            (Route::Direct, Box::new(Direct::open(self.mock.url())?)),
        ];
        let first = round % clients.len();
        clients.rotate_left(first);
        Ok(clients)
    }
}

/// Runs the slices of all clients alternately. Returns the results of the slices by route.
fn interleave<P, T>(
    clients: &mut [(Route, P)],
    slices: usize,
    slice: impl Fn(&mut P) -> Result<T>,
) -> Result<Vec<(Route, Vec<T>)>> {
    let mut given: Vec<_> = clients
        .iter()
        .map(|(route, _)| (*route, Vec::new()))
        .collect();
    for _ in 0..slices {
        for ((_, client), (_, given)) in clients.iter_mut().zip(&mut given) {
            given.push(slice(client)?);
        }
    }
    Ok(given)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
