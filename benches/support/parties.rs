//! Who takes part: the servers, and the process under test with the config that it is given.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use super::Result;
use super::mock::Servers;
use super::process::{Process, Program, log, scratch};

/// A running mock. It ends when it is dropped.
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

    /// The URL of its only server, or its first.
    pub(crate) fn url(&self) -> &str {
        &self.urls[0]
    }

    /// How many requests and notifications have come so far.
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
    /// Another command, with `{url}` where the backend's URL belongs; `relay` is the relay itself.
    Other(String),
}

/// What the process under test is to stand in front of, and how.
pub(crate) struct Setup<'a> {
    /// Names its config.
    pub(crate) name: &'static str,
    /// Lines of the `[gateway]` table.
    pub(crate) gateway: &'static str,
    pub(crate) urls: &'a [String],
}

impl Subject {
    /// `None` where only the gateway could be set up so.
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

/// Builds it as users have it: where the executable comes along with a bench, its packages have features that only development needs.
pub(crate) fn build() -> Result<()> {
    let profile = executable().parent().map(PathBuf::from);
    let profile = profile.ok_or("an executable that stands nowhere")?;
    if !profile.ends_with("release") {
        return Ok(());
    }
    let target = profile.parent().ok_or("a profile of no target")?;
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let mut build = Command::new(cargo);
    // What cargo says to a bench would look like a change to the build scripts of packages, and have them built anew each time.
    let said = env::vars_os().map(|(name, _)| name);
    let of_bench = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "OUT_DIR"];
    for name in said.filter(|name| {
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

/// The gateway with a config of its own, so that no config of this machine is met.
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
            "\n[[backends]]\nname = \"mock{number}\"\nurl = \"{url}\"\n"
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
