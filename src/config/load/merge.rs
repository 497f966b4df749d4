//! Makes one configuration of what both files and the flags say.
//!
//! Owns the order of the steps: read both, apply the flags, check, hold the user's part to the administrator's.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::administrator::Administrator;
use super::checked::{Checked, MAX_BACKENDS};
use super::occasion::Occasion;
use super::origin::Good;
use super::outputs::Surroundings;
use crate::config::check::profiles::{self, Chosen};
use crate::config::check::{Checker, gateway};
use crate::config::environment::Environment;
use crate::config::lock::LockFile;
use crate::config::overrides::{Overrides, apply, apply_only};
use crate::config::problem::{Location, Problems, Report};
use crate::config::read::file::{Backend, File, Located};
use crate::config::read::{self, FoundFile, item_path, join};
use crate::config::{Administered, BackendConfig, Config, ConfiguredName, GatewayConfig, PinMode};

/// Where the parts of a configuration come from.
pub(super) struct Sources {
    pub(super) administrator: Administrator,
    pub(super) found: FoundFile,
    /// The text of the file that was found.
    pub(super) text: Option<String>,
}

/// The configuration, without its origin, and what it was made of.
///
/// # Errors
/// The problems that count on this occasion.
pub(super) fn merge(
    mut sources: Sources,
    overrides: &Overrides,
    env: &Environment,
    occasion: Occasion<'_>,
) -> Result<(Config, Good), Problems> {
    let Prepared {
        mut administrator,
        mut written,
        mut report,
        mut gateway,
        mut configured,
        profile,
    } = prepare(&mut sources, overrides, occasion)?;
    let found = sources.found;
    let distrust = distrust(&found);
    let surroundings = Surroundings::new(env, &found, distrust.as_deref());
    let outputs = surroundings.outputs(&mut administrator, &mut written, &gateway, &mut report);
    let own = std::mem::take(&mut administrator.written.backends);
    let own = surroundings
        .of_administrator(&gateway, &mut administrator)
        .backends(own, profile.as_ref());
    let users = surroundings
        .of_user(&gateway, &mut report)
        .backends(written.backends, profile.as_ref());
    let administered = administrator.administered(&own);
    let backends = administrator.merge(own, users, &mut configured, &mut report);
    let limit = |of: &Arc<BackendConfig>| of.tools.least_max_result_tokens();
    gateway.tool_listing.reads_more = backends.iter().find_map(limit).is_some();
    let before = occasion.lock_before();
    let reports = (&mut administrator.report, &mut report);
    let lock = lock(&found, env, &backends, before, reports);
    let mut warnings = std::mem::take(&mut administrator.report.warnings);
    warnings.extend(found.warnings.iter().chain(&report.warnings).cloned());
    let unkept = |why| format!("{why}; changes of tools are only detected within this run");
    warnings.extend(lock.as_ref().err().map(unkept));
    warnings.extend(nothing_to_serve(&gateway, &backends, administered.as_ref()));
    let lock = lock.unwrap_or_else(LockFile::none);
    let (problems, unused) = occasion.sort(&mut administrator.report, report);
    let good = Good::of(administrator.text(), sources.text, &lock);
    let config = Config {
        state_folder: env.state_folder().filter(|_| gateway.catalog_cache),
        socket_folders: env.socket_folders(),
        gateway,
        audit: outputs.audit,
        log: outputs.log,
        telemetry: outputs.telemetry,
        listen: outputs.listen,
        backends,
        configured,
        administered,
        source: found.path,
        profile: profile.map(|profile| profile.name),
        warnings,
        unused,
        origin: None,
        lock,
    };
    problems.into_result((config, good))
}

/// Both files as written, with the flags applied.
struct Prepared {
    administrator: Administrator,
    written: File,
    report: Report,
    gateway: GatewayConfig,
    configured: Vec<ConfiguredName>,
    profile: Option<Chosen>,
}

/// # Errors
/// If the user's file can't be read at all; other problems are in the reports.
fn prepare(
    sources: &mut Sources,
    overrides: &Overrides,
    occasion: Occasion<'_>,
) -> Result<Prepared, Problems> {
    let mut administrator = std::mem::take(&mut sources.administrator);
    let (found, text) = (&sources.found, sources.text.as_deref());
    let mut report = Report::default();
    let Some(mut written) = written(found, text, &mut report) else {
        let problems = administrator.report.problems;
        return Err(problems.followed_by(report.problems));
    };
    report.leaves_out_flags = !matches!(occasion, Occasion::Start);
    let permitted = administrator.permitted(overrides, &mut report);
    apply(&permitted, &mut written.backends, &mut report);
    let (wanted, names) = (overrides.profile.as_deref(), administrator.names());
    let profile = profiles::chosen(wanted, &mut written, &names, &mut report);
    let mut gateway = gateway(std::mem::take(&mut written.gateway), &mut report);
    administrator.hold_gateway(&mut gateway);
    check_unique_names(&administrator.written.backends, &mut administrator.report);
    check_unique_names(&written.backends, &mut report);
    let only = overrides.only.as_deref();
    let own = &mut administrator.written.backends;
    let mut configured = configured([own, &written.backends], only, profile.as_ref());
    administrator.hold_names(&mut configured);
    if let Some(only) = only {
        let denied = &administrator.denied;
        let own = administrator.written.backends.iter_mut();
        let mut all: Vec<_> = own.chain(&mut written.backends).collect();
        apply_only(only, denied, &mut all, &mut report);
    }
    Ok(Prepared {
        administrator,
        written,
        report,
        gateway,
        configured,
        profile,
    })
}

