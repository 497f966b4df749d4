//! `install --import`: servers of clients become backends.
//!
//! Owns what is shown of it, and that sentinel.toml and the files of tokens are written before anything
//! is taken out of a client's file.

mod known;
mod lines;
mod names;
mod variables;
mod write;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use url::Url;

use crate::cli::terminal::{CAUTION, one_line};
use crate::client_config::clients::Client;
use crate::client_config::edit::Entry;
use crate::client_config::import::{FOLDER, Imported, Keep, Tokens, backend, backend_name};
use crate::client_config::servers::{self, Limits, Remote, Server, is_proxy, passed, server};
use crate::config::{BackendConfig, Config, Environment, check_text};
use crate::files;
use lines::{Became, Line, shown_url};
use names::Names;
use variables::{EntryId, Variables};

/// What is taken over from clients.
#[derive(Debug, Default)]
pub(super) struct Import {
    /// The new backends, with the servers that they were.
    new: Vec<(Remote, Imported)>,
    /// What backends of the config get that are there already, with the servers that have it.
    added: Vec<(Remote, Imported)>,
    /// What the entries bring besides.
    variables: Variables,
    /// Variables for proxies that entries of Codex pass on.
    passed: Vec<String>,
    /// The variables that the gateway's entry sets in the client that is read.
    own_env: Vec<(String, String)>,
    /// What becomes of the clients' entries, and is to be said of them.
    lines: Vec<Line>,
    names: Names,
}

impl Import {
    /// For a config at this path; `known` is what is there already.
    pub(super) fn of(path: &Path, known: Option<&Config>) -> Self {
        Self {
            names: Names::of(path, known),
            ..Self::default()
        }
    }

