//! What is to be taken out of a client's file.
//!
//! Owns the plan for it: the entry alone, or with `--restore` the whole file as it was. An entry that starts another
//! program is never taken out.

use super::{After, Place, Plan, backup, refuse_other};
use crate::client_config::edit::{self, Content};
use crate::client_config::servers::is_ours;
use crate::install::DEFAULT_NAME;
use crate::install::record::{Installed, digest, digest_of};

/// What is to be taken out of a client's file.
#[derive(Debug)]
pub(crate) struct Unwanted<'a> {
    /// The entry's name; `None` is the one that was written.
    pub(crate) name: Option<&'a str>,
    /// The whole file becomes what it was before.
    pub(crate) restore: bool,
    /// Also if it has been changed since.
    pub(crate) force: bool,
}

/// Plans to take an entry out.
///
/// # Errors
/// If there is nothing to take out, the entry starts another program, the file doesn't parse, or it has
/// been changed and is to be restored without force.
pub(crate) fn plan_uninstall(place: Place, unwanted: &Unwanted<'_>) -> Result<Plan, String> {
    let record = place.store.read()?;
    let known = record.installed.filter(|installed| {
        let name = unwanted.name.unwrap_or(&installed.name);
        name == installed.name
    });
    let (restore, force) = (unwanted.restore, unwanted.force);
    let last = record.last.filter(|last| {
        let name = unwanted.name.unwrap_or(&last.name);
        restore && name == last.name
    });
    if let (None, Some(last)) = (&known, last) {
        return plan_restore(place, &last, force);
    }
    let Some(installed) = known else {
        return plan_uninstall_unknown(place, unwanted.name.unwrap_or(DEFAULT_NAME), restore);
    };
    let is_unchanged = !installed.edited_between
        && place.old.as_deref().map(digest).as_ref() == Some(&installed.written);
    if is_unchanged || (restore && force) {
        return match backup(&place, &installed) {
            Ok(new) => Ok(Plan {
                place,
                new,
                after: After::Uninstalled,
            }),
            Err(why) if restore => Err(why),
            Err(_) => take_out(place, &installed),
        };
    }
    if restore {
        return Err(format!(
            "{file} has been changed since the entry was written, and the backup lacks that: \
             without --restore the entry alone is taken out; --force restores the backup all the same",
            file = place.file.display()
        ));
    }
    take_out(place, &installed)
}

/// Plans to put the whole file back, though the entry has been taken out already.
fn plan_restore(place: Place, last: &Installed, force: bool) -> Result<Plan, String> {
    let new = backup(&place, last)?;
    let file = place.file.display();
    if place.old == new {
        return Err(format!(
            "{file} is what it was before the entry was written"
        ));
    }
    if !force && digest_of(place.old.as_deref()) != last.written {
        return Err(format!(
            "{file} has been changed since the entry was taken out, and the backup lacks that: --force restores the backup all the same"
        ));
    }
    Ok(Plan {
        place,
        new,
        after: After::Uninstalled,
    })
}

/// Takes the entry out of a file that others have changed, too.
fn take_out(place: Place, installed: &Installed) -> Result<Plan, String> {
    refuse_other(&place, installed).map_err(|why| {
        format!(
            "{why}; take it out by hand, or put the whole file back as it was before, by `sentinel-gateway uninstall {} --restore --force`",
            place.client.id
        )
    })?;
    let client = place.client;
    let refused = |why: String| place.refusal(&why);
    let found = place.entries()?;
    let mut new = place.text()?.to_owned();
    let current = found.iter().find(|entry| entry.name == installed.name);
    if let Some(current) = current {
        new = match &installed.before {
            Some(before) => edit::set(client, &new, &installed.name, &Content::Raw(before)),
            None => edit::remove(client, &new, &installed.name),
        }
        .map_err(refused)?;
        // Unless something has been written behind the entry.
        let was_last = place.text()?.trim_end().ends_with(current.raw.trim_end());
        if installed.made_line_end && was_last {
            new = edit::without_line_end(&new).to_owned();
        }
    }
    for removed in &installed.removed {
        if !found.iter().any(|entry| entry.name == removed.name) {
            let content = Content::Raw(&removed.raw);
            new = edit::set(client, &new, &removed.name, &content).map_err(refused)?;
        }
    }
    if installed.made_servers {
        new = edit::remove_empty(client, &new).map_err(refused)?;
    }
    // A file that is gone comes back only for what was taken out of it.
    let is_there = place.old.is_some() || !installed.removed.is_empty();
    let new = is_there.then(|| new.into_bytes());
    Ok(Plan {
        new,
        after: After::Uninstalled,
        place,
    })
}

/// Takes out an entry that nothing is known of, if it is one of this gateway.
fn plan_uninstall_unknown(place: Place, name: &str, restore: bool) -> Result<Plan, String> {
    let shown = place.file.display();
    if restore {
        return Err(format!("there is no backup of {shown}"));
    }
    let found = place.entries()?;
    match found.iter().find(|entry| entry.name == name) {
        None => Err(format!("{shown} has no entry {name:?}")),
        Some(entry) if !is_ours(entry) => Err(format!(
            "the entry {name:?} of {shown} starts another program: it stays"
        )),
        Some(_) => {
            let new = edit::remove(place.client, place.text()?, name);
            let new = new.map_err(|why| place.refusal(&why))?;
            Ok(Plan {
                new: Some(new.into_bytes()),
                after: After::UnknownTaken,
                place,
            })
        }
    }
}
