//! The gateway with something switched on, beside one that has nothing on, alternately.
//!
//! A scrape by Prometheus is no part of a call: it reads numbers that are kept anyway.

use std::fs;
use std::net::TcpListener;

use super::instructions::{has_valgrind, per_call};
use super::{Benchmark, CONCURRENCY, SETTLE_TIME, interleave, micros};
use crate::support::Result;
use crate::support::call::{Call, JSON_SMALL};
use crate::support::client::driver::CallDriver;
use crate::support::client::stdio::StdioClient;
use crate::support::mock::Servers;
use crate::support::process::setup::{Mock, Setup};
use crate::support::process::{Program, scratch};
use crate::support::report::results::{Metric, Results, Route, Section};

/// A gateway, and the call that it is measured by.
struct Feature {
    /// `None` for the one that has nothing on.
    section: Option<Section>,
    program: Program,
    call: Call,
}

impl Benchmark {
    pub(super) fn features(&self, round: usize, results: &mut Results) -> Result<()> {
        if !self.subject.is_gateway() {
            return Ok(());
        }
        let signed = Mock::start(Servers::Signed)?;
        let collector = Mock::start(Servers::Legacy)?;
        let mut features = self.all(&signed, &collector)?;
        let first = round % features.len();
        features.rotate_left(first);
        let mut figures = self.cpu_per_call(&features)?;
        match has_valgrind() {
            true => {
                for feature in &features {
                    let figure = per_call(&feature.program, feature.call, |_| Ok(()))?;
                    figures.push((feature.section, Metric::Instructions, figure));
                }
            }
            false => eprintln!("instructions are NOT COUNTED: valgrind is not installed"),
        }
        let plain = |measure| {
            let mut figures = figures.iter();
            figures.find(|(section, of, _)| section.is_none() && *of == measure)
        };
        for (section, measure, figure) in &figures {
            if let (Some(section), Some((.., plain))) = (section, plain(*measure)) {
                results.add(*section, *measure, Route::Gateway, *figure);
                results.add(*section, *measure, Route::Plain, *plain);
            }
        }
        Ok(())
    }

    fn all(&self, signed: &Mock, collector: &Mock) -> Result<Vec<Feature>> {
        let audit = scratch().join("bench-audit.jsonl");
        // There is none before the first round.
        let _ = fs::remove_file(&audit);
        let audit = format!("[audit]\nfile = '{}'", audit.display());
        let free = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let listen = format!("[telemetry]\nlisten = \"{free}\"");
        let endpoint = collector.url().trim_end_matches("/mcp");
        let otlp = format!("[telemetry]\notlp_endpoint = \"{endpoint}\"\nsample_percent = 10");
        let oauth = "oauth = { grant = \"client_credentials\", client_id = \"bench\", client_secret = { file = \"bench-secret\" } }";
        fs::write(scratch().join("bench-secret"), "bench")?;
        let search = "tool_mode = \"search\"";
        let direct: Call = JSON_SMALL.into();
        let searched = Call {
            searched: true,
            ..direct
        };
        [
            (None, "plain", "", "", &self.mock, direct),
            (
                Some(Section::Audit),
                "audit",
                &*audit,
                "",
                &self.mock,
                direct,
            ),
            (
                Some(Section::Prometheus),
                "prometheus",
                &*listen,
                "",
                &self.mock,
                direct,
            ),
            (Some(Section::Otlp), "otlp", &*otlp, "", &self.mock, direct),
            (Some(Section::SignedIn), "signed", "", oauth, signed, direct),
            (
                Some(Section::SearchMode),
                "search",
                search,
                "",
                &self.mock,
                searched,
            ),
        ]
        .into_iter()
        .map(|(section, name, gateway, backend, mock, call)| {
            let program = self.subject.program(&Setup {
                name,
                gateway,
                backend,
                urls: &mock.urls,
            })?;
            let program = program.ok_or("only the gateway has features")?;
            Ok(Feature {
                section,
                program,
                call,
            })
        })
        .collect()
    }

    fn cpu_per_call(&self, features: &[Feature]) -> Result<Vec<(Option<Section>, Metric, f64)>> {
        let opened = features.iter().map(|feature| {
            let client = StdioClient::open(&feature.program, feature.call)?;
            Ok((Route::Gateway, (client, feature.call)))
        });
        let mut clients = opened.collect::<Result<Vec<_>>>()?;
        std::thread::sleep(SETTLE_TIME);
        let (slices, count) = (self.effort.slices, self.effort.concurrent);
        let run = |(client, call): &mut (StdioClient, Call)| {
            Ok(client.concurrent(*call, CONCURRENCY, count)?.wall)
        };
        interleave(&mut clients, 1, run)?;
        let usage = |clients: &[(Route, (StdioClient, Call))]| -> Vec<_> {
            clients
                .iter()
                .map(|(_, (client, _))| client.usage())
                .collect()
        };
        let before = usage(&clients);
        interleave(&mut clients, slices, run)?;
        let after = usage(&clients);
        let mut figures = Vec::new();
        for ((feature, before), after) in features.iter().zip(before).zip(after) {
            if let (Some(before), Some(after)) = (before, after) {
                let cpu = micros(after.cpu.saturating_sub(before.cpu));
                let cpu = cpu / (slices * count) as f64;
                figures.push((feature.section, Metric::CpuPerCall, cpu));
            }
        }
        Ok(figures)
    }
}
