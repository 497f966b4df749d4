//! Arguments of `status`.

use clap::Args;

/// What is shown of the gateways that run.
#[derive(Args)]
pub(in crate::cli) struct StatusArgs {
    /// Print JSON instead of tables
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
