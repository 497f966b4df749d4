//! The command line: what may be asked of the program, one file a subcommand.

pub mod args;
pub mod schema;
pub mod serve;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{Config, Environment, Problems, load};
use crate::observe::logs;
use args::{Cli, Command, LogFormat};

/// All went well.
pub(crate) const OK: u8 = 0;
/// Something failed at run time.
pub(crate) const FAILED: u8 = 1;
/// The config or the arguments are bad.
pub(crate) const BAD_CONFIG: u8 = 2;

/// Runs the program with these arguments, the first being its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors: clap knows where each belongs.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_CONFIG));
        }
    };
    let level = cli.log_level.map(args::LogLevel::as_str);
    logs::start(level, cli.log_format == LogFormat::Json);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime can be started");
            return ExitCode::from(FAILED);
        }
    };
    let code = runtime.block_on(command(&cli));
    // A resolver or a secret's command may still block a thread: nothing is left to wait for.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn command(cli: &Cli) -> u8 {
    if let Some(Command::Schema) = cli.command {
        return match schema::print(&mut io::stdout().lock()) {
            Ok(()) => OK,
            Err(_) => FAILED,
        };
    }
    let config = cli
        .overrides()
        .and_then(|overrides| load(&overrides, &Environment::of_process()));
    match (&cli.command, config) {
        (None, config) => serve::serve(config).await,
        (Some(_), Err(problems)) => complain(&problems),
        (Some(command), Ok(config)) => ask(command, config).await,
    }
}

async fn ask(_command: &Command, _config: Config) -> u8 {
    OK
}

/// All that is wrong with the config, for a person.
fn complain(problems: &Problems) -> u8 {
    anstream::eprintln!("{problems}");
    BAD_CONFIG
}
