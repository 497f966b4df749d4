//! Finds the config file and decides whether it is trusted.
//!
//! Owns the order of the search: `--config`, `$SENTINEL_CONFIG`, the user's config folder, the working folder. A
//! file that was merely found in the working folder is not trusted.

use std::path::{Path, PathBuf};

use crate::config::environment::Environment;
use crate::config::problem::Problems;
use crate::files;

/// The result of the search.
#[derive(Clone)]
pub(in crate::config) struct FoundFile {
    /// Absolute path; `None` where command-line flags alone make the configuration.
    pub(in crate::config) path: Option<PathBuf>,
    /// Whether the user chose this file. A file found in the working folder is not trusted: clients
    /// start the gateway in whatever project is open.
    pub(in crate::config) trusted: bool,
    /// The warnings that are logged at the start.
    pub(in crate::config) warnings: Vec<String>,
}

impl FoundFile {
    /// One that the user chose, by its absolute path.
    pub(in crate::config) fn chosen(path: PathBuf) -> Self {
        Self {
            path: Some(path),
            trusted: true,
            warnings: Vec::new(),
        }
    }

    /// None at all.
    pub(in crate::config) fn none() -> Self {
        Self {
            path: None,
            trusted: false,
            warnings: Vec::new(),
        }
    }

    /// The folder that relative paths start at; `None` without a file.
    pub(in crate::config) fn folder(&self) -> Option<&Path> {
        self.path.as_deref().and_then(Path::parent)
    }
}

/// Searches `--config`, `$SENTINEL_CONFIG`, the user's config folder and the working folder, in this
/// order. Finding none is an error unless `optional`; whether a named file exists is not checked. Where
/// the administrator's file `has_backends`, the working folder's is none: anybody may have written it.
pub(in crate::config) fn locate(
    named: Option<&Path>,
    optional: bool,
    has_backends: bool,
    env: &Environment,
) -> Result<FoundFile, Problems> {
    let named = match named {
        Some(path) => Some(path.to_owned()),
        None => env.variable("SENTINEL_CONFIG").map(PathBuf::from),
    };
    if let Some(path) = named {
        return Ok(FoundFile::chosen(env.absolute(&path, None)));
    }

    // Anyone may have created the working folder, and reading a FIFO there would block the start.
    let working = Some(env.working_file()).filter(|path| files::is_file(path));
    if let Some(user) = env.user_file().filter(|path| files::exists(path)) {
        let ignored = working.filter(|path| *path != user);
        return Ok(FoundFile {
            warnings: Vec::from_iter(ignored.map(|path| {
                format!(
                    "{} is ignored, because {} exists; use --config to run with it",
                    path.display(),
                    user.display()
                )
            })),
            path: Some(user),
            trusted: true,
        });
    }
    if let Some(path) = working.as_ref().filter(|_| has_backends) {
        return Ok(FoundFile {
            warnings: vec![format!(
                "{} is ignored, because the administrator's file has backends; use --config to run with it",
                path.display()
            )],
            ..FoundFile::none()
        });
    }
    if working.is_none() && !optional {
        return Err(Problems::general(not_found(env)));
    }
    Ok(FoundFile {
        warnings: Vec::from_iter(working.as_ref().map(|path| {
            format!(
                "running with {}, found in the working folder and therefore not trusted with secrets",
                path.display()
            )
        })),
        path: working,
        trusted: false,
    })
}

fn not_found(env: &Environment) -> String {
    let mut places = Vec::from_iter(env.user_file());
    places.push(env.working_file());
    let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
    format!(
        "no configuration: there is no {}; `sentinel-gateway install CLIENT --import` or \
         `sentinel-gateway init` makes one. Or write one with the three lines `[[backends]]`, \
         `name = \"sqlite\"` and `url = \"http://127.0.0.1:3002/mcp\"`, or start with \
         --backend sqlite=http://127.0.0.1:3002/mcp",
        places.join(" and no ")
    )
}
