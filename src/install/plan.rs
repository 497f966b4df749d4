//! What is to be written into a client's file.
//!
//! Owns the plan of an installation: the file as it is, as it is to be, and what the record says afterwards. A
//! plan changes nothing until it is applied, and none touches what others have written in the entry's place.

mod apply;
mod uninstall;

use std::path::{Path, PathBuf};

use super::record::{Installed, Removed, Store, digest};
use crate::client_config::clients::Client;
use crate::client_config::edit::{self, Content, Entry};
use crate::client_config::entry::Node;
use crate::client_config::servers::is_ours;
use crate::files;
pub(crate) use uninstall::{Unwanted, plan_uninstall};

/// Most bytes of a client's file.
const MAX_BYTES: u64 = 64 << 20;

/// A client's file.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Whose it is.
    pub(crate) client: &'static Client,
    /// Its path, over symbolic links.
    pub(crate) file: PathBuf,
    store: Store,
    /// What it holds; `None` if it is not there.
    old: Option<Vec<u8>>,
}

impl Place {
    /// Reads the file at this path. What is kept of it is in the gateway's state folder.
    ///
    /// # Errors
    /// If it can't be read.
    pub(crate) fn read(client: &'static Client, path: &Path, state: &Path) -> Result<Self, String> {
        let failed = |error| format!("{} can't be read: {error}", path.display());
        let file = files::target(path).map_err(failed)?;
        let old = files::read_if_there(&file, MAX_BYTES).map_err(failed)?;
        Ok(Self {
            client,
            store: Store::new(state, client.id, &file),
            file,
            old,
        })
    }

    /// Whether the file is there.
    pub(crate) fn exists(&self) -> bool {
        self.old.is_some()
    }

    /// The servers in it.
    ///
    /// # Errors
    /// If it doesn't parse.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, String> {
        edit::entries(self.client, self.text()?).map_err(|why| self.refusal(&why))
    }

    /// The name of the entry that was written into it; `None` where none was.
    pub(crate) fn installed(&self) -> Option<String> {
        Some(self.store.read().ok()?.installed?.name)
    }

    fn text(&self) -> Result<&str, String> {
        let bytes = self.old.as_deref().unwrap_or_default();
        str::from_utf8(bytes).map_err(|_| self.refusal("it is not UTF-8: save it as UTF-8"))
    }

    fn refusal(&self, why: &str) -> String {
        format!("{}: {why}; nothing was changed", self.file.display())
    }
}

/// A change of a client's file.
#[derive(Debug)]
pub(crate) struct Plan {
    place: Place,
    /// What the file is to hold; `None` is no file.
    new: Option<Vec<u8>>,
    /// What is known of it afterwards.
    after: After,
}

#[derive(Debug)]
enum After {
    /// `again`: the entry had been written before, so the first backup stays the one that is restored.
    Installed {
        installed: Box<Installed>,
        again: bool,
    },
    Uninstalled,
    /// An entry was taken out of which nothing is known. What is known of another one stays.
    UnknownTaken,
}

/// What is to stand in a client's file.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The entry's name.
    pub(crate) name: &'a str,
    /// The entry.
    pub(crate) entry: &'a Node,
    /// Entries that are to go, since they have become backends.
    pub(crate) remove: &'a [String],
}

/// Plans to write an entry.
///
/// # Errors
/// If the file doesn't parse or the entry can't be written; nothing is changed then.
pub(crate) fn plan_install(place: Place, wanted: &Wanted<'_>) -> Result<Plan, String> {
    let record = place.store.read()?;
    let (text, client) = (place.text()?, place.client);
    let found = place.entries()?;
    let refused = |why: String| place.refusal(&why);
    let (new, removed) = without(client, text, &found, wanted).map_err(refused)?;
    let current = found.iter().find(|entry| entry.name == wanted.name);
    let (new, written) = with_entry(client, new, current, wanted).map_err(refused)?;
    // A record of an entry that was never written, since the process was killed, says nothing.
    let earlier = record.installed.filter(|earlier| {
        let before = backup(&place, earlier);
        !before.is_ok_and(|before| before == place.old)
    });
    if let Some(other) = earlier
        .as_ref()
        .filter(|earlier| earlier.name != wanted.name)
    {
        return Err(refused(format!(
            "it has our entry {:?}; take that out first, by `sentinel-gateway uninstall {}`",
            other.name, client.id
        )));
    }
    let again = earlier.is_some();
    let installed = Installed {
        name: wanted.name.to_owned(),
        entry: written,
        before: match &earlier {
            Some(earlier) if current.is_none_or(is_ours) => earlier.before.clone(),
            _ => current.map(|entry| entry.raw.clone()),
        },
        made_servers: match &earlier {
            Some(earlier) => earlier.made_servers,
            None => !edit::has_servers(client, text),
        },
        made_line_end: match &earlier {
            Some(earlier) => earlier.made_line_end,
            None => current.is_none() && edit::adds_line_end(client, text),
        },
        backup: earlier.as_ref().and_then(|earlier| earlier.backup),
        edited_between: earlier.as_ref().is_some_and(|earlier| {
            let now = place.old.as_deref().map(digest);
            earlier.edited_between || now.is_some_and(|now| now != earlier.written)
        }),
        removed: {
            let mut all = earlier.map_or_else(Vec::new, |earlier| earlier.removed);
            all.retain(|old| !removed.iter().any(|new| new.name == old.name));
            all.extend(removed);
            all
        },
        written: digest(new.as_bytes()),
    };
    Ok(Plan {
        new: Some(new.into_bytes()),
        after: After::Installed {
            installed: Box::new(installed),
            again,
        },
        place,
    })
}

