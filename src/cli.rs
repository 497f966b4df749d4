//! The command line: parses the arguments, starts the log and the runtime, runs a command.
//!
//! Owns exit statuses and everything that is printed for people.

mod args;
mod client;
mod commands;
mod content;
mod exit;
mod outcome;
mod parameters;
mod setup;
mod survey;
mod terminal;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Command, CommandFactory, Parser};
use tracing::level_filters::LevelFilter;

use crate::observe::logs;
use args::{Cli, LogFormat};
pub use commands::schema;
use exit::{BAD_CONFIG, FAILED};

/// The command line, as clap describes it: for the man pages and the shell completions of the packages.
pub fn command() -> Command {
    Cli::command()
}

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
    logs::start(
        cli.log_level.map(args::LogLevel::filter),
        default_log_level(&cli),
        cli.log_format == LogFormat::Json,
    );
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
    let code = runtime.block_on(async {
        let code = commands::run(&cli).await;
        logs::finish().await;
        code
    });
    // Don't wait for threads that a resolver or a secret's command still blocks.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// The level of the log if neither a flag nor `RUST_LOG` sets one. Commands print what went wrong
/// themselves. A client that starts the gateway shows every line of stderr as an error.
fn default_log_level(cli: &Cli) -> LevelFilter {
    match (&cli.command, io::stderr().is_terminal()) {
        (Some(_), _) => LevelFilter::ERROR,
        (None, true) => LevelFilter::INFO,
        (None, false) => LevelFilter::WARN,
    }
}
