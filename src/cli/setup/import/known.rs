//! A client's entry for a server that is a backend of the config already.
//!
//! Owns which of its settings the backend gets: those that it has no value for. What it has counts for every
//! client, so it stays, and that is said.

use std::path::Path;

use reqwest::header::AUTHORIZATION;

use super::Import;
use crate::client_config::import::{Tokens, backend};
use crate::client_config::servers::{OAuth, Remote, SignIn, has_variables, only_variable};
use crate::config::{BackendConfig, ResourceParam, SecretSource, is_loopback};
use crate::files;

/// What a backend has of a setting that an entry has, too.
#[derive(PartialEq, Eq)]
enum Has {
    Nothing,
    Same,
    Another,
}

impl Has {
    fn same(is_same: bool) -> Self {
        if is_same { Self::Same } else { Self::Another }
    }
}

/// A backend of the config.
struct Known<'a> {
    config: &'a BackendConfig,
    /// Its entry in the user's file, if it has one there.
    written: Option<&'a toml::Value>,
    /// What entries before this one have added to it.
    added: Vec<&'a Remote>,
    /// Secrets that this entry brings for variables of the backend.
    needed: &'a [(String, String)],
}

impl Import {
    /// Whether a backend of the config has nothing else in the place of what a server has.
    pub(super) fn has_all(
        &self,
        known: &BackendConfig,
        remote: &Remote,
        needed: &[(String, String)],
    ) -> bool {
        let backend_known = Known {
            config: known,
            written: self.names.backend(&known.name),
            added: Vec::new(),
            needed,
        };
        backend_known.compared(remote).1.is_empty()
    }

    /// Adds to a backend what a server has and it has not. Says so, and what of it the backend keeps.
    pub(super) fn add_to(
        &mut self,
        known: &BackendConfig,
        remote: &Remote,
        needed: &[(String, String)],
        tokens: Tokens,
        notes: &mut Vec<String>,
    ) {
        let name = known.name.to_string();
        let added = self.added.iter().filter(|(_, added)| added.name == name);
        let backend_known = Known {
            config: known,
            written: self.names.backend(&name),
            added: added.map(|(remote, _)| remote).collect(),
            needed,
        };
        let (more, kept) = backend_known.compared(remote);
        if !kept.is_empty() {
            let (kept, why) = (kept.join(", "), backend_known.why_kept());
            notes.push(format!("not taken over: {kept}. {why}"));
        }
        let names = &self.names;
        let imported = names.with_keep(tokens, false, |keep| backend(&more, &name, "", keep));
        if imported.keys.is_empty() {
            return;
        }
        let keys = imported.keys.iter().map(|(_, key, _)| &**key);
        notes.push(format!(
            "added to {name}: {}",
            keys.collect::<Vec<_>>().join(", ")
        ));
        self.names.take(&imported);
        self.added.push((more, imported));
    }
}

