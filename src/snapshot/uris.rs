//! URIs of backends in the terms of clients, and back.
//!
//! Owns the order in which the tables are asked: lists and tools first, then what was named in
//! results. With one backend nothing is mapped, and nothing is remembered.

use std::sync::Arc;

use super::Snapshot;
use super::named_uris::{Namer, parents};
use crate::backend::HttpBackend;
use crate::call_report::BackendId;
use crate::catalog::{with_skill_uris, with_uris};
use crate::protocol::raw::quoted;
use crate::protocol::{Notification, RawJson};

/// URIs of one message that are held against what was named before: as many as are remembered. A server
/// decides how many there are.
const MAX_BESIDE: usize = 1_000;

impl Snapshot {
    /// A result, or the params of a request to a client, with the URIs that clients use for this
    /// backend's resources. URIs that no list has are remembered, so that reads of them reach it.
    pub(crate) fn with_client_uris(&self, backend: &HttpBackend, text: RawJson) -> RawJson {
        if !self.catalog.uris().are_several() {
            return text;
        }
        with_uris(text, &mut self.mapping(backend))
    }

    /// The same for a skill, or a result with skills or the files of a directory.
    pub(crate) fn with_client_skill_uris(&self, backend: &HttpBackend, text: RawJson) -> RawJson {
        if !self.catalog.uris().are_several() {
            return text;
        }
        with_skill_uris(text, &mut self.mapping(backend))
    }

    /// The URIs that clients use for those of one message.
    fn mapping(&self, backend: &HttpBackend) -> impl FnMut(&str) -> Option<Arc<str>> {
        let mut count = 0;
        move |own| {
            count += 1;
            self.client_uri_where(backend, own, count <= MAX_BESIDE)
        }
    }

    /// The URI that clients use for this one of a backend; `None` if it is the same.
    pub(crate) fn client_uri(&self, backend: &HttpBackend, own: &str) -> Option<Arc<str>> {
        self.client_uri_where(backend, own, true)
    }

    fn client_uri_where(
        &self,
        backend: &HttpBackend,
        own: &str,
        looks_beside: bool,
    ) -> Option<Arc<str>> {
        let uris = self.catalog.uris();
        let id = backend.id;
        if !uris.are_several() || uris.is_own(id, own) {
            return None;
        }
        uris.alias(id, own).or_else(|| {
            let namer = Namer {
                id,
                name: backend.name(),
                has_resources: backend.capability(&["resources"]).is_some(),
                looks_beside,
            };
            self.named_uris.name(namer, own, uris)
        })
    }

    /// `notifications/resources/updated` of a backend as clients know the resource, which may be a part
    /// of a listed one.
    pub(crate) fn with_client_uri(
        &self,
        backend: &HttpBackend,
        notification: Notification,
    ) -> Notification {
        let Some(params) = &notification.params else {
            return notification;
        };
        let own = params.get("uri").and_then(|uri| uri.text());
        let Some(shown) = own.and_then(|own| self.client_uri_of_part(backend, &own)) else {
            return notification;
        };
        let params = params.with_members(&[("uri", quoted(&shown))], &[]);
        Notification {
            params: Some(params),
            ..notification
        }
    }

    fn client_uri_of_part(&self, backend: &HttpBackend, own: &str) -> Option<Arc<str>> {
        let (uris, id) = (self.catalog.uris(), backend.id);
        let is_whole = uris.is_own(id, own) || uris.alias(id, own).is_some();
        if let Some(alias) = uris.alias_of_part(id, own).filter(|_| !is_whole) {
            let alias: Arc<str> = alias.into();
            if self.named_uris.set_alias(id, own, Arc::clone(&alias)) {
                return Some(alias);
            }
        }
        self.client_uri(backend, own)
    }

    /// The backend that clients know an unlisted URI of, by its tools or results, and its own URI.
    pub(crate) fn owner_of_unlisted(&self, exposed: &str) -> Option<(BackendId, Arc<str>)> {
        let uris = self.catalog.uris();
        let by_tool = uris.named(exposed);
        let by_tool = by_tool.map(|(backend, own)| (backend, Arc::clone(own)));
        by_tool.or_else(|| self.named_uris.owner(exposed, uris))
    }

    /// The backend that has files in this directory by its aliases or by what it has named, and its own
    /// URI of it.
    pub(crate) fn owner_beneath(&self, directory: &str) -> Option<(BackendId, String)> {
        let listed = self.catalog.uris().beneath(directory);
        listed.or_else(|| self.named_uris.beneath(directory, false))
    }

    /// The backend of a file beside others whose URIs are aliases, and its own URI of it: what a text
    /// refers to by a relative path.
    pub(crate) fn owner_beside(&self, exposed: &str) -> Option<(BackendId, String)> {
        let uris = self.catalog.uris();
        let (directory, backend, own) = parents(exposed).find_map(|directory| {
            let found = uris.beneath(directory);
            let (backend, own) = found.or_else(|| self.named_uris.beneath(directory, true))?;
            Some((directory, backend, own))
        })?;
        let own = format!("{own}{}", &exposed[directory.len()..]);
        // What is read says its own URI.
        self.named_uris.set_alias(backend, &own, exposed.into());
        Some((backend, own))
    }
}
