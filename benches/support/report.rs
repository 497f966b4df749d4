//! What a bench says at its end, and whether it was a success.

use std::process::ExitCode;
use std::{env, thread};

use clap::Args;

use super::sheet::Sheet;
use super::table;

/// How a bench is to report.
#[derive(Args)]
pub(crate) struct Report {
    /// Alternating rounds
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Exits 1 when something is missed that must be reached, and names the aims that are missed
    #[arg(long)]
    check: bool,
    /// Prints JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Report {
    pub(crate) fn give(&self, sheet: &Sheet) -> ExitCode {
        if self.json {
            println!("{:#}", table::json(sheet));
        } else {
            println!("{}\n\n{}", machine(self.rounds), table::text(sheet));
        }
        let missed = table::missed(sheet, |target| target.must);
        for name in &missed {
            eprintln!("missed: {name}");
        }
        if self.check {
            for name in table::missed(sheet, |target| target.aim) {
                eprintln!("aim missed: {name}");
            }
        }
        ExitCode::from(u8::from(self.check && !missed.is_empty()))
    }
}

/// Figures say little without the machine that they come from.
fn machine(rounds: usize) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let version = env!("CARGO_PKG_VERSION");
    format!("sentinel-gateway {version}, {os} {arch}, {cores} cores, medians of {rounds} rounds")
}
