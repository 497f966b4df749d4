//! The `sentinel-gateway` binary: everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sentinel_gateway::cli::run(std::env::args_os())
}