impl Checker<'_> {
    /// The backends that are used, in the order of the file.
    fn backends(
        &mut self,
        written: Vec<Located<Backend>>,
        profile: Option<&Chosen>,
    ) -> Vec<Checked> {
        let mut backends = Vec::new();
        for (index, mut backend) in written.into_iter().enumerate() {
            let name = backend.value.name.as_ref();
            let is_chosen = name.is_some_and(|name| is_chosen(profile, name));
            let is_enabled = backend.value.enabled;
            let path = path_of(&backend.value, index);
            let keys = std::mem::take(&mut backend.value.keys);
            let Some(mut checked) = self.backend(backend.value, &path) else {
                continue;
            };
            checked.tools.view = profile.and_then(|profile| profile.view(&checked.name));
            backends.push(Checked {
                config: checked,
                is_used: is_enabled && self.gateway.enabled && is_chosen,
                keys,
                location: backend.location,
            });
        }
        backends
    }
}

/// Why no backend is used; `None` where one is.
fn nothing_to_serve(
    gateway: &GatewayConfig,
    backends: &[Arc<BackendConfig>],
    administered: Option<&Administered>,
) -> Option<String> {
    if let Some(why) = administered.and_then(|administered| administered.all_off.as_deref()) {
        return Some(why.to_owned());
    }
    let why = match backends {
        _ if !gateway.enabled => {
            "everything is switched off by enabled = false in [gateway]; `sentinel-gateway enable --all` switches it on"
        }
        [] => "no backend is enabled: there is nothing to serve",
        _ => return None,
    };
    Some(why.to_owned())
}

/// The file as written; an empty one where there are only flags. `None` if it can't be used, which
/// is reported.
fn written(found: &FoundFile, text: Option<&str>, report: &mut Report) -> Option<File> {
    let (Some(path), Some(text)) = (&found.path, text) else {
        return Some(File::default());
    };
    *report = Report::of(path.display().to_string(), text.to_owned());
    let written = read::document(report);
    let count = written.as_ref().map_or(0, |file| file.backends.len());
    if count > MAX_BACKENDS {
        let what = format!("{count} backends are more than {MAX_BACKENDS}");
        report.problems.add(what);
        return None;
    }
    written
}

/// Why secrets named in the file aren't resolved; `None` where the file is trusted.
fn distrust(found: &FoundFile) -> Option<String> {
    let path = found.path.as_ref().filter(|_| !found.trusted)?;
    Some(format!(
        "{path} was only found in the working folder, so it is not trusted with secrets; \
         if it is yours, start the gateway with --config {path}",
        path = path.display()
    ))
}

/// Reads the lock beside the config file or, where there can be none, that for the administrator's backends, which
/// holds beside the other one for what that doesn't have: a user's new file accepts nothing. A lock
/// that can't be read or kept is a problem where a backend that it is for has `tools.pin = "block"`; other
/// configurations run without it and leave the file as it is. Where it could be read `before`, it counts as it was then.
fn lock(
    found: &FoundFile,
    env: &Environment,
    backends: &[Arc<BackendConfig>],
    before: Option<LockFile>,
    (administrators, report): (&mut Report, &mut Report),
) -> Result<LockFile, String> {
    let is_pinned = |backend: &&Arc<BackendConfig>| backend.tools.pin != PinMode::Off;
    let pinned: Vec<_> = backends.iter().filter(is_pinned).collect();
    let own = pinned.iter().filter(|backend| backend.of_administrator);
    let own: Vec<_> = own.copied().collect();
    let state = env.state_folder().filter(|_| !own.is_empty());
    let of_administrator = state.map(|state| {
        let names: Vec<&str> = own.iter().map(|own| &*own.name).collect();
        move || LockFile::of_administrator(LockFile::administrators_path(&state), &names)
    });
    let place = lock_of_user(found);
    let (lock, is_for) = match (place, of_administrator) {
        _ if pinned.is_empty() => {
            return Ok(LockFile::none("tools.pin is \"off\" for every backend"));
        }
        (Ok(file), None) => (LockFile::beside(file), &pinned),
        (Ok(file), Some(earlier)) => {
            let lock = LockFile::beside(file);
            let before = before.as_ref().filter(|before| before.is_whole);
            let reports = (&mut *administrators, &mut *report);
            let both = |lock| with_earlier(lock, earlier(), &own, before, reports);
            (lock.map(both), &pinned)
        }
        (Err(_), Some(read)) => (read(), &own),
        (Err(why), _) => {
            if let Some(own) = own.iter().find(|own| own.tools.pin == PinMode::Block) {
                report.problems.add(format!(
                    "{}: tools.pin = \"block\" needs a place for what is accepted: {why}, nor a folder for state; set HOME or XDG_STATE_HOME",
                    own.name
                ));
            }
            return Ok(LockFile::none(why));
        }
    };
    let Err(why) = lock else {
        return lock;
    };
    if let Some(before) = before {
        report.misfits.push(as_before(&why));
        return Ok(before);
    }
    if is_for.iter().any(|of| of.tools.pin == PinMode::Block) {
        report.problems.add(&why);
    }
    Err(why)
}

