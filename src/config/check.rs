//! Checks the configuration as written and turns it into the one that runs: values are validated,
//! variables expanded, paths made absolute.
//!
//! Owns the distinction between two kinds of problem: what is wrong in every environment is reported
//! as a problem of the file; what the environment lacks is the reason why one backend is down.

mod credentials;
pub(super) mod expand;
mod globs;
mod limits;
mod oauth;
pub(super) mod profiles;
mod secrets;
mod telemetry;
mod tools;
pub(super) mod url;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::environment::Environment;
use super::problem::{Location, Report};
use super::read::file::{Backend, Gateway, Located};
use super::read::join;
use super::read::oauth::{AuthStoreForm, KeyForm, NamedStore};
use super::{BackendConfig, Closed, GatewayConfig, SealedBy, ToolListing, ToolMode};
use expand::{Expanded, Unexpanded, expand, has_variables};

/// Least `tool_name_max`: room for a hash and some of the name before it.
const LEAST_NAME_MAX: usize = 24;

/// Checks the `[gateway]` table.
pub(super) fn gateway(written: Gateway, report: &mut Report) -> GatewayConfig {
    let (one, all) = (written.max_message_bytes, written.max_buffered_bytes);
    if all.value < one.value {
        let (location, key) = match (&all.location, &one.location) {
            (Location::Default, location) => (location, "gateway.max_message_bytes"),
            (location, _) => (location, "gateway.max_buffered_bytes"),
        };
        report.add(
            location,
            key,
            format!(
                "max_buffered_bytes ({}) must be at least max_message_bytes ({}): it is for all messages together",
                all.value, one.value
            ),
        );
    }
    let longest = &written.tool_name_max;
    if (1..LEAST_NAME_MAX).contains(&longest.value) {
        report.add(
            &longest.location,
            "gateway.tool_name_max",
            format!("must be 0, for no limit, or at least {LEAST_NAME_MAX}: a name that is cut ends in a hash of 8 characters"),
        );
    }
    let always = globs::glob_set(&written.always_listed, "gateway.always_listed", report);
    GatewayConfig {
        enabled: written.enabled,
        name: written.name,
        instructions: written.instructions,
        backend_instructions: written.backend_instructions,
        startup_wait: Duration::from_millis(written.startup_wait_ms),
        max_in_flight: written.max_in_flight,
        max_message_bytes: one.value,
        max_buffered_bytes: all.value,
        drain: Duration::from_millis(written.drain_ms),
        tool_names: written.tool_names,
        tool_name_chars: written.tool_name_chars,
        tool_name_max: written.tool_name_max.value,
        schemas: written.schemas,
        tool_listing: ToolListing {
            mode: written.tool_mode,
            exposes: written.search_exposes,
            always,
            written: (written.always_listed.into_iter())
                .map(|glob| glob.value)
                .collect(),
            auto_over_tokens: written.auto_over_tokens,
            reserves_names: written.tool_mode != ToolMode::All,
            // The backends say it.
            reads_more: false,
            tells_status: written.gateway_status,
        },
        auth_sealed_by: sealed_by(written.auth_store, report),
        tool_errors: written.tool_errors,
        catalog_cache: written.catalog_cache,
        repeat_limit: written.repeat_limit,
        status: written.status,
    }
}

/// What `auth_store` says; `None` where tokens are kept as they are.
fn sealed_by(written: Located<AuthStoreForm>, report: &mut Report) -> Option<SealedBy> {
    let key_command = match written.value {
        AuthStoreForm::Named(NamedStore::File) => return None,
        AuthStoreForm::Named(NamedStore::Keychain) => return Some(SealedBy::Keychain),
        AuthStoreForm::Sealed(KeyForm { key_command }) => key_command,
    };
    if key_command.first().is_none_or(String::is_empty) {
        let what =
            "must be a program and its arguments, such as [\"pass\", \"show\", \"sentinel\"]";
        report.add(&written.location, "gateway.auth_store.key_command", what);
    }
    Some(SealedBy::Command(key_command.into()))
}

/// Checks backends.
pub(super) struct Checker<'a> {
    pub(super) env: &'a Environment,
    /// Folder that relative paths start at; `None` without a file.
    pub(super) folder: Option<&'a Path>,
    /// The config file; `None` without one.
    pub(super) source: Option<&'a Path>,
    /// Why secrets named in the file aren't resolved; `None` where the file is trusted.
    pub(super) distrust: Option<&'a str>,
    /// The `[gateway]` table, for what applies to all backends.
    pub(super) gateway: &'a GatewayConfig,
    pub(super) report: &'a mut Report,
}

