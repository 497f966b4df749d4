//! The administrator's file: what it says holds, whatever the user's file and the flags say.
//!
//! Owns which of its keys count, when a user's backend is the same server as one of it, and what is left
//! of such an entry: it may take away, never add. It is a policy for people who keep to it, no sandbox.

use std::sync::Arc;

use reqwest::Url;

use super::checked::{Checked, MAX_BACKENDS};
use crate::config::environment::Environment;
use crate::config::overrides::Overrides;
use crate::config::problem::{Problems, Report};
use crate::config::read::file::{Backend, File};
use crate::config::read::{self, MAX_BYTES};
use crate::config::{Administered, BackendConfig, Closed, ConfiguredName, GatewayConfig, Place};
use crate::files::{self, Stamp, read_of_root};

/// The keys of `[gateway]` that it may have.
const OF_GATEWAY: [&str; 2] = ["enabled", "repeat_limit"];
/// The keys of a user's entry for one of its backends that count.
const OF_ENTRY: [&str; 7] = [
    "name",
    "type",
    "url",
    "enabled",
    "tools",
    "tools.allow",
    "tools.deny",
];

/// The administrator's file as written; an empty one where there is none.
#[derive(Default)]
pub(super) struct Administrator {
    /// `None` where there is none.
    pub(super) file: Option<std::path::PathBuf>,
    pub(super) written: File,
    pub(super) report: Report,
    /// The names of the backends that it has itself switched off.
    pub(super) denied: Vec<String>,
}

/// The stamp of the file before it was read, and its text; none where there is no such file.
///
/// The text is an error if the file is there and can't be used.
pub(super) fn text(env: &Environment) -> (Option<Stamp>, Result<Option<String>, Problems>) {
    let Some(place) = env.administrators_file() else {
        return (None, Ok(None));
    };
    let stamp = Stamp::of(&place.path);
    let failed = |why: &dyn std::fmt::Display| {
        let shown = place.path.display();
        Problems::general(format!("{shown}: the administrator's file {why}"))
    };
    let bytes = match place.is_checked {
        true => read_of_root(&place.path, MAX_BYTES).map_err(|error| failed(&error)),
        false => files::read_if_there(&place.path, MAX_BYTES).map_err(|error| failed(&error)),
    };
    let text = bytes.and_then(|bytes| {
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|_| failed(&"is not UTF-8"))
    });
    (stamp, text)
}

impl Administrator {
    /// `text` is that of the file, [`text`].
    ///
    /// # Errors
    /// If it is not TOML: who can't read what holds for them is not served.
    pub(super) fn read(env: &Environment, text: Option<String>) -> Result<Self, Problems> {
        let (Some(place), Some(text)) = (env.administrators_file(), text) else {
            return Ok(Self::default());
        };
        let shown = place.path.display();
        let mut report = Report::of(shown.to_string(), text);
        let Some(written) = read::document(&mut report) else {
            return Err(report.problems);
        };
        let mut read = Self {
            file: Some(place.path.clone()),
            written,
            report,
            denied: Vec::new(),
        };
        read.check_keys();
        read.denied = read.names_of(|backend| !backend.enabled);
        Ok(read)
    }

    /// The text that it was read from; `None` where there is none.
    pub(super) fn text(&self) -> Option<String> {
        self.file.as_ref().map(|_| self.report.text.clone())
    }

    fn check_keys(&mut self) {
        for key in &self.written.keys {
            let what = match key.value.split_once('.') {
                None if key.value == "profiles" => "profiles are for the files of users",
                Some(("gateway", of)) if !OF_GATEWAY.contains(&of) => {
                    "is for the files of users; of [gateway] only enabled and repeat_limit count here"
                }
                _ => continue,
            };
            self.report.add(&key.location, &key.value, what);
        }
        let count = self.written.backends.len();
        if count > MAX_BACKENDS {
            let what = format!("{count} backends are more than {MAX_BACKENDS}");
            self.report.problems.add(what);
            self.written.backends.clear();
        }
    }

