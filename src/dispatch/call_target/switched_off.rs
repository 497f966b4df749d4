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

/// Which switch it is, and who has set it; `None` where it is none.
fn why(snapshot: &Snapshot, backend: &str, own: &str, kind: Kind) -> Option<String> {
    let config = &snapshot.config;
    let by = |is_administrators| match (is_administrators, &config.administered) {
        (true, Some(administered)) => administered.who(),
        _ => "the user".to_owned(),
    };
    if !config.gateway.enabled {
        let is_administrators = config.all_off_by_administrator().is_some();
        return Some(format!(
            "everything is switched off by {}",
            by(is_administrators)
        ));
    }
    let Some(entry) = config.backends.iter().find(|entry| *entry.name == *backend) else {
        let mut configured = config.configured.iter();
        let known = configured.find(|known| *known.name == *backend);
        return Some(known.map_or_else(
            || "this backend was removed from the config".to_owned(),
            |known| {
                format!(
                    "this backend is switched off by {}",
                    by(known.held.is_some())
                )
            },
        ));
    };
    if kind != Kind::Tool {
        return None;
    }
    match (entry.tools.admits(own), entry.tools.hidden_by(own)) {
        (false, _) => {
            let by = by(entry.of_administrator && !entry.tools.is_narrowed_away(own));
            Some(format!("the tool {own} is switched off by {by}"))
        }
        (true, Some(profile)) => Some(format!("the profile {profile} has no tool {own}")),
        (true, None) => None,
    }
}
