//! A simulated machine of a user, and shorthands for parts of a configuration.

use std::fs;
use std::path::PathBuf;

use sentinel_gateway::config::{
    self, BackendConfig, Config, Environment, Overrides, Problems, SecretSource,
};
use tempfile::TempDir;

pub(crate) const ONE: &str = "[[backends]]\nname = 'one'\nurl = 'http://127.0.0.1:1/mcp'\n";
pub(crate) const TWO: &str = "[[backends]]\nname = 'two'\nurl = 'http://127.0.0.1:2/mcp'\n";

/// A user's machine: a home, a config folder, a working folder, and environment variables.
pub(crate) struct Machine {
    root: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("project")).unwrap();
        Self {
            root,
            variables: Vec::new(),
        }
    }

    pub(crate) fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub(crate) fn without_variables(mut self) -> Self {
        self.variables.clear();
        self
    }

    pub(crate) fn write(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn load(&self, overrides: &Overrides) -> Result<Config, Problems> {
        let variables = self.variables.clone();
        let env = Environment::new(self.path("project"))
            .with_home(self.path("home"), self.path("home/.config"))
            .with_administrators_file(self.path(ADMINISTRATORS_FILE))
            .with_variables(move |name| {
                let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
                Some(value.clone())
            });
        config::load(overrides, &env)
    }

    /// Loads this text as the user's config file.
    pub(crate) fn trusted(self, text: &str) -> Result<Config, Problems> {
        self.write(USER_FILE, text).load(&Overrides::default())
    }
}

pub(crate) const USER_FILE: &str = "home/.config/sentinel/sentinel.toml";
pub(crate) const ADMINISTRATORS_FILE: &str = "etc/sentinel/sentinel.toml";
pub(crate) const WORKING_FILE: &str = "project/sentinel.toml";

pub(crate) fn names(config: &Config) -> Vec<&str> {
    config.backends.iter().map(|b| &*b.name).collect()
}

pub(crate) fn named(path: impl Into<PathBuf>) -> Overrides {
    Overrides {
        config: Some(path.into()),
        ..Overrides::default()
    }
}

pub(crate) fn with_backends(backends: &[(&str, &str)]) -> Overrides {
    let owned = |(name, url): &(&str, &str)| (name.to_string(), url.to_string());
    Overrides {
        backends: backends.iter().map(owned).collect(),
        ..Overrides::default()
    }
}

/// Why a backend's URL can't be used.
pub(crate) fn reason(backend: &BackendConfig) -> &str {
    backend.url.as_ref().unwrap_err()
}

pub(crate) fn missing(source: &SecretSource) -> &str {
    match source {
        SecretSource::Missing(reason) => reason,
        other => panic!("{other:?} is not missing"),
    }
}

pub(crate) fn value(source: &SecretSource) -> &str {
    match source {
        SecretSource::Value(secret) => secret.reveal(),
        other => panic!("{other:?} is not a value"),
    }
}
