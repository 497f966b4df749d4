//! Loads the configuration: locate, read, apply the flags, check.

mod outputs;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::profiles::{self, Chosen};
use super::check::{Checker, gateway};
use super::environment::Environment;
use super::lock::LockFile;
use super::overrides::{Overrides, apply, apply_only};
use super::problem::{Location, Problems, Report};
use super::read::file::{Backend, File, Located};
use super::read::{self, FoundFile, item_path, join};
use super::{BackendConfig, Config, ConfiguredName, GatewayConfig, PinMode};
use crate::files::{Stamp, Written};
use crate::sync::Mutex;
use outputs::Outputs;

/// Most backends: each is connected to at the start.
const MAX_BACKENDS: usize = 1_000;

/// What a configuration was loaded from, to load it again.
pub(crate) struct Origin {
    /// With the path of the file, which need not be the one that a new search would find.
    overrides: Overrides,
    env: Environment,
    /// The config file, an absolute path.
    file: PathBuf,
    /// The lock beside it, where it is used.
    lock: Option<PathBuf>,
    /// As of the moment before they were read.
    read: Stamps,
    /// What this process has written to the lock, the newest last.
    own_writes: Mutex<VecDeque<Written>>,
}

/// Most writes of its own that are remembered, where nobody looks at the files.
const MAX_OWN_WRITES: usize = 64;

/// What changes whenever the config file, or its lock, does.
pub(crate) type Stamps = [Option<Stamp>; 2];

impl Origin {
    /// Loads the configuration as it is written now. Blocks.
    ///
    /// # Errors
    /// As [`load`].
    pub(crate) fn load(&self) -> Result<Config, Problems> {
        load(&self.overrides, &self.env)
    }

    /// The config file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Of the files as they were when this was loaded.
    pub(crate) fn stamps_read(&self) -> Stamps {
        self.read
    }

    /// Of the files as they are now. Blocks.
    pub(crate) fn stamps_now(&self) -> Stamps {
        stamps(&self.file, self.lock.as_deref())
    }

    /// The lock was written by this process.
    pub(crate) fn wrote_lock(&self, written: Written) {
        let mut own = self.own_writes.lock();
        own.push_back(written);
        if own.len() > MAX_OWN_WRITES {
            own.pop_front();
        }
    }

    /// What the files are after the writes of this process alone, if they were `seen`.
    pub(crate) fn after_own_writes(&self, seen: Stamps) -> Stamps {
        let [file, mut lock] = seen;
        for Written { before, after } in self.own_writes.lock().drain(..) {
            if before == lock {
                lock = after;
            }
        }
        [file, lock]
    }

    /// That of the file that was found; `None` where there is none that the user chose.
    fn of(
        found: &FoundFile,
        overrides: &Overrides,
        env: &Environment,
        lock: Option<&PathBuf>,
        read: Stamps,
    ) -> Option<Arc<Self>> {
        let file = found.path.clone().filter(|_| found.trusted)?;
        let overrides = Overrides {
            config: Some(file.clone()),
            ..overrides.clone()
        };
        Some(Arc::new(Self {
            overrides,
            env: env.clone(),
            file,
            read: [read[0], read[1].filter(|_| lock.is_some())],
            lock: lock.cloned(),
            own_writes: Mutex::default(),
        }))
    }
}

fn stamps(file: &Path, lock: Option<&Path>) -> Stamps {
    [Stamp::of(file), lock.and_then(Stamp::of)]
}

/// Shows only what is no secret.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Whether a running gateway takes what is written to its file.
    pub fn may_change(&self) -> bool {
        self.origin.is_some()
    }
}

/// Locates, reads and checks the configuration.
///
/// # Errors
/// Every problem of the file and the flags. What affects one backend only (a variable that isn't
/// set, a file that isn't trusted with secrets) is no error: that backend is down for this reason.
pub fn load(overrides: &Overrides, env: &Environment) -> Result<Config, Problems> {
    let found = read::locate(
        overrides.config.as_deref(),
        !overrides.backends.is_empty(),
        env,
    )?;
    let read = found.path.as_deref().map_or([None; 2], |file| {
        stamps(file, Some(&LockFile::path_beside(file)))
    });
    let mut report = Report::default();
    let Some(mut written) = written(&found, &mut report)? else {
        return Err(report.problems);
    };
    apply(overrides, &mut written.backends, &mut report);
    let profile = profiles::chosen(overrides.profile.as_deref(), &mut written, &mut report);
    let mut gateway = gateway(written.gateway, &mut report);
    check_unique_names(&written.backends, &mut report);
    let only = overrides.only.as_deref();
    let configured = configured(&written.backends, only, profile.as_ref());
    if let Some(only) = only {
        apply_only(only, &mut written.backends, &mut report);
    }
    let distrust = distrust(&found);
    let mut outputs = Outputs::new(env, found.folder(), distrust.as_deref(), &mut report);
    let (audit, log) = outputs.check(written.audit, written.log);
    let mut checker = Checker {
        env,
        folder: found.folder(),
        source: found.path.as_deref(),
        distrust: distrust.as_deref(),
        gateway: &gateway,
        report: &mut report,
    };
    let (telemetry, listen) = checker.telemetry(&written.telemetry);
    let backends = checker.backends(written.backends, profile.as_ref());
    let limit = |of: &Arc<BackendConfig>| of.tools.least_max_result_tokens();
    gateway.tool_listing.reads_more = backends.iter().find_map(limit).is_some();
    let lock = lock(&found, &backends, &mut report);
    let mut warnings = [&found.warnings[..], &report.warnings].concat();
    let unkept = |why| format!("{why}; changes of tools are only detected within this run");
    warnings.extend(lock.as_ref().err().map(unkept));
    warnings.extend(nothing_to_serve(&gateway, &backends).map(str::to_owned));
    let lock = lock.unwrap_or_else(LockFile::none);
    report.problems.into_result(Config {
        origin: Origin::of(&found, overrides, env, lock.path.as_ref().ok(), read),
        state_folder: env.state_folder().filter(|_| gateway.catalog_cache),
        socket_folders: env.socket_folders(),
        gateway,
        audit,
        log,
        telemetry,
        listen,
        backends,
        configured,
        source: found.path,
        profile: profile.map(|profile| profile.name),
        warnings,
        lock,
    })
}

