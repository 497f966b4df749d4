//! `disable` and `enable`: switches in the config file, which running gateways take.
//!
//! Owns which file is edited, and what is said of it. It must not know where in a text a switch stands.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::Switched;
use crate::cli::exit::{BAD_CONFIG, FAILED, OK};
use crate::cli::terminal::{print_message, warn};
use crate::config::switch::{self, Switch};
use crate::config::{BackendConfig, Config, Origin, Parts, is_client_json};
use crate::files::{self, Readers};
use crate::nearest::nearest_name;
use crate::protocol::Kind;
use crate::shell;
use crate::state::ListingCache;

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
    match set(config, switch, on) {
        Ok((said, warnings)) => {
            print_message(&said);
            warnings.iter().for_each(|why| warn(why));
            OK
        }
        Err((status, why)) => {
            print_message(&why);
            status
        }
    }
}

/// Sets a switch in the user's file. Returns what is said of it, and warnings.
///
/// # Errors
/// The exit status, and why it can't be set.
fn set(
    config: &Config,
    switch: Switch<'_>,
    on: bool,
) -> Result<(String, Vec<String>), (u8, String)> {
    let (origin, file) = place(config)?;
    let shown = file.display();
    let misnamed = misnamed(config, switch);
    let refused = match &misnamed {
        Some(Misnamed::Exposed(own)) => Err((FAILED, exposed_name(switch, own, on))),
        _ => Ok(()),
    };
    if !on {
        refused.clone()?;
    }
    let of_administrator = config.administered.as_ref().and_then(|administered| {
        let mut backends = administered.backends.iter();
        let own = backends.find(|(name, _)| backend_of(switch) == Some(&**name));
        own.map(|(_, url)| &**url)
    });
    let done = edit(&file, switch, on, of_administrator)
        .map_err(|why| (FAILED, format!("{shown}: {why}")))?;
    // A rule of this very pattern may be there all the same.
    if !done {
        refused?;
    }
    // The administrator may have switched it off as well.
    let warnings = match on.then(|| origin.load(Parts::ALL)) {
        None => misnamed.and_then(Misnamed::warning).into_iter().collect(),
        Some(Ok(now)) => still_off(&now, switch),
        Some(Err(problems)) => problems.iter().map(ToString::to_string).collect(),
    };
    let (state, subject) = (if on { "on" } else { "off" }, subject(switch));
    let said = match done {
        true => format!(
            "{subject} is switched {state} in {shown}; running gateways take it within a second"
        ),
        false if on && !warnings.is_empty() => format!("nothing in {shown} switches {subject} off"),
        false => format!("{subject} is switched {state} already in {shown}"),
    };
    Ok((said, warnings))
}

/// What the config is loaded from, and the file that is edited, without links.
///
/// # Errors
/// As [`set`].
fn place(config: &Config) -> Result<(&Arc<Origin>, PathBuf), (u8, String)> {
    // What flags alone make has no place in a file that is not there.
    let has_place = config.source.is_some() || config.administered.is_some();
    let origin = config.origin.as_ref().filter(|_| has_place);
    let place = origin.and_then(|origin| Some((origin, origin.file()?)));
    let (origin, path) = place.ok_or_else(|| (BAD_CONFIG, not_editable(config)))?;
    let failed = |why: &dyn Display| (FAILED, format!("{}: {why}", path.display()));
    has_switches(path).map_err(|why| failed(&why))?;
    let file = match files::resolve(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.source.is_none() => {
            path.to_owned()
        }
        found => found.map_err(|error| failed(&error))?,
    };
    Ok((origin, file))
}

/// Why no file is edited, and what to do.
fn not_editable(config: &Config) -> String {
    match &config.source {
        Some(file) if !files::is_file(file) => format!(
            "{file} is no regular file: it was read once, and is not taken again while a gateway runs; write the \
             config into a file, and name that with --config",
            file = file.display()
        ),
        Some(file) => format!(
            "{file} was only found in the working folder and is not taken while a gateway runs; if it is \
             yours, name it with --config {file}",
            file = file.display()
        ),
        None if config.administered.is_some() => {
            "there is no config file of yours to edit, and no home folder to make one in: set HOME, or name a file \
             with --config FILE"
                .to_owned()
        }
        None => {
            "there is no config file to edit: the config comes from flags alone; write it into a \
                 file, or start without --backend"
                .to_owned()
        }
    }
}

/// # Errors
/// The file is a client's, and what makes a config of it.
fn has_switches(path: &Path) -> Result<(), String> {
    match is_client_json(path) {
        false => Ok(()),
        true => Err(
            "it is a client's file, which has no switches; `sentinel-gateway install CLIENT --import` makes a sentinel.toml of it"
                .to_owned(),
        ),
    }
}

