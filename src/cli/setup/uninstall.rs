//! `uninstall`: takes the entry out again.
//!
//! Owns what is shown and asked before that.

use super::changes::changes;
use super::consent::wants;
use super::{Machine, begin, for_each, print, warn_if_running};
use crate::cli::args::Uninstall;
use crate::cli::terminal::HEAD;
use crate::client_config::clients::{Client, Format};
use crate::install::{Place, Unwanted, plan_uninstall};

/// Takes the entry out of each client's file.
pub(in crate::cli) fn uninstall(args: &Uninstall) -> u8 {
    let (machine, clients) = match begin(&args.clients) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    for_each(clients, &args.writing, |client| {
        uninstall_from(client, &machine, args)
    })
}

/// Returns whether the entry is out.
fn uninstall_from(
    client: &'static Client,
    machine: &Machine,
    args: &Uninstall,
) -> Result<bool, String> {
    let writing = &args.writing;
    let file = machine.file(client, writing.project)?;
    if client.format == Format::Yaml {
        return Err(format!(
            "files of {} are not edited: take {:?} out of {} by hand",
            client.name,
            writing.name(),
            file.display()
        ));
    }
    let place = Place::read(client, &file, &machine.state)?;
    let unwanted = Unwanted {
        name: writing.name.as_deref(),
        restore: args.restore,
        force: args.force,
    };
    let plan = plan_uninstall(place, &unwanted)?;
    let file = plan.place().file.display().to_string();
    print(&format!("{HEAD}{}{HEAD:#} {file}\n", client.name));
    if plan.removes_file() {
        print("deletes the file: it was made for this entry\n");
    } else if args.restore {
        print("the file becomes what it was before, byte for byte\n");
    }
    let changes = changes(&plan);
    if !changes.is_empty() {
        print(&format!("{changes}\n"));
    }
    warn_if_running(
        client,
        "If the entry is back afterwards, type this command again",
    );
    if !wants("Write it?", writing) {
        return Ok(false);
    }
    let done = plan.apply()?;
    let backup = match &done.backup {
        Some(path) => format!("; what it held is kept in {}", path.display()),
        None => String::new(),
    };
    print(&format!("done{backup}\n"));
    Ok(true)
}
