//! The command line: what may be asked of the program, one file a subcommand.

pub mod args;
mod call;
mod check;
mod list;
mod pin;
pub mod schema;
pub mod serve;
mod style;
mod survey;
mod table;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{Config, Environment, Problems, load};
use crate::observe::logs;
use crate::protocol::Kind;
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
    logs::start(log_level(&cli), cli.log_format == LogFormat::Json);
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
        return printed(schema::print(&mut io::stdout().lock()), OK);
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

async fn ask(command: &Command, config: Config) -> u8 {
    match command {
        Command::Check(output) => check::check(config, output.json).await,
        Command::Tools(output) => list::list(config, &[Kind::Tool], output.json).await,
        Command::Prompts(output) => list::list(config, &[Kind::Prompt], output.json).await,
        Command::Resources(output) => {
            list::list(config, &[Kind::Resource, Kind::Template], output.json).await
        }
        Command::Call(what) => call::call(config, what).await,
        Command::Pin(what) => pin::pin(config, what).await,
        // Needs no config: answered before one is looked for.
        Command::Schema => OK,
    }
}

/// What a command prints says what went wrong, so its log is for what is not said there; a user
/// who asks for more gets it.
fn log_level(cli: &Cli) -> Option<&'static str> {
    let quiet = cli.command.is_some() && std::env::var_os("RUST_LOG").is_none();
    let asked = cli.log_level.map(args::LogLevel::as_str);
    asked.or(quiet.then_some("error"))
}

/// How a command ends that has something to print: with `code`, if it could be printed. A reader
/// that has seen enough (`| head`) is no failure.
fn printed(result: io::Result<()>, code: u8) -> u8 {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            anstream::eprintln!("stdout can't be written to: {error}");
            FAILED
        }
        _ => code,
    }
}

/// All that is wrong with the config, for a person.
fn complain(problems: &Problems) -> u8 {
    anstream::eprintln!("{problems}");
    BAD_CONFIG
}
