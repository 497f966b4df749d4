//! The chaos run: unsafe calls, through a real gateway, against servers that run the tool and then fail in
//! every way. The servers count: no call may run twice, and the gateway may tell nobody that a tool
//! did not run, or did, when that is not so.
//!
//! ```text
//! cargo test --release --locked --test chaos -- 60s           for so long: 60s, 10m or 8h
//! cargo test --release --locked --test chaos -- 200000runs    until so many calls have run
//! cargo test --release --locked --test chaos -- 60s 7         with another seed
//! ```
//!
//! It is not part of `cargo test`. It prints its figures, and the story of each call that broke a
//! promise: what each server did with it, and what the client was told.
//!
//! A server takes a call or doesn't, by the terms on which a call may be sent again
//! (`.planning/EVIDENCE.md`); whatever else it answers, it has run the tool. At most three calls of a
//! backend fail one after the other before one succeeds, so that its circuit breaker hides nothing.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod lanes;
mod ledger;
mod report;
mod servers;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::Client;
use lanes::Lanes;
use ledger::Ledger;
use servers::Servers;

/// The run stops at the first error of its own.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// When a run ends.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// After this time.
    Time(Duration),
    /// When so many calls have run.
    Runs(u64),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [goal] => run(goal, "1"),
        [goal, seed] => run(goal, seed),
        _ => Err("arguments: how long, as in 60s or 200000runs, and a seed".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(goal: &str, seed: &str) -> Result<bool> {
    let goal = match goal.strip_suffix("runs") {
        Some(number) => Goal::Runs(number.parse()?),
        None => Goal::Time(common::duration::read(goal)?),
    };
    let seed = seed.parse()?;
    let begun = Instant::now();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let (cancels, to_cancel) = std::sync::mpsc::channel();
    let servers = Servers::start(seed, &ledger, &cancels);
    let lanes = Lanes::new(seed, servers.names(), Arc::clone(&ledger), cancels);
    let client = Client::start(&servers.config()?, lanes, to_cancel)?;
    client.run(goal)?;
    let ended = client.end()?;
    servers.end();
    let ledger = ledger.lock().unwrap();
    Ok(report::print(&ledger, &ended, begun.elapsed(), seed))
}
