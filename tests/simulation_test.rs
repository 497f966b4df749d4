//! Randomized simulation: clients and backends act at random, and the gateway must keep its
//! guarantees.
//!
//! Each seed is a complete run of a gateway: calls of both eras, cancellations, server requests,
//! faults, broken connections, lost sessions, backends that change their era, clients that read
//! slowly, invalid messages, and a shutdown during all of it. The
//! simulation advances a paused clock. `SIMULATION_SEEDS=100000` runs more seeds, beginning with
//! `SIMULATION_FROM`; `SIMULATION_SEED=7` runs one and prints its transcript.
//!
//! A binary of its own: it keeps every core busy, and other tests wait for real time.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
// The lints exempt only `#[test]` functions, not the helpers they call.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

#[path = "simulation/driver.rs"]
mod driver;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/pipes.rs"]
mod pipes;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use driver::Driver;
use tokio::task::LocalSet;
use world::Transcript;

const SEEDS: u64 = 2_000;
const THREADS: usize = 2;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}

/// Runs one seed and returns whether it passed. Prints the transcript of a failed run.
fn passes(seed: u64, print: bool) -> bool {
    let transcript = Transcript::default();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let transcript = transcript.clone();
        let run = async move { Driver::new(seed, transcript).await.run().await };
        LocalSet::new().block_on(&runtime, run);
    }));
    if print || result.is_err() {
        let text = transcript.lock().unwrap().join("\n");
        eprintln!("SIMULATION_SEED={seed}\n{text}");
    }
    result.is_ok()
}

#[test]
fn random_runs_keep_the_protocol_and_execution_guarantees() {
    if let Some(seed) = number("SIMULATION_SEED") {
        return assert!(passes(seed, true), "SIMULATION_SEED={seed} fails");
    }
    let from = number("SIMULATION_FROM").unwrap_or(0);
    let end = from + number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(from), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    failed.fetch_or(!passes(seed, false), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(!failed.into_inner(), "SIMULATION_SEED as above fails");
}
