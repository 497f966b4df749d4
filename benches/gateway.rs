//! The project's scale: what a call through the gateway costs, beside a bare relay and beside plain HTTP, in the same run.
//!
//! `cargo bench --bench gateway -- --help` tells what it can do, `benches/README.md` how to read what it says.

#![allow(
    clippy::print_stdout,
    reason = "a bench speaks on stdout; the gateway alone must not"
)]

mod support;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use support::Result;
use support::parties::{self, Subject};
use support::report::Report;
use support::sections::{Effort, Scale};
use support::sheet::{Section, Sheet};

/// Weighs the gateway against a bare relay and against plain HTTP.
#[derive(Parser)]
#[command(name = "gateway")]
struct Args {
    /// What to weigh; all but the soak if nothing is named
    sections: Vec<Section>,
    /// Fewer calls in a round, for a first look
    #[arg(long)]
    fast_path: bool,
    /// Weighs this command instead of the gateway, with {url} for the backend's; `relay` weighs the relay against itself, which shows the
    /// scale's own error. Sections that need more than one backend are left out
    #[arg(long, value_name = "COMMAND")]
    subject: Option<String>,
    #[command(flatten)]
    report: Report,
}

fn main() -> ExitCode {
    support::play_role(|| weigh(Args::parse()))
}

fn weigh(args: Args) -> Result<ExitCode> {
    let subject = match args.subject {
        Some(command) => Subject::Other(command),
        None => {
            parties::build()?;
            Subject::Gateway
        }
    };
    let effort = if args.fast_path {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let scale = Scale::new(subject, effort)?;
    let sections = if args.sections.is_empty() {
        Section::usual()
    } else {
        args.sections
    };
    let mut sheet = Sheet::default();
    for section in sections {
        let rounds = match section {
            Section::Soak => 1,
            _ => args.report.rounds,
        };
        for round in 0..rounds {
            show_progress(section, round, rounds);
            scale.weigh(section, round, &mut sheet)?;
        }
    }
    Ok(args.report.give(&sheet))
}

fn show_progress(section: Section, round: usize, rounds: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{section:?}, round {} of {rounds}\r", round + 1);
    }
}