    /// Whether it has this table or key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.written.keys.iter().any(|written| written.value == key)
    }

    /// The names of its backends.
    pub(super) fn names(&self) -> Vec<String> {
        self.names_of(|_| true)
    }

    fn names_of(&self, wanted: impl Fn(&Backend) -> bool) -> Vec<String> {
        let backends = self.written.backends.iter().map(|backend| &backend.value);
        let wanted = backends.filter(|backend| wanted(backend));
        let names = wanted.filter_map(|backend| Some(backend.name.as_ref()?.value.clone()));
        names.collect()
    }

    /// The flags without those that would change its backends, which are reported.
    pub(super) fn permitted(&self, overrides: &Overrides, report: &mut Report) -> Overrides {
        let names = self.names();
        let mut permitted = overrides.clone();
        let mut keep = |flag, name: &String| {
            let is_own = names.contains(name);
            if is_own {
                let what = format!(
                    "{name} is a backend of the administrator's file {}: no flag changes its URL and headers",
                    self.shown()
                );
                report.misfit(flag, what);
            }
            !is_own
        };
        (permitted.backends).retain(|(name, _)| keep("--backend", name));
        (permitted.bearer_env).retain(|(name, _)| keep("--bearer-env", name));
        (permitted.headers).retain(|(name, ..)| keep("--header", name));
        permitted
    }

    fn shown(&self) -> String {
        let file = self.file.as_ref();
        file.map(|file| file.display().to_string())
            .unwrap_or_default()
    }

    /// Holds `[gateway]` to what it says.
    pub(super) fn hold_gateway(&self, gateway: &mut GatewayConfig) {
        let own = &self.written.gateway;
        gateway.enabled &= own.enabled;
        gateway.repeat_limit = stricter(gateway.repeat_limit, own.repeat_limit);
    }

    /// Its backends, and then those of the user that are not the same servers. What is taken away of its
    /// own ones is taken away; what else a user says of them is told in `report`.
    pub(super) fn merge(
        &self,
        mut own: Vec<Checked>,
        users: Vec<Checked>,
        configured: &mut [ConfiguredName],
        report: &mut Report,
    ) -> Vec<Arc<BackendConfig>> {
        let limit = self.written.gateway.repeat_limit;
        let mut rest = Vec::new();
        for mut user in users {
            let of_name = own
                .iter_mut()
                .find(|own| own.config.name == user.config.name);
            if let Some(own) = of_name {
                own.is_used &= user.is_used;
                own.config.tools.narrow(&user.config.tools);
                self.tell_unused(&user, &own.config, report);
                continue;
            }
            let same = own
                .iter()
                .find(|own| are_one_server(&own.config, &user.config));
            if let Some(same) = same {
                let why = self.why_left_out(same);
                let name = &user.config.name;
                if user.is_used {
                    let line = user.place(report);
                    let what = format!("{line}{name} is left out: {why}");
                    report.warnings.push(what);
                }
                let known = configured.iter_mut().find(|known| known.name == *name);
                known.into_iter().for_each(|known| {
                    known.held = Some(why.as_str().into());
                });
                continue;
            }
            for (_, repeats) in &mut user.config.tools.repeat_limit {
                *repeats = stricter(*repeats, limit);
            }
            rest.push(user);
        }
        for user in &mut rest {
            user.config.closed = Closed::new(places_beside(&user.config, own.iter()));
        }
        let denied = own.iter().map(|entry| {
            let denied = own.iter().filter(|other| self.denies(other));
            places_beside(&entry.config, denied)
        });
        let denied: Vec<_> = denied.collect();
        for (entry, denied) in own.iter_mut().zip(denied) {
            entry.config.of_administrator = true;
            entry.config.closed = Closed::new(denied);
        }
        let used = own.into_iter().chain(rest).filter(|entry| entry.is_used);
        used.map(|entry| Arc::new(entry.config)).collect()
    }

    /// Whether it has itself switched this one off, not a flag.
    fn denies(&self, own: &Checked) -> bool {
        self.denied.iter().any(|name| **name == *own.config.name)
    }

    fn why_left_out(&self, same: &Checked) -> String {
        let (file, name) = (self.shown(), &same.config.name);
        match self.denies(same) {
            false => format!("the administrator's file {file} has the same server as {name}"),
            true => {
                format!("the administrator's file {file} has switched its server off, as {name}")
            }
        }
    }

    /// What of a user's entry for one of its backends doesn't count.
    fn tell_unused(&self, user: &Checked, own: &BackendConfig, report: &mut Report) {
        let mut unused: Vec<&str> = (user.keys.iter())
            .map(|key| key.value.as_str())
            .filter(|key| !key.contains('.') || key.starts_with("tools."))
            .filter(|key| !OF_ENTRY.contains(key))
            .collect();
        if user.config.shown_url != own.shown_url {
            unused.insert(0, "url");
        }
        if unused.is_empty() {
            return;
        }
        let (line, name) = (user.place(report), &own.name);
        report.warnings.push(format!(
            "{line}{name} is a backend of the administrator's file {}, so this entry's {} {} not used: only enabled, tools.allow and tools.deny are, to take away",
            self.shown(),
            unused.join(", "),
            if unused.len() == 1 { "is" } else { "are" },
        ));
    }

    /// What others are told of it.
    pub(super) fn administered(&self, backends: &[Checked]) -> Option<Administered> {
        let backends = backends.iter();
        Some(Administered {
            file: self.file.clone()?,
            backends: backends
                .map(|own| (Arc::clone(&own.config.name), own.config.shown_url.clone()))
                .collect(),
            all_off: (!self.written.gateway.enabled).then(|| {
                let shown = self.shown();
                format!("the administrator's file {shown} has switched everything off").into()
            }),
        })
    }

    /// Notes which backends it has itself switched off.
    pub(super) fn hold_names(&self, configured: &mut [ConfiguredName]) {
        for name in &self.denied {
            let why = format!(
                "the administrator's file {} has switched it off",
                self.shown()
            );
            let known = configured.iter_mut().find(|known| *known.name == **name);
            known
                .into_iter()
                .for_each(|known| known.held = Some(why.as_str().into()));
        }
    }
}

