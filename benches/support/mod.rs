//! The parts of the scale. Each helper process is this same executable, started again with a first argument that names its role.

pub(crate) mod call;
pub(crate) mod direct;
pub(crate) mod drive;
pub(crate) mod http;
pub(crate) mod mock;
pub(crate) mod parties;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod report;
pub(crate) mod sections;
pub(crate) mod sheet;
pub(crate) mod stats;
pub(crate) mod stdio;
pub(crate) mod table;
pub(crate) mod targets;
pub(crate) mod usage;

use std::env;
use std::process::ExitCode;

/// A bench stops at the first trouble, with its text; nothing here is handled by kind.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Plays the role that this process was started for; a process without one weighs.
pub(crate) fn play_role(weigh: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    let words: Vec<String> = env::args().collect();
    let played = match words.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["mock", servers] => servers
            .parse()
            .map_err(Into::into)
            .and_then(mock::run)
            .map(|()| ExitCode::SUCCESS),
        ["relay", url] => relay::run(url).map(|()| ExitCode::SUCCESS),
        _ => weigh(),
    };
    played.unwrap_or_else(|error| {
        eprintln!("bench: {error}");
        ExitCode::from(2)
    })
}
