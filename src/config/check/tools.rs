//! Checks `tools.*` of a backend: globs and exposed names.

use std::collections::HashMap;
use std::time::Duration;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::Checker;
use crate::config::ToolRules;
use crate::config::read::file::{Located, Tools};
use crate::config::read::join;

impl Checker<'_> {
    pub(super) fn tools(&mut self, written: &Tools, path: &str) -> ToolRules {
        let (rename, describe) = (&written.rename.0, &written.describe.0);
        self.check_exposed_names(rename, &join(path, "rename"));
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

    /// Exposed names must consist of the allowed characters and be unique within the backend.
    fn check_exposed_names(&mut self, rename: &[(Located<String>, Located<String>)], path: &str) {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for (own, exposed) in rename {
            let path = join(path, &own.value);
            let name_chars = self.gateway.tool_name_chars;
            if !name_chars.allow(&exposed.value) {
                let what = format!("clients don't accept this name; use {name_chars}");
                self.report.add(&exposed.location, &path, what);
            }
            if let Some(other) = owners.insert(&exposed.value, &own.value) {
                let what = format!("{other} is renamed to the same name; give each its own");
                self.report.add(&exposed.location, &path, what);
            }
        }
    }

    fn globs(&mut self, written: &[Located<String>], path: &str) -> GlobSet {
        let mut set = GlobSetBuilder::new();
        for (index, glob) in written.iter().enumerate() {
            if let Some(glob) = self.glob(glob, &format!("{path}[{index}]")) {
                set.add(glob);
            }
        }
        set.build().unwrap_or_default()
    }

    fn glob(&mut self, written: &Located<String>, path: &str) -> Option<Glob> {
        let glob = GlobBuilder::new(&written.value)
            .literal_separator(false)
            .backslash_escape(true)
            .build();
        match glob {
            Ok(glob) => Some(glob),
            Err(error) => {
                let what = format!("not a glob: {}; write one like \"read_*\"", error.kind());
                self.report.add(&written.location, path, what);
                None
            }
        }
    }
}

fn pairs<V, T>(
    entries: &[(Located<String>, Located<V>)],
    map: impl Fn(&V) -> T,
) -> Vec<(String, T)> {
    entries
        .iter()
        .map(|(key, value)| (key.value.clone(), map(&value.value)))
        .collect()
}
