//! Arguments of `login` and `logout`.
//!
//! Owns which flags exclude each other, and the bounds of `--wait`, in seconds.

use clap::Args;

/// Arguments of `login`.
#[derive(Args)]
pub(in crate::cli) struct Login {
    /// The backends, one after the other
    #[arg(value_name = "BACKEND", required = true)]
    pub(in crate::cli) backends: Vec<String>,

    /// Sign in at another device, by a code that is shown here
    #[arg(long)]
    pub(in crate::cli) device: bool,

    /// Start no browser; the address is printed in any case
    #[arg(long)]
    pub(in crate::cli) no_browser: bool,

    /// Asks for this scope, too; repeatable
    #[arg(long, value_name = "SCOPE")]
    pub(in crate::cli) scope: Vec<String>,

    /// Choose the account anew
    #[arg(long)]
    pub(in crate::cli) switch: bool,

    /// Take over the sign-in of mcp-remote, which has to sign in anew then
    #[arg(long, conflicts_with_all = ["switch", "scope"])]
    pub(in crate::cli) take_tokens: bool,

    /// How long to wait for the person, in seconds
    #[arg(long, value_name = "SECS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(in crate::cli) wait: u64,

    /// Print JSON, one object a line
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Arguments of `logout`.
#[derive(Args)]
pub(in crate::cli) struct Logout {
    /// The backends
    #[arg(
        value_name = "BACKEND",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(in crate::cli) backends: Vec<String>,

    /// All backends
    #[arg(long)]
    pub(in crate::cli) all: bool,

    /// Forget the registration of this client, too
    #[arg(long)]
    pub(in crate::cli) forget: bool,

    /// Print JSON, one object a line
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
