//! Checks `[profiles.NAME]`, and narrows the configuration to the chosen one.
//!
//! Owns what a profile's globs are about. Every profile is checked, chosen or not. It must not know
//! what becomes of a tool that a profile has not.

use std::sync::Arc;

use super::globs::{glob, within_limit};
use crate::config::View;
use crate::config::problem::{Location, Report};
use crate::config::read::file::{File, Located, Profile};
use crate::config::read::join;
use crate::nearest::nearest;
use crate::text::{Glob, GlobSet};

/// The flag that chooses one.
const FLAG: &str = "--profile";

/// A profile that was chosen.
pub(in crate::config) struct Chosen {
    pub(in crate::config) name: Arc<str>,
    backends: Option<Vec<String>>,
    allow: Option<Vec<ToolGlob>>,
    deny: Vec<ToolGlob>,
}

/// A glob of tools.
struct ToolGlob {
    written: String,
    /// The glob of names of backends; `None` is all.
    backend: Option<Glob>,
    /// The glob of the tools' own names.
    tool: Glob,
}

/// Checks all profiles, where there are `further` backends than those of the file. Returns the wanted one, whose
/// `tool_mode` is now that of the gateway.
pub(in crate::config) fn chosen(
    wanted: Option<&str>,
    file: &mut File,
    further: &[String],
    report: &mut Report,
) -> Option<Chosen> {
    let mut chosen = None;
    let mut names = Vec::new();
    for (name, profile) in std::mem::take(&mut file.profiles).0 {
        let path = join("profiles", &name.value);
        let mode = profile.value.tool_mode;
        let own = file.backends.iter();
        let own = own.filter_map(|backend| Some(backend.value.name.as_ref()?.value.as_str()));
        let known: Vec<&str> = own.chain(further.iter().map(String::as_str)).collect();
        let checked = checked(&name.value, profile.value, &path, &known, report);
        if wanted == Some(&name.value) {
            file.gateway.tool_mode = mode.unwrap_or(file.gateway.tool_mode);
            chosen = Some(checked);
        }
        names.push(name);
    }
    if let (Some(wanted), None) = (wanted, &chosen) {
        unknown(wanted, &names, report);
    }
    chosen
}

/// Reports that there is no profile of this name.
fn unknown(wanted: &str, names: &[Located<String>], report: &mut Report) {
    let what = match report.file.is_empty() {
        true => format!("there is no profile {wanted:?}: profiles are tables of a config file"),
        false => format!("there is no profile {wanted:?} in {}", report.file),
    };
    let meant = nearest(wanted, names.iter().map(|name| &*name.value));
    let meant = meant.and_then(|meant| names.iter().find(|name| name.value == meant));
    let known: Vec<&str> = names.iter().map(|name| &*name.value).collect();
    match (meant, &known[..]) {
        (
            Some(Located {
                value,
                location: Location::File(bytes),
            }),
            _,
        ) => {
            let line = report.line(bytes.start);
            let what = format!("{what}; did you mean {value} (line {line})?");
            report.add(&Location::Flag(FLAG), "", what);
        }
        // A problem of the file may be why it isn't there.
        (_, []) => report.add_last(FLAG, what),
        (_, known) => report.add_last(FLAG, format!("{what}; there are: {}", known.join(", "))),
    }
}

fn checked(
    name: &str,
    profile: Profile,
    path: &str,
    known: &[&str],
    report: &mut Report,
) -> Chosen {
    for (index, named) in profile.backends.iter().flatten().enumerate() {
        if known.contains(&named.value.as_str()) {
            continue;
        }
        let meant = nearest(&named.value, known.iter().copied());
        let meant = meant.map(|meant| format!("; did you mean {meant}?"));
        let what = format!(
            "there is no backend named {:?}{}",
            named.value,
            meant.unwrap_or_default()
        );
        let path = join(path, "backends");
        report.add(&named.location, &format!("{path}[{index}]"), what);
    }
    let mut globs = |written: &[Located<String>], key| -> Vec<ToolGlob> {
        let path = join(path, key);
        let globs = within_limit(written, |glob| glob, &path, report).iter();
        let globs = globs.enumerate();
        let globs = globs
            .filter_map(|(index, written)| tool_glob(written, &format!("{path}[{index}]"), report));
        globs.collect()
    };
    Chosen {
        name: name.into(),
        allow: profile.allow.as_ref().map(|allow| globs(allow, "allow")),
        deny: globs(&profile.deny, "deny"),
        backends: (profile.backends)
            .map(|named| named.into_iter().map(|name| name.value).collect()),
    }
}

/// One glob; `None`, and a problem, if it is none.
fn tool_glob(written: &Located<String>, path: &str, report: &mut Report) -> Option<ToolGlob> {
    let part = |text: &str| Located {
        value: text.to_owned(),
        location: written.location.clone(),
    };
    let (backend, tool) = match written.value.split_once('/') {
        Some((backend, tool)) => (Some(part(backend)), part(tool)),
        None => (None, written.clone()),
    };
    let backend = match backend {
        Some(backend) => Some(glob(&backend, path, report)?),
        None => None,
    };
    Some(ToolGlob {
        written: written.value.clone(),
        backend,
        tool: glob(&tool, path, report)?,
    })
}

impl Chosen {
    /// Whether it has this backend. One that a flag adds is in every profile.
    pub(in crate::config) fn has(&self, backend: &Located<String>) -> bool {
        let is_of_flag = matches!(backend.location, Location::Flag(_));
        let mut named = self.backends.iter().flatten();
        self.backends.is_none() || is_of_flag || named.any(|name| *name == backend.value)
    }

    /// What it has of the tools of a backend; `None` is all.
    pub(in crate::config) fn view(&self, backend: &str) -> Option<View> {
        if self.allow.is_none() && self.deny.is_empty() {
            return None;
        }
        let of_backend = |globs: &[ToolGlob]| -> GlobSet {
            let is_meant = |at: &&ToolGlob| match &at.backend {
                Some(glob) => glob.is_match(backend),
                None => true,
            };
            let meant = globs.iter().filter(is_meant);
            meant.map(|glob| glob.tool.clone()).collect()
        };
        let written = |globs: &[ToolGlob]| {
            let written = globs.iter().map(|glob| glob.written.clone());
            written.collect::<Vec<_>>()
        };
        Some(View {
            profile: Arc::clone(&self.name),
            allow: (self.allow.as_deref()).map(of_backend),
            deny: of_backend(&self.deny),
            written: [
                self.allow.as_deref().map(written),
                Some(written(&self.deny)),
            ],
        })
    }
}
