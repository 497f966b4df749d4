//! From what is written to what runs: every value asked whether it makes sense, variables
//! expanded, paths made absolute. What is wrong whatever the environment is a problem of the
//! file; what the environment lacks is the reason why one backend is down.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::environment::Environment;
use super::expand::{Unexpanded, expand, has_variables, is_variable_name, values, variable};
use super::file::{At, Backend, Entries, Gateway, HeaderForm, SecretForm, Tools};
use super::problem::{Place, Report};
use super::shape::join;
use super::{
    BackendConfig, GatewayConfig, NameChars, Secret, SecretSource, TlsConfig, ToolRules, url,
};

/// Headers that are the gateway's own, or the connection's, to set.
const RESERVED_HEADERS: [&str; 16] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Checks the `[gateway]` table.
pub(super) fn gateway(written: Gateway, report: &mut Report) -> GatewayConfig {
    let (one, all) = (written.max_message_bytes, written.max_buffered_bytes);
    if all.value < one.value {
        let (at, key) = match (&all.place, &one.place) {
            (Place::Default, place) => (place, "gateway.max_message_bytes"),
            (place, _) => (place, "gateway.max_buffered_bytes"),
        };
        report.say(
            at,
            key,
            format!(
                "max_buffered_bytes ({}) must be at least max_message_bytes ({}): it is for all messages together",
                all.value, one.value
            ),
        );
    }
    GatewayConfig {
        name: written.name,
        instructions: written.instructions,
        startup_wait: Duration::from_millis(written.startup_wait_ms),
        max_in_flight: written.max_in_flight,
        max_message_bytes: one.value,
        max_buffered_bytes: all.value,
        drain: Duration::from_millis(written.drain_ms),
        tool_names: written.tool_names,
        tool_name_chars: written.tool_name_chars,
        tool_errors: written.tool_errors,
        catalog_cache: written.catalog_cache,
    }
}

/// Checks backends.
pub(super) struct Checker<'a> {
    pub(super) env: &'a Environment,
    /// Where relative paths start; `None` without a file.
    pub(super) folder: Option<&'a Path>,
    /// Why the file's secrets aren't taken, if they aren't.
    pub(super) distrust: Option<&'a str>,
    /// What names may be made of.
    pub(super) name_chars: NameChars,
    pub(super) report: &'a mut Report,
}

