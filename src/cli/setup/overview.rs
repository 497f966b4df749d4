//! `install` without a name: which clients are here, and what each would get.
//!
//! Owns the rows of that table. Nothing is written.

use std::path::Path;

use super::first_run::has_no_config;
use super::{Machine, print};
use crate::cli::args::Writing;
use crate::cli::exit::OK;
use crate::cli::terminal::{Cell, DIM, Fit, PLAIN, Side, Table, stdout_width};
use crate::client_config::clients::{CLIENTS, Client, Format};
use crate::client_config::edit::Entry;
use crate::client_config::servers::{command_line, is_ours};
use crate::config::Overrides;
use crate::files;
use crate::install::Place;

/// Prints a row for each client that is here.
pub(super) fn show(machine: &Machine, overrides: &Overrides, writing: &Writing) -> u8 {
    let here: Vec<&Client> = CLIENTS
        .iter()
        .filter(|client| machine.has(client))
        .collect();
    let mut table = Table::new(
        &[
            ("client", Side::Left),
            ("state", Side::Left),
            ("file", Side::Left),
        ],
        Fit::Wrap,
    );
    for client in &here {
        let file = machine.file(client, false).unwrap_or_default();
        table.row(vec![
            Cell::new(client.id, PLAIN),
            Cell::new(state(machine, client, writing.name()), PLAIN),
            Cell::new(file.display().to_string(), DIM),
        ]);
    }
    let mut text = Vec::new();
    let _ = table.print(&mut text, stdout_width());
    if here.is_empty() {
        print("no client was found here\n");
    } else {
        print(&String::from_utf8_lossy(&text));
    }
    let absent: Vec<&str> = CLIENTS
        .iter()
        .filter(|client| !here.iter().any(|known| known.id == client.id))
        .map(|client| client.id)
        .collect();
    if !absent.is_empty() {
        print(&format!("\nnot found here: {}\n", absent.join(", ")));
    }
    if let Some(first) = here.first() {
        // Without a config only an import makes one that the entry can name.
        let import = match has_no_config(overrides, &machine.env) {
            true => " --import",
            false => "",
        };
        print(&format!(
            "\n{DIM}next:{DIM:#} sentinel-gateway install {}{import} --dry-run\n",
            first.id
        ));
    }
    OK
}

/// Whether the entry names a program by its path, where none is. One on `PATH` may be found.
fn is_program_gone(entry: &Entry) -> bool {
    let words = command_line(&entry.value).unwrap_or_default();
    let program = words.first().map(Path::new);
    program.is_some_and(|program| program.is_absolute() && !files::is_file(program))
}

/// What a client's file says of us.
fn state(machine: &Machine, client: &'static Client, name: &str) -> String {
    if client.format == Format::Yaml {
        return "shows what to paste".to_owned();
    }
    let read = machine
        .file(client, false)
        .and_then(|file| Place::read(client, &file, &machine.state));
    let place = match read {
        Ok(place) => place,
        Err(why) => return why,
    };
    if !place.exists() {
        return "would get a new file".to_owned();
    }
    let entries = match place.entries() {
        Ok(entries) => entries,
        Err(_) => return "its file can't be read".to_owned(),
    };
    match entries.iter().find(|entry| is_ours(entry)) {
        Some(entry) if is_program_gone(entry) => {
            format!("has {}, whose program is gone", entry.name)
        }
        Some(entry) => format!("has {}", entry.name),
        None => {
            let count = entries.len();
            let servers = if count == 1 { "server" } else { "servers" };
            format!("would get {name} beside {count} {servers}")
        }
    }
}
