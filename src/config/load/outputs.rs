//! Checks `[audit]` and `[log]`.

use std::path::{Path, PathBuf};

use crate::config::problem::Report;
use crate::config::read::file::Located;
use crate::config::read::outputs::{Audit, Log};
use crate::config::{AuditConfig, Environment, LogConfig, RotatingFile};

/// What the paths of files depend on.
pub(super) struct Outputs<'a> {
    env: &'a Environment,
    /// Folder that relative paths start at; `None` without a file.
    folder: Option<&'a Path>,
    /// Why the file isn't trusted: it then names no file to write.
    distrust: Option<&'a str>,
    report: &'a mut Report,
}

impl<'a> Outputs<'a> {
    /// Of one file.
    pub(super) fn new(
        env: &'a Environment,
        folder: Option<&'a Path>,
        distrust: Option<&'a str>,
        report: &'a mut Report,
    ) -> Self {
        Self {
            env,
            folder,
            distrust,
            report,
        }
    }

    /// The checked form of both.
    pub(super) fn check(&mut self, audit: Audit, log: Log) -> (AuditConfig, LogConfig) {
        let rotating = |path, max_bytes, keep| RotatingFile {
            path,
            max_bytes,
            keep,
        };
        let audit_path = self.path(audit.file.as_ref(), "audit.file");
        let log_path = self.path(log.file.as_ref(), "log.file");
        if let (Some(one), Some(file)) = (&audit_path, &log.file)
            && Some(one) == log_path.as_ref()
        {
            let what = "is that of audit.file: each needs its own";
            self.report.add(&file.location, "log.file", what);
        }
        (
            AuditConfig {
                file: audit_path.map(|path| rotating(path, audit.max_bytes, audit.keep)),
                arguments: audit.arguments,
                on_failure: audit.on_failure,
            },
            LogConfig {
                file: log_path.map(|path| rotating(path, log.max_bytes, log.keep)),
                level: log.level,
            },
        )
    }

    fn path(&mut self, written: Option<&Located<String>>, key: &str) -> Option<PathBuf> {
        let written = written?;
        let text = &written.value;
        if text.is_empty() || text.ends_with('/') || text.contains(char::is_control) {
            let what = "must be the path of a file";
            self.report.add(&written.location, key, what);
            return None;
        }
        if let Some(why) = self.distrust {
            self.report
                .warnings
                .push(format!("{key} is not written: {why}"));
            return None;
        }
        Some(self.env.absolute(Path::new(text), self.folder))
    }
}
