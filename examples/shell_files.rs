//! Writes what a package has for shells: a man page for the program and for each command, and completions
//! for bash, zsh, fish, PowerShell and elvish.
//!
//! ```text
//! cargo run --locked --example shell_files -- FOLDER
//! ```
//!
//! The executable carries none of it. The scripts in `packaging/` run this once for all packages.

#![allow(
    clippy::disallowed_methods,
    reason = "a program for a terminal, which writes some files"
)]

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;

use clap_complete::Shell;

const PROGRAM: &str = "sentinel-gateway";

fn main() -> io::Result<()> {
    let folder: OsString = std::env::args_os()
        .nth(1)
        .ok_or_else(|| io::Error::other("usage: shell_files FOLDER"))?;
    let folder = PathBuf::from(folder);
    // The man page's title line takes one line: the program's version without commit and protocols.
    let command = sentinel_gateway::cli::command().version(env!("CARGO_PKG_VERSION"));

    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [
        Shell::Bash,
        Shell::Zsh,
        Shell::Fish,
        Shell::PowerShell,
        Shell::Elvish,
    ] {
        clap_complete::generate_to(shell, &mut command.clone(), PROGRAM, &completions)?;
    }

    let man = folder.join("man");
    fs::create_dir_all(&man)?;
    clap_mangen::generate_to(command, &man)
}
