//! Arguments of the commands about tools.
//!
//! Owns the flags of `tools` and `search`, and the bounds on the number of results.

use clap::Args;

use super::Output;

/// Arguments of `tools`.
#[derive(Args)]
pub(in crate::cli) struct Tools {
    /// Shows this tool, by its name in the list, and its arguments
    pub(in crate::cli) name: Option<String>,

    /// Shows the estimated tokens of each definition, largest first
    #[arg(long, conflicts_with = "name")]
    pub(in crate::cli) tokens: bool,

    #[command(flatten)]
    pub(in crate::cli) output: Output,
}

/// Arguments of `search`.
#[derive(Args)]
pub(in crate::cli) struct Search {
    /// What the tool is to do, in a few words
    #[arg(value_name = "WORDS", required = true)]
    pub(in crate::cli) words: Vec<String>,

    /// Most results
    #[arg(long, value_name = "NUMBER", default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(in crate::cli) limit: u16,

    #[command(flatten)]
    pub(in crate::cli) output: Output,
}
