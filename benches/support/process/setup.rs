//! The servers, and the process under test with its config.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use crate::support::Result;
use crate::support::mock::Servers;
use crate::support::process::{Process, Program, log, scratch};

/// A running mock process. It ends when this is dropped.
pub(crate) struct Mock {
    process: Process,
    pub(crate) urls: Vec<String>,
}

impl Mock {
    pub(crate) fn start(servers: Servers) -> Result<Self> {
        let mut program = Program::own_role("mock", servers.role())?;
        program.log = log(&format!("mock-{}", servers.role()));
        let mut process = program.start()?;
        let urls = (0..servers.count())
            .map(|_| next_line(&mut process))
            .collect::<Result<_>>()?;
        Ok(Self { process, urls })
    }

    /// The URL of its first server.
    pub(crate) fn url(&self) -> &str {
        &self.urls[0]
    }

    /// The number of requests and notifications received so far.
    pub(crate) fn requests(&mut self) -> Result<u64> {
        self.process.input()?.write_all(b"\n")?;
        Ok(next_line(&mut self.process)?.parse()?)
    }
}

fn next_line(process: &mut Process) -> Result<String> {
    let mut line = String::new();
    process.output.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// The process under test.
pub(crate) enum Subject {
    Gateway,
    /// Another command, with `{url}` in place of the backend's URL; `relay` is the relay itself.
    Other(String),
}

/// The backends and the config of the process under test.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// Name of its config file.
    pub(crate) name: &'static str,
    /// Lines of the `[gateway]` table, and tables that follow it.
    pub(crate) gateway: &'a str,
    /// Lines of each backend.
    pub(crate) backend: &'a str,
    pub(crate) urls: &'a [String],
}

impl Subject {
    /// `None` if only the gateway supports this setup.
    pub(crate) fn program(&self, setup: &Setup<'_>) -> Result<Option<Program>> {
        match (self, setup.urls) {
            (Self::Gateway, _) => gateway(setup).map(Some),
            (Self::Other(command), [url]) => other(command, url).map(Some),
            (Self::Other(_), _) => Ok(None),
        }
    }

    pub(crate) fn is_gateway(&self) -> bool {
        matches!(self, Self::Gateway)
    }
}

/// The gateway's executable.
pub(crate) fn executable() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sentinel-gateway"))
}

/// Builds it as users do: the executable that cargo builds for a bench has dependencies with features that only development needs.
pub(crate) fn build() -> Result<()> {
    let profile = executable().parent().map(PathBuf::from);
    let profile = profile.ok_or("the executable has no folder")?;
    if !profile.ends_with("release") {
        return Ok(());
    }
    let target = profile
        .parent()
        .ok_or("the profile's folder has no parent")?;
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let mut build = Command::new(cargo);
    // The variables that cargo sets for a bench would make build scripts of dependencies run again each time.
    let names = env::vars_os().map(|(name, _)| name);
    let of_bench = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "OUT_DIR"];
    for name in names.filter(|name| {
        of_bench
            .iter()
            .any(|of| name.to_string_lossy().starts_with(of))
    }) {
        build.env_remove(name);
    }
    let built = build
        .args(["build", "--release", "--quiet", "--bin", "sentinel-gateway"])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .arg("--target-dir")
        .arg(target)
        .status()?;
    built
        .success()
        .then_some(())
        .ok_or("the gateway can't be built".into())
}

/// The gateway with a config of its own, so that it uses none of this machine.
fn gateway(setup: &Setup<'_>) -> Result<Program> {
    Ok(Program {
        name: "the gateway",
        path: executable(),
        args: vec![OsString::from("--config"), config(setup)?.into()],
        log: log(&format!("gateway-{}", setup.name)),
    })
}

/// Writes the config file of a setup.
pub(crate) fn config(setup: &Setup<'_>) -> Result<PathBuf> {
    let mut text = format!("[gateway]\n{}\n", setup.gateway);
    for (number, url) in setup.urls.iter().enumerate() {
        write!(
            text,
            "\n[[backends]]\nname = \"mock{number}\"\nurl = \"{url}\"\n{}\n",
            setup.backend
        )?;
    }
    let path = scratch().join(format!("bench-{}.toml", setup.name));
    fs::write(&path, text)?;
    Ok(path)
}

fn other(command: &str, url: &str) -> Result<Program> {
    if command == "relay" {
        return Program::own_role("relay", url);
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
