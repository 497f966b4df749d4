//! Takes a new config while requests are served.
//!
//! Owns what is said of a change: in the log, and to clients. Requests in flight keep the snapshot that
//! they began with. It must not know how a change is noticed.

use std::time::Duration;

use tokio::time::Instant;

use super::state::Gateway;
use crate::config::{Change, Changes, Config, diff};
use crate::observe::log_file;
use crate::protocol::Notification;
use crate::reload::Loaded;
use crate::text::keep_from_output;
use crate::transport::stdio::NoticeSource;

/// How long changes of lists are gathered after a reload: until new backends have listed, so that
/// clients list once.
const GATHERING: Duration = Duration::from_millis(250);

/// Most problems of a config that are logged.
const MAX_PROBLEMS: usize = 10;

impl Gateway {
    /// The config was loaded again. One of which nothing can be used changes nothing.
    pub(super) fn reload(&mut self, loaded: Loaded) {
        let Some(fleet) = &mut self.fleet else {
            return;
        };
        let new = match loaded.config {
            _ if self.deadlines.drain.is_some() => return,
            Ok(new) => *new,
            Err(problems) => Config {
                unused: problems.iter().map(ToString::to_string).collect(),
                ..Config::clone(&fleet.config)
            },
        };
        let changes = diff(&fleet.config, new);
        log(&changes);
        let is_used = !changes.is_same_use() || changes.lock;
        if is_used || !changes.config.unused.is_empty() {
            fleet.reloads.add(is_used);
        }
        if changes.is_empty() {
            return fleet.read_secrets_again();
        }
        self.audit.reconfigure(&changes.config.audit);
        if changes.outputs.contains(&"log") {
            log_file::reconfigure(&changes.config.log, false);
        }
        let new = fleet.take(changes);
        keep_from_output(
            fleet
                .backends
                .iter()
                .map(|backend| &backend.config.scrubber),
        );
        self.lifecycle.reconfigure(&new.config.gateway);
        self.publisher.reconfigure(new);
        self.deadlines.announce = Some(Instant::now() + GATHERING);
        self.publish_changes();
        let took_ms = loaded.noticed.elapsed().as_millis() as u64;
        tracing::debug!(took_ms, "the change of the config has taken effect");
    }

    /// Tells clients which lists have changed: after a reload not before new backends have listed.
    pub(super) fn list_changed(&mut self, notifications: Vec<Notification>) {
        let gathered = (self.fleet.as_mut()).and_then(|fleet| fleet.gathered.as_mut());
        let Some(gathered) = gathered else {
            return self.notify_of_lists(notifications);
        };
        for notification in notifications {
            let known = &mut gathered.notifications;
            if known
                .iter()
                .all(|known| known.method != notification.method)
            {
                known.push(notification);
            }
        }
        if self.publisher.have_reported(&gathered.awaited) {
            self.announce();
        }
    }

    /// What was gathered since the reload.
    pub(super) fn announce(&mut self) {
        self.deadlines.announce = None;
        let gathered = self.fleet.as_mut().and_then(|fleet| fleet.gathered.take());
        self.notify_of_lists(gathered.map_or_else(Vec::new, |gathered| gathered.notifications));
    }

    fn notify_of_lists(&mut self, notifications: Vec<Notification>) {
        for notification in notifications {
            self.notice(NoticeSource::Gateway, &notification);
        }
    }
}

/// Names what has changed, and what can't.
fn log(changes: &Changes) {
    let unused = &changes.config.unused;
    if !unused.is_empty() {
        let shown = unused.iter().take(MAX_PROBLEMS).map(String::as_str);
        let mut shown = shown.collect::<Vec<_>>().join("\n");
        if unused.len() > MAX_PROBLEMS {
            shown += "\nand more; `sentinel-gateway status` shows all";
        }
        if changes.is_same_use() {
            tracing::error!("the changed config is not used, the one before stays: {shown}");
            return;
        }
        tracing::error!("not all of the changed config is used, what it replaces stays: {shown}");
    }
    for warning in &changes.config.warnings {
        tracing::warn!("{warning}");
    }
    if !changes.needs_restart.is_empty() {
        let keys = changes.needs_restart.join(", ");
        tracing::warn!(
            keys,
            "these keys can't change while the gateway runs: they count from its next start on"
        );
    }
    let named = |wanted: &dyn Fn(Change) -> bool| changes.named(wanted).join(", ");
    let removed: Vec<&str> = changes.removed.iter().map(|name| &**name).collect();
    let (added, rules) = (
        named(&|change| change == Change::Added),
        named(&|change| change == Change::Rules),
    );
    let reconnected = named(&|change| matches!(change, Change::Connection { .. }));
    let keys = [&changes.gateway[..], &changes.outputs].concat().join(", ");
    let removed = removed.join(", ");
    match changes.is_empty() {
        true => tracing::info!("the config was loaded again and has not changed"),
        false => tracing::info!(
            added,
            removed,
            reconnected,
            rules,
            keys,
            "the changed config is in use"
        ),
    }
}
