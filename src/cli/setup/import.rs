//! `install --import`: servers of clients become backends.
//!
//! Owns what is shown of it, and that sentinel.toml and the files of tokens are written before anything
//! is taken out of a client's file.

mod lines;
mod names;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use url::Url;

use crate::cli::terminal::CAUTION;
use crate::client_config::clients::Client;
use crate::client_config::edit::Entry;
use crate::client_config::import::{FOLDER, Imported, Keep, Tokens, backend, backend_name};
use crate::client_config::servers::{Limits, Remote, Server, server};
use crate::config::{BackendConfig, Config, Environment, Overrides, check_text, load};
use crate::files::{self, Readers};
use lines::{Became, Line, shown_url};
use names::{Names, is_usable, line};

/// Most bytes of a sentinel.toml.
const MAX_BYTES: u64 = 16 << 20;

/// What is taken over from clients.
#[derive(Debug, Default)]
pub(super) struct Import {
    /// The new backends, with the servers that they were.
    new: Vec<(Remote, Imported)>,
    /// Variables with tokens that the config names already, and that an entry has to set.
    needed: Vec<(String, String)>,
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
        for entry in entries {
            let result = match server(entry) {
                Server::Ours => continue,
                Server::Stays(why) => Err(why),
                Server::Remote(remote) => self
                    .backend_of(&remote, entry, client, known, tokens)
                    .map(|(name, is_new)| Became {
                        name,
                        is_new,
                        shown_url: shown_url(&remote.url),
                    }),
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
        let Ok(config) = check_text(text, path, env) else {
            return; // The whole file is checked when it is written.
        };
        let unusable = self.new.iter().filter_map(|(_, new)| {
            let why = why_unusable(&config, &new.name)?;
            Some((new.name.clone(), why))
        });
        for (name, why) in unusable.collect::<Vec<_>>() {
            self.new.retain(|(_, new)| new.name != name);
            for line in &mut self.lines {
                if line.result.as_ref().is_ok_and(|became| became.name == name) {
                    line.result = Err(why.clone());
                }
            }
        }
    }

    /// Takes a server that a person has named.
    pub(super) fn add_named(&mut self, name: &str, remote: &Remote, tokens: Tokens) {
        const ORIGIN: &str = "More keys: `sentinel-gateway schema`.";
        self.names.reserve(remote);
        let names = &self.names;
        let imported = names.with_keep(tokens, |keep| backend(remote, name, ORIGIN, keep));
        self.names.take(&imported);
        self.lines.push(Line {
            client: "",
            entry: name.to_owned(),
            result: Ok(Became {
                name: name.to_owned(),
                is_new: true,
                shown_url: shown_url(&remote.url),
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
    ) -> Result<(String, bool), String> {
        let is_reached_alike =
            |other: &Remote| other.url == remote.url && other.headers == remote.headers;
        let mut new = self.new.iter();
        if let Some((other, same)) = new.find(|(other, _)| is_reached_alike(other)) {
            let is_limited_alike = other.tools == remote.tools && other.sign_in == remote.sign_in;
            return match is_limited_alike {
                true => Ok((same.name.clone(), false)),
                false => Err(limited_otherwise(&same.name)),
            };
        }
        let plain = backend_name(&entry.name, &[]);
        let known = known.map_or(&[][..], |config| &config.backends);
        let is_same = |url: &Url| Url::parse(&remote.url).is_ok_and(|own| own == *url);
        let same = known.iter().find(|backend| {
            let stem = backend
                .name
                .strip_prefix(&*plain)
                .map(|rest| rest.trim_start_matches('-'));
            let is_named = stem.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
            is_named && backend.url.as_ref().is_ok_and(is_same)
        });
        if let Some(same) = same {
            let name = same.name.to_string();
            if !are_covered(&remote.tools, same) {
                return Err(limited_otherwise(&name));
            }
            // Its token may be in the entry of the client that it came from: this one's needs it, too.
            let import = |keep: Keep<'_>| backend(remote, &name, "", keep);
            self.needed.extend(self.names.needed(&name, import));
            return Ok((name, false));
        }
        let taken = known.iter().map(|backend| backend.name.to_string());
        let own = self.new.iter().map(|(_, new)| new.name.clone());
        let taken: Vec<String> = taken.chain(own).collect();
        let name = backend_name(&entry.name, &taken);
        let origin = format!("From {} ({:?}).", client.name, entry.name);
        let names = &self.names;
        let imported = names.with_keep(tokens, |keep| backend(remote, &name, &origin, keep));
        self.names.take(&imported);
        self.new.push((remote.clone(), imported));
        Ok((name, true))
    }

    /// The entries of a client that are backends now.
    pub(super) fn became(&self, client: &Client) -> Vec<String> {
        let lines = self.lines.iter();
        let became = lines.filter(|line| line.client == client.id && line.result.is_ok());
        became.map(|line| line.entry.clone()).collect()
    }

    /// Whether sentinel.toml gets anything.
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty()
    }

    /// Whether this backend is a new one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.new.iter().any(|(_, new)| new.name == name)
    }

    /// Variables with tokens for the `env` of the entry.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let new = self.new.iter().flat_map(|(_, new)| new.env.clone());
        new.chain(self.needed.clone()).collect()
    }

    /// Variables that the client has to pass on.
    pub(super) fn needs(&self) -> Vec<String> {
        let mut needs: Vec<String> = self
            .new
            .iter()
            .flat_map(|(_, new)| new.needs.clone())
            .collect();
        needs.sort();
        needs.dedup();
        needs
    }

    /// What is taken over, and what stays.
    pub(super) fn shown(&self) -> String {
        let mut shown: String = self.lines.iter().map(Line::shown).collect();
        let files = self
            .new
            .iter()
            .map(|(_, new)| new.files.len())
            .sum::<usize>();
        let variables = self.env().len();
        if files > 0 {
            let _ = writeln!(
                shown,
                "  tokens go into {files} files below {FOLDER}/, for you alone"
            );
        }
        if variables > 0 {
            let _ = writeln!(shown, "  tokens go into {variables} variables of the entry");
        }
        for (_, new) in &self.new {
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

    /// Writes the files of tokens and the backends at the end of this sentinel.toml, which has to run
    /// then. What was written is taken back if it doesn't.
    ///
    /// # Errors
    /// A message for people; sentinel.toml is what it was.
    pub(super) fn write(&self, path: &Path, entry_name: &str) -> Result<(), String> {
        let shown = path.display();
        let unreadable = |error| format!("{shown} can't be read: {error}");
        let target = files::target(path).map_err(unreadable)?;
        let old = files::read_if_there(&target, MAX_BYTES).map_err(unreadable)?;
        let mut new = match &old {
            Some(old) => {
                String::from_utf8(old.clone()).map_err(|_| format!("{shown} is not UTF-8"))?
            }
            None => head(entry_name),
        };
        for (_, backend) in &self.new {
            if !new.is_empty() && !new.ends_with('\n') {
                new.push('\n');
            }
            new.push('\n');
            new.push_str(&backend.toml);
        }
        let made = self.write_tokens(files::folder_of(path))?;
        let undo = |why: String| {
            made.iter().for_each(|path| drop(files::remove(path)));
            why
        };
        let swap = |from: Option<&[u8]>, to: Option<&[u8]>| {
            files::swap(&target, from, to, &mut |_| Ok(()))
        };
        let written = swap(old.as_deref(), Some(new.as_bytes()));
        written.map_err(|error| undo(format!("{shown}: {error}")))?;
        let overrides = Overrides {
            config: Some(path.to_owned()),
            ..Overrides::default()
        };
        load(&overrides, &Environment::of_process())
            .map(|_| ())
            .map_err(|problems| {
                let back = swap(Some(new.as_bytes()), old.as_deref());
                let back = back
                    .err()
                    .map(|error| format!("; {shown}: {error}"))
                    .unwrap_or_default();
                undo(format!("the backends can't be used: {problems}{back}"))
            })
    }

    /// Returns the files that were made.
    fn write_tokens(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        let mut made: Vec<PathBuf> = Vec::new();
        for (name, secret) in self.new.iter().flat_map(|(_, new)| &new.files) {
            let path = folder.join(name);
            let is_new = !files::exists(&path);
            let written = match is_usable(&path, secret) {
                false => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
                // Also one that is there, so that it is for the user alone.
                true => files::private_folder(&folder.join(FOLDER))
                    .and_then(|()| files::replace(&path, &line(secret), Readers::User)),
            };
            if let Err(error) = written {
                made.iter().for_each(|path| drop(files::remove(path)));
                return Err(format!("{} can't be written: {error}", path.display()));
            }
            if is_new {
                made.push(path);
            }
        }
        Ok(made)
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
        "its server is the backend {backend} already, with other rules about tools or signing in, and they hold for calls through the gateway: \
         write what this entry says into {backend}, such as tools.deny, and import again"
    )
}

/// The beginning of a new sentinel.toml.
fn head(entry_name: &str) -> String {
    // Clients put mcp__NAME__ before the name of a tool, and APIs take 64 characters in all.
    let room = 64 - "mcp____".len() - entry_name.len();
    format!(
        "# Sentinel Gateway. `sentinel-gateway schema` prints every key, `sentinel-gateway check` tries the backends.\n\n\
         [gateway]\ntool_name_max = {room}  # clients put \"mcp__{entry_name}__\" before it\n"
    )
}
