//! The project's scale: what a call through the gateway costs, beside a bare relay and beside plain HTTP, in the same run.
//!
//! `cargo bench --bench gateway -- --help` tells what it can do, `benches/README.md` how to read what it says.

#![allow(
    clippy::print_stdout,
    reason = "a bench speaks on stdout; the gateway alone must not"
)]

mod support;

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, thread};

use clap::{Parser, ValueEnum};
use support::process::{Process, Program};
use support::sections::{Effort, Scale};
use support::sheet::{Section, Sheet};
use support::{Result, mock, relay, table};

/// Weighs the gateway against a bare relay and against plain HTTP.
#[derive(Parser)]
#[command(name = "gateway")]
struct Args {
    /// What to weigh; all of it if nothing is named
    sections: Vec<Section>,
    /// Alternating rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Fewer calls in a round, for a first look
    #[arg(long)]
    quick: bool,
    /// Exits 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Prints JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Weighs this command instead of the gateway, with {url} for the backend's; `relay` weighs the relay against itself, which shows the
    /// scale's own error
    #[arg(long, value_name = "COMMAND")]
    subject: Option<String>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    play_role().unwrap_or_else(|error| {
        eprintln!("bench: {error}");
        ExitCode::from(2)
    })
}

fn play_role() -> Result<ExitCode> {
    let words: Vec<String> = env::args().collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["mock"] => mock::run().map(|()| ExitCode::SUCCESS),
        ["relay", url] => relay::run(url).map(|()| ExitCode::SUCCESS),
        _ => weigh(&Args::parse()),
    }
}

fn weigh(args: &Args) -> Result<ExitCode> {
    let (_mock, url) = start_mock()?;
    let scale = Scale {
        gateway: subject(args.subject.as_deref(), &url)?,
        relay: own_role("relay", [&url])?,
        url,
        effort: if args.quick {
            Effort::QUICK
        } else {
            Effort::FULL
        },
    };
    let sections = if args.sections.is_empty() {
        Section::value_variants()
    } else {
        &args.sections
    };
    let mut sheet = Sheet::default();
    for &section in sections {
        for round in 0..args.rounds {
            show_progress(section, round, args.rounds);
            scale.weigh(section, round, &mut sheet)?;
        }
    }
    if args.json {
        println!("{:#}", table::json(&sheet));
    } else {
        println!("{}\n\n{}", machine(args.rounds), table::text(&sheet));
    }
    let missed = table::missed(&sheet);
    for name in &missed {
        eprintln!("missed: {name}");
    }
    Ok(ExitCode::from(u8::from(args.check && !missed.is_empty())))
}

/// The backend process, and its URL. It ends when it is dropped.
fn start_mock() -> Result<(Process, String)> {
    let mut mock = own_role("mock", [])?.start()?;
    let mut url = String::new();
    mock.output.read_line(&mut url)?;
    Ok((mock, url.trim_end().to_owned()))
}

/// This executable in another role.
fn own_role<const N: usize>(name: &'static str, args: [&str; N]) -> Result<Program> {
    Ok(Program {
        name,
        path: env::current_exe()?,
        args: [name].into_iter().chain(args).map(OsString::from).collect(),
        log: log(name),
    })
}

/// The process under test.
fn subject(command: Option<&str>, url: &str) -> Result<Program> {
    let Some(command) = command else {
        return gateway(url);
    };
    if command == "relay" {
        return own_role("relay", [url]);
    }
    let mut words = command
        .split_whitespace()
        .map(|word| word.replace("{url}", url));
    Ok(Program {
        name: "the subject",
        path: PathBuf::from(words.next().ok_or("--subject names no command")?),
        args: words.map(OsString::from).collect(),
        log: log("subject"),
    })
}

/// The gateway, with the mock as its one backend and a config of its own, so that no config of this machine is met.
fn gateway(url: &str) -> Result<Program> {
    let config = scratch().join("bench.toml");
    fs::write(
        &config,
        format!("[[backends]]\nname = \"mock\"\nurl = \"{url}\"\n"),
    )?;
    Ok(Program {
        name: "the gateway",
        path: PathBuf::from(env!("CARGO_BIN_EXE_sentinel-gateway")),
        args: vec![OsString::from("--config"), config.into()],
        log: log("gateway"),
    })
}

/// Where the stderr of a process goes.
fn log(name: &str) -> PathBuf {
    scratch().join(format!("bench-{name}.log"))
}

fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Figures say little without the machine that they come from.
fn machine(rounds: usize) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let version = env!("CARGO_PKG_VERSION");
    format!("sentinel-gateway {version}, {os} {arch}, {cores} cores, medians of {rounds} rounds")
}

fn show_progress(section: Section, round: usize, rounds: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{section:?}, round {} of {rounds}\r", round + 1);
    }
}
