//! Checks how a backend is signed in to.
//!
//! Owns when nobody can: the backend has a token of its own, `oauth` is `false`, the file is not trusted, or the
//! token would travel unencrypted.

use std::path::PathBuf;

use reqwest::Url;
use reqwest::header::AUTHORIZATION;

use super::Checker;
use super::url::is_loopback;
use crate::config::problem::Location;
use crate::config::read::file::{Backend, HeaderForm};
use crate::config::read::join;
use crate::config::read::oauth::{OAuthForm, OAuthSettings, ResourceForm};
use crate::config::{GrantKind, ResourceParam, Secret, SignIn};
use crate::shell;

impl Checker<'_> {
    /// How the backend at `url` is signed in to. `None` where nobody can: it has a token of its own,
    /// `oauth` is `false`, nothing is kept for an untrusted file, or the token would travel unencrypted.
    pub(super) fn sign_in(
        &mut self,
        written: &mut Backend,
        name: Option<&str>,
        url: Result<&Url, &String>,
        shown_url: &str,
        path: &str,
    ) -> Option<SignIn> {
        let form = written.oauth.take();
        let (location, path) = (
            form.as_ref().map(|form| form.location.clone()),
            join(path, "oauth"),
        );
        let settings = match form.map(|form| form.value) {
            Some(OAuthForm::Switch(false)) => return None,
            Some(OAuthForm::Switch(true)) | None => None,
            Some(OAuthForm::Settings(settings)) => Some(*settings),
        };
        let has_token = written.bearer.is_some()
            || (written.headers.0.iter())
                .any(|(key, _)| key.value.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
        let is_configured = settings.is_some();
        if has_token {
            if let Some(location) = location.filter(|_| is_configured) {
                let what = "this backend has a token of its own (bearer, or a header Authorization); keep one of the two";
                self.report.add(&location, &path, what);
            }
            return None;
        }
        let location = location.unwrap_or(Location::Default);
        let settings = settings.unwrap_or_default();
        let sign_in = self.settings(settings, is_configured, &location, &path);
        let url = url.ok()?;
        let is_exposed = url.scheme() == "http" && !is_loopback(url);
        if self.distrust.is_some() || (is_exposed && !written.allow_insecure) {
            return None;
        }
        let from_flag = written.url.as_ref();
        let from_flag = from_flag.is_some_and(|url| matches!(url.location, Location::Flag(_)));
        Some(SignIn {
            folder: self.env.state_folder()?.join("auth"),
            command: self.login_command(name?, shown_url, from_flag),
            mcp_remote: self.mcp_remote(),
            written_headers: plain_headers(written),
            ..sign_in
        })
    }

    fn settings(
        &mut self,
        written: OAuthSettings,
        is_configured: bool,
        location: &Location,
        path: &str,
    ) -> SignIn {
        let secret_path = join(path, "client_secret");
        let client_secret =
            (written.client_secret.as_ref()).map(|form| self.secret(form, location, &secret_path));
        self.check_settings(&written, client_secret.is_some(), location, path);
        SignIn {
            folder: Default::default(),
            command: String::new(),
            is_configured,
            grant: written.grant,
            client_id: written.client_id,
            client_secret,
            client_key_file: (written.client_key_file.as_ref()).map(|file| self.absolute(file)),
            client_key_id: written.client_key_id,
            client_metadata_url: written.client_metadata_url,
            issuer: written.issuer,
            scopes: written.scopes,
            resource: match written.resource {
                ResourceForm::Switch(true) => ResourceParam::Published,
                ResourceForm::Switch(false) => ResourceParam::Omitted,
                ResourceForm::Text(text) => ResourceParam::Text(text),
            },
            params: written.params.into_iter().collect(),
            callback_port: written.callback_port,
            callback_host: written.callback_host,
            assume_pkce: written.assume_pkce,
            allow_private: written.allow_private,
            ask_client: written.ask_client,
            sealed_by: self.gateway.auth_sealed_by.clone(),
            mcp_remote: None,
            written_headers: Vec::new(),
        }
    }

    /// The folder of mcp-remote, as it looks for it itself.
    fn mcp_remote(&self) -> Option<PathBuf> {
        let named = self
            .env
            .variable("MCP_REMOTE_CONFIG_DIR")
            .map(PathBuf::from);
        let named = named.filter(|folder| folder.is_absolute());
        named.or_else(|| Some(self.env.home()?.join(".mcp-auth")))
    }

    fn check_settings(
        &mut self,
        written: &OAuthSettings,
        has_secret: bool,
        location: &Location,
        path: &str,
    ) {
        let mut wrong = |key: &str, what: &str| self.report.add(location, &join(path, key), what);
        if let Some(url) = &written.client_metadata_url
            && !Url::parse(url).is_ok_and(|url| url.scheme() == "https" && url.path() != "/")
        {
            wrong("client_metadata_url", "must be an https URL with a path");
        }
        if let Some(issuer) = &written.issuer
            && !Url::parse(issuer).is_ok_and(|url| url.has_host())
        {
            wrong(
                "issuer",
                "not a URL; it must look like https://auth.example.com",
            );
        }
        let has_key = written.client_key_file.is_some();
        let has_client = written.client_id.is_some() && (has_secret || has_key);
        if written.grant == GrantKind::ClientCredentials && !has_client {
            wrong(
                "grant",
                "client_credentials needs client_id, and client_secret or client_key_file",
            );
        }
        if written.grant == GrantKind::ClientCredentials && written.ask_client {
            let what = "grant = \"client_credentials\" signs in without a person; leave it out";
            wrong("ask_client", what);
        }
        let keys = [("client_secret", has_secret), ("client_key_file", has_key)];
        for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set) {
            if written.client_id.is_none() {
                wrong(key, "works only together with client_id; add it");
            }
        }
        if has_secret && has_key {
            let what = "this client has a client_secret, too; keep one of the two";
            wrong("client_key_file", what);
        }
        if written.client_key_id.is_some() && !has_key {
            let what = "works only together with client_key_file; add it";
            wrong("client_key_id", what);
        }
        if let Some(bad) = written
            .scopes
            .iter()
            .find(|scope| scope.is_empty() || !scope.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            let what = format!("{bad:?} is no scope: write one in each text, without spaces");
            wrong("scopes", &what);
        }
    }

    /// What a person types to sign in, in any folder.
    fn login_command(&self, name: &str, shown_url: &str, from_flag: bool) -> String {
        let word = |text: &str| shell::word(text).into_owned();
        let mut words = vec![word(&self.env.program().to_string_lossy())];
        if let Some(file) = self.source {
            let file = self.env.absolute(file, None);
            words.extend(["--config".to_owned(), word(&file.to_string_lossy())]);
        }
        if from_flag {
            words.extend(["--backend".to_owned(), word(&format!("{name}={shown_url}"))]);
        }
        words.extend(["login".to_owned(), word(name)]);
        words.join(" ")
    }
}

/// The headers whose values are plain text.
fn plain_headers(written: &Backend) -> Vec<(String, Secret)> {
    let headers = written.headers.0.iter();
    let plain = headers.filter_map(|(key, form)| match &form.value {
        HeaderForm::Text(text) => Some((key.value.clone(), Secret::new(text))),
        HeaderForm::Secret(_) => None,
    });
    plain.collect()
}
