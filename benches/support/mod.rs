//! Parts of the benchmarks.
//!
//! Owns the roles of the executable: a helper process is the same executable, started with a first
//! argument that names its role. It must not know which bench runs.

pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod mock;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod report;
pub(crate) mod sections;

use std::env;
use std::process::ExitCode;

/// A bench stops at the first error and prints it. No error is handled by kind.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs the role that this process was started for; `measure` is the role without an argument.
pub(crate) fn run_role(measure: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["mock", servers] => servers
            .parse()
            .map_err(Into::into)
            .and_then(mock::run)
            .map(|()| ExitCode::SUCCESS),
        ["relay", url] => relay::run(url).map(|()| ExitCode::SUCCESS),
        _ => measure(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("bench: {error}");
        ExitCode::from(2)
    })
}
