//! `install`, `uninstall`, `init` and `check --client`: the gateway's entry in the files of clients.
//!
//! Owns what is shown before a file is written, and the question whether to. What is written and kept
//! for the way back is `crate::install`'s.

mod changes;
mod client_check;
mod consent;
mod first_run;
mod import;
mod init;
mod install;
mod overview;
mod rules;
mod uninstall;

use std::io::{self, Write};
use std::path::PathBuf;

use super::args::Writing;
use super::exit::{BAD_CONFIG, FAILED, OK};
use super::terminal::{one_line, print_message, print_report, warn};
use crate::client_config::clients::Client;
use crate::client_config::places::{Places, System};
use crate::config::Environment;
use crate::files;
use crate::install::running::is_claude_desktop_running;

pub(super) use client_check::config_of_client;
pub(super) use first_run::{has_no_config, introduce};
pub(super) use init::init;
pub(super) use install::install;
pub(super) use uninstall::uninstall;

/// The user's machine, as the commands need it.
struct Machine {
    env: Environment,
    home: PathBuf,
    /// The gateway's folder for what is kept between runs.
    state: PathBuf,
}

impl Machine {
    /// # Errors
    /// If the user has no home.
    fn here() -> Result<Self, String> {
        let env = Environment::of_process();
        let why = "the home folder of this user is not known: set HOME";
        let home = env.home().ok_or(why)?.to_owned();
        let state = env.state_folder().ok_or(why)?;
        Ok(Self { env, home, state })
    }

    /// The file of a client: the one that exists, or else the one to be made.
    ///
    /// # Errors
    /// If a project's is wanted and the client has none.
    fn file(&self, client: &Client, project: bool) -> Result<PathBuf, String> {
        let folder = self.env.working_folder();
        let mut candidates: Vec<PathBuf> = match project {
            true => client
                .project
                .iter()
                .map(|path| folder.join(path))
                .collect(),
            false => self.candidates(client),
        };
        if candidates.is_empty() {
            return Err(format!(
                "{} has no files in projects: leave --project out",
                client.name
            ));
        }
        let found = candidates.iter().position(|path| files::exists(path));
        // Of several builds of a client the one that is here.
        let is_in_folder = |path: &PathBuf| files::exists(files::folder_of(path));
        let found = found.or_else(|| candidates.iter().position(is_in_folder));
        Ok(candidates.swap_remove(found.unwrap_or(0)))
    }

    /// The paths that the client's own file may have; at least one.
    fn candidates(&self, client: &Client) -> Vec<PathBuf> {
        self.with_places(|places| places.user_files(client))
    }

    /// Whether there are traces of the client.
    fn has(&self, client: &Client) -> bool {
        let traces = self.with_places(|places| places.traces(client));
        traces.iter().any(|path| files::exists(path))
    }

    fn with_places<T>(&self, work: impl FnOnce(&Places<'_>) -> T) -> T {
        work(&Places {
            system: System::HERE,
            home: &self.home,
            variable: &|name| self.env.variable(name),
        })
    }
}

/// The clients of these names.
///
/// # Errors
/// A message about the first name that is none.
fn named(ids: &[String]) -> Result<Vec<&'static Client>, String> {
    let mut clients: Vec<&Client> = Vec::new();
    for id in ids {
        let client = Client::named(id)?;
        if !clients.iter().any(|known| known.id == client.id) {
            clients.push(client);
        }
    }
    Ok(clients)
}

/// The machine and the clients of these ids, for a command that writes their files.
///
/// # Errors
/// The exit status, after the reason is printed.
fn begin(ids: &[String]) -> Result<(Machine, Vec<&'static Client>), u8> {
    let machine = Machine::here().map_err(|why| failed(&why))?;
    let clients = named(ids).map_err(|why| {
        failed(&why);
        BAD_CONFIG
    })?;
    Ok((machine, clients))
}

/// Warns if the client runs and may undo what is written; `then` is what to do in that case.
fn warn_if_running(client: &Client, then: &str) {
    if client.id == "claude-desktop" && is_claude_desktop_running() {
        warn(&format!(
            "Claude Desktop is running, and may write its file anew from memory: quit it first. {then}"
        ));
    }
}

/// Writes the file of each client. `write` returns whether it is as wanted; nothing is written in a dry
/// run. Returns the exit status.
fn for_each(
    clients: Vec<&'static Client>,
    writing: &Writing,
    write: impl Fn(&'static Client) -> Result<bool, String>,
) -> u8 {
    let mut code = OK;
    for client in clients {
        match write(client) {
            Ok(is_done) if is_done || writing.dry_run => {}
            Ok(_) => code = FAILED,
            Err(why) => code = failed(&why),
        }
    }
    code
}

/// Prints why a command has failed. Returns the exit status.
fn failed(why: &str) -> u8 {
    print_message(&one_line(why));
    FAILED
}

/// Prints on stdout. A reader that has gone is no reason to stop.
fn print(text: &str) {
    let _ = print_report(
        &mut anstream::stdout().lock(),
        |out: &mut Vec<u8>| -> io::Result<()> { out.write_all(text.as_bytes()) },
    );
}
