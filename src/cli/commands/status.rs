//! `status`: what the gateways of this user that run now say of themselves.
//!
//! Needs no config, so that a gateway can be looked at whose file has become a bad one.

#[cfg(unix)]
mod text;
#[cfg(unix)]
mod words;

use crate::cli::args::StatusArgs;
use crate::config::Environment;

/// Shows all that run; with `--config` those of this file. Returns the exit status.
#[cfg(unix)]
pub(super) async fn status(
    env: &Environment,
    config: Option<&std::path::Path>,
    args: &StatusArgs,
) -> u8 {
    use std::io;

    use crate::cli::exit::{FAILED, OK};
    use crate::cli::terminal::{print_message, print_report, print_result, stdout_width, warn};
    use crate::files;
    use crate::status::{State, Unread, read_all};

    let (mut gateways, unread) = read_all(&env.socket_folders()).await;
    if let Some(config) = config {
        let wanted = env.absolute(config, None);
        let of = |path: &std::path::Path| files::resolve(path).unwrap_or_else(|_| path.to_owned());
        let wanted = of(&wanted);
        gateways.retain(|gateway| {
            let file = gateway.config.as_deref().map(std::path::Path::new);
            file.is_some_and(|file| of(file) == wanted)
        });
    }
    for Unread { path, why } in unread {
        warn(&format!("{}: {why}", path.display()));
    }
    let printed = match args.json {
        true => print_report(&mut io::stdout().lock(), |out| {
            serde_json::to_writer_pretty(&mut *out, &gateways)?;
            io::Write::write_all(out, b"\n")
        }),
        false => print_report(&mut anstream::stdout().lock(), |out| {
            text::print(&gateways, stdout_width(), out)
        }),
    };
    if gateways.is_empty() {
        print_message(NONE_RUNS);
    }
    let backends = || gateways.iter().flat_map(|gateway| &gateway.backends);
    let is_well = backends().all(|backend| matches!(backend.state, State::Up | State::Disabled));
    let code = if gateways.is_empty() || !is_well {
        FAILED
    } else {
        OK
    };
    print_result(printed, code)
}

#[cfg(unix)]
const NONE_RUNS: &str = "no gateway of yours runs that can be seen. A client starts it: `sentinel-gateway install` shows which \
clients have it; one with status = false in [gateway] is not shown";

/// There are no private sockets.
#[cfg(not(unix))]
pub(super) async fn status(_: &Environment, _: Option<&std::path::Path>, _: &StatusArgs) -> u8 {
    crate::cli::terminal::print_message(
        "running gateways can't be asked on this system; `sentinel-gateway check` tries the backends",
    );
    crate::cli::exit::FAILED
}
