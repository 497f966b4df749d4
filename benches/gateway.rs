//! The cost of a call through the gateway, compared with a bare relay and with plain HTTP in the same run.
//!
//! `cargo bench --bench gateway -- --help` lists the options, `benches/README.md` explains the output.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(
    clippy::print_stdout,
    reason = "a bench prints to stdout; only the gateway must not"
)]

mod support;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use support::Result;
use support::process::setup::{self, Subject};
use support::report::Report;
use support::report::results::{Results, Section};
use support::sections::{Benchmark, Effort};

/// Compares the gateway with a bare relay and with plain HTTP
#[derive(Parser)]
#[command(name = "gateway")]
struct Args {
    /// What to measure; without it all but features, instructions, resources and soak
    sections: Vec<Section>,
    /// Fewer calls in a round, for a first look
    #[arg(long)]
    quick: bool,
    /// Measures this command instead of the gateway, with {url} for the backend's URL; `relay` compares the relay with itself, which shows the
    /// error of the benchmark. Sections that need more than one backend are skipped
    #[arg(long, value_name = "COMMAND")]
    subject: Option<String>,
    #[command(flatten)]
    report: Report,
}

fn main() -> ExitCode {
    support::run_role(|| measure(Args::parse()))
}

fn measure(args: Args) -> Result<ExitCode> {
    let subject = match args.subject {
        Some(command) => Subject::Other(command),
        None => {
            setup::build()?;
            Subject::Gateway
        }
    };
    let effort = if args.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let benchmark = Benchmark::new(subject, effort)?;
    let sections = if args.sections.is_empty() {
        Section::usual()
    } else {
        args.sections
    };
    let mut results = Results::default();
    for section in sections {
        let rounds = match section {
            Section::Soak => 1,
            _ => args.report.rounds,
        };
        for round in 0..rounds {
            show_progress(section, round, rounds);
            benchmark.measure(section, round, &mut results)?;
        }
    }
    Ok(args.report.print(&results))
}

fn show_progress(section: Section, round: usize, rounds: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{section:?}, round {} of {rounds}\r", round + 1);
    }
}
