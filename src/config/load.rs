//! One configuration out of a file, the flags laid over it, and the environment.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Checker, gateway};
use super::environment::Environment;
use super::file::{At, Backend, File, HeaderForm, SecretForm, read};
use super::locate::{Located, locate};
use super::lock::LockFile;
use super::problem::{Place, Problems, Report, nearest};
use super::shape::{item_path, join};
use super::{BackendConfig, Config, PinMode};

/// What command-line flags say of the configuration. The user's own words, and so trusted.
#[derive(Default, Clone)]
pub struct Overrides {
    /// `--config PATH`
    pub config: Option<PathBuf>,
    /// `--backend NAME=URL`: a backend more, or another URL for that of the same name.
    pub backends: Vec<(String, String)>,
    /// `--bearer-env NAME=VAR`: where the backend's bearer token is.
    pub bearer_env: Vec<(String, String)>,
    /// `--header NAME:Key=value`: backend, header, and text in which variables are expanded.
    pub headers: Vec<(String, String, String)>,
    /// `--only NAME,NAME`: the other backends are left out.
    pub only: Option<Vec<String>>,
}

/// Finds, reads and checks the configuration.
///
/// # Errors
/// All that is wrong with it. What only one backend suffers from (a variable that isn't set, a
/// file that isn't trusted with secrets) is no error: it is that backend's reason to be down.
pub fn load(overrides: &Overrides, env: &Environment) -> Result<Config, Problems> {
    let located = locate(
        overrides.config.as_deref(),
        !overrides.backends.is_empty(),
        env,
    )?;
    let mut report = Report::default();
    let written = match &located.file {
        Some(path) => {
            report.file = path.display().to_string();
            report.text = text(path)?;
            read(&mut report)
        }
        None => Some(File::default()),
    };
    let Some(mut written) = written else {
        return Err(report.problems);
    };
    lay_over(&mut written.backends, overrides, &mut report);

    let gateway = gateway(written.gateway, &mut report);
    unique(&written.backends, &mut report);
    select(
        &mut written.backends,
        overrides.only.as_deref(),
        &mut report,
    );
    let distrust = located
        .file
        .as_ref()
        .filter(|_| !located.trusted)
        .map(|path| {
            format!(
                "{path} was only found in the working folder, so it is not trusted with secrets; \
             if it is yours, start the gateway with --config {path}",
                path = path.display()
            )
        });
    let mut checker = Checker {
        env,
        folder: located.file.as_deref().and_then(Path::parent),
        distrust: distrust.as_deref(),
        name_chars: gateway.tool_name_chars,
        report: &mut report,
    };
    let mut backends: Vec<Arc<BackendConfig>> = Vec::new();
    for (index, backend) in written.backends.into_iter().enumerate() {
        let enabled = backend.value.enabled;
        let path = path_of(&backend.value, index);
        let checked = checker.backend(backend.value, &path);
        backends.extend(checked.filter(|_| enabled).map(Arc::new));
    }

    let lock = lock(&located, &backends, &mut report);
    let mut warnings = located.warnings;
    if let Err(why) = &lock {
        warnings.push(format!(
            "{why}; changes of tools are noticed within this run alone"
        ));
    }
    if backends.is_empty() {
        warnings.push("no backend is enabled: there is nothing to serve".to_owned());
    }
    report.problems.or(Config {
        state_folder: env.state_folder().filter(|_| gateway.catalog_cache),
        gateway,
        backends,
        source: located.file,
        warnings,
        lock: lock.unwrap_or_else(LockFile::none),
    })
}

/// The accepted definitions of the file's tools. A lock that can't be read stops a gateway that
/// is to block what isn't accepted; others go on without it, and leave it as it is.
fn lock(
    located: &Located,
    backends: &[Arc<BackendConfig>],
    report: &mut Report,
) -> Result<LockFile, String> {
    let Some(file) = &located.file else {
        return Ok(LockFile::none(
            "the config has no file that a lock could stand beside",
        ));
    };
    let is_wanted = |mode| backends.iter().any(|backend| backend.tools.pin == mode);
    if !is_wanted(PinMode::Warn) && !is_wanted(PinMode::Block) {
        return Ok(LockFile::none("tools.pin is \"off\" for every backend"));
    }
    if !located.trusted {
        return Ok(LockFile::none(format!(
            "{file} was only found in the working folder, and no lock beside it is taken or written; \
             if it is yours, name it with --config {file}",
            file = file.display()
        )));
    }
    let lock = LockFile::beside(file);
    match &lock {
        Err(why) if is_wanted(PinMode::Block) => report.problems.say(why),
        _ => {}
    }
    lock
}