impl Known<'_> {
    /// What of a server the backend gets, and the names of what it doesn't get since it has another value.
    fn compared(&self, remote: &Remote) -> (Remote, Vec<String>) {
        let (mut more, mut kept) = (Remote::default(), Vec::new());
        let url = self.config.url.as_ref();
        let is_open = url.is_ok_and(|url| url.scheme() == "http" && !is_loopback(url));
        // What is there already must not be sent unencrypted because of an entry, and without that a header
        // would keep the backend from being used at all.
        let is_exposed = is_open && !self.config.allow_insecure;
        let settle = |has: Has, name: &str, kept: &mut Vec<String>| {
            let is_added = has == Has::Nothing && !self.config.of_administrator;
            if !is_added && has != Has::Same {
                kept.push(name.to_owned());
            }
            is_added
        };
        for (name, value) in &remote.headers {
            let has = match self.header(name, value) {
                Has::Nothing if is_exposed => Has::Another,
                has => has,
            };
            if settle(has, name, &mut kept) {
                more.headers.push((name.clone(), value.clone()));
            }
        }
        if let Some(wanted) = &remote.sign_in
            && settle(self.sign_in(wanted), "oauth", &mut kept)
        {
            more.sign_in = Some(wanted.clone());
        }
        if let Some(file) = &remote.ca_file
            && settle(self.ca_file(file), "ca_file", &mut kept)
        {
            more.ca_file = Some(file.clone());
        }
        (more, kept)
    }

    fn why_kept(&self) -> &'static str {
        match self.config.of_administrator {
            true => "It is a backend of the administrator's file, which nobody else adds to",
            false => {
                "The backend has its own value, which counts for every client, or would send it unencrypted: change it in sentinel.toml if that of this entry is meant"
            }
        }
    }

    fn header(&self, name: &str, value: &str) -> Has {
        let is_it = |other: &str| other.eq_ignore_ascii_case(name);
        let mut added = self.added.iter().flat_map(|remote| &remote.headers);
        if let Some((_, added)) = added.find(|(other, _)| is_it(other)) {
            return Has::same(added == value);
        }
        let mut headers = self.config.headers.iter();
        let header = headers.find(|(other, _)| is_it(other.as_str()));
        let is_token = is_it(AUTHORIZATION.as_str());
        let written = |key| self.written.and_then(|written| written.get(key));
        if let Some((_, source)) = header {
            let headers = written("headers").and_then(toml::Value::as_table);
            let mut headers = headers.into_iter().flatten();
            let form = headers.find(|(other, _)| is_it(other));
            return Has::same(self.is_value(source, value, form.map(|(_, form)| form)));
        }
        match self.config.bearer.as_ref().filter(|_| is_token) {
            Some(source) => {
                let value = value.strip_prefix("Bearer ").map_or(value, str::trim);
                Has::same(self.is_value(source, value, written("bearer")))
            }
            None if is_token && self.signs_in() => Has::Another,
            None => Has::Nothing,
        }
    }

    /// Whether it is configured how it is signed in to.
    fn signs_in(&self) -> bool {
        let sign_in = self.config.sign_in.as_ref();
        sign_in.is_some_and(|sign_in| sign_in.is_configured)
            || self.form_of_sign_in().is_some_and(toml::Value::is_table)
            || self.added.iter().any(|added| added.sign_in.is_some())
    }

    fn form_of_sign_in(&self) -> Option<&toml::Value> {
        self.written?.get("oauth")
    }

    fn sign_in(&self, wanted: &SignIn) -> Has {
        if let Some(added) = self.added.iter().find_map(|added| added.sign_in.as_ref()) {
            return Has::same(added == wanted);
        }
        let mut headers = self.config.headers.iter().map(|(name, _)| name);
        let mut added = self.added.iter().flat_map(|remote| &remote.headers);
        let has_token = self.config.bearer.is_some()
            || headers.any(|name| *name == AUTHORIZATION)
            || added.any(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
        let own = self.config.sign_in.as_deref();
        match wanted {
            // Where it has a token, nobody signs in.
            SignIn::Never => Has::same(has_token || own.is_none()),
            SignIn::OAuth(_) if has_token => Has::Another,
            SignIn::OAuth(_) if self.form_of_sign_in().is_none() && !self.signs_in() => {
                Has::Nothing
            }
            SignIn::OAuth(wanted) => Has::same(own.is_some_and(|own| self.is_like(wanted, own))),
        }
    }

    /// Whether a sign-in has all of this.
    fn is_like(&self, wanted: &OAuth, own: &crate::config::SignIn) -> bool {
        let secret = wanted.client_secret.as_ref();
        let form = self.form_of_sign_in();
        let form = form.and_then(|oauth| oauth.get("client_secret"));
        let is_secret = |secret: &String| {
            let own = own.client_secret.as_ref();
            own.is_some_and(|own| self.is_value(own, secret, form))
        };
        let resource = wanted.resource.as_ref();
        let is_resource = |resource: &Option<String>| match (resource, &own.resource) {
            (None, ResourceParam::Omitted) => true,
            (Some(wanted), ResourceParam::Text(own)) => wanted == own,
            _ => false,
        };
        let id = wanted.client_id.as_ref();
        let port = wanted.callback_port;
        id.is_none_or(|id| own.client_id.as_ref() == Some(id))
            && secret.is_none_or(is_secret)
            && port.is_none_or(|port| own.callback_port == Some(port))
            && (wanted.scopes.is_empty() || wanted.scopes == own.scopes)
            && resource.is_none_or(is_resource)
    }

    fn ca_file(&self, file: &str) -> Has {
        let added = self.added.iter().find_map(|added| added.ca_file.as_ref());
        let own = self.config.tls.ca_file.as_ref();
        match (added, own) {
            (Some(added), _) => Has::same(added == file),
            (None, Some(own)) => Has::same(own.as_os_str() == file),
            (None, None) => Has::Nothing,
        }
    }

    /// Whether a setting has this value; `form` is how it is written. No command is run for it.
    fn is_value(&self, source: &SecretSource, value: &str, form: Option<&toml::Value>) -> bool {
        if has_variables(value) {
            let env = form.and_then(|form| form.get("env")?.as_str());
            let text = form.and_then(toml::Value::as_str);
            return text == Some(value) || env.is_some() && env == only_variable(value);
        }
        let is_brought = |(_, secret): &(String, String)| secret == value;
        match source {
            _ if self.needed.iter().any(is_brought) => true,
            SecretSource::Value(secret) => secret.reveal() == value,
            SecretSource::File(path) => is_in_file(path, value),
            SecretSource::Command(_) | SecretSource::Missing(_) => false,
        }
    }
}

/// Whether this is the secret in a file, which is its first line.
fn is_in_file(path: &Path, secret: &str) -> bool {
    let bytes = files::read_up_to(path, secret.len() as u64 + 1024).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines()
        .next()
        .is_some_and(|line| line.trim() == secret)
}
