//! The command line: parses the arguments, starts the log and the runtime, runs a command.
//!
//! Owns exit statuses and everything that is printed for people.

mod args;
mod commands;
mod exit;
mod survey;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use tracing::level_filters::LevelFilter;

use crate::observe::logs;
use args::{Cli, LogFormat};
pub use commands::schema;
use exit::{BAD_CONFIG, FAILED};

/// Runs the program with these arguments, of which the first is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // This includes --help and --version, which clap prints to stdout with status 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_CONFIG));
        }
    };
    logs::start(log_level(&cli), cli.log_format == LogFormat::Json);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the async runtime can't be started");
            return ExitCode::from(FAILED);
        }
    };
    #[allow(clippy::disallowed_methods, reason = "here the runtime starts")]
    let code = runtime.block_on(commands::run(&cli));
    logs::finish();
    // Don't wait for threads that a resolver or a secret's command still blocks.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Commands print what went wrong, so only errors are logged unless the user sets a level.
fn log_level(cli: &Cli) -> Option<LevelFilter> {
    let quiet = cli.command.is_some() && std::env::var_os("RUST_LOG").is_none();
    let requested = cli.log_level.map(args::LogLevel::filter);
    requested.or(quiet.then_some(LevelFilter::ERROR))
}
