//! The gateway between the eras of MCP: clients of each before backends of each, in turn.
//!
//! The baseline is the gateway itself, with a client and a backend that both have a handshake.

use super::{SETTLING, Scale, WIDTH, in_turn, micros};
use crate::support::Result;
use crate::support::call::{Call, Era, JSON_SMALL};
use crate::support::drive::Drive;
use crate::support::mock::Servers;
use crate::support::parties::{Mock, Setup};
use crate::support::sheet::{Lane, Measure, Section, Sheet};
use crate::support::stats::percentile;
use crate::support::stdio::StdioClient;

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
    /// Of its own, so that its requests can be counted.
    backend: Mock,
}

impl Scale {
    pub(super) fn eras(&self, round: usize, sheet: &mut Sheet) -> Result<()> {
        if !self.subject.is_gateway() {
            return Ok(());
        }
        let pairs = PAIRS.map(|(section, client, backend)| self.pair(section, client, backend));
        let mut pairs = pairs
            .into_iter()
            .map(|pair| Ok((Lane::Gateway, pair?)))
            .collect::<Result<Vec<_>>>()?;
        pairs.rotate_left(round % PAIRS.len());
        std::thread::sleep(SETTLING);
        let mut figures = Figures(Vec::new());

        let slices = self.effort.slices;
        let one = |pair: &mut Pair| pair.client.one_by_one(pair.call, self.effort.one_by_one);
        in_turn(&mut pairs, 1, one)?;
        for (at, (_, times)) in in_turn(&mut pairs, slices, one)?.into_iter().enumerate() {
            let p50 = percentile(&mut times.concat(), 0.5);
            figures.add(pairs[at].1.section, Measure::P50, micros(p50));
        }

        let count = self.effort.side_by_side;
        let flood = |pair: &mut Pair| Ok(pair.client.side_by_side(pair.call, WIDTH, count)?.wall);
        in_turn(&mut pairs, 1, flood)?;
        let before = pairs
            .iter_mut()
            .map(|(_, pair)| Ok((pair.client.usage(), pair.backend.requests()?)))
            .collect::<Result<Vec<_>>>()?;
        for (at, (_, mut walls)) in in_turn(&mut pairs, slices, flood)?.into_iter().enumerate() {
            let wall = percentile(&mut walls, 0.5).as_secs_f64();
            figures.add(
                pairs[at].1.section,
                Measure::CallsPerSecond(WIDTH),
                count as f64 / wall,
            );
        }
        let calls = (slices * count) as f64;
        for ((_, pair), (usage, requests)) in pairs.iter_mut().zip(before) {
            if let (Some(before), Some(after)) = (usage, pair.client.usage()) {
                let cpu = micros(after.cpu.saturating_sub(before.cpu));
                figures.add(pair.section, Measure::CpuPerCall, cpu / calls);
            }
            let requests = pair.backend.requests()? - requests;
            figures.add(
                pair.section,
                Measure::RequestsPerCall,
                requests as f64 / calls,
            );
        }
        figures.write_down(sheet);
        Ok(())
    }

    fn pair(&self, section: Section, client: Era, backend: Era) -> Result<Pair> {
        let (name, servers) = match backend {
            Era::Legacy => ("before-legacy", Servers::Legacy),
            Era::Modern => ("before-modern", Servers::Modern),
        };
        let backend = Mock::start(servers)?;
        let program = self.subject.program(&Setup {
            name,
            gateway: "",
            urls: &backend.urls,
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

/// The figures of one round, by pair.
struct Figures(Vec<(Section, Measure, f64)>);

impl Figures {
    fn add(&mut self, pair: Section, measure: Measure, figure: f64) {
        self.0.push((pair, measure, figure));
    }

    /// Puts the baseline's figure beside each.
    fn write_down(self, sheet: &mut Sheet) {
        let baseline = |measure| {
            let mut figures = self.0.iter();
            figures.find(|(pair, of, _)| *pair == PAIRS[0].0 && *of == measure)
        };
        for (section, measure, figure) in &self.0 {
            sheet.add(*section, *measure, Lane::Gateway, *figure);
            if let Some((.., legacy)) = baseline(*measure) {
                sheet.add(*section, *measure, Lane::Legacy, *legacy);
            }
        }
    }
}
