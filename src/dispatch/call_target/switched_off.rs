//! The error for a call that comes too late: what it names was served in this run, and the config has
//! switched it off since.
//!
//! Owns its words. It must not know how a switch is set.

use super::CallTarget;
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{Class, GatewayData, Kind, RpcError, Tally};
use crate::snapshot::Snapshot;

impl CallTarget {
    /// The error, where the target was a tool or a prompt of this run that is switched off now.
    pub(in crate::dispatch) fn switched_off(&self, snapshot: &Snapshot) -> Option<RpcError> {
        let (backend, own) = snapshot.catalog.names().owner(self.kind, &self.name)?;
        let why = why(snapshot, backend, own, self.kind)?;
        let fate = match self.kind {
            Kind::Tool => "; the tool did not run",
            _ => "",
        };
        let data = GatewayData::new(Some(&**backend), Class::Refused, Tally::NONE);
        let message = format!("{backend}: {why}{fate}");
        Some(RpcError::new(INTERNAL_ERROR, message).with_data(data))
    }
}

/// Which switch it is; `None` where it is none.
fn why(snapshot: &Snapshot, backend: &str, own: &str, kind: Kind) -> Option<String> {
    let config = &snapshot.config;
    if !config.gateway.enabled {
        let who = match config.all_off_by_administrator() {
            Some(_) => "administrator",
            None => "user",
        };
        return Some(format!("everything is switched off by the {who}"));
    }
    let Some(entry) = config.backends.iter().find(|entry| *entry.name == *backend) else {
        let mut configured = config.configured.iter();
        return Some(match configured.find(|known| *known.name == *backend) {
            Some(known) if known.held.is_some() => {
                "this backend is switched off by the administrator".to_owned()
            }
            Some(_) => "this backend is switched off by the user".to_owned(),
            None => "this backend was removed from the config".to_owned(),
        });
    };
    if kind != Kind::Tool {
        return None;
    }
    match (entry.tools.admits(own), entry.tools.hidden_by(own)) {
        (false, _) if entry.of_administrator => {
            Some(format!("the tool {own} is switched off by the config"))
        }
        (false, _) => Some(format!("the tool {own} is switched off by the user")),
        (true, Some(profile)) => Some(format!("the profile {profile} has no tool {own}")),
        (true, None) => None,
    }
}
