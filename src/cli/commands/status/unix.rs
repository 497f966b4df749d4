//! `status` and `top` where there are private sockets.
//!
//! Owns which gateways are shown (all, or those of one config file), what is said where there is none, and the
//! exit status.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use super::{text, top as screen};
use crate::cli::args::StatusArgs;
use crate::cli::exit::{FAILED, OK};
use crate::cli::terminal::{print_message, print_report, print_result, stdout_width, warn};
use crate::config::Environment;
use crate::files;
use crate::status::{GatewayStatus, State, Unread, read_all};

const WHY_NONE: &str = "A client starts it: `sentinel-gateway install` shows which clients have it; one with \
    status = false in [gateway] is not shown";

/// Shows all gateways that run; with a config those of this file. Returns the exit status.
pub(in crate::cli::commands) async fn status(
    env: &Environment,
    config: Option<&Path>,
    args: &StatusArgs,
) -> u8 {
    let (gateways, unread) = read(env, config).await;
    for Unread { path, why } in unread {
        warn(&format!("{}: {why}", path.display()));
    }
    let printed = match args.json {
        true => print_report(&mut io::stdout().lock(), |out| {
            serde_json::to_writer_pretty(&mut *out, &gateways)?;
            writeln!(out)
        }),
        false => print_report(&mut anstream::stdout().lock(), |out| {
            text::print(&gateways, stdout_width(), out)
        }),
    };
    if gateways.is_empty() {
        let with = config.map_or("", |_| " with this config");
        print_message(&format!(
            "no gateway is running under your account{with}. {WHY_NONE}"
        ));
    }
    let mut backends = gateways.iter().flat_map(|gateway| &gateway.backends);
    let is_well = backends.all(|backend| matches!(backend.state, State::Up | State::Disabled));
    let code = match is_well && !gateways.is_empty() {
        true => OK,
        false => FAILED,
    };
    print_result(printed, code)
}

/// Shows them on the whole terminal until the user has enough. Returns the exit status.
pub(in crate::cli::commands) async fn top(env: &Environment, config: Option<&Path>) -> u8 {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        print_message("top needs a terminal; `sentinel-gateway status` prints the same once");
        return FAILED;
    }
    match screen::run(|| read(env, config)).await {
        Ok(()) => OK,
        Err(error) => {
            print_message(&format!("the terminal can't be used: {error}"));
            FAILED
        }
    }
}

async fn read(env: &Environment, config: Option<&Path>) -> (Vec<GatewayStatus>, Vec<Unread>) {
    let (mut gateways, unread) = read_all(&env.socket_folders()).await;
    if let Some(config) = config {
        let of = |path: &Path| files::resolve(path).unwrap_or_else(|_| path.to_owned());
        let wanted = of(&env.absolute(config, None));
        gateways.retain(|gateway| {
            let file = gateway.config.as_deref().map(Path::new);
            file.is_some_and(|file| of(file) == wanted)
        });
    }
    (gateways, unread)
}
