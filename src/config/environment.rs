//! Environment variables and folders that the configuration depends on.
//!
//! Owns the one place that reads them, as one value, so that tests can replace them. A variable that is empty is
//! not set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The executable's name, where its path is not known.
const PROGRAM: &str = "sentinel-gateway";

/// Where the administrator's file is. No variable names the folder: it would be the user's to set.
#[cfg(not(windows))]
const ADMINISTRATORS_FILE: &str = "/etc/sentinel/sentinel.toml";
#[cfg(windows)]
const ADMINISTRATORS_FILE: &str = r"C:\Program Files\Sentinel Gateway\sentinel.toml";

/// The administrator's file.
#[derive(Clone)]
pub(super) struct AdministratorsFile {
    pub(super) path: PathBuf,
    /// Whether it has to be root's.
    pub(super) is_checked: bool,
}

/// Environment variables, the working folder and the user's folders. Clones share the lookup of
/// variables.
#[derive(Clone)]
pub struct Environment {
    variables: Arc<Lookup>,
    working_folder: PathBuf,
    home: Option<PathBuf>,
    config_folder: Option<PathBuf>,
    state_folder: Option<PathBuf>,
    data_folder: Option<PathBuf>,
    program: PathBuf,
    administrators_file: Option<AdministratorsFile>,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        let folders = etcetera::choose_base_strategy().ok();
        Self {
            // A value that isn't Unicode can't be used in a URL or header: it counts as not set.
            variables: Arc::new(|name| std::env::var(name).ok()),
            working_folder: std::env::current_dir().unwrap_or_else(|_| ".".into()),
            home: etcetera::home_dir().ok(),
            config_folder: folders.as_ref().map(BaseStrategy::config_dir),
            data_folder: folders.as_ref().map(BaseStrategy::data_dir),
            // Some systems define no state folder; the cache folder is the closest.
            state_folder: folders
                .map(|folders| folders.state_dir().unwrap_or_else(|| folders.cache_dir())),
            program: std::env::current_exe().unwrap_or_else(|_| PROGRAM.into()),
            administrators_file: Some(AdministratorsFile {
                path: ADMINISTRATORS_FILE.into(),
                is_checked: true,
            }),
        }
    }

    /// One with no variables, no home, no config folder, no state folder and no administrator.
    pub fn new(working_folder: impl Into<PathBuf>) -> Self {
        Self {
            variables: Arc::new(|_| None),
            working_folder: working_folder.into(),
            home: None,
            config_folder: None,
            state_folder: None,
            data_folder: None,
            program: PROGRAM.into(),
            administrators_file: None,
        }
    }

    /// Sets the lookup of variables.
    #[must_use]
    pub fn with_variables(
        mut self,
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.variables = Arc::new(lookup);
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub(crate) fn with_working_folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.working_folder);
        self
    }

    /// Sets the user's home and config folder.
    #[must_use]
    pub fn with_home(mut self, home: impl Into<PathBuf>, config: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self.config_folder = Some(config.into());
        self
    }

    /// Sets the user's state folder.
    #[must_use]
    pub fn with_state(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_folder = Some(folder.into());
        self
    }

    /// Sets the administrator's file, of any owner: for tests. The executable has no such choice.
    #[must_use]
    pub fn with_administrators_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.administrators_file = Some(AdministratorsFile {
            path: path.into(),
            is_checked: false,
        });
        self
    }

    /// The administrator's file, whether or not it exists; `None` where there can't be one.
    pub(crate) fn administrators_path(&self) -> Option<&Path> {
        self.administrators_file.as_ref().map(|file| &*file.path)
    }

    /// The administrator's file, and whether its owner and permissions are checked.
    pub(super) fn administrators_file(&self) -> Option<&AdministratorsFile> {
        self.administrators_file.as_ref()
    }

    /// The gateway's folder in the user's state folder, whether or not it exists.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        Some(self.state_folder.as_ref()?.join("sentinel"))
    }

    /// The folders for sockets of running gateways, whether or not they exist: in the user's runtime
    /// folder, and in the state folder for those that have none. A client may start the gateway without
    /// the variable that a terminal has, so a reader looks at all of them.
    pub(crate) fn socket_folders(&self) -> Vec<PathBuf> {
        let runtime = self.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|folder| folder.is_absolute());
        let runtime = runtime.map(|folder| folder.join("sentinel-gateway"));
        let state = self.state_folder().map(|folder| folder.join("run"));
        runtime.into_iter().chain(state).collect()
    }

    /// The user's home.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The folder that the gateway was started in.
    pub(crate) fn working_folder(&self) -> &Path {
        &self.working_folder
    }

    /// The user's folder for data of programs, whether or not it exists.
    pub(crate) fn data_folder(&self) -> Option<&Path> {
        self.data_folder.as_deref()
    }

    /// The executable, for commands that messages show.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The value of a variable that is set and not empty, as in the shell's `${VAR:-…}`.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// The config file in the user's config folder, whether or not it exists.
    pub(crate) fn user_file(&self) -> Option<PathBuf> {
        let folder = self.config_folder.as_ref()?;
        Some(folder.join("sentinel").join("sentinel.toml"))
    }

    /// The config file in the working folder, whether or not it exists.
    pub(crate) fn working_file(&self) -> PathBuf {
        self.working_folder.join("sentinel.toml")
    }

    /// Makes `path` absolute: `~` is the home; a relative path starts at `base` or, if that is
    /// `None`, at the working folder.
    pub(crate) fn absolute(&self, path: &Path, base: Option<&Path>) -> PathBuf {
        if let (Ok(rest), Some(home)) = (path.strip_prefix("~"), &self.home) {
            return home.join(rest);
        }
        let base = base.unwrap_or(&self.working_folder);
        base.join(path)
    }
}