/// Sets a switch in the config file at this path; symbolic links are followed. Whether the file was changed.
/// `of_administrator` is the URL to show of a backend of the administrator's.
///
/// # Errors
/// Why it can't be edited.
#[cfg(unix)]
pub(super) fn set_in(
    path: &Path,
    switch: Switch<'_>,
    on: bool,
    of_administrator: Option<&str>,
) -> Result<bool, String> {
    has_switches(path)?;
    let file = files::resolve(path).map_err(|error| error.to_string())?;
    edit(&file, switch, on, of_administrator)
}

/// Whether the file was changed. Other commands that edit it wait meanwhile. A backend of the administrator's
/// gets an entry that takes away, and the file is made where there is none.
fn edit(
    file: &Path,
    switch: Switch<'_>,
    on: bool,
    of_administrator: Option<&str>,
) -> Result<bool, String> {
    if !on {
        // Without it there is nothing that two commands could take turns by.
        files::make_folder(files::folder_of(file)).map_err(|error| error.to_string())?;
    }
    let _guard = files::guard(files::folder_of(file));
    let read = || -> io::Result<String> {
        let bytes = match files::read_up_to(file, MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        String::from_utf8(bytes).map_err(io::Error::other)
    };
    let text = read().map_err(|error| error.to_string())?;
    let of_administrator = backend_of(switch).zip(of_administrator);
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

/// What is wrong with the name of a tool.
enum Misnamed {
    /// Clients see a tool of this own name by it.
    Exposed(String),
    /// The backend has not listed such a tool; a warning.
    Unlisted(String),
}

impl Misnamed {
    fn warning(self) -> Option<String> {
        match self {
            Self::Unlisted(warning) => Some(warning),
            Self::Exposed(_) => None,
        }
    }
}

/// What is wrong with the name, as far as the config and the last listing tell.
fn misnamed(config: &Config, switch: Switch<'_>) -> Option<Misnamed> {
    let Switch::Tool(backend, tool) = switch else {
        return None;
    };
    let entry = (config.backends.iter()).find(|entry| *entry.name == *backend)?;
    let cache = ListingCache::of(config);
    let cached = cache.and_then(|cache| cache.cached_listing(entry));
    let listed = cached
        .iter()
        .flat_map(|cached| cached.listing.items(Kind::Tool));
    let names = listed.filter_map(|listed| listed.get("name")?.text());
    let names: Vec<String> = names.collect();
    if names.iter().any(|name| name == tool) {
        return None;
    }
    let mut renamed = entry.tools.rename.iter();
    if let Some((own, _)) = renamed.find(|(own, exposed)| exposed == tool && own != tool) {
        return Some(Misnamed::Exposed(own.clone()));
    }
    if names.is_empty() {
        return None;
    }
    let meant = nearest_name(tool, names.iter().map(String::as_str));
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    Some(Misnamed::Unlisted(format!(
        "{backend} had no tool {tool} when it listed its tools last{meant}"
    )))
}

/// Why nothing is switched, and what to type.
fn exposed_name(switch: Switch<'_>, own: &str, on: bool) -> String {
    let command = if on { "enable" } else { "disable" };
    let typed = format!("{}/{own}", backend_of(switch).unwrap_or_default());
    format!(
        "{} is the name that clients see; its own name is {own}: `sentinel-gateway {command} {}`",
        subject(switch),
        shell::word(&typed)
    )
}

/// What keeps it switched off, and in which file.
fn still_off(config: &Config, switch: Switch<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if !config.gateway.enabled {
        let why = config.all_off_by_administrator();
        let why = why.unwrap_or("`sentinel-gateway enable --all`");
        reasons.push(format!("everything is still switched off: {why}"));
    }
    let (backend, tool) = match switch {
        Switch::All => return reasons,
        Switch::Backend(backend) => (backend, None),
        Switch::Tool(backend, tool) => (backend, Some(tool)),
    };
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
        reasons.extend(still_denied(config, entry, tool));
    }
    reasons
}

/// The rules that keep a tool from being served, each with its file.
fn still_denied(config: &Config, entry: &BackendConfig, tool: &str) -> Vec<String> {
    let subject = format!("{}/{tool}", entry.name);
    let rules = &entry.tools;
    if rules.admits(tool) {
        return Vec::new();
    }
    let file_of = |is_users: bool| match (&config.administered, &config.source) {
        (Some(administered), _) if !is_users => {
            format!("the administrator's file {}", administered.file.display())
        }
        (_, Some(file)) => file.display().to_string(),
        (_, None) => "the config".to_owned(),
    };
    let is_users = !entry.of_administrator;
    let denied = rules.denying(tool).map(|rule| {
        let file = file_of(is_users || rule.is_added());
        let pattern = &rule.pattern;
        format!("{subject} is still denied by {pattern:?} in tools.deny of {file}")
    });
    let allowed = [(&rules.allow, is_users), (&rules.narrowed, true)];
    let left_out = allowed.into_iter().filter_map(|(allow, is_users)| {
        let leaves_out = allow.as_ref().is_some_and(|allow| !allow.is_match(tool));
        let file = leaves_out.then(|| file_of(is_users))?;
        Some(format!("{subject} is not among tools.allow of {file}"))
    });
    denied.chain(left_out).collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::{Environment, Overrides, load};

    /// A machine with an administrator's file, and a home without a config.
    struct Machine(TempDir);

    impl Machine {
        fn new(administrators: &str) -> Self {
            let machine = Self(TempDir::new().unwrap());
            let file = machine.0.path().join("administrator.toml");
            std::fs::write(file, administrators).unwrap();
            machine
        }

        fn env(&self) -> Environment {
            let folder = self.0.path();
            Environment::new(folder)
                .with_home(folder, folder.join("config"))
                .with_administrators_file(folder.join("administrator.toml"))
        }

        fn users_file(&self) -> std::path::PathBuf {
            self.0.path().join("config/sentinel/sentinel.toml")
        }

        fn config(&self) -> Config {
            load(&Overrides::default(), &self.env()).unwrap()
        }
    }

    const TEAM: &str = "[[backends]]\nname = \"team\"\nurl = \"http://127.0.0.1:9/mcp\"\ntools.deny = [\"create\"]\n";

    #[test]
    fn a_user_without_a_file_gets_one_with_the_first_switch() {
        for switch in [
            Switch::Tool("team", "drop"),
            Switch::Backend("team"),
            Switch::All,
        ] {
            let machine = Machine::new(TEAM);
            let file = machine.users_file();
            let config = machine.config();
            let (_, why) = set(&config, Switch::Backend("other"), false).unwrap_err();
            assert!(why.contains("it has no backend named \"other\""), "{why}");
            let (said, _) = set(&config, switch, true).unwrap();
            assert!(said.contains("switched on already"), "{said}");
            assert!(!file.exists(), "nothing is switched");
            let (said, _) = set(&config, switch, false).unwrap();
            let shown = format!("off in {}; running", file.display());
            assert!(said.contains(&shown), "{said}");
            let config = machine.config();
            let tools = config
                .backends
                .first()
                .map(|team| team.tools.admits("drop"));
            assert_eq!(tools, matches!(switch, Switch::Tool(..)).then_some(false));
            let (said, _) = set(&config, switch, false).unwrap();
            assert!(said.contains("off already"), "{said}");
        }
    }

    #[test]
    fn without_a_home_there_is_no_place_for_a_file() {
        let machine = Machine::new(TEAM);
        let env = Environment::new(machine.0.path());
        let env = env.with_administrators_file(machine.0.path().join("administrator.toml"));
        let config = load(&Overrides::default(), &env).unwrap();
        let (status, why) = set(&config, Switch::All, false).unwrap_err();
        assert_eq!(status, BAD_CONFIG);
        assert!(
            why.contains("set HOME, or name a file with --config FILE"),
            "{why}"
        );
    }

    /// What the administrator's file denies is not called switched on.
    #[test]
    fn what_the_administrator_has_switched_off_is_named_with_its_file() {
        let off = "[gateway]\nenabled = false\n";
        let gone = TEAM.replace("tools.deny", "enabled = false\ntools.deny");
        let entry = TEAM.replace("\"create\"", "\"create\", \"drop_*\"");
        let create = Switch::Tool("team", "create");
        let drop = Switch::Tool("team", "drop_all");
        let all = "everything is still switched off: the administrator's file";
        let denied =
            "team/create is still denied by \"create\" in tools.deny of the administrator's file";
        for (administrators, users, switch, first, why) in [
            (TEAM, "", create, "nothing in", denied),
            (TEAM, TEAM, create, "team/create is switched on in", denied),
            (
                TEAM,
                &entry,
                drop,
                "nothing in",
                "team/drop_all is still denied by \"drop_*\" in tools.deny of /",
            ),
            (off, "", Switch::All, "nothing in", all),
            (off, off, Switch::All, "everything is switched on in", all),
            (
                &gone,
                "",
                Switch::Backend("team"),
                "nothing in",
                "team is still switched off: the administrator's",
            ),
        ] {
            let machine = Machine::new(administrators);
            let file = machine.users_file();
            std::fs::create_dir_all(files::folder_of(&file)).unwrap();
            std::fs::write(&file, users).unwrap();
            let (said, warnings) = set(&machine.config(), switch, true).unwrap();
            assert!(said.starts_with(first), "{said}");
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].starts_with(why), "{warnings:?}");
            let is_users = why.ends_with('/');
            let named = if is_users {
                "sentinel/sentinel.toml"
            } else {
                "administrator.toml"
            };
            assert!(warnings[0].contains(named), "{warnings:?}");
            assert!(!said.contains("already"), "{said}");
        }
    }
}
