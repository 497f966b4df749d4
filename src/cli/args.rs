//! The command line as it is typed.
//!
//! Owns the names of commands and flags, their help, and the overrides of the configuration that they make.
//! It must not know what the commands do.

#[cfg(test)]
mod documented;
mod help;
mod setup;
mod sign_in;
mod status;
mod switch;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;

use crate::config::{Overrides, Problems};
use help::HELP;
pub(super) use setup::{Check, Init, Install, Uninstall, Writing};
pub(super) use sign_in::{Login, Logout};
pub(super) use status::StatusArgs;
pub(super) use switch::Switched;
pub(super) use tools::{Search, Tools};

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("SENTINEL_COMMIT"),
    ")\nMCP protocol versions: 2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25, 2026-07-28"
);

/// One stdio MCP server in front of many HTTP MCP servers.
///
/// Without a command it serves MCP on stdin and stdout, as MCP clients start it.
/// The config is --config, else $SENTINEL_CONFIG, else sentinel/sentinel.toml in the
/// user's config folder, else ./sentinel.toml.
#[derive(Parser)]
#[command(name = "sentinel-gateway", version = VERSION, help_template = HELP, max_term_width = 100)]
pub(super) struct Cli {
    /// The command; `None` is to serve.
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    #[command(flatten)]
    config: ConfigArgs,

    /// Level of the log on stderr [default: RUST_LOG, or info on a terminal, else warn]
    #[arg(long, global = true, value_enum, value_name = "LEVEL")]
    pub(super) log_level: Option<LogLevel>,

    /// Format of the log
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
}

/// The flags that choose and change the configuration.
#[derive(Args)]
#[command(next_help_heading = "Configuration")]
struct ConfigArgs {
    /// The config file
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Adds a backend, or gives the file's backend of that name another URL; repeatable
    #[arg(long, global = true, value_name = "NAME=URL")]
    backend: Vec<String>,

    /// Takes a backend's bearer token from an environment variable; repeatable
    #[arg(long, global = true, value_name = "NAME=VAR")]
    bearer_env: Vec<String>,

    /// Sends a header to a backend, as in 'n8n:X-Key=${N8N_KEY}'; repeatable
    #[arg(long, global = true, value_name = "NAME:KEY=VALUE")]
    header: Vec<String>,

    /// Uses only these backends
    #[arg(long, global = true, value_name = "NAME,NAME", value_delimiter = ',')]
    only: Option<Vec<String>>,

    /// Uses only what this profile of the config file has
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
}

/// A command; without one the gateway serves.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Check the config, connect to every backend, and report its state
    ///
    /// Exit status: 0 all backends are up, 1 one is down, 2 the config is bad.
    Check(Check),
    /// Show the gateways that run now: their clients, and the state and the calls of each backend
    ///
    /// Exit status 1 if no gateway runs, or a backend of one is not connected.
    Status(StatusArgs),
    /// Watch the gateways that run: load, times and errors of each backend, and switches
    ///
    /// Keys: arrows, s to sort, Enter for details, x to switch a backend or a tool off or on, u to undo that, q.
    Top,
    /// List the tools as clients see them, with the backend of each; or show one tool's arguments
    ///
    /// Exit status 1 if a backend is down and its tools are missing; the others are listed.
    Tools(Tools),
    /// Find tools by what they do, as `search_tools` finds them for a model
    ///
    /// Exit status 1 if nothing is found, or a backend is down and its tools are missing.
    #[command(after_help = "\
Examples:
  sentinel-gateway search 'move a document'
  sentinel-gateway search 'open invoices' --limit 20 --json")]
    Search(Search),
    /// List the prompts as clients see them, with the backend of each
    ///
    /// Exit status 1 if a backend is down and its prompts are missing; the others are listed.
    Prompts(Output),
    /// List the resources as clients see them, with the backend of each
    ///
    /// Exit status 1 if a backend is down and its resources are missing; the others are listed.
    Resources(Output),
    /// Call one tool through the whole gateway
    ///
    /// Progress goes to stderr, the result to stdout. Exit status 1 if the tool reports an error.
    #[command(after_help = "\
Examples:
  sentinel-gateway call read_query 'query=SELECT 1+1 AS two'
  sentinel-gateway call read_query '{\"query\": \"SELECT 1+1 AS two\"}' --json
  sentinel-gateway call read_query @arguments.json")]
    Call(Call),
    /// Read one resource through the whole gateway
    ///
    /// Its contents go to stdout: a pipe gets the bytes, a terminal one line for each binary.
    #[command(after_help = "\
Examples:
  sentinel-gateway read memo://insights
  sentinel-gateway read file:///logo.png > logo.png")]
    Read(Read),
    /// Get one prompt, filled in, through the whole gateway
    #[command(after_help = "\
