//! The soak test: one gateway, a client of both eras, and eight backends of which three are faulty,
//! for minutes or hours; and a second client of a ninth backend, which measures what that costs others. `tests/soak/run` starts it; it is not part of `cargo test`.
//!
//! Slices with and without faults alternate, so that other load on the machine affects both alike.
//! Every slice with faults has every fault, so a fault that slows other backends affects them all.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod backends;
mod changes;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod processes;
mod report;
mod run;
mod second;
#[path = "../../benches/support/report/stats.rs"]
mod stats;
mod tracker;
mod traffic;
// The benchmark uses more of it.
#[allow(dead_code)]
#[path = "../../benches/support/process/usage.rs"]
mod usage;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

/// The soak test stops at the first error of its own.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The gateway's cap on one message, low so that exceeding it is cheap.
const MAX_MESSAGE: usize = 1 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["backends", group] => backends::serve(group).map(|()| true),
        [duration] => read_duration(duration).and_then(run::run),
        _ => Err("one argument: how long, as in 2m or 8h".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn read_duration(text: &str) -> Result<Duration> {
    let duration = common::duration::read(text)?;
    if duration < Duration::from_secs(120) {
        return Err(
            "half of less than two minutes is too short to warm up in: give it 2m or more".into(),
        );
    }
    Ok(duration)
}
