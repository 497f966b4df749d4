//! Checks what tells others what the gateway does: `[audit]`, `[log]` and `[telemetry]`.
//!
//! Owns that the administrator's `[audit]` and `[log]` take the place of the user's, whole, and that of
//! `[telemetry]` the administrator says where it is sent, unless only `listen` is there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::administrator::Administrator;
use crate::config::check::Checker;
use crate::config::problem::Report;
use crate::config::read::FoundFile;
use crate::config::read::file::{File, Located};
use crate::config::read::outputs::{Audit, Log};
use crate::config::{
    AuditConfig, Environment, GatewayConfig, LogConfig, RotatingFile, TelemetryConfig,
};
use crate::files::lead_to_one;

/// What a configuration depends on beside its text.
pub(super) struct Surroundings<'a> {
    env: &'a Environment,
    found: &'a FoundFile,
    /// Why secrets named in the user's file aren't resolved; `None` where it is trusted.
    distrust: Option<&'a str>,
}

/// The checked form of the three tables.
pub(super) struct Checked {
    pub(super) audit: AuditConfig,
    pub(super) log: LogConfig,
    pub(super) telemetry: Option<TelemetryConfig>,
    pub(super) listen: Option<SocketAddr>,
}

impl<'a> Surroundings<'a> {
    /// `distrust` says why secrets named in the user's file aren't resolved.
    pub(super) fn new(
        env: &'a Environment,
        found: &'a FoundFile,
        distrust: Option<&'a str>,
    ) -> Self {
        Self {
            env,
            found,
            distrust,
        }
    }

    /// Checks what the user's file has.
    pub(super) fn of_user<'b>(
        &'b self,
        gateway: &'b GatewayConfig,
        report: &'b mut Report,
    ) -> Checker<'b> {
        Checker {
            env: self.env,
            folder: self.found.folder(),
            source: self.found.path.as_deref(),
            distrust: self.distrust,
            gateway,
            report,
        }
    }

    /// Checks what the administrator's file has.
    pub(super) fn of_administrator<'b>(
        &'b self,
        gateway: &'b GatewayConfig,
        administrator: &'b mut Administrator,
    ) -> Checker<'b> {
        Checker {
            env: self.env,
            folder: administrator.file.as_deref().and_then(Path::parent),
            source: self.found.path.as_deref(),
            distrust: None,
            gateway,
            report: &mut administrator.report,
        }
    }

    /// Checks the tables of both files, and says which of the user's don't count.
    pub(super) fn outputs(
        &self,
        administrator: &mut Administrator,
        users: &mut File,
        gateway: &GatewayConfig,
        report: &mut Report,
    ) -> Checked {
        let own = &mut administrator.written;
        let (audit, log) = (std::mem::take(&mut own.audit), std::mem::take(&mut own.log));
        let telemetry = std::mem::take(&mut own.telemetry);
        let folder = administrator.file.as_deref().and_then(Path::parent);
        let mut files = Outputs::new(self.env, folder, None, &mut administrator.report);
        let (own_audit, own_log) = files.check(audit, log);
        let mut checker = self.of_administrator(gateway, administrator);
        let (own_telemetry, own_listen) = checker.telemetry(&telemetry);

        let (audit, log) = (
            std::mem::take(&mut users.audit),
            std::mem::take(&mut users.log),
        );
        let mut files = Outputs::new(self.env, self.found.folder(), self.distrust, report);
        let (audit, log) = files.check(audit, log);
        let telemetry = std::mem::take(&mut users.telemetry);
        let (telemetry, listen) = self.of_user(gateway, report).telemetry(&telemetry);

        let is_sent = |key: &str| key.starts_with("telemetry.") && key != "telemetry.listen";
        let sends = (administrator.written.keys.iter()).any(|key| is_sent(&key.value));
        let has = |key| administrator.has(key);
        let mut replaced = vec![("audit", has("audit")), ("log", has("log"))];
        replaced.push(("telemetry.listen", has("telemetry.listen")));
        replaced.retain(|(key, has)| *has && users.keys.iter().any(|own| own.value == *key));
        if sends && users.keys.iter().any(|own| is_sent(&own.value)) {
            replaced.push(("telemetry.otlp_endpoint", true));
        }
        report.warnings.extend(replaced.into_iter().map(|(key, _)| {
            format!("{key} is that of the administrator's file; what the user's file says of it is not used")
        }));
        let mut checked = Checked {
            audit: if has("audit") { own_audit } else { audit },
            log: if has("log") { own_log } else { log },
            telemetry: if sends { own_telemetry } else { telemetry },
            listen: if has("telemetry.listen") {
                own_listen
            } else {
                listen
            },
        };
        if has("audit") != has("log")
            && let (Some(audit), Some(log)) = (&checked.audit.file, &checked.log.file)
            && lead_to_one(&audit.path, &log.path)
        {
            let what = "log.file is audit.file of the other file: each needs its own";
            report.problems.add(what);
            // Records stay whole where the rest is used all the same.
            checked.log.file = None;
        }
        checked
    }
}

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
    /// What the paths of one file depend on.
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
            && log_path.as_ref().is_some_and(|log| lead_to_one(one, log))
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
