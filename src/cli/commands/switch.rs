//! `disable` and `enable`: switches in the config file, which running gateways take.
//!
//! Owns which file is edited, and what is said of it. It must not know where in a text a switch stands.

use std::io;
use std::path::Path;

use crate::cli::args::Switched;
use crate::cli::exit::{BAD_CONFIG, FAILED, OK};
use crate::cli::terminal::{print_message, warn};
use crate::config::switch::{self, Switch};
use crate::config::{Administered, Config};
use crate::files::{self, Readers};

/// Most bytes of a config file.
const MAX_BYTES: u64 = 16 << 20;

/// Switches what the arguments name off, or `on`. Returns the exit status.
pub(super) fn switch(config: &Config, args: &Switched, on: bool) -> u8 {
    let what = args.what.as_deref().unwrap_or_default();
    let switch = match what.split_once('/') {
        _ if args.all => Switch::All,
        Some((backend, tool)) => Switch::Tool(backend, tool),
        None => Switch::Backend(what),
    };
    let origin = config.origin.as_ref();
    let Some(path) = origin.and_then(|origin| origin.file()) else {
        print_message(&not_editable(config));
        return BAD_CONFIG;
    };
    let file = match files::resolve(path) {
        Ok(file) => file,
        Err(error) => {
            print_message(&format!("{}: {error}", path.display()));
            return FAILED;
        }
    };
    let done = match edit(&file, switch, on, config.administered.as_ref()) {
        Ok(done) => done,
        Err(why) => {
            print_message(&format!("{}: {why}", file.display()));
            return FAILED;
        }
    };
    let (state, subject) = (if on { "on" } else { "off" }, subject(switch));
    print_message(&match done {
        true => format!(
            "{subject} is switched {state} in {}; running gateways take it within a second",
            file.display()
        ),
        false => format!(
            "{subject} is switched {state} already in {}",
            file.display()
        ),
    });
    if on {
        still_off(config, switch).iter().for_each(|why| warn(why));
    }
    OK
}

/// Why no file is edited, and what to do.
fn not_editable(config: &Config) -> String {
    match &config.source {
        Some(file) => format!(
            "{file} was only found in the working folder and is not taken while a gateway runs; if it is \
             yours, name it with --config {file}",
            file = file.display()
        ),
        None if config.administered.is_some() => {
            "there is no config file of yours to edit: make an empty one with \
             `mkdir -p ~/.config/sentinel && touch ~/.config/sentinel/sentinel.toml`"
                .to_owned()
        }
        None => {
            "there is no config file to edit: the config comes from flags alone; write it into a \
                 file, or start without --backend"
                .to_owned()
        }
    }
}

/// Sets a switch in the config file at this path; symbolic links are followed. Whether the file was changed.
///
/// # Errors
/// Why it can't be edited.
#[cfg(unix)]
pub(super) fn set_in(path: &Path, switch: Switch<'_>, on: bool) -> Result<bool, String> {
    let file = files::resolve(path).map_err(|error| error.to_string())?;
    edit(&file, switch, on, None)
}

/// Whether the file was changed. Other commands that edit it wait meanwhile. A backend of the administrator's
/// gets an entry that takes away.
fn edit(
    file: &Path,
    switch: Switch<'_>,
    on: bool,
    administered: Option<&Administered>,
) -> Result<bool, String> {
    let _guard = files::guard(files::folder_of(file));
    let read = || -> io::Result<String> {
        let bytes = files::read_up_to(file, MAX_BYTES)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    };
    let text = read().map_err(|error| error.to_string())?;
    if text.trim_start().starts_with('{') {
        return Err(
            "it is a client's file, which has no switches; `sentinel-gateway install CLIENT --import` makes a sentinel.toml of it"
                .to_owned(),
        );
    }
    let of_administrator = administered.and_then(|administered| {
        let mut backends = administered.backends.iter();
        backends.find(|(name, _)| backend_of(switch) == Some(&**name))
    });
    let edited = match of_administrator.filter(|(name, _)| !switch::has_backend(&text, name)) {
        // The administrator alone has it, so the user's file switches nothing off.
        Some(_) if on => None,
        Some((name, url)) => switch::set(&switch::with_entry(&text, name, url), switch, on)?,
        None => switch::set(&text, switch, on)?,
    };
    let Some(edited) = edited else {
        return Ok(false);
    };
    let written = files::replace(file, edited.as_bytes(), Readers::Anyone);
    written.map_err(|error| error.to_string())?;
    Ok(true)
}

fn backend_of<'a>(switch: Switch<'a>) -> Option<&'a str> {
    match switch {
        Switch::All => None,
        Switch::Backend(name) | Switch::Tool(name, _) => Some(name),
    }
}

fn subject(switch: Switch<'_>) -> String {
    match switch {
        Switch::All => "everything".to_owned(),
        Switch::Backend(name) => name.to_owned(),
        Switch::Tool(backend, tool) => format!("{backend}/{tool}"),
    }
}

/// What else keeps it switched off.
fn still_off(config: &Config, switch: Switch<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let (backend, tool) = match switch {
        Switch::All => return reasons,
        Switch::Backend(backend) => (backend, None),
        Switch::Tool(backend, tool) => (backend, Some(tool)),
    };
    if !config.gateway.enabled {
        reasons
            .push("everything is still switched off: `sentinel-gateway enable --all`".to_owned());
    }
    let known = config
        .configured
        .iter()
        .find(|known| *known.name == *backend);
    if let Some(why) = known.and_then(|known| known.held.as_ref()) {
        reasons.push(format!("{backend} is still switched off: {why}"));
    } else if tool.is_some() && known.is_some_and(|known| !known.enabled) {
        reasons.push(format!(
            "{backend} is still switched off: `sentinel-gateway enable {backend}`"
        ));
    }
    let entry = config.backends.iter().find(|entry| *entry.name == *backend);
    if let (Some(tool), Some(entry)) = (tool, entry) {
        let own = switch::pattern_of(tool);
        let denying =
            entry.tools.written.iter().filter(|rule| {
                rule.key == "tools.deny" && rule.pattern != own && rule.matches(tool)
            });
        reasons.extend(denying.map(|rule| {
            format!(
                "{backend}/{tool} is still denied by {:?} in tools.deny",
                rule.pattern
            )
        }));
        let allowed = [&entry.tools.allow, &entry.tools.narrowed];
        if (allowed.into_iter().flatten()).any(|allow| !allow.is_match(tool)) {
            reasons.push(format!("{backend}/{tool} is not among tools.allow"));
        }
    }
    reasons
}
