//! Command-line flags that add to the configuration or replace parts of it.
//!
//! Owns [`Overrides`] and how they are applied: to the configuration as written, before it is checked, so that
//! the same checks hold for both. Flags come from the user and are always trusted.

use std::path::PathBuf;

use super::problem::{Location, Report};
use super::read::file::{Backend, HeaderForm, Located, SecretForm};
use crate::nearest::nearest;

/// What command-line flags say about the configuration.
#[derive(Default, Clone)]
pub struct Overrides {
    /// `--config PATH`
    pub config: Option<PathBuf>,
    /// `--backend NAME=URL`: adds a backend, or replaces the URL of the one of that name.
    pub backends: Vec<(String, String)>,
    /// `--bearer-env NAME=VAR`: the environment variable with a backend's bearer token.
    pub bearer_env: Vec<(String, String)>,
    /// `--header NAME:Key=value`: backend, header, and text in which variables are expanded.
    pub headers: Vec<(String, String, String)>,
    /// `--only NAME,NAME`: all other backends are disabled.
    pub only: Option<Vec<String>>,
    /// `--profile NAME`: only what this profile of the file has.
    pub profile: Option<String>,
}

/// Applies all flags but `--only` to the backends of the file.
pub(super) fn apply(
    overrides: &Overrides,
    backends: &mut Vec<Located<Backend>>,
    report: &mut Report,
) {
    for (name, url) in &overrides.backends {
        let flag = |value: &String| from_flag("--backend", value.clone());
        match position(backends, name) {
            Some(index) => {
                backends[index].value.url = Some(flag(url));
                backends[index].value.enabled = true;
            }
            None => backends.push(from_flag(
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
        if let Some(backend) = backend_of_flag(backends, name, FLAG, report) {
            backend.bearer = Some(from_flag(
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
        if let Some(backend) = backend_of_flag(backends, name, FLAG, report) {
            let headers = &mut backend.headers.0;
            headers.retain(|(other, _)| !other.value.eq_ignore_ascii_case(key));
            headers.push((
                from_flag(FLAG, key.clone()),
                from_flag(FLAG, HeaderForm::Text(value.clone())),
            ));
        }
    }
}

/// Disables the backends that `--only` doesn't name. One that is named and disabled is a problem, unless the
/// administrator has switched it off: a denial must not keep itself from being taken.
pub(super) fn apply_only(
    only: &[String],
    denied: &[String],
    backends: &mut [&mut Located<Backend>],
    report: &mut Report,
) {
    const FLAG: &str = "--only";
    let named = |name: &str, backend: &&mut Located<Backend>| {
        let own = backend.value.name.as_ref();
        own.is_some_and(|own| own.value == name)
    };
    for name in only {
        let mut of_name = backends
            .iter()
            .filter(|backend| named(name, backend))
            .peekable();
        if of_name.peek().is_none() {
            let names = backends.iter().filter_map(|b| b.value.name.as_ref());
            unknown(name, names, FLAG, report);
        } else if !denied.contains(name) && of_name.any(|backend| !backend.value.enabled) {
            let what = format!("{name} is disabled: it has enabled = false");
            report.misfit(FLAG, what);
        }
    }
    for backend in backends {
        let name = backend.value.name.as_ref().map(|name| &name.value);
        backend.value.enabled &= name.is_some_and(|name| only.contains(name));
    }
}

/// The backend that a flag names. If there is none, that is reported.
fn backend_of_flag<'a>(
    backends: &'a mut [Located<Backend>],
    name: &str,
    flag: &'static str,
    report: &mut Report,
) -> Option<&'a mut Backend> {
    if let Some(index) = position(backends, name) {
        return Some(&mut backends[index].value);
    }
    let names = backends.iter().filter_map(|b| b.value.name.as_ref());
    unknown(name, names, flag, report);
    None
}

/// Reports that no backend has this name.
fn unknown<'a>(
    name: &str,
    names: impl Iterator<Item = &'a Located<String>>,
    flag: &'static str,
    report: &mut Report,
) {
    let what = format!("there is no backend named {name:?}");
    match nearest(name, names.map(|name| name.value.as_str())) {
        Some(nearest) => {
            let what = format!("{what}; did you mean {nearest}?");
            report.misfit(flag, what);
        }
        // A problem of the file may be why it isn't there.
        None => report.misfit_last(flag, what),
    }
}

fn position(backends: &[Located<Backend>], name: &str) -> Option<usize> {
    backends
        .iter()
        .position(|b| b.value.name.as_ref().is_some_and(|own| own.value == name))
}

fn from_flag<T>(flag: &'static str, value: T) -> Located<T> {
    Located {
        value,
        location: Location::Flag(flag),
    }
}