    /// Reads ahead which variables a client's servers name. To be called with the entries of all clients
    /// before any are added.
    pub(super) fn reserve(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Server::Remote(remote) = server(entry) {
                self.names.reserve(&remote);
            }
        }
    }

    /// Reads a client's entries. `known` is the config that there is already.
    pub(super) fn add(
        &mut self,
        client: &'static Client,
        entries: &[Entry],
        known: Option<&Config>,
        tokens: Tokens,
    ) {
        let own = entries.iter();
        let own = own.filter(|entry| matches!(server(entry), Server::Ours));
        self.own_env = own
            .flat_map(|entry| servers::variables(&entry.value))
            .collect();
        for entry in entries {
            let mut notes = Vec::new();
            let from = EntryId {
                client: client.id,
                line: self.lines.len(),
            };
            let result = match server(entry) {
                Server::Ours => continue,
                Server::Stays(why) => Err(why),
                Server::Remote(mut remote) => {
                    notes.extend(remote.check_ca_file(files::is_file).map(str::to_owned));
                    let became = self.backend_of(&remote, entry, client, known, tokens, &mut notes);
                    if became.is_ok() {
                        let variables = &mut self.variables;
                        variables.bring_surroundings(from, &remote, &mut notes);
                        let proxies = passed(&entry.value).into_iter();
                        self.passed.extend(proxies.filter(|name| is_proxy(name)));
                    }
                    became.map(|(name, is_new)| Became {
                        name,
                        is_new,
                        shown_url: shown_url(&remote.url),
                        notes,
                    })
                }
            };
            self.lines.push(Line {
                client: client.id,
                entry: entry.name.clone(),
                result,
            });
        }
    }

    /// Tries the new backends as sentinel.toml at this path would have them: one that could never connect
    /// is not taken over, and its entries stay.
    pub(super) fn try_out(&mut self, path: &Path, env: &Environment) {
        let text: String = self.new.iter().map(|(_, new)| &*new.toml).collect();
        let made = self.new.iter().flat_map(|(_, new)| new.env.clone());
        let (made, inner) = (made.collect::<Vec<_>>(), env.clone());
        let env = &env.clone().with_variables(move |name| {
            let made = made.iter().find(|(known, _)| known == name);
            made.map_or_else(|| inner.variable(name), |(_, value)| Some(value.clone()))
        });
        let Ok(config) = check_text(text, path, env) else {
            return; // The whole file is checked when it is written.
        };
        let unusable = self.new.iter().filter_map(|(_, new)| {
            let why = why_unusable(&config, &new.name)?;
            Some((new.name.clone(), why))
        });
        for (name, why) in unusable.collect::<Vec<_>>() {
            self.new.retain(|(_, new)| new.name != name);
            for (number, line) in self.lines.iter_mut().enumerate() {
                if line.result.as_ref().is_ok_and(|became| became.name == name) {
                    line.result = Err(why.clone());
                    self.variables.leave(number);
                }
            }
        }
    }

    /// Takes a server that a person has named.
    pub(super) fn add_named(&mut self, name: &str, remote: &Remote, tokens: Tokens) {
        const ORIGIN: &str = "More keys: `sentinel-gateway schema`.";
        self.names.reserve(remote);
        let names = &self.names;
        let imported = names.with_keep(tokens, false, |keep| backend(remote, name, ORIGIN, keep));
        self.names.take(&imported);
        self.lines.push(Line {
            client: "",
            entry: name.to_owned(),
            result: Ok(Became {
                name: name.to_owned(),
                is_new: true,
                shown_url: shown_url(&remote.url),
                notes: Vec::new(),
            }),
        });
        self.new.push((remote.clone(), imported));
    }

    /// The backend that a server becomes, or is already, and whether it is new.
    ///
    /// # Errors
    /// Why its entry stays.
    fn backend_of(
        &mut self,
        remote: &Remote,
        entry: &Entry,
        client: &Client,
        known: Option<&Config>,
        tokens: Tokens,
        notes: &mut Vec<String>,
    ) -> Result<(String, bool), String> {
        let is_reached_alike =
            |other: &Remote| other.url == remote.url && other.headers == remote.headers;
        let mut new = self.new.iter();
        if let Some((other, same)) = new.find(|(other, _)| is_reached_alike(other)) {
            let is_limited_alike = other.tools == remote.tools
                && other.sign_in == remote.sign_in
                && other.ca_file == remote.ca_file;
            return match is_limited_alike {
                true => Ok((same.name.clone(), false)),
                false => Err(limited_otherwise(&same.name)),
            };
        }
        let plain = backend_name(&entry.name, &[]);
        let known = known.map_or(&[][..], |config| &config.backends);
        let is_same = |url: &Url| Url::parse(&remote.url).is_ok_and(|own| own == *url);
        let fits = |backend: &&Arc<BackendConfig>| {
            let stem = backend
                .name
                .strip_prefix(&*plain)
                .map(|rest| rest.trim_start_matches('-'));
            let is_named = stem.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
            let is_it = || backend.url.as_ref().is_ok_and(is_same);
            let values = || self.names.query_values(&backend.name, remote);
            is_named && (is_it() || values().is_some_and(|values| !self.sets_another(&values)))
        };
        let fitting: Vec<_> = known.iter().filter(fits).collect();
        // There may be several accounts of one server.
        let same = fitting.iter().find(|same| self.agrees(same, remote));
        if let Some(same) = same.or(fitting.first()) {
            return self.known(remote, client, same, tokens, notes);
        }
        let taken = known.iter().map(|backend| backend.name.to_string());
        let own = self.new.iter().map(|(_, new)| new.name.clone());
        let taken: Vec<String> = taken.chain(own).collect();
        let name = backend_name(&entry.name, &taken);
        let origin = format!("From {} ({:?}).", client.name, entry.name);
        let names = &self.names;
        let imported = names.with_keep(tokens, true, |keep| backend(remote, &name, &origin, keep));
        self.names.take(&imported);
        if remote.ca_file.is_some() {
            notes.push("NODE_EXTRA_CA_CERTS is its ca_file".to_owned());
        }
        self.new.push((remote.clone(), imported));
        Ok((name, true))
    }

    /// The variables that a backend of the config needs, with the values that a server brings which is that
    /// backend.
    fn needed(&self, name: &str, remote: &Remote) -> Vec<(String, String)> {
        let import = |keep: Keep<'_>| backend(remote, name, "", keep);
        let mut needed = self.names.needed(name, import);
        needed.extend(self.names.query_values(name, remote).into_iter().flatten());
        needed
    }

    /// Whether the gateway's entry in the client has another value for one of these.
    fn sets_another(&self, needed: &[(String, String)]) -> bool {
        let mut own = self.own_env.iter();
        own.any(|(name, set)| {
            let mut needed = needed.iter();
            needed.any(|(variable, value)| variable == name && value != set)
        })
    }

    /// Whether a backend has all that a server has, and nothing else in its place.
    fn agrees(&self, same: &BackendConfig, remote: &Remote) -> bool {
        let needed = self.needed(&same.name, remote);
        !self.sets_another(&needed) && self.has_all(same, remote, &needed)
    }

    /// The same for a server that is this backend of the config.
    fn known(
        &mut self,
        remote: &Remote,
        client: &Client,
        same: &BackendConfig,
        tokens: Tokens,
        notes: &mut Vec<String>,
    ) -> Result<(String, bool), String> {
        let name = same.name.to_string();
        if !are_covered(&remote.tools, same) {
            return Err(limited_otherwise(&name));
        }
        // Its token may be in the entry of the client that it came from: this one's needs it, too.
        let needed = self.needed(&name, remote);
        let from = EntryId {
            client: client.id,
            line: self.lines.len(),
        };
        for (variable, value) in &needed {
            let brought = self.variables.bring(from, (variable, value), true);
            if let Err(why) = brought {
                self.variables.leave(from.line);
                return Err(format!("its server is the backend {name} already: {why}"));
            }
        }
        self.add_to(same, remote, &needed, tokens, notes);
        Ok((name, false))
    }

    /// The entries of a client that are backends now.
    pub(super) fn became(&self, client: &Client) -> Vec<String> {
        let lines = self.lines.iter();
        let became = lines.filter(|line| line.client == client.id && line.result.is_ok());
        became.map(|line| line.entry.clone()).collect()
    }

    /// Whether sentinel.toml gets anything.
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.added.is_empty()
    }

    /// Whether this backend is a new one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.new.iter().any(|(_, new)| new.name == name)
    }

    /// The new backends, and what is added to others.
    fn imported(&self) -> impl Iterator<Item = &Imported> {
        let all = self.new.iter().chain(&self.added);
        all.map(|(_, imported)| imported)
    }

    /// Variables for the `env` of this client's entry.
    pub(super) fn env(&self, client: &Client) -> Vec<(String, String)> {
        let made = self.imported().flat_map(|imported| &imported.env);
        self.variables.env(client.id, made)
    }

    /// Variables that the client has to pass on.
    pub(super) fn needs(&self) -> Vec<String> {
        let needs = self.imported().flat_map(|imported| imported.needs.clone());
        let mut needs: Vec<String> = needs.collect();
        needs.sort();
        needs.dedup();
        needs
    }

    /// Variables for proxies that entries pass on, where they are set.
    pub(super) fn passed(&self) -> &[String] {
        &self.passed
    }

    /// What is taken over, and what stays.
    pub(super) fn shown(&self) -> String {
        let mut shown: String = self.lines.iter().map(Line::shown).collect();
        let files = self.imported().map(|imported| imported.files.len());
        let made = self.imported().flat_map(|imported| &imported.env);
        let variables = made.map(|(name, _)| name).chain(self.variables.tokens());
        let variables = variables.collect::<BTreeSet<_>>().len();
        let files = files.sum::<usize>();
        if files > 0 {
            let _ = writeln!(
                shown,
                "  tokens go into {files} files below {FOLDER}/, for you alone"
            );
        }
        if variables > 0 {
            let _ = writeln!(shown, "  tokens go into {variables} variables of the entry");
        }
        for new in self.imported() {
            for (key, variable) in &new.moved {
                let _ = writeln!(
                    shown,
                    "  {}: {} of its URL goes into the variable {variable} of the entry, since a URL can name no file",
                    new.name,
                    one_line(key)
                );
            }
            if let Some(address) = &new.returns_to {
                let _ = writeln!(
                    shown,
                    "{CAUTION}  {}{CAUTION:#} signs in with the client ID of its entry: where that was registered, {address} has to be a redirect address",
                    new.name
                );
            }
        }
        for need in self.needs() {
            let _ = writeln!(
                shown,
                "{CAUTION}  {need}{CAUTION:#} has to be set where the client is started, or in the env of the entry"
            );
        }
        shown
    }
}

