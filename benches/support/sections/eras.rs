//! The gateway with clients and backends of both eras, alternately.
//!
//! The baseline is the gateway with a legacy client and a legacy backend.

use super::{Benchmark, CONCURRENCY, SETTLE_TIME, interleave, micros};
use crate::support::Result;
use crate::support::call::{Call, Era, JSON_SMALL};
use crate::support::client::driver::CallDriver;
use crate::support::client::stdio::StdioClient;
use crate::support::mock::Servers;
use crate::support::process::setup::{Mock, Setup};
use crate::support::report::results::{Metric, Results, Route, Section};
use crate::support::report::stats::percentile;

/// Section, era of the client, era of the backend; the baseline first.
const PAIRS: [(Section, Era, Era); 4] = [
    (Section::LegacyToLegacy, Era::Legacy, Era::Legacy),
    (Section::ModernToModern, Era::Modern, Era::Modern),
    (Section::LegacyToModern, Era::Legacy, Era::Modern),
    (Section::ModernToLegacy, Era::Modern, Era::Legacy),
];

struct Pair {
    section: Section,
    call: Call,
    client: StdioClient,
    /// A separate one for each pair, so that its requests can be counted.
    backend: Mock,
}

impl Benchmark {
    pub(super) fn eras(&self, round: usize, results: &mut Results) -> Result<()> {
        if !self.subject.is_gateway() {
            return Ok(());
        }
        let pairs = PAIRS.map(|(section, client, backend)| self.pair(section, client, backend));
        let mut pairs = pairs
            .into_iter()
            .map(|pair| Ok((Route::Gateway, pair?)))
            .collect::<Result<Vec<_>>>()?;
        pairs.rotate_left(round % PAIRS.len());
        std::thread::sleep(SETTLE_TIME);
        let mut figures = Figures(Vec::new());

        let slices = self.effort.slices;
        let one = |pair: &mut Pair| pair.client.sequential(pair.call, self.effort.sequential);
        interleave(&mut pairs, 1, one)?;
        for (at, (_, times)) in interleave(&mut pairs, slices, one)?.into_iter().enumerate() {
            let p50 = percentile(&mut times.concat(), 0.5);
            figures.add(pairs[at].1.section, Metric::P50, micros(p50));
        }

        let count = self.effort.concurrent;
        let run = |pair: &mut Pair| Ok(pair.client.concurrent(pair.call, CONCURRENCY, count)?.wall);
        interleave(&mut pairs, 1, run)?;
        let before = pairs
            .iter_mut()
            .map(|(_, pair)| Ok((pair.client.usage(), pair.backend.requests()?)))
            .collect::<Result<Vec<_>>>()?;
        for (at, (_, mut walls)) in interleave(&mut pairs, slices, run)?.into_iter().enumerate() {
            let wall = percentile(&mut walls, 0.5).as_secs_f64();
            figures.add(
                pairs[at].1.section,
                Metric::CallsPerSecond(CONCURRENCY),
                count as f64 / wall,
            );
        }
        let calls = (slices * count) as f64;
        for ((_, pair), (usage, requests)) in pairs.iter_mut().zip(before) {
            if let (Some(before), Some(after)) = (usage, pair.client.usage()) {
                let cpu = micros(after.cpu.saturating_sub(before.cpu));
                figures.add(pair.section, Metric::CpuPerCall, cpu / calls);
            }
            let requests = pair.backend.requests()? - requests;
            figures.add(
                pair.section,
                Metric::RequestsPerCall,
                requests as f64 / calls,
            );
        }
        figures.add_to(results);
        Ok(())
    }

    fn pair(&self, section: Section, client: Era, backend: Era) -> Result<Pair> {
        let servers = match backend {
            Era::Legacy => Servers::Legacy,
            Era::Modern => Servers::Modern,
        };
        // A config of its own: a gateway takes the changes of its file while it runs.
        let name = match (client, backend) {
            (Era::Legacy, Era::Legacy) => "legacy-before-legacy",
            (Era::Modern, Era::Modern) => "modern-before-modern",
            (Era::Legacy, Era::Modern) => "legacy-before-modern",
            (Era::Modern, Era::Legacy) => "modern-before-legacy",
        };
        let backend = Mock::start(servers)?;
        let program = self.subject.program(&Setup {
            name,
            urls: &backend.urls,
            ..Setup::default()
        })?;
        let program = program.ok_or("only the gateway knows eras")?;
        let call = Call {
            era: client,
            ..JSON_SMALL.into()
        };
        Ok(Pair {
            section,
            call,
            client: StdioClient::open(&program, call)?,
            backend,
        })
    }
}

/// The figures of one round, for each pair.
struct Figures(Vec<(Section, Metric, f64)>);

impl Figures {
    fn add(&mut self, pair: Section, measure: Metric, figure: f64) {
        self.0.push((pair, measure, figure));
    }

    /// Adds each figure with the baseline's.
    fn add_to(self, results: &mut Results) {
        let baseline = |measure| {
            let mut figures = self.0.iter();
            figures.find(|(pair, of, _)| *pair == PAIRS[0].0 && *of == measure)
        };
        for (section, measure, figure) in &self.0 {
            results.add(*section, *measure, Route::Gateway, *figure);
            if let Some((.., legacy)) = baseline(*measure) {
                results.add(*section, *measure, Route::Legacy, *legacy);
            }
        }
    }
}
