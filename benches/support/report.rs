//! Reports: the command-line options, the output, and the exit code.
//!
//! Owns the results of a run and the targets they are compared with. It must not know how a figure is
//! measured.

pub(crate) mod results;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod targets;

use std::process::ExitCode;
use std::{env, thread};

use clap::Args;

use results::Results;

/// Options of a bench.
#[derive(Args)]
pub(crate) struct Report {
    /// Alternating rounds
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Exits 1 if a required target is missed, and names the aims that are missed
    #[arg(long)]
    check: bool,
    /// Prints JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Report {
    pub(crate) fn print(&self, results: &Results) -> ExitCode {
        if self.json {
            println!("{:#}", table::json(results));
        } else {
            println!("{}\n\n{}", machine(self.rounds), table::text(results));
        }
        let missed = table::missed(results, |target| target.must);
        for name in &missed {
            eprintln!("missed: {name}");
        }
        if self.check {
            for name in table::missed(results, |target| target.aim) {
                eprintln!("aim missed: {name}");
            }
        }
        ExitCode::from(u8::from(self.check && !missed.is_empty()))
    }
}

/// The machine and the number of rounds, without which figures mean little.
fn machine(rounds: usize) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let version = env!("CARGO_PKG_VERSION");
    format!("sentinel-gateway {version}, {os} {arch}, {cores} cores, medians of {rounds} rounds")
}
