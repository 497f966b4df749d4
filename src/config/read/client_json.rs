//! A client's JSON file as a configuration: its servers over HTTP are the backends.
//!
//! Owns the keys that servers stand under in the files of all clients. What the file says otherwise is the
//! client's, and nothing that it names is run.

use std::path::Path;

use super::file::{Backend, Entries, File, HeaderForm, Located, SecretForm, Tools};
use super::oauth::{OAuthForm, OAuthSettings, ResourceForm};
use crate::client_config::edit::json_entries;
use crate::client_config::import::backend_name;
use crate::client_config::servers::{
    OAuth, Remote, Server, SignIn, UNCHECKED, has_variables, only_variable, server,
};
use crate::config::CallbackHost;
use crate::config::problem::{Location, Report};
use crate::files;

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
            Server::Remote(remote) if has_secret(&remote) => report.warnings.push(format!(
                "{:?} is left out: the secret of its sign-in stands in the file, where `sentinel-gateway install CLIENT --import` alone takes it from",
                entry.name
            )),
            Server::Remote(mut remote) => {
                let told = surroundings(&mut remote).into_iter();
                let told = told.map(|told| format!("{:?}: {told}", entry.name));
                report.warnings.extend(told);
                let name = backend_name(&entry.name, &names);
                if name != entry.name {
                    report
                        .warnings
                        .push(format!("{:?} is the backend {name}", entry.name));
                }
                names.push(name.clone());
                backends.push(backend(name, *remote, entry.start));
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
        tools: Tools {
            allow: remote.tools.allow.map(|globs| all_at(globs, start)),
            deny: all_at(remote.tools.deny, start),
            ..Tools::default()
        },
        ca_file: remote.ca_file.map(|file| at(file, start)),
        oauth: remote.sign_in.map(|sign_in| at(oauth(sign_in), start)),
        ..Backend::default()
    };
    at(backend, start)
}

/// Checks what an entry sets for the program that it starts. Returns what of it is left out.
fn surroundings(remote: &mut Remote) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    told.extend(remote.check_ca_file(files::is_file).map(str::to_owned));
    for (name, _) in &remote.proxies {
        told.push(format!(
            "{name} is not taken over: set it where the gateway is started"
        ));
    }
    if remote.is_unchecked {
        told.push(UNCHECKED.to_owned());
    }
    told
}

/// Whether the secret of a sign-in stands in the file itself.
fn has_secret(remote: &Remote) -> bool {
    let Some(SignIn::OAuth(oauth)) = &remote.sign_in else {
        return false;
    };
    let secret = oauth.client_secret.as_deref();
    secret.is_some_and(|secret| !has_variables(secret))
}

fn oauth(sign_in: SignIn) -> OAuthForm {
    let SignIn::OAuth(oauth) = sign_in else {
        return OAuthForm::Switch(false);
    };
    let OAuth {
        client_id,
        client_secret,
        callback_port,
        scopes,
        resource,
    } = oauth;
    let secret = client_secret.as_deref().and_then(only_variable);
    OAuthForm::Settings(Box::new(OAuthSettings {
        client_id,
        client_secret: secret.map(|variable| SecretForm {
            env: Some(variable.to_owned()),
            ..SecretForm::default()
        }),
        callback_port,
        callback_host: callback_port.map(|_| CallbackHost::Name),
        scopes,
        resource: match resource {
            None => ResourceForm::default(),
            Some(None) => ResourceForm::Switch(false),
            Some(Some(text)) => ResourceForm::Text(text),
        },
        ..OAuthSettings::default()
    }))
}

fn all_at(texts: Vec<String>, start: usize) -> Vec<Located<String>> {
    texts.into_iter().map(|text| at(text, start)).collect()
}

fn at<T>(value: T, start: usize) -> Located<T> {
    Located {
        value,
        location: Location::File(start..start),
    }
}