/// A lock with what the one for the administrator's backends has besides. Where that can't be read, it costs
/// nothing that is for other backends.
fn with_earlier(
    mut lock: LockFile,
    earlier: Result<LockFile, String>,
    own: &[&Arc<BackendConfig>],
    before: Option<&LockFile>,
    (administrators, report): (&mut Report, &mut Report),
) -> LockFile {
    let why = match earlier {
        Ok(earlier) => return lock.with_those_of(&earlier, own),
        Err(why) => why,
    };
    if let Some(before) = before {
        report.misfits.push(as_before(&why));
        return lock.with_those_of(before, own);
    }
    match own.iter().any(|own| own.tools.pin == PinMode::Block) {
        true => administrators.problems.add(&why),
        false => report
            .warnings
            .push(format!("{why}; what was accepted there does not count")),
    }
    lock.is_whole = false;
    lock
}

fn as_before(why: &str) -> String {
    format!("{why}; until it can be read, what it said before holds")
}

/// The user's config file that a lock can stand beside; else why there is none.
fn lock_of_user(found: &FoundFile) -> Result<&Path, String> {
    let Some(file) = &found.path else {
        return Err("there is no config file of the user's to keep a lock beside".to_owned());
    };
    if read::is_client_json(file) {
        return Err("no lock is written beside a client's file".to_owned());
    }
    match found.trusted {
        true => Ok(file),
        false => Err(format!(
            "{file} was only found in the working folder, and no lock beside it is read or written; \
             if it is yours, name it with --config {file}",
            file = file.display()
        )),
    }
}

fn is_chosen(profile: Option<&Chosen>, backend: &Located<String>) -> bool {
    profile.is_none_or(|profile| profile.has(backend))
}

/// The names in the administrator's file, and the further ones in the user's.
fn configured(
    files: [&[Located<Backend>]; 2],
    only: Option<&[String]>,
    profile: Option<&Chosen>,
) -> Vec<ConfiguredName> {
    let mut configured: Vec<ConfiguredName> = Vec::new();
    for backend in files.into_iter().flatten() {
        let Some(name) = &backend.value.name else {
            continue;
        };
        let known = configured
            .iter_mut()
            .find(|known| *known.name == *name.value);
        match known {
            Some(known) => known.enabled &= backend.value.enabled,
            None => configured.push(ConfiguredName {
                name: name.value.as_str().into(),
                enabled: backend.value.enabled,
                left_out: only.is_some_and(|only| !only.contains(&name.value))
                    || !is_chosen(profile, name),
                held: None,
            }),
        }
    }
    configured
}

fn check_unique_names(backends: &[Located<Backend>], report: &mut Report) {
    let mut first_lines: HashMap<&str, usize> = HashMap::new();
    for (index, backend) in backends.iter().enumerate() {
        // A name given by `--backend` is either new or that of a backend in the file.
        let Some((name, Location::File(bytes))) = backend
            .value
            .name
            .as_ref()
            .map(|name| (&name.value, &name.location))
        else {
            continue;
        };
        if let Some(line) = first_lines.get(name.as_str()) {
            let what =
                format!("the backend of line {line} has this name already; give each its own");
            let path = join(&path_of(&backend.value, index), "name");
            report.add(&Location::File(bytes.clone()), &path, what);
        } else {
            first_lines.insert(name, report.line(bytes.start));
        }
    }
}

fn path_of(backend: &Backend, index: usize) -> String {
    let name = backend.name.as_ref().map(|name| name.value.as_str());
    item_path("backends", index, name)
}
