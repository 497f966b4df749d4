//! Which file is the configuration, and whether it may be trusted.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::problem::Problems;

/// What the search came to.
pub(super) struct Located {
    /// The file, absolute; `None` where flags alone make the configuration.
    pub(super) file: Option<PathBuf>,
    /// Whether the user chose this file, rather than happening to stand where it lies.
    pub(super) trusted: bool,
    /// What deserves a word in the log.
    pub(super) warnings: Vec<String>,
}

/// Searches: what `--config` names, else `$SENTINEL_CONFIG`, else the user's file, else the
/// working folder's. Only files that were merely looked for may be missing, and only where
/// `optional`.
pub(super) fn locate(
    named: Option<&Path>,
    optional: bool,
    env: &Environment,
) -> Result<Located, Problems> {
    let named = match named {
        Some(path) => Some(path.to_owned()),
        None => env.variable("SENTINEL_CONFIG").map(PathBuf::from),
    };
    if let Some(path) = named {
        return Ok(Located {
            file: Some(env.absolute(&path, None)),
            trusted: true,
            warnings: Vec::new(),
        });
    }

    // Anything but a regular file in a folder that anyone may have made could hang the start.
    let working = Some(env.working_file()).filter(|path| path.is_file());
    if let Some(user) = env.user_file().filter(|path| path.exists()) {
        let ignored = working.filter(|path| *path != user);
        return Ok(Located {
            warnings: Vec::from_iter(ignored.map(|path| {
                format!(
                    "{} is ignored, because {} exists; use --config to run with it",
                    path.display(),
                    user.display()
                )
            })),
            file: Some(user),
            trusted: true,
        });
    }
    if working.is_none() && !optional {
        return Err(Problems::general(nowhere(env)));
    }
    Ok(Located {
        warnings: Vec::from_iter(working.as_ref().map(|path| {
            format!(
                "running with {}, found in the working folder and therefore not trusted with secrets",
                path.display()
            )
        })),
        file: working,
        trusted: false,
    })
}

fn nowhere(env: &Environment) -> String {
    let mut places = Vec::from_iter(env.user_file());
    places.push(env.working_file());
    let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
    format!(
        "no configuration: there is no {}; write one, with the three lines `[[backends]]`, \
         `name = \"sqlite\"` and `url = \"http://127.0.0.1:3002/mcp\"`, or start with \
         --backend sqlite=http://127.0.0.1:3002/mcp",
        places.join(" and no ")
    )
}
