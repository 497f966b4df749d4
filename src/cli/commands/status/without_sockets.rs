//! `status` and `top` where there are no private sockets.
//!
//! Owns the message that says so.

use std::path::Path;

use crate::cli::args::StatusArgs;
use crate::cli::exit::FAILED;
use crate::cli::terminal::print_message;
use crate::config::Environment;

const WHY: &str =
    "running gateways can't be asked on this system; `sentinel-gateway check` tries the backends";

pub(in crate::cli::commands) async fn status(
    _: &Environment,
    _: Option<&Path>,
    _: &StatusArgs,
) -> u8 {
    print_message(WHY);
    FAILED
}

pub(in crate::cli::commands) async fn top(_: &Environment, _: Option<&Path>) -> u8 {
    print_message(WHY);
    FAILED
}