/// The stricter of two limits, where 0 is none.
fn stricter(one: u32, other: u32) -> u32 {
    match (one, other) {
        (0, limit) | (limit, 0) => limit,
        (one, other) => one.min(other),
    }
}

fn are_one_server(one: &BackendConfig, other: &BackendConfig) -> bool {
    place_of(one).is_some_and(|one| Some(one) == place_of(other))
}

fn place_of(backend: &BackendConfig) -> Option<Place> {
    match &backend.url {
        Ok(url) => Some(Place::of(url)),
        // It is a server all the same where it can't be used as it is written.
        Err(_) => Url::parse(&backend.shown_url).ok().as_ref().map(Place::of),
    }
}

/// The places of these backends that a redirect of another one of the same host could lead to.
fn places_beside<'a>(
    backend: &BackendConfig,
    others: impl Iterator<Item = &'a Checked>,
) -> Arc<[Place]> {
    let Some(own) = place_of(backend) else {
        return Arc::default();
    };
    let places = others.filter_map(|other| place_of(&other.config));
    places
        .filter(|place| *place != own && place.is_beside(&own))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `--only` leaves a server out of this run; nobody has denied it.
    #[test]
    fn only_what_the_file_has_switched_off_is_closed_to_redirects() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("team.toml");
        let entry = |name: &str, more: &str| {
            format!(
                "[[backends]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:9/{name}\"\n{more}\n"
            )
        };
        let denied = entry("denied", "enabled = false");
        std::fs::write(&file, entry("used", "") + &entry("unused", "") + &denied).unwrap();
        let env = Environment::new(folder.path()).with_administrators_file(file);
        for only in [None, Some(vec!["used".to_owned()])] {
            let overrides = Overrides {
                only,
                ..Overrides::default()
            };
            let config = crate::config::load(&overrides, &env).unwrap();
            let denied = Url::parse("http://127.0.0.1:9/denied").unwrap();
            assert_eq!(config.backends[0].closed.places(), [Place::of(&denied)]);
        }
    }

    #[test]
    fn of_two_limits_the_stricter_counts_and_none_is_no_limit() {
        assert_eq!([stricter(0, 5), stricter(9, 5), stricter(3, 0)], [5, 5, 3]);
    }
}