impl Checker<'_> {
    /// Checks one backend, which problems call `path`. `None` if it has no usable name or URL;
    /// that has been reported then.
    pub(super) fn backend(&mut self, written: Backend, path: &str) -> Option<BackendConfig> {
        let name = self.name(written.name.as_ref()?, path);
        let bearer = written
            .bearer
            .as_ref()
            .map(|form| self.secret(&form.value, &form.place, &join(path, "bearer")));
        let headers = self.headers(&written.headers, bearer.is_some(), &join(path, "headers"));
        let tls = self.tls(&written, path);
        let tools = self.tools(&written.tools, &join(path, "tools"));

        let at = written.url.as_ref()?;
        let url = self
            .url(at, &join(path, "url"))?
            .and_then(|url| self.trusted(url, &at.place, &written))
            .and_then(|url| safe_from_eavesdroppers(url, &at.value, &written));
        Some(BackendConfig {
            name: name?,
            url,
            shown_url: url::shown(&at.value),
            expanded: self.expanded(&at.value, &written),
            protocol: written.protocol,
            timeout: Duration::from_secs(written.timeout_secs),
            connect_timeout: Duration::from_secs(written.connect_timeout_secs),
            idle_timeout: Some(Duration::from_secs(written.idle_timeout_secs))
                .filter(|limit| !limit.is_zero()),
            retries: written.retries,
            retry_tools: written.retry_tools,
            max_in_flight: written.max_in_flight,
            bearer,
            headers,
            tls,
            allow_insecure: written.allow_insecure,
            tools,
        })
    }

    fn name(&mut self, name: &At<String>, path: &str) -> Option<Arc<str>> {
        if is_backend_name(&name.value) {
            return Some(name.value.as_str().into());
        }
        self.report.say(
            &name.place,
            &join(path, "name"),
            "a backend's name is made of lower-case letters, digits, `_` and `-`, and begins with a letter or digit",
        );
        None
    }

    /// `None` if it is wrong whatever the environment.
    fn url(&mut self, written: &At<String>, path: &str) -> Option<Result<Url, String>> {
        if written.value.contains(char::is_control) {
            // It would be shown as it is written, in logs and messages too.
            let what = "holds a control character, such as a line end";
            self.report.say(&written.place, path, what);
            return None;
        }
        if !has_variables(&written.value) {
            return match url::parse(&written.value) {
                Ok(url) => Some(Ok(url)),
                Err(what) => {
                    self.report.say(&written.place, path, what);
                    None
                }
            };
        }
        match expand(&written.value, self.env) {
            Err(Unexpanded::Malformed(what)) => {
                self.report.say(&written.place, path, what);
                None
            }
            _ if self.distrusts(&written.place) => Some(Err(self.distrusted())),
            Err(Unexpanded::Unset(reason)) => Some(Err(format!("url: {reason}"))),
            Ok(expanded) => Some(
                url::parse(&expanded)
                    .map_err(|what| format!("url, with its variables filled in: {what}")),
            ),
        }
    }

    /// What the environment has put into the URL and the headers.
    fn expanded(&self, url: &str, written: &Backend) -> Vec<Secret> {
        let headers = written
            .headers
            .0
            .iter()
            .filter_map(|(_, form)| match &form.value {
                HeaderForm::Text(text) => Some(text.as_str()),
                HeaderForm::Secret(_) => None,
            });
        let texts = headers.chain([url]);
        let values = texts.flat_map(|text| values(text, self.env));
        values.map(Secret::new).collect()
    }

    /// An untrusted file doesn't say where a secret goes that a flag names, nor that the user's
    /// own client certificate be shown.
    fn trusted(&self, url: Url, at: &Place, written: &Backend) -> Result<Url, String> {
        let bearer = written.bearer.iter().map(|form| &form.place);
        let headers = written.headers.0.iter().map(|(_, form)| &form.place);
        let flag_secret = bearer
            .chain(headers)
            .any(|place| matches!(place, Place::Flag(_)));
        let key = written.client_key_file.as_ref().map(|file| &file.place);
        if flag_secret && self.distrusts(at) || key.is_some_and(|key| self.distrusts(key)) {
            return Err(self.distrusted());
        }
        Ok(url)
    }

    fn headers(
        &mut self,
        written: &Entries<HeaderForm>,
        has_bearer: bool,
        path: &str,
    ) -> Vec<(HeaderName, SecretSource)> {
        let mut headers: Vec<(HeaderName, SecretSource)> = Vec::new();
        for (key, form) in &written.0 {
            let path = join(path, &key.value);
            let Ok(name) = HeaderName::from_bytes(key.value.as_bytes()) else {
                self.report.say(
                    &key.place,
                    &path,
                    "not a header's name; use letters, digits and `-`",
                );
                continue;
            };
            let trouble = if RESERVED_HEADERS.contains(&name.as_str())
                || name.as_str().starts_with("mcp-param-")
            {
                Some("the gateway sets this header itself; remove it")
            } else if headers.iter().any(|(other, _)| *other == name) {
                Some("this header is already there; upper and lower case don't matter")
            } else if has_bearer && name == reqwest::header::AUTHORIZATION {
                Some("`bearer` sets this header already; keep one of the two")
            } else {
                None
            };
            if let Some(what) = trouble {
                self.report.say(&key.place, &path, what);
                continue;
            }
            let value = match &form.value {
                HeaderForm::Text(text) => self.header_text(text, &form.place, &path),
                HeaderForm::Secret(secret) => self.secret(secret, &form.place, &path),
            };
            headers.push((name, value));
        }
        headers
    }

    fn header_text(&mut self, text: &str, place: &Place, path: &str) -> SecretSource {
        match expand(text, self.env) {
            Err(Unexpanded::Malformed(what)) => {
                self.report.say(place, path, what);
                SecretSource::Missing(what.to_owned())
            }
            _ if has_variables(text) && self.distrusts(place) => {
                SecretSource::Missing(self.distrusted())
            }
            Err(Unexpanded::Unset(reason)) => SecretSource::Missing(reason),
            Ok(value) => {
                // What came from the environment is judged at connect, as all other secrets are.
                if !has_variables(text) && HeaderValue::from_str(text).is_err() {
                    let what = "holds a character that no header can, such as a line end";
                    self.report.say(place, path, what);
                }
                SecretSource::Value(Secret::new(value))
            }
        }
    }

    fn secret(&mut self, form: &SecretForm, place: &Place, path: &str) -> SecretSource {
        let source = match (&form.env, &form.file, &form.command) {
            (Some(name), None, None) if !is_variable_name(name) => {
                let what = "not the name of an environment variable; `env` takes the name alone, without `$`";
                self.report.say(place, path, what);
                SecretSource::Missing(what.to_owned())
            }
            (Some(name), None, None) => match variable(name, self.env) {
                Ok(value) => SecretSource::Value(Secret::new(value)),
                Err(error) => SecretSource::Missing(error.to_string()),
            },
            (None, Some(file), None) => SecretSource::File(self.absolute(file)),
            (None, None, Some(command)) => SecretSource::Command(self.command(command)),
            // Not of the schema's shape: a problem already.
            _ => SecretSource::Missing("it names no source".to_owned()),
        };
        if self.distrusts(place) {
            return SecretSource::Missing(self.distrusted());
        }
        source
    }

    /// A program that is a path, not a name to be searched, is relative to the file.
    fn command(&self, command: &[String]) -> Vec<String> {
        let mut command = command.to_vec();
        if let Some(program) = command.first_mut()
            && Path::new(program).components().count() > 1
        {
            *program = self.absolute(program).to_string_lossy().into_owned();
        }
        command
    }

    fn tls(&mut self, written: &Backend, path: &str) -> TlsConfig {
        let client_cert = match (&written.client_cert_file, &written.client_key_file) {
            (Some(cert), Some(key)) => {
                Some((self.absolute(&cert.value), self.absolute(&key.value)))
            }
            (None, None) => None,
            (Some(half), None) => self.alone(half, path, "client_cert_file", "client_key_file"),
            (None, Some(half)) => self.alone(half, path, "client_key_file", "client_cert_file"),
        };
        TlsConfig {
            ca_file: written
                .ca_file
                .as_ref()
                .map(|file| self.absolute(&file.value)),
            client_cert,
        }
    }

    fn alone<T>(&mut self, half: &At<String>, path: &str, key: &str, other: &str) -> Option<T> {
        let what = format!("needs its other half; add {other}");
        self.report.say(&half.place, &join(path, key), what);
        None
    }

    fn tools(&mut self, written: &Tools, path: &str) -> ToolRules {
        let (rename, describe) = (&written.rename.0, &written.describe.0);
        self.shown_names(rename, &join(path, "rename"));
        ToolRules {
            allow: written
                .allow
                .as_ref()
                .map(|globs| self.globs(globs, &join(path, "allow"))),
            deny: self.globs(&written.deny, &join(path, "deny")),
            rename: pairs(rename, String::clone),
            describe: pairs(describe, String::clone),
            timeout: pairs(&written.timeout_secs.0, |secs| Duration::from_secs(*secs)),
            retry: {
                let retry = written.retry.0.iter().filter_map(|(glob, retry)| {
                    let glob = self.glob(glob, &join(path, "retry"))?;
                    Some((glob.compile_matcher(), retry.value))
                });
                retry.collect()
            },
            pin: written.pin,
        }
    }

    /// Names to show must be of the characters chosen, and no two tools may share one.
    fn shown_names(&mut self, rename: &[(At<String>, At<String>)], path: &str) {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for (own, shown) in rename {
            let path = join(path, &own.value);
            if !self.name_chars.allow(&shown.value) {
                let what = format!("clients wouldn't take this name; use {}", self.name_chars);
                self.report.say(&shown.place, &path, what);
            }
            if let Some(other) = owners.insert(&shown.value, &own.value) {
                let what = format!("{other} is renamed to the same name; give each its own");
                self.report.say(&shown.place, &path, what);
            }
        }
    }

    fn globs(&mut self, written: &[At<String>], path: &str) -> GlobSet {
        let mut set = GlobSetBuilder::new();
        for (index, glob) in written.iter().enumerate() {
            if let Some(glob) = self.glob(glob, &format!("{path}[{index}]")) {
                set.add(glob);
            }
        }
        set.build().unwrap_or_default()
    }

    fn glob(&mut self, written: &At<String>, path: &str) -> Option<Glob> {
        let glob = GlobBuilder::new(&written.value)
            .literal_separator(false)
            .backslash_escape(true)
            .build();
        match glob {
            Ok(glob) => Some(glob),
            Err(error) => {
                let what = format!("not a glob: {}; write one like \"read_*\"", error.kind());
                self.report.say(&written.place, path, what);
                None
            }
        }
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.env.absolute(Path::new(path), self.folder)
    }

    fn distrusts(&self, place: &Place) -> bool {
        self.distrust.is_some() && matches!(place, Place::File(_))
    }

    fn distrusted(&self) -> String {
        self.distrust.unwrap_or_default().to_owned()
    }
}

/// Whether `name` is `[a-z0-9][a-z0-9_-]*`.
pub(super) fn is_backend_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

/// Credentials don't travel in the clear to other machines, unless the user says so.
fn safe_from_eavesdroppers(url: Url, text: &str, written: &Backend) -> Result<Url, String> {
    let secret_header = |(name, form): &(At<String>, At<HeaderForm>)| match &form.value {
        HeaderForm::Text(text) => has_variables(text) || url::names_a_secret(&name.value),
        HeaderForm::Secret(_) => true,
    };
    let has_credentials = written.bearer.is_some()
        || written.headers.0.iter().any(secret_header)
        || url::has_secret_query(text);
    let in_the_clear = url.scheme() == "http" && !url::is_loopback(&url);
    if has_credentials && in_the_clear && !written.allow_insecure {
        return Err(
            "credentials would travel unencrypted to another machine; use https, or set allow_insecure = true if the network is trusted"
                .to_owned(),
        );
    }
    Ok(url)
}

fn pairs<V, T>(entries: &[(At<String>, At<V>)], map: impl Fn(&V) -> T) -> Vec<(String, T)> {
    entries
        .iter()
        .map(|(key, value)| (key.value.clone(), map(&value.value)))
        .collect()
}