fn text(path: &Path) -> Result<String, Problems> {
    let bytes = std::fs::read(path).map_err(|error| {
        let path = path.display();
        Problems::general(if error.kind() == ErrorKind::NotFound {
            format!("{path}: there is no such file; --config, or else $SENTINEL_CONFIG, names it")
        } else {
            format!("{path}: can't be read: {error}")
        })
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let path = path.display();
        Problems::general(format!("{path}:{line}: not UTF-8; save the file as UTF-8"))
    })
}

/// Lays the flags over what the file says, as if they stood in it.
fn lay_over(backends: &mut Vec<At<Backend>>, overrides: &Overrides, report: &mut Report) {
    for (name, url) in &overrides.backends {
        let flag = |value: &String| at_flag("--backend", value.clone());
        match position(backends, name) {
            Some(index) => {
                backends[index].value.url = Some(flag(url));
                backends[index].value.enabled = true;
            }
            None => backends.push(at_flag(
                "--backend",
                Backend {
                    name: Some(flag(name)),
                    url: Some(flag(url)),
                    ..Backend::default()
                },
            )),
        }
    }
    for (name, variable) in &overrides.bearer_env {
        const FLAG: &str = "--bearer-env";
        if let Some(backend) = named(backends, name, FLAG, report) {
            backend.bearer = Some(at_flag(
                FLAG,
                SecretForm {
                    env: Some(variable.clone()),
                    ..SecretForm::default()
                },
            ));
        }
    }
    for (name, key, value) in &overrides.headers {
        const FLAG: &str = "--header";
        if let Some(backend) = named(backends, name, FLAG, report) {
            let headers = &mut backend.headers.0;
            headers.retain(|(other, _)| !other.value.eq_ignore_ascii_case(key));
            headers.push((
                at_flag(FLAG, key.clone()),
                at_flag(FLAG, HeaderForm::Text(value.clone())),
            ));
        }
    }
}

/// Leaves out the backends that `only` doesn't name.
fn select(backends: &mut [At<Backend>], only: Option<&[String]>, report: &mut Report) {
    let Some(only) = only else { return };
    for name in only {
        if named(backends, name, "--only", report).is_some_and(|backend| !backend.enabled) {
            let what = format!("{name} is disabled: it has enabled = false");
            report.say(&Place::Flag("--only"), "", what);
        }
    }
    for backend in backends {
        let name = backend.value.name.as_ref().map(|name| &name.value);
        backend.value.enabled &= name.is_some_and(|name| only.contains(name));
    }
}

fn unique(backends: &[At<Backend>], report: &mut Report) {
    let mut first_lines: HashMap<&str, usize> = HashMap::new();
    for (index, backend) in backends.iter().enumerate() {
        // A flag's name that the file has too is no second backend, but that of the file.
        let Some((name, Place::File(bytes))) = backend
            .value
            .name
            .as_ref()
            .map(|name| (&name.value, &name.place))
        else {
            continue;
        };
        if let Some(line) = first_lines.get(name.as_str()) {
            let what =
                format!("the backend of line {line} has this name already; give each its own");
            let path = join(&path_of(&backend.value, index), "name");
            report.say(&Place::File(bytes.clone()), &path, what);
        } else {
            first_lines.insert(name, report.line(bytes.start));
        }
    }
}

/// The backend that a flag names, if there is one; else that is reported.
fn named<'a>(
    backends: &'a mut [At<Backend>],
    name: &str,
    flag: &'static str,
    report: &mut Report,
) -> Option<&'a mut Backend> {
    if let Some(index) = position(backends, name) {
        return Some(&mut backends[index].value);
    }
    let names = backends.iter().filter_map(|b| b.value.name.as_ref());
    let hint = match nearest(name, names.map(|name| name.value.as_str())) {
        Some(meant) => format!("; did you mean {meant}?"),
        None => String::new(),
    };
    let what = format!("there is no backend named {name:?}{hint}");
    report.say(&Place::Flag(flag), "", what);
    None
}

fn position(backends: &[At<Backend>], name: &str) -> Option<usize> {
    backends
        .iter()
        .position(|b| b.value.name.as_ref().is_some_and(|own| own.value == name))
}

fn path_of(backend: &Backend, index: usize) -> String {
    let name = backend.name.as_ref().map(|name| name.value.as_str());
    item_path("backends", index, name)
}

fn at_flag<T>(flag: &'static str, value: T) -> At<T> {
    At {
        value,
        place: Place::Flag(flag),
    }
}
