//! Arguments of `status`.
//!
//! Owns its one flag. It takes none of the config: the gateways that run say which they have.

use clap::Args;

/// What is shown of the gateways that run.
#[derive(Args)]
pub(in crate::cli) struct StatusArgs {
    /// Print JSON instead of tables
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