/// Why a backend could never connect, as this config has it; `None` where it may.
fn why_unusable(config: &Config, name: &str) -> Option<String> {
    let mut known = config.configured.iter();
    let held = known.find(|known| *known.name == *name)?.held.as_deref();
    if let Some(held) = held {
        return Some(held.to_owned());
    }
    let mut backends = config.backends.iter();
    let backend = backends.find(|backend| *backend.name == *name)?;
    match &backend.url {
        _ if backend.of_administrator => {
            Some("the administrator's file has another server of this name".to_owned())
        }
        Err(why) => Some(why.clone()),
        Ok(_) => None,
    }
}

/// Whether a backend has these limits already.
fn are_covered(limits: &Limits, backend: &BackendConfig) -> bool {
    let denied = |glob: &String| backend.tools.deny.iter().any(|one| one.written() == glob);
    let is_allowed = |allow: &Vec<String>| {
        let known = backend.tools.allow.as_ref();
        known.is_some_and(|known| {
            known
                .iter()
                .all(|one| allow.iter().any(|own| one.written() == own))
        })
    };
    limits.deny.iter().all(denied) && limits.allow.as_ref().is_none_or(is_allowed)
}

/// Why an entry stays that limits the tools of a server more than the backend does.
fn limited_otherwise(backend: &str) -> String {
    format!(
        "its server is the backend {backend} already, with other rules about tools, signing in or certificates, and they hold for calls through the gateway: \
         write what this entry says into {backend}, such as tools.deny, and import again"
    )
}
