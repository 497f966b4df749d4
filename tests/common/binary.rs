//! The real binary as a process, with secrets planted and what it says looked through.

use std::path::Path;
use std::process::{Child, Command};

use super::canary;

/// The binary with this sentinel.toml, written into `folder`, which is also its home, and nothing
/// of the machine's own.
pub fn command(folder: &Path, toml: &str) -> Command {
    let file = folder.join("sentinel.toml");
    std::fs::write(&file, canary::plant(toml, folder)).unwrap();
    let mut command = bare();
    command
        .arg("--config")
        .arg(file)
        .current_dir(folder)
        .env("HOME", folder);
    command
}

/// The binary with the variables of the secrets, and no config.
pub fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-gateway"));
    command.env_remove("RUST_LOG").env_remove("SENTINEL_CONFIG");
    for name in canary::VARIABLES {
        command.env(name, canary::secret(name));
    }
    command
}

/// A process whose command line was looked at as it started.
pub fn spawn(command: &mut Command) -> Child {
    let child = command.spawn().unwrap();
    canary::look_at_command_line(child.id());
    child
}
