//! Checks headers, secrets and certificates of a backend.
//!
//! Owns which headers a config may not set. Secrets from files and commands are not read here, but when the
//! backend connects.

use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::Checker;
use super::expand::{Unexpanded, expand, has_variables, is_variable_name, variable};
use crate::config::problem::Location;
use crate::config::read::file::{Backend, Entries, HeaderForm, Located, SecretForm};
use crate::config::read::join;
use crate::config::{Secret, SecretSource, TlsConfig};

/// Headers that the gateway or the HTTP client sets.
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

impl Checker<'_> {
    pub(super) fn headers(
        &mut self,
        written: &Entries<HeaderForm>,
        has_bearer: bool,
        path: &str,
    ) -> Vec<(HeaderName, SecretSource)> {
        let mut headers: Vec<(HeaderName, SecretSource)> = Vec::new();
        for (key, form) in &written.0 {
            let path = join(path, &key.value);
            let Ok(name) = HeaderName::from_bytes(key.value.as_bytes()) else {
                let what = "not a header's name; use letters, digits and `-`";
                self.report.add(&key.location, &path, what);
                continue;
            };
            let problem = if RESERVED_HEADERS.contains(&name.as_str())
                || name.as_str().starts_with("mcp-param-")
            {
                Some("the gateway sets this header itself; remove it")
            } else if headers.iter().any(|(other, _)| *other == name) {
                Some("this header is set twice; names of headers are case-insensitive")
            } else if has_bearer && name == AUTHORIZATION {
                Some("`bearer` sets this header already; keep one of the two")
            } else {
                None
            };
            if let Some(what) = problem {
                self.report.add(&key.location, &path, what);
                continue;
            }
            let value = match &form.value {
                HeaderForm::Text(text) => self.header_text(text, &form.location, &path),
                HeaderForm::Secret(secret) => self.secret(secret, &form.location, &path),
            };
            headers.push((name, value));
        }
        headers
    }

    fn header_text(&mut self, text: &str, location: &Location, path: &str) -> SecretSource {
        match expand(text, self.env) {
            Err(Unexpanded::Malformed(what)) => {
                self.report.add(location, path, what);
                SecretSource::Missing(what.to_owned())
            }
            _ if has_variables(text) && self.distrusts(location) => {
                SecretSource::Missing(self.distrusted())
            }
            Err(Unexpanded::Unset(reason)) => SecretSource::Missing(reason),
            Ok(value) => {
                // Values of variables are checked at connect, like all other secrets.
                if !has_variables(text) && HeaderValue::from_str(text).is_err() {
                    let what = "holds a character that no header can, such as a line end";
                    self.report.add(location, path, what);
                }
                SecretSource::Value(Secret::new(value.text))
            }
        }
    }

    pub(super) fn secret(
        &mut self,
        form: &SecretForm,
        location: &Location,
        path: &str,
    ) -> SecretSource {
        let source = match (&form.env, &form.file, &form.command) {
            (Some(name), None, None) if !is_variable_name(name) => {
                let what = "not the name of an environment variable; `env` takes the name alone, without `$`";
                self.report.add(location, path, what);
                SecretSource::Missing(what.to_owned())
            }
            (Some(name), None, None) => match variable(name, self.env) {
                Ok(value) => SecretSource::Value(Secret::new(value)),
                Err(error) => SecretSource::Missing(error.to_string()),
            },
            (None, Some(file), None) => SecretSource::File(self.absolute(file)),
            (None, None, Some(command)) => SecretSource::Command(self.command(command)),
            // The schema allows exactly one; this has been reported.
            _ => SecretSource::Missing("it names no source".to_owned()),
        };
        if self.distrusts(location) {
            return SecretSource::Missing(self.distrusted());
        }
        source
    }

    /// A program with a path separator is relative to the config file; others are found by `PATH`.
    fn command(&self, command: &[String]) -> Vec<String> {
        let mut command = command.to_vec();
        if let Some(program) = command.first_mut()
            && Path::new(program).components().count() > 1
        {
            *program = self.absolute(program).to_string_lossy().into_owned();
        }
        command
    }

    pub(super) fn tls(&mut self, written: &Backend, path: &str) -> TlsConfig {
        let client_cert = match (&written.client_cert_file, &written.client_key_file) {
            (Some(cert), Some(key)) => {
                Some((self.absolute(&cert.value), self.absolute(&key.value)))
            }
            (None, None) => None,
            (Some(cert), None) => {
                self.missing_half(cert, path, "client_cert_file", "client_key_file")
            }
            (None, Some(key)) => {
                self.missing_half(key, path, "client_key_file", "client_cert_file")
            }
        };
        TlsConfig {
            ca_file: written
                .ca_file
                .as_ref()
                .map(|file| self.absolute(&file.value)),
            client_cert,
        }
    }

    fn missing_half(
        &mut self,
        present: &Located<String>,
        path: &str,
        key: &str,
        missing: &str,
    ) -> Option<(PathBuf, PathBuf)> {
        let what = format!("works only together with {missing}; add it");
        self.report.add(&present.location, &join(path, key), what);
        None
    }
}
