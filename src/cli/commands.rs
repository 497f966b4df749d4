//! The commands, one file each.
//!
//! Owns which function runs for which command, and which of them get a checked config: `schema`, `status`,
//! `top` and the commands about clients' files run without one.

mod call;
mod check;
mod list;
mod pin;
pub mod schema;
mod serve;
mod sign_in;
mod status;
mod switch;
mod tool;

use std::io::{self, IsTerminal};

use super::args::{Cli, Command};
use super::exit::{BAD_CONFIG, OK};
use super::setup;
use super::terminal::{print_result, report_problems};
use crate::config::{Config, Environment, Overrides, load};
use crate::protocol::Kind;
use crate::text::keep_from_output;

/// Runs the command that the arguments name. Returns the exit status.
pub(super) async fn run(cli: &Cli) -> u8 {
    match &cli.command {
        Some(Command::Schema) => {
            return print_result(schema::print(&mut io::stdout().lock()), OK);
        }
        Some(Command::Install(args)) => {
            return with_overrides(cli, |cli| setup::install(cli, args));
        }
        Some(Command::Uninstall(args)) => return setup::uninstall(args),
        Some(Command::Init(args)) => {
            return match cli.overrides() {
                Ok(overrides) => setup::init(&overrides, args).await,
                Err(problems) => report_problems(&problems),
            };
        }
        Some(Command::Status(args)) => {
            let env = Environment::of_process();
            return match cli.overrides() {
                Ok(overrides) => status::status(&env, overrides.config.as_deref(), args).await,
                Err(problems) => report_problems(&problems),
            };
        }
        Some(Command::Top) => {
            let env = Environment::of_process();
            return match cli.overrides() {
                Ok(overrides) => status::top(&env, overrides.config.as_deref()).await,
                Err(problems) => report_problems(&problems),
            };
        }
        Some(Command::Check(args)) if args.client.is_some() => {
            let client = args.client.as_deref().unwrap_or_default();
            return match setup::config_of_client(client, args) {
                Ok(config) => {
                    keep_from_output(config.backends.iter().map(|backend| &backend.scrubber));
                    check::check(config, &args.output).await
                }
                Err(code) => code,
            };
        }
        _ => {}
    }
    let env = Environment::of_process();
    let overrides = cli.overrides();
    // A client gets the problem as an answer; a person is told what to type.
    if let (None, Ok(overrides)) = (&cli.command, &overrides)
        && io::stdin().is_terminal()
        && setup::has_no_config(overrides, &env)
    {
        setup::introduce();
        return BAD_CONFIG;
    }
    let config = overrides.and_then(|overrides| load(&overrides, &env));
    if let Ok(config) = &config {
        keep_from_output(config.backends.iter().map(|backend| &backend.scrubber));
    }
    match (&cli.command, config) {
        (None, config) => serve::serve(config).await,
        (Some(_), Err(problems)) => report_problems(&problems),
        (Some(command), Ok(config)) => run_with(command, config).await,
    }
}

fn with_overrides(cli: &Cli, command: impl FnOnce(&Overrides) -> u8) -> u8 {
    match cli.overrides() {
        Ok(overrides) => command(&overrides),
        Err(problems) => report_problems(&problems),
    }
}

async fn run_with(command: &Command, config: Config) -> u8 {
    match command {
        Command::Check(args) => check::check(config, &args.output).await,
        Command::Tools(args) => match &args.name {
            Some(name) => tool::show(config, name, &args.output).await,
            None if args.tokens => list::tokens(config, &args.output).await,
            None => list::list(config, &[Kind::Tool], &args.output).await,
        },
        Command::Search(args) => list::search(config, args).await,
        Command::Prompts(output) => list::list(config, &[Kind::Prompt], output).await,
        Command::Resources(output) => {
            list::list(config, &[Kind::Resource, Kind::Template], output).await
        }
        Command::Call(args) => call::call(config, args).await,
        Command::Read(args) => call::read(config, args).await,
        Command::Prompt(args) => call::prompt(config, args).await,
        Command::Pin(args) => pin::pin(config, args).await,
        Command::Disable(args) => switch::switch(&config, args, false),
        Command::Enable(args) => switch::switch(&config, args, true),
        Command::Login(args) => sign_in::login(config, args).await,
        Command::Logout(args) => sign_in::logout(config, args).await,
        // Handled before a config is loaded, since they need none.
        Command::Schema
        | Command::Status(_)
        | Command::Top
        | Command::Install(_)
        | Command::Uninstall(_)
        | Command::Init(_) => OK,
    }
}