impl Checker<'_> {
    /// Checks one backend; `path` is its dotted path in problems. `None` if its name or URL is
    /// unusable, which has then been reported.
    pub(super) fn backend(&mut self, mut written: Backend, path: &str) -> Option<BackendConfig> {
        let name = self.name(written.name.as_ref()?, path);
        let bearer = written
            .bearer
            .as_ref()
            .map(|form| self.secret(&form.value, &form.location, &join(path, "bearer")));
        let headers = self.headers(&written.headers, bearer.is_some(), &join(path, "headers"));
        let tls = self.tls(&written, path);
        let tools = self.tools(&written.tools, &join(path, "tools"));
        let rate = self.rate(&written, path);

        let written_url = written.url.clone();
        let written_url = written_url.as_ref()?;
        let expanded = self.expanded_url(written_url);
        let scrubber = secrets::scrubber(&written, &expanded, bearer.as_ref(), &headers, self.env);
        let url = self
            .url(written_url, &join(path, "url"))?
            .and_then(|url| self.require_trust(url, &written_url.location, &written))
            .and_then(|url| require_encryption(url, &expanded, &written));
        let shown_url = url::shown(&written_url.value);
        let owner = name.as_deref();
        let sign_in = self.sign_in(&mut written, owner, url.as_ref(), &shown_url, path);
        Some(BackendConfig {
            name: name?,
            url,
            shown_url,
            scrubber,
            protocol: written.protocol,
            server_stream: written.server_stream,
            experimental: written.experimental,
            timeout: Duration::from_secs(written.timeout_secs),
            connect_timeout: Duration::from_secs(written.connect_timeout_secs),
            idle_timeout: Some(Duration::from_secs(written.idle_timeout_secs))
                .filter(|limit| !limit.is_zero()),
            retries: written.retries,
            retry_tools: written.retry_tools,
            max_in_flight: written.max_in_flight,
            rate,
            repeat_limit: self.gateway.repeat_limit,
            has_credentials: secrets::has_credentials(&written, &expanded),
            bearer,
            headers,
            sign_in: sign_in.map(Arc::new),
            tls,
            allow_insecure: written.allow_insecure,
            tools,
            schemas: self.gateway.schemas,
            of_administrator: false,
            closed: Closed::default(),
        })
    }

    fn name(&mut self, name: &Located<String>, path: &str) -> Option<Arc<str>> {
        if is_backend_name(&name.value) {
            return Some(name.value.as_str().into());
        }
        self.report.add(
            &name.location,
            &join(path, "name"),
            "a backend's name is made of lower-case letters, digits, `_` and `-`, and begins with a letter or digit",
        );
        None
    }

    /// `None` if it is wrong in every environment.
    fn url(&mut self, written: &Located<String>, path: &str) -> Option<Result<Url, String>> {
        if written.value.contains(char::is_control) {
            // Logs and messages show the URL as written.
            let what = "holds a control character, such as a line end";
            self.report.add(&written.location, path, what);
            return None;
        }
        if !has_variables(&written.value) {
            return match url::parse(&written.value) {
                Ok(url) => Some(Ok(url)),
                Err(what) => {
                    self.report.add(&written.location, path, what);
                    None
                }
            };
        }
        match expand(&written.value, self.env) {
            Err(Unexpanded::Malformed(what)) => {
                self.report.add(&written.location, path, what);
                None
            }
            _ if self.distrusts(&written.location) => Some(Err(self.distrusted())),
            Err(Unexpanded::Unset(reason)) => Some(Err(format!("url: {reason}"))),
            Ok(expanded) => Some(
                url::parse(&expanded.text)
                    .map_err(|what| format!("url, with its variables expanded: {what}")),
            ),
        }
    }

    /// The URL with its variables, if it may have them and all are set; else as written.
    fn expanded_url(&self, written: &Located<String>) -> Expanded {
        let text = &written.value;
        let may = !has_variables(text) || !self.distrusts(&written.location);
        let expanded = Some(expand(text, self.env)).filter(|_| may);
        expanded.and_then(Result::ok).unwrap_or_else(|| Expanded {
            text: text.clone(),
            values: Vec::new(),
        })
    }

    /// An untrusted file must not decide where a secret given by a flag is sent, nor use the user's
    /// client certificate.
    fn require_trust(
        &self,
        url: Url,
        location: &Location,
        written: &Backend,
    ) -> Result<Url, String> {
        let bearer = written.bearer.iter().map(|form| &form.location);
        let headers = written.headers.0.iter().map(|(_, form)| &form.location);
        let has_flag_secret = bearer
            .chain(headers)
            .any(|location| matches!(location, Location::Flag(_)));
        let key = written.client_key_file.as_ref().map(|file| &file.location);
        if has_flag_secret && self.distrusts(location) || key.is_some_and(|key| self.distrusts(key))
        {
            return Err(self.distrusted());
        }
        Ok(url)
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.env.absolute(Path::new(path), self.folder)
    }

    fn distrusts(&self, location: &Location) -> bool {
        self.distrust.is_some() && matches!(location, Location::File(_))
    }

    fn distrusted(&self) -> String {
        self.distrust.unwrap_or_default().to_owned()
    }
}

/// Whether `name` is `[a-z0-9][a-z0-9_-]*`.
fn is_backend_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

/// Credentials are sent to another machine only over https, unless the user allows plain http.
fn require_encryption(url: Url, expanded: &Expanded, written: &Backend) -> Result<Url, String> {
    let is_exposed = url.scheme() == "http" && !url::is_loopback(&url);
    if is_exposed && !written.allow_insecure && secrets::has_credentials(written, expanded) {
        return Err(
            "credentials would travel unencrypted to another machine (a bearer, a header, or what a variable puts into path or query); use https, or set allow_insecure = true if the network is trusted"
                .to_owned(),
        );
    }
    Ok(url)
}