impl Checker<'_> {
    /// The backends that are used, in the order of the file.
    fn backends(
        &mut self,
        written: Vec<Located<Backend>>,
        profile: Option<&Chosen>,
    ) -> Vec<Arc<BackendConfig>> {
        let mut backends = Vec::new();
        for (index, backend) in written.into_iter().enumerate() {
            let name = backend.value.name.as_ref();
            let is_chosen = name.is_some_and(|name| is_chosen(profile, name));
            let enabled = backend.value.enabled && self.gateway.enabled && is_chosen;
            let path = path_of(&backend.value, index);
            let Some(mut checked) = self.backend(backend.value, &path).filter(|_| enabled) else {
                continue;
            };
            checked.tools.view = profile.and_then(|profile| profile.view(&checked.name));
            backends.push(Arc::new(checked));
        }
        backends
    }
}

/// Why no backend is used; `None` where one is.
fn nothing_to_serve(
    gateway: &GatewayConfig,
    backends: &[Arc<BackendConfig>],
) -> Option<&'static str> {
    match backends {
        _ if !gateway.enabled => Some(
            "everything is switched off by enabled = false in [gateway]; `sentinel-gateway enable --all` switches it on",
        ),
        [] => Some("no backend is enabled: there is nothing to serve"),
        _ => None,
    }
}

/// The file as written; an empty one where there are only flags. `None` if it can't be used, which
/// is reported.
fn written(found: &FoundFile, report: &mut Report) -> Result<Option<File>, Problems> {
    let Some(path) = &found.path else {
        return Ok(Some(File::default()));
    };
    *report = Report::of(path.display().to_string(), read::text(path, found.trusted)?);
    let written = read::document(report);
    let count = written.as_ref().map_or(0, |file| file.backends.len());
    if count > MAX_BACKENDS {
        let what = format!("{count} backends are more than {MAX_BACKENDS}");
        report.problems.add(what);
        return Ok(None);
    }
    Ok(written)
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

/// Reads the lock beside the config file. A lock that can't be read is a problem where a backend
/// has `tools.pin = "block"`; other configurations run without it and leave the file as it is.
fn lock(
    found: &FoundFile,
    backends: &[Arc<BackendConfig>],
    report: &mut Report,
) -> Result<LockFile, String> {
    let Some(file) = &found.path else {
        return Ok(LockFile::none(
            "the config comes from flags alone, so there is no file to keep a lock beside",
        ));
    };
    if read::is_client_json(file) {
        return Ok(LockFile::none("no lock is written beside a client's file"));
    }
    let is_used = |mode| backends.iter().any(|backend| backend.tools.pin == mode);
    if !is_used(PinMode::Warn) && !is_used(PinMode::Block) {
        return Ok(LockFile::none("tools.pin is \"off\" for every backend"));
    }
    if !found.trusted {
        return Ok(LockFile::none(format!(
            "{file} was only found in the working folder, and no lock beside it is read or written; \
             if it is yours, name it with --config {file}",
            file = file.display()
        )));
    }
    let lock = LockFile::beside(file);
    match &lock {
        Err(why) if is_used(PinMode::Block) => report.problems.add(why),
        _ => {}
    }
    lock
}

fn is_chosen(profile: Option<&Chosen>, backend: &Located<String>) -> bool {
    profile.is_none_or(|profile| profile.has(backend))
}

fn configured(
    backends: &[Located<Backend>],
    only: Option<&[String]>,
    profile: Option<&Chosen>,
) -> Vec<ConfiguredName> {
    let names = backends
        .iter()
        .filter_map(|backend| Some((backend.value.name.as_ref()?, backend.value.enabled)));
    names
        .map(|(name, enabled)| ConfiguredName {
            name: name.value.as_str().into(),
            enabled,
            left_out: only.is_some_and(|only| !only.contains(&name.value))
                || !is_chosen(profile, name),
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock that this process has written, though another one has written before it.
    #[test]
    fn what_the_gateway_writes_to_its_lock_is_no_change_of_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("sentinel.toml"), "").unwrap();
        let overrides = Overrides {
            config: Some(path("sentinel.toml")),
            ..Overrides::default()
        };
        let config = load(&overrides, &Environment::new(".")).unwrap();
        let origin = config.origin.unwrap();
        let stamp = |length: usize| {
            std::fs::write(path("x"), "x".repeat(length)).unwrap();
            Stamp::of(&path("x"))
        };
        let written = |before, after| Written { before, after };
        let [none, one, two, three] = [None, stamp(1), stamp(2), stamp(3)];
        let file = origin.stamps_read()[0];
        origin.wrote_lock(written(none, one));
        origin.wrote_lock(written(one, two));
        assert_eq!(origin.after_own_writes([file, none]), [file, two]);
        // Another program has written between what was seen and what was written here.
        origin.wrote_lock(written(three, one));
        assert_eq!(origin.after_own_writes([file, two]), [file, two]);
    }
}