Examples:
  sentinel-gateway prompt review 'code=fn main() {}'")]
    Prompt(Prompt),
    /// Show how tools have changed since they were accepted, and accept their current definitions
    ///
    /// Connects to every backend and compares its tools to the lock beside the config.
    /// Exit status 1 if a backend is down or, with --dry-run, if a tool has changed.
    #[command(after_help = "\
Examples:
  sentinel-gateway pin --dry-run
  sentinel-gateway pin n8n sqlite/read_query")]
    Pin(Pin),
    /// Switch a backend, one of its tools or everything off, in the config and every gateway that runs with it
    ///
    /// Running gateways take it within a second. A tool is named as its backend names it.
    #[command(after_help = "\
Examples:
  sentinel-gateway disable sqlite/drop_table
  sentinel-gateway disable --all")]
    Disable(Switched),
    /// Switch on again what `disable` has switched off
    Enable(Switched),
    /// Sign in to backends: in a browser, or with a code at another device
    ///
    /// Running gateways notice it within two seconds. Exit status 1 if it fails.
    #[command(after_help = "\
Examples:
  sentinel-gateway login notes
  sentinel-gateway login notes --device")]
    Login(Login),
    /// Sign out of backends: revoke their tokens and forget them
    Logout(Logout),
    /// Add the gateway to the config of a client; without a name: show which clients are here
    ///
    /// Shows what is to be written and asks. Keeps a backup, and leaves every other byte as it is.
    #[command(after_help = "\
Examples:
  sentinel-gateway install
  sentinel-gateway install claude-desktop cursor --dry-run")]
    Install(Install),
    /// Take the gateway out of the config of a client, and put back what was there before
    #[command(after_help = "\
Examples:
  sentinel-gateway uninstall claude-desktop
  sentinel-gateway uninstall cursor --restore")]
    Uninstall(Uninstall),
    /// Write a first sentinel.toml, and try its servers
    ///
    /// Exit status 1 if one of them is down; the file is written all the same.
    #[command(after_help = "\
Examples:
  sentinel-gateway init
  sentinel-gateway init notes=https://notes.example.com/mcp --bearer-env notes=NOTES_TOKEN --yes")]
    Init(Init),
    /// Print the JSON Schema of sentinel.toml
    Schema,
}

/// Longest wait for a backend.
#[derive(Args)]
pub(super) struct Timeout {
    /// How long a backend may take to connect and list, in seconds
    #[arg(long = "timeout", value_name = "SECS", default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    secs: u64,
}

impl Timeout {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(self.secs)
    }
}

/// Output of a command that reports on all backends.
#[derive(Args)]
pub(super) struct Output {
    #[command(flatten)]
    pub(super) timeout: Timeout,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `read`.
#[derive(Args)]
pub(super) struct Read {
    /// The resource, listed or made from a template
    pub(super) uri: String,

    /// Print the result as the raw JSON of the backend
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `prompt`.
#[derive(Args)]
pub(super) struct Prompt {
    /// The prompt, by its name in the output of `prompts`
    #[arg(value_name = "NAME")]
    pub(super) prompt: String,

    /// Its arguments
    #[arg(value_name = "KEY=VALUE")]
    pub(super) arguments: Vec<String>,

    /// Print the result as the raw JSON of the backend
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `call`.
#[derive(Args)]
pub(super) struct Call {
    /// The tool, by its name in the output of `tools`
    pub(super) tool: String,

    /// The arguments: one JSON object, @FILE or - (stdin) that has one, or key=value pairs, each read
    /// by the tool's schema: a string parameter gets a string, any other takes JSON
    #[arg(
        value_name = "JSON | @FILE | - | KEY=VALUE",
        allow_negative_numbers = true
    )]
    pub(super) arguments: Vec<String>,

    /// Print the result as the raw JSON of the backend
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `pin`.
#[derive(Args)]
pub(super) struct Pin {
    /// Backends, or tools by their own names [default: all]
    #[arg(value_name = "BACKEND[/TOOL]")]
    pub(super) tools: Vec<String>,

    #[command(flatten)]
    pub(super) timeout: Timeout,

