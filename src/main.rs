//! The `sentinel-gateway` binary; the library does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    sentinel_gateway::cli::run(std::env::args_os())
}
