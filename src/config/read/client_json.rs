//! A client's JSON file as a configuration: its servers over HTTP are the backends.
//!
//! What the file says otherwise is the client's. Nothing that it names is run.

use std::path::Path;

use super::file::{Backend, Entries, File, HeaderForm, Located};
use crate::client_config::edit::json_entries;
use crate::client_config::import::backend_name;
use crate::client_config::servers::{Remote, Server, server};
use crate::config::problem::{Location, Report};

/// The keys of servers in the files of all clients.
const KEYS: [&str; 4] = ["mcpServers", "servers", "context_servers", "mcp"];

/// Whether a path is that of a client's file.
pub(crate) fn is_client_json(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| ["json", "jsonc"].contains(&extension))
}

/// Reads the servers of `report.text`. What is left out is a warning. `None` if it can't be read.
pub(super) fn document(report: &mut Report) -> Option<File> {
    let found = KEYS
        .iter()
        .find_map(|key| json_entries(&report.text, key).transpose());
    let entries = match found {
        Some(Ok(entries)) => entries,
        Some(Err(why)) => {
            report.problems.add(format!("{}: {why}", report.file));
            return None;
        }
        None => {
            let keys = KEYS.join(", ");
            report.problems.add(format!(
                "{}: it has no servers: none of the keys {keys}",
                report.file
            ));
            return None;
        }
    };
    let mut backends = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        match server(&entry) {
            Server::Ours => {}
            Server::Stays(why) => report
                .warnings
                .push(format!("{:?} is left out: {why}", entry.name)),
            Server::Remote(remote) => {
                let name = backend_name(&entry.name, &names);
                if name != entry.name {
                    report
                        .warnings
                        .push(format!("{:?} is the backend {name}", entry.name));
                }
                names.push(name.clone());
                backends.push(backend(name, remote, entry.start));
            }
        }
    }
    Some(File {
        backends,
        ..File::default()
    })
}

fn backend(name: String, remote: Remote, start: usize) -> Located<Backend> {
    let headers = remote.headers.into_iter();
    let headers = headers.map(|(key, value)| (at(key, start), at(HeaderForm::Text(value), start)));
    let backend = Backend {
        name: Some(at(name, start)),
        url: Some(at(remote.url, start)),
        headers: Entries(headers.collect()),
        allow_insecure: remote.allow_insecure,
        ..Backend::default()
    };
    at(backend, start)
}

fn at<T>(value: T, start: usize) -> Located<T> {
    Located {
        value,
        location: Location::File(start..start),
    }
}
