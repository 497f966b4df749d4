//! A random generator drives client and backends; in every run the gateway keeps its guarantees.
//!
//! Each seed is a whole life of a gateway: calls of both eras, cancellations, questions, faults,
//! broken connections, lost sessions, nonsense, and an end in the middle of it. Its clock is moved
//! by the simulation, so minutes take no time. `SIMULATION_SEEDS=100000` plays more of them, from
//! `SIMULATION_FROM` on; `SIMULATION_SEED=7` plays one, and prints what happened.
//!
//! A binary of its own: it keeps both cores busy throughout, and others wait for real time.

// What helpers unwrap is as much a test's affair as what tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/pipes.rs"]
mod pipes;
#[path = "simulation/player.rs"]
mod player;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use player::Player;
use tokio::task::LocalSet;
use world::Transcript;

const SEEDS: u64 = 2_000;
const SIDE_BY_SIDE: usize = 2;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

/// Plays one seed, and says whether all was as it must be; if not, prints all that was said.
fn holds(seed: u64, print: bool) -> bool {
    let transcript = Transcript::default();
    let played = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let transcript = transcript.clone();
        let life = async move { Player::new(seed, transcript).await.play().await };
        LocalSet::new().block_on(&runtime, life);
    }));
    if print || played.is_err() {
        let said = transcript.lock().unwrap().join("\n");
        eprintln!("SIMULATION_SEED={seed}\n{said}");
    }
    played.is_ok()
}

#[test]
fn whatever_happens_the_promise_holds() {
    if let Some(seed) = number("SIMULATION_SEED") {
        return assert!(holds(seed, true), "SIMULATION_SEED={seed} fails");
    }
    let from = number("SIMULATION_FROM").unwrap_or(0);
    let end = from + number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(from), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    failed.fetch_or(!holds(seed, false), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(!failed.into_inner(), "SIMULATION_SEED as above fails");
}
