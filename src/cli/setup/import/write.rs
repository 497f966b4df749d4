//! Writes what is taken over.
//!
//! Owns the order: the files of tokens first, then sentinel.toml, so that no config names a file that is not there.

use std::io;
use std::path::{Path, PathBuf};

use super::Import;
use super::names::{MAX_BYTES, is_usable, line};
use crate::client_config::import::FOLDER;
use crate::config::switch;
use crate::config::{Environment, Overrides, load};
use crate::files::{self, Readers};

impl Import {
    /// Writes the files of tokens, the backends at the end of this sentinel.toml, and what others get, which has
    /// to run then. What was written is taken back if it doesn't.
    ///
    /// # Errors
    /// A message for people; sentinel.toml is what it was.
    pub(in crate::cli::setup) fn write(&self, path: &Path, entry_name: &str) -> Result<(), String> {
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
        for (_, backend) in &self.added {
            for (table, key, value) in &backend.keys {
                new = switch::add(&new, &backend.name, (table, key), value)
                    .map_err(|why| format!("{shown}: {}: {why}", backend.name))?;
            }
        }
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
        for (name, secret) in self.imported().flat_map(|imported| &imported.files) {
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

/// The beginning of a new sentinel.toml.
fn head(entry_name: &str) -> String {
    // Clients put mcp__NAME__ before the name of a tool, and APIs take 64 characters in all.
    let room = 64 - "mcp____".len() - entry_name.len();
    format!(
        "# Sentinel Gateway. `sentinel-gateway schema` prints every key, `sentinel-gateway check` tries the backends.\n\n\
         [gateway]\ntool_name_max = {room}  # clients put \"mcp__{entry_name}__\" before it\n"
    )
}
