//! What is done in each section. A section doesn't know what its figures should be.

mod calls;
mod eras;
mod fleet;
mod instructions;
mod soak;
mod start;

use std::time::Duration;

use super::Result;
use super::call::{Call, HUGE, JSON_SMALL, LARGE, MIDDLE, SSE_SMALL, Shape, tool};
use super::direct::Direct;
use super::drive::Drive;
use super::mock::Servers;
use super::parties::{Mock, Setup, Subject};
use super::process::Program;
use super::sheet::{Lane, Section, Sheet};
use super::stdio::StdioClient;

/// How many calls are side by side where it isn't said otherwise.
const WIDTH: usize = 64;

/// From the handshake to the look at an idle process: long enough for its threads to come to rest.
const SETTLING: Duration = Duration::from_millis(300);

/// The usual gateway.
const USUAL: (&str, &str) = ("usual", "");
/// One that takes answers past the usual cap.
const RAISED: (&str, &str) = ("raised", "max_message_bytes = 134217728");

/// The parties, and how much they are made to do.
pub(crate) struct Scale {
    subject: Subject,
    relay: Program,
    mock: Mock,
    effort: Effort,
}

/// How much is done in one round. A round is cut into slices, and the parties take turns at each, so that what else the machine does meets
/// all of them.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    slices: usize,
    /// Calls in a slice.
    one_by_one: usize,
    side_by_side: usize,
    /// Turns of one in a round.
    large: usize,
    huge: usize,
    starts: usize,
    soak: usize,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        slices: 10,
        one_by_one: 200,
        side_by_side: 2000,
        large: 9,
        huge: 3,
        starts: 15,
        soak: 1_000_000,
    };
    pub(crate) const QUICK: Self = Self {
        slices: 5,
        one_by_one: 100,
        side_by_side: 1000,
        large: 3,
        huge: 1,
        starts: 5,
        soak: 50_000,
    };
}

type Client = Box<dyn Drive>;
type Parties = Vec<(Lane, Client)>;

impl Scale {
    pub(crate) fn new(subject: Subject, effort: Effort) -> Result<Self> {
        let mock = Mock::start(Servers::Legacy)?;
        Ok(Self {
            subject,
            relay: Program::own_role("relay", mock.url())?,
            mock,
            effort,
        })
    }

    /// Weighs all parties once.
    pub(crate) fn weigh(&self, section: Section, round: usize, sheet: &mut Sheet) -> Result<()> {
        let Effort {
            large,
            huge,
            side_by_side: many,
            ..
        } = self.effort;
        let sized = |shape, bytes| Call::from(tool(shape, bytes));
        match section {
            Section::Small => self.calls(section, JSON_SMALL.into(), many, round, sheet),
            Section::Sse => self.calls(section, SSE_SMALL.into(), many, round, sheet),
            Section::Middle => {
                let call = sized(Shape::Json, MIDDLE);
                self.calls(section, call, many / 5, round, sheet)
            }
            Section::MiddleSse => {
                let call = sized(Shape::Sse, MIDDLE);
                self.calls(section, call, many / 5, round, sheet)
            }
            Section::Large => {
                self.one_answer(section, sized(Shape::Json, LARGE), large, round, sheet)
            }
            Section::LargeSse => {
                self.one_answer(section, sized(Shape::Sse, LARGE), large, round, sheet)
            }
            Section::Huge => self.one_answer(section, sized(Shape::Json, HUGE), huge, round, sheet),
            Section::HugeSse => {
                self.one_answer(section, sized(Shape::Sse, HUGE), huge, round, sheet)
            }
            Section::Arguments => {
                let call = Call {
                    padding: LARGE,
                    ..JSON_SMALL.into()
                };
                self.one_answer(section, call, large, round, sheet)
            }
            Section::Progress => self.progress(round, sheet),
            Section::Stream => self.stream(round, sheet),
            Section::Crowd => self.crowd(sheet),
            Section::Fleet => self.fleet(sheet),
            Section::Eras => self.eras(round, sheet),
            Section::Start => self.start(round, sheet),
            Section::Instructions => self.instructions(sheet),
            Section::Soak => self.soak(sheet),
            Section::LegacyToLegacy
            | Section::ModernToModern
            | Section::LegacyToModern
            | Section::ModernToLegacy
            | Section::Allocations => Err("a part of a section, or of another bench".into()),
        }
    }

    /// The process under test before the one backend.
    fn alone(&self, (name, gateway): (&'static str, &'static str)) -> Result<Program> {
        let program = self.subject.program(&Setup {
            name,
            gateway,
            urls: &self.mock.urls,
        })?;
        program.ok_or_else(|| "the subject takes one backend".into())
    }

    /// All parties, ready for this call. Fresh ones in each round, since a process may be lucky or unlucky for all its life; and each round
    /// another goes first.
    fn open(
        &self,
        kind: (&'static str, &'static str),
        call: Call,
        round: usize,
    ) -> Result<Parties> {
        let gateway = self.alone(kind)?;
        let mut parties: Parties = vec![
            (Lane::Gateway, Box::new(StdioClient::open(&gateway, call)?)),
            (Lane::Relay, Box::new(StdioClient::open(&self.relay, call)?)),
            (Lane::Direct, Box::new(Direct::open(self.mock.url())?)),
        ];
        let first = round % parties.len();
        parties.rotate_left(first);
        Ok(parties)
    }
}

/// Has all parties do their slices alternately: what each slice gave, by party.
fn in_turn<P, T>(
    parties: &mut [(Lane, P)],
    slices: usize,
    slice: impl Fn(&mut P) -> Result<T>,
) -> Result<Vec<(Lane, Vec<T>)>> {
    let mut given: Vec<_> = parties
        .iter()
        .map(|(lane, _)| (*lane, Vec::new()))
        .collect();
    for _ in 0..slices {
        for ((_, party), (_, given)) in parties.iter_mut().zip(&mut given) {
            given.push(slice(party)?);
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
