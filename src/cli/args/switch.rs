//! Arguments of `disable` and `enable`.
//!
//! Owns that either one thing is named, or `--all`.

use clap::Args;

/// What is switched off or on.
#[derive(Args)]
pub(in crate::cli) struct Switched {
    /// A backend, or a tool by its own name
    #[arg(
        value_name = "BACKEND[/TOOL]",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(in crate::cli) what: Option<String>,

    /// Everything
    #[arg(long)]
    pub(in crate::cli) all: bool,
}
