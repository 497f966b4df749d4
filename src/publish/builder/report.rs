//! What is logged about a new snapshot.
//!
//! Owns that each item is named once. It must not know how a snapshot is built.

use super::Builder;
use crate::catalog::{self, Catalog, RejectReason, Takeover};

impl Builder {
    pub(super) fn report_takeovers(&mut self, takeovers: impl Iterator<Item = Takeover>) {
        for takeover in takeovers {
            if self.reported.report_takeover_once(&takeover) {
                tracing::warn!(
                    backend = &*takeover.backend,
                    list = takeover.kind.list_method(),
                    name = &*takeover.name,
                    before = &*takeover.before,
                    "it takes over a name that another backend had: permissions for that name now apply to it"
                );
            }
        }
    }

    /// Once in a run, whatever backends list.
    pub(super) fn advise(&mut self, catalog: &Catalog) {
        if !self.has_advised && catalog.has_too_many_tools() {
            self.has_advised = true;
            if let Some(advice) = catalog.advice_on_count() {
                let backends = self.backends.iter().len();
                tracing::warn!(backends, "{advice}");
            }
        }
    }

    pub(super) fn report(&mut self, built: &catalog::Built) {
        for item in &built.mended {
            let (list, what) = (item.kind.list_method(), &item.what);
            let mended = &mut self.mended;
            if mended.report_once(&item.backend, item.kind, &item.name) {
                tracing::warn!(
                    backend = &*item.backend,
                    list,
                    item = item.name,
                    "a malformed item is mended for clients: {what}"
                );
            }
        }
        for item in &built.rejected {
            // The pin check has logged it, with its diff.
            let is_logged = matches!(item.reason, RejectReason::Changed(_));
            let reported = &mut self.reported;
            if !is_logged && reported.report_once(&item.backend, item.kind, &item.name) {
                let (list, reason) = (item.kind.list_method(), &item.reason);
                tracing::warn!(backend = &*item.backend, list, item = item.name, %reason, "an item is withheld");
            }
        }
    }
}
