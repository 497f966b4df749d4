//! Opens a browser for a person at this machine.
//!
//! Owns which program is started. The URL comes from a server: it is one argument, and no shell reads
//! it.

use std::env::{var, var_os};
use std::io::{self, IsTerminal};
use std::process::Stdio;

use tokio::process::Command;
use url::Url;

/// Whether a browser would be seen: a person at a terminal, with a display.
pub(super) fn is_there() -> bool {
    let has_display = cfg!(any(windows, target_os = "macos"))
        || ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"]
            .iter()
            .any(|name| var_os(name).is_some_and(|value| !value.is_empty()));
    io::stdout().is_terminal() && has_display
}

/// Starts a browser, and doesn't wait for it. Returns whether it could be started.
pub(super) fn open(url: &Url) -> bool {
    programs().into_iter().any(|mut program| {
        let name = program.remove(0);
        let started = Command::new(name)
            .args(program)
            .arg(url.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        started.is_ok()
    })
}

/// The programs to try, each with its first arguments.
fn programs() -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let chosen = var("BROWSER").unwrap_or_default();
    // A list as of `xdg-open`; what has a place for the URL is for a shell, which none is here.
    let chosen = chosen
        .split(':')
        .filter(|one| !one.is_empty() && !one.contains('%'));
    let mut programs: Vec<Vec<String>> = chosen.map(|one| words(&[one])).collect();
    if cfg!(windows) {
        programs.push(words(&["rundll32.exe", "url.dll,FileProtocolHandler"]));
    } else if cfg!(target_os = "macos") {
        programs.push(words(&["open"]));
    } else {
        if var_os("WSL_DISTRO_NAME").is_some() {
            programs.push(words(&["wslview"]));
        }
        programs.push(words(&["xdg-open"]));
    }
    programs
}
