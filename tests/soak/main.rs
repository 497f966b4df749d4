//! The soak: one gateway, a client of both eras, eight backends of which three misbehave, for
//! minutes or hours. `tests/soak/run` starts it; it is no part of `cargo test`.
//!
//! Calm and chaos take turns, so that what else the machine does meets both. Every slice of chaos
//! has every fault, so that one that hurts its neighbours shows in each of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod backends;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod ledger;
mod parties;
mod report;
mod run;
#[path = "../../benches/support/report/stats.rs"]
mod stats;
mod traffic;
// The bench reads more of it.
#[allow(dead_code)]
#[path = "../../benches/support/process/usage.rs"]
mod usage;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

/// It stops at the first trouble of its own, with its text.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The gateway's cap on one message, small so that going over it costs the machine little.
const MAX_MESSAGE: usize = 1 << 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let played = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["backends", group] => backends::play(group).map(|()| true),
        [duration] => read_duration(duration).and_then(run::run),
        _ => Err("one argument: how long, as in 2m or 8h".into()),
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn read_duration(text: &str) -> Result<Duration> {
    let wrong = || format!("not a duration: {text:?}; write 120s, 2m or 8h");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| wrong())?;
    let seconds = match unit {
        's' => number,
        'm' => number * 60,
        'h' => number * 3600,
        _ => return Err(wrong().into()),
    };
    if seconds < 120 {
        return Err(
            "half of less than two minutes is too short to warm up in: give it 2m or more".into(),
        );
    }
    Ok(Duration::from_secs(seconds))
}
