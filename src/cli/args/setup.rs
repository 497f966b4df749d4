//! Arguments of the commands that put the gateway into clients.
//!
//! Owns the flags of `install`, `uninstall`, `init` and `check`, and which names an entry may have.

use clap::{Args, ValueEnum};

use super::Output;
use crate::client_config::import::Tokens;
use crate::install::DEFAULT_NAME;

/// Arguments of `install`.
#[derive(Args)]
pub(in crate::cli) struct Install {
    /// The clients: claude-desktop, claude-code, cursor, vscode, codex, windsurf, zed, gemini,
    /// opencode, copilot, goose, continue
    #[arg(value_name = "CLIENT")]
    pub(in crate::cli) clients: Vec<String>,

    /// Make backends of the clients' HTTP servers, and of their mcp-remote and mcp-proxy entries
    #[arg(long, requires = "clients")]
    pub(in crate::cli) import: bool,

    /// With --import: leave the clients' own entries where they are
    #[arg(long, requires = "import")]
    pub(in crate::cli) keep: bool,

    /// With --import: where tokens go that stand in the clients' files
    #[arg(long, value_enum, value_name = "PLACE", default_value_t = TokenPlace::File, requires = "import")]
    pub(in crate::cli) tokens: TokenPlace,

    #[command(flatten)]
    pub(in crate::cli) writing: Writing,
}

/// `--tokens`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum TokenPlace {
    /// Files beside sentinel.toml that only the user can read.
    File,
    /// The `env` of the new entry.
    Env,
}

impl TokenPlace {
    pub(in crate::cli) fn tokens(self) -> Tokens {
        match self {
            Self::File => Tokens::Files,
            Self::Env => Tokens::Env,
        }
    }
}

/// Arguments of `init`.
#[derive(Args)]
pub(in crate::cli) struct Init {
    /// MCP servers over HTTP; on a terminal they are asked for
    #[arg(value_name = "NAME=URL")]
    pub(in crate::cli) servers: Vec<String>,

    /// Show what would be written, and write nothing
    #[arg(long, conflicts_with = "yes")]
    pub(in crate::cli) dry_run: bool,

    /// Write without asking
    #[arg(long, short)]
    yes: bool,
}

impl Init {
    /// How it is written.
    pub(in crate::cli) fn writing(&self) -> Writing {
        Writing {
            dry_run: self.dry_run,
            yes: self.yes,
            project: false,
            name: None,
        }
    }
}

/// Arguments of `check`.
#[derive(Args)]
pub(in crate::cli) struct Check {
    /// Check the gateway as this client starts it: its entry, variables, folder and config
    #[arg(long, value_name = "CLIENT")]
    pub(in crate::cli) client: Option<String>,

    /// With --client: put the entry back if it is gone
    #[arg(long, requires = "client")]
    pub(in crate::cli) fix: bool,

    /// With --client: use the file of the project in the working folder, not the user's own
    #[arg(long, requires = "client")]
    pub(in crate::cli) project: bool,

    #[command(flatten)]
    pub(in crate::cli) output: Output,
}

/// Arguments of `uninstall`.
#[derive(Args)]
pub(in crate::cli) struct Uninstall {
    /// The clients
    #[arg(value_name = "CLIENT", required = true)]
    pub(in crate::cli) clients: Vec<String>,

    #[command(flatten)]
    pub(in crate::cli) writing: Writing,

    /// Put the whole file back from the backup, byte for byte; only if nobody has changed it since
    #[arg(long)]
    pub(in crate::cli) restore: bool,

    /// With --restore: also if somebody has changed it since
    #[arg(long, requires = "restore")]
    pub(in crate::cli) force: bool,
}

/// How a client's file is written.
#[derive(Args)]
pub(in crate::cli) struct Writing {
    /// Show what would be written, and write nothing
    #[arg(long, conflicts_with = "yes")]
    pub(in crate::cli) dry_run: bool,

    /// Write without asking
    #[arg(long, short)]
    pub(in crate::cli) yes: bool,

    /// Use the file of the project in the working folder, not the user's own
    #[arg(long)]
    pub(in crate::cli) project: bool,

    /// The name of the entry [default: sentinel]
    #[arg(long, value_name = "NAME", value_parser = entry_name)]
    pub(in crate::cli) name: Option<String>,
}

impl Writing {
    /// The name of the entry.
    pub(in crate::cli) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(DEFAULT_NAME)
    }
}

/// What every client takes as a name.
fn entry_name(name: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=32).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(name.to_owned());
    }
    Err("1 to 32 letters, digits, - and _".to_owned())
}
