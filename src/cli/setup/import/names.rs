//! Names of the variables and files that tokens go into.
//!
//! Owns that each is of one secret alone: no server gets the token of another one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::client_config::import::{Imported, Keep, Tokens, query_values, variables_of};
use crate::client_config::servers::Remote;
use crate::config::Config;
use crate::files;

/// Most bytes of a sentinel.toml.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// The names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Of variables and of files, which the config or a server names.
    taken: BTreeSet<String>,
    /// The folder of sentinel.toml.
    folder: PathBuf,
    /// The user's config.
    table: toml::Table,
    /// The text of both configs.
    text: String,
}

impl Names {
    /// Those of the config at this path, and of the administrator's.
    pub(super) fn of(path: &Path, known: Option<&Config>) -> Self {
        let read = |path: &Path| {
            let bytes = files::read_up_to(path, MAX_BYTES).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let own = read(path);
        let administrator = known.and_then(|config| config.administered.as_ref());
        let of_administrator = administrator.map(|administrator| read(&administrator.file));
        let mut taken = BTreeSet::new();
        for text in of_administrator.iter().chain([&own]) {
            let files = text.split(['"', '\'']);
            taken.extend(words(text).chain(files).map(str::to_owned));
        }
        Self {
            taken,
            folder: files::folder_of(path).to_owned(),
            table: own.parse().unwrap_or_default(),
            text: own + "\n" + &of_administrator.unwrap_or_default(),
        }
    }

    /// Takes the variables that a server itself names.
    pub(super) fn reserve(&mut self, remote: &Remote) {
        self.taken.extend(variables_of(remote));
    }

    /// Takes what a new backend has.
    pub(super) fn take(&mut self, imported: &Imported) {
        let kept = imported.files.iter().chain(&imported.env);
        self.taken.extend(kept.map(|(name, _)| name.clone()));
    }

    /// Calls this with the places for secrets. `has_entry`: an entry is written that can set variables.
    pub(super) fn with_keep(
        &self,
        tokens: Tokens,
        has_entry: bool,
        work: impl FnOnce(Keep<'_>) -> Imported,
    ) -> Imported {
        let is_free = |name: &str, secret: &str| {
            let is_usable = || is_usable(&self.folder.join(name), secret);
            !self.taken.contains(name) && (tokens == Tokens::Env || is_usable())
        };
        work(Keep {
            tokens,
            has_entry,
            is_free: &is_free,
        })
    }

    /// A backend as the user's config has it.
    pub(super) fn backend(&self, name: &str) -> Option<&toml::Value> {
        let mut backends = self.table.get("backends")?.as_array()?.iter();
        backends.find(|one| one.get("name").and_then(toml::Value::as_str) == Some(name))
    }

    /// The variables in the query of a backend's URL, with the values that a server has for them; `None` if that
    /// is another server, or if one of them may be that of another backend, too: an import gives nobody's value
    /// to others.
    pub(super) fn query_values(
        &self,
        backend: &str,
        remote: &Remote,
    ) -> Option<Vec<(String, String)>> {
        let url = self.backend(backend)?.get("url")?.as_str()?;
        let values = query_values(url, &remote.url)?;
        let begins = backend.to_uppercase().replace('-', "_") + "_";
        let is_own = |name: &String| {
            let count = words(&self.text).filter(|word| word == name).count();
            name.trim_start_matches('_').starts_with(&begins) && count == 1
        };
        values
            .iter()
            .all(|(name, _)| is_own(name))
            .then_some(values)
    }

    /// The variables of the `env` of an entry that a backend of the config needs, with the secrets that
    /// a server brings which is that backend already.
    pub(super) fn needed(
        &self,
        backend: &str,
        import: impl FnOnce(Keep<'_>) -> Imported,
    ) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        if let Some(found) = self.backend(backend) {
            collect(found, &mut variables);
        }
        let imported = import(Keep {
            tokens: Tokens::Env,
            // Those of its URL are told by the URL.
            has_entry: false,
            is_free: &|name, _| variables.contains(&name),
        });
        let mut env = imported.env;
        env.retain(|(name, _)| variables.contains(&&**name));
        env
    }
}

/// What may be the name of a variable in a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// Collects what stands as `env = "…"` in a table.
fn collect<'a>(value: &'a toml::Value, variables: &mut Vec<&'a str>) {
    for (key, member) in value.as_table().into_iter().flatten() {
        match member.as_str() {
            Some(variable) if key == "env" => variables.push(variable),
            _ => collect(member, variables),
        }
    }
}

/// Whether a token can be kept in a file: it is not there, or an import that came to nothing has left it.
pub(super) fn is_usable(path: &Path, secret: &str) -> bool {
    match files::read(path, secret.len() as u64 + 1) {
        Ok(None) => true,
        Ok(Some(bytes)) => bytes == line(secret),
        Err(_) => false,
    }
}

/// What a file of a token holds.
pub(super) fn line(secret: &str) -> Vec<u8> {
    format!("{secret}\n").into_bytes()
}