/// The text with the entry, and the entry's own text. What an entry of ours has besides stays, such as
/// variables; its text stays too where it says all of this already.
fn with_entry(
    client: &Client,
    text: String,
    current: Option<&Entry>,
    wanted: &Wanted<'_>,
) -> Result<(String, String), String> {
    let ours = current.filter(|entry| is_ours(entry));
    let node = ours.map(|ours| wanted.entry.merged_into(&ours.node));
    let content = Content::Node(node.as_ref().unwrap_or(wanted.entry));
    let new = edit::set(client, &text, wanted.name, &content)?;
    let written = edit::entries(client, &new)?;
    let written = written.into_iter().find(|entry| entry.name == wanted.name);
    Ok(match (written, ours) {
        (Some(written), Some(ours)) if written.value == ours.value => (text, ours.raw.clone()),
        (written, _) => (new, written.map(|entry| entry.raw).unwrap_or_default()),
    })
}

/// The text without the entries that are to go, and these.
fn without(
    client: &Client,
    text: &str,
    found: &[Entry],
    wanted: &Wanted<'_>,
) -> Result<(String, Vec<Removed>), String> {
    let mut new = text.to_owned();
    let mut removed = Vec::new();
    for entry in found {
        // Without its text it could not come back.
        if entry.name != wanted.name && wanted.remove.contains(&entry.name) && !entry.raw.is_empty()
        {
            new = edit::remove(client, &new, &entry.name)?;
            removed.push(Removed {
                name: entry.name.clone(),
                raw: entry.raw.clone(),
            });
        }
    }
    Ok((new, removed))
}

/// Plans to put the entry back as it was written.
///
/// # Errors
/// If none was written, something else has its name since, or the file doesn't parse.
pub(crate) fn plan_fix(place: Place) -> Result<Plan, String> {
    let record = place.store.read()?;
    let Some(mut installed) = record.installed else {
        return Err(format!(
            "no entry was written into {}: `sentinel-gateway install {}` writes one",
            place.file.display(),
            place.client.id
        ));
    };
    refuse_other(&place, &installed)?;
    let content = Content::Raw(&installed.entry);
    let new = edit::set(place.client, place.text()?, &installed.name, &content)
        .map_err(|why| place.refusal(&why))?;
    installed.edited_between = true;
    installed.written = digest(new.as_bytes());
    Ok(Plan {
        new: Some(new.into_bytes()),
        after: After::Installed {
            installed: Box::new(installed),
            again: true,
        },
        place,
    })
}

/// Refuses to touch what others have written in the place of the entry.
fn refuse_other(place: &Place, installed: &Installed) -> Result<(), String> {
    let found = place.entries()?;
    let current = found.iter().find(|entry| entry.name == installed.name);
    match current.is_none_or(|entry| is_ours(entry) || entry.raw == installed.entry) {
        true => Ok(()),
        false => Err(format!(
            "the entry {:?} of {} starts another program: it stays, and nothing was changed",
            installed.name,
            place.file.display()
        )),
    }
}

/// What the file held before; `None` where there was none.
fn backup(place: &Place, installed: &Installed) -> Result<Option<Vec<u8>>, String> {
    let Some(number) = installed.backup else {
        return Ok(None);
    };
    let path = place.store.backup(number);
    let read = files::read(&path, MAX_BYTES).ok().flatten();
    let missing = || format!("the backup {} can't be read", path.display());
    read.map(Some).ok_or_else(missing)
}

#[cfg(test)]
mod tests;
