//! Arguments of the commands that put the gateway into clients.

use clap::Args;

/// Arguments of `install`.
#[derive(Args)]
pub(in crate::cli) struct Install {
    /// The clients: claude-desktop, claude-code, cursor, vscode, codex, windsurf, zed, gemini,
    /// opencode, copilot, goose, continue
    #[arg(value_name = "CLIENT")]
    pub(in crate::cli) clients: Vec<String>,

    #[command(flatten)]
    pub(in crate::cli) writing: Writing,
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

    /// The name of the entry
    #[arg(long, value_name = "NAME", default_value = "sentinel", value_parser = entry_name)]
    pub(in crate::cli) name: String,
}

/// What every client takes as a name.
fn entry_name(name: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=32).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(name.to_owned());
    }
    Err("1 to 32 letters, digits, - and _".to_owned())
}