    /// Show the changes without accepting them
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Print JSON instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// `--log-level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogLevel {
    /// Nothing.
    Off,
    /// Errors.
    Error,
    /// Errors and warnings: problems that the gateway handled.
    Warn,
    /// Also events of interest to users.
    Info,
    /// Also events of interest to developers.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The filter of this level.
    pub(super) fn filter(self) -> LevelFilter {
        match self {
            Self::Off => LevelFilter::OFF,
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// `--log-format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Text lines.
    Text,
    /// One JSON object a line.
    Json,
}

impl Cli {
    /// The overrides of the configuration that the flags make.
    ///
    /// # Errors
    /// Malformed flags, without their values, which may be secrets.
    pub(super) fn overrides(&self) -> Result<Overrides, Problems> {
        let mut problems = Problems::default();
        let mut pairs = |flag, values: &[String], form| -> Vec<(String, String)> {
            let split = values.iter().filter_map(|value| {
                let pair = value.split_once('=').filter(|(name, _)| !name.is_empty());
                if pair.is_none() {
                    problems.add_flag(flag, format!("must have the form {form}"));
                }
                pair.map(|(name, rest)| (name.to_owned(), rest.to_owned()))
            });
            split.collect()
        };
        let backends = pairs("--backend", &self.config.backend, "NAME=URL");
        let bearer_env = pairs("--bearer-env", &self.config.bearer_env, "NAME=VAR");
        let headers = pairs("--header", &self.config.header, "'NAME:Key=value'");

        let headers = headers
            .into_iter()
            .filter_map(|(target, value)| {
                let Some((name, key)) = target.split_once(':') else {
                    problems.add_flag("--header", "must have the form 'NAME:Key=value'");
                    return None;
                };
                Some((name.to_owned(), key.to_owned(), value))
            })
            .collect();
        problems.into_result(Overrides {
            config: self.config.config.clone(),
            backends,
            bearer_env,
            headers,
            only: self.config.only.clone(),
            profile: self.config.profile.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::protocol::LEGACY_VERSIONS;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"sentinel-gateway").chain(args))
    }

    #[test]
    fn argument_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn version_shows_the_commit_and_the_protocol_versions() {
        let version = Cli::command().render_version();
        assert!(version.contains(concat!(env!("CARGO_PKG_VERSION"), " (commit ")));
        for protocol in LEGACY_VERSIONS.iter().chain(&["2026-07-28"]) {
            assert!(version.contains(protocol), "{protocol} in {version}");
        }
    }

    #[test]
    fn flags_are_accepted_before_and_after_the_command() {
        for args in [
            ["--config", "a.toml", "--only", "a,b", "tools"],
            ["tools", "--only", "a,b", "--config", "a.toml"],
        ] {
            let cli = parse(&args).unwrap();
            let overrides = cli.overrides().unwrap();
            assert_eq!(overrides.config, Some("a.toml".into()));
            assert_eq!(overrides.only, Some(vec!["a".to_owned(), "b".to_owned()]));
            assert!(matches!(cli.command, Some(Command::Tools(_))));
        }
    }

    #[test]
    fn pairs_are_split_at_the_first_separator() {
        let cli = parse(&[
            "--backend",
            "a=http://h/?x=y",
            "--bearer-env=a=TOKEN",
            "--header",
            "a:X-Key=v:w=x ${Y}",
        ]);
        let overrides = cli.unwrap().overrides().unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(overrides.backends, [pair("a", "http://h/?x=y")]);
        assert_eq!(overrides.bearer_env, [pair("a", "TOKEN")]);
        let header = ("a".to_owned(), "X-Key".to_owned(), "v:w=x ${Y}".to_owned());
        assert_eq!(overrides.headers, [header]);
    }

    #[test]
    fn malformed_flags_are_named_without_their_values() {
        let cli = parse(&[
            "--backend",
            "https://h/hidden",
            "--bearer-env",
            "=hidden",
            "--header",
            "a:hidden",
            "--header",
            "hidden=hidden",
        ]);
        let problems = cli.unwrap().overrides().map(|_| ()).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "--backend: must have the form NAME=URL\n\
             --bearer-env: must have the form NAME=VAR\n\
             --header: must have the form 'NAME:Key=value'\n\
             --header: must have the form 'NAME:Key=value'"
        );
    }

    #[test]
    fn the_help_has_every_command_with_two_examples_a_group() {
        let command = Cli::command();
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            assert!(HELP.contains(&format!("\n  {name} ")), "{name}");
        }
        let groups = HELP
            .split("\n\n")
            .filter(|part| part.starts_with("    sentinel-gateway"));
        for examples in groups {
            assert_eq!(examples.lines().count(), 2, "{examples}");
            for example in examples.lines() {
                let example = example.replace("'query=SELECT 1+1 AS two'", "query=1");
                let words: Vec<&str> = example
                    .split_whitespace()
                    .take_while(|word| *word != ">")
                    .collect();
                assert!(Cli::try_parse_from(words).is_ok(), "{example}");
            }
        }
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for args in [&["--nonsense"][..], &["call"], &["uninstall"], &["serve"]] {
            assert_eq!(parse(args).map(|_| ()).unwrap_err().exit_code(), 2);
        }
    }
}
