//! URIs of backends in the terms of clients, and back.
//!
//! Owns the order in which the tables are asked: lists and tools first, then what was named in
//! results; and how much of that the loop does. With one backend nothing is mapped, and nothing is
//! remembered.

use std::sync::Arc;

use super::Snapshot;
use super::named_uris::{Namer, parents};
use crate::backend::HttpBackend;
use crate::call_report::BackendId;
use crate::catalog::{Around, in_directory, may_have_uris, with_skill_uris, with_uris};
use crate::protocol::raw::quoted;
use crate::protocol::{Kind, Notification, RawJson};

/// Largest message whose URIs the loop maps, in bytes: some hundreds. A server decides how many there are.
const SMALL: usize = 16 * 1024;
/// Largest message that the loop searches for URIs at all, in bytes.
const SEARCHED: usize = 256 * 1024;
/// Steps of matching the URIs of one message against templates: about two milliseconds. Past them, an
/// unlisted URI gets an alias, as if another backend had it.
const MESSAGE_STEPS: usize = 1_000_000;

impl Snapshot {
    /// A result, or the params of a request to a client, with the URIs that clients use for this
    /// backend's resources. URIs that no list has are remembered, so that reads of them reach it.
    pub(crate) async fn with_client_uris(
        self: &Arc<Self>,
        backend: &Arc<HttpBackend>,
        text: RawJson,
    ) -> RawJson {
        if !self.catalog.uris().are_several() {
            return text;
        }
        let source = text.clone();
        let mapped = match self.with_client_uris_at_once(backend, text) {
            Ok(mapped) => mapped,
            Err(large) => {
                let work = |snapshot: &Self, backend: &HttpBackend, text| {
                    with_uris(text, &mut snapshot.mapping(backend, false))
                };
                // Rare, and a large future.
                Box::pin(self.off_loop(backend, large, work)).await
            }
        };
        backend.charged(&source, mapped)
    }

    /// A result, or the params of a request to a client, with the URIs that clients use, where
    /// mapping them takes so little that the loop may do it.
    ///
    /// # Errors
    /// The text as it is, where it takes more.
    pub(crate) fn with_client_uris_at_once(
        &self,
        backend: &HttpBackend,
        text: RawJson,
    ) -> Result<RawJson, RawJson> {
        if !self.catalog.uris().are_several() {
            return Ok(text);
        }
        match text.as_bytes().len() {
            ..=SMALL => Ok(with_uris(text, &mut self.mapping(backend, false))),
            ..=SEARCHED if !may_have_uris(&text) => Ok(text),
            _ => Err(text),
        }
    }

    /// Skills, or results with skills or the files of a directory, with the URIs that clients use
    /// for this backend's resources.
    pub(crate) async fn with_client_skill_uris<T>(
        self: &Arc<Self>,
        backend: &Arc<HttpBackend>,
        texts: T,
    ) -> T
    where
        T: AsRef<[RawJson]> + AsMut<[RawJson]> + Send + 'static,
    {
        if !self.catalog.uris().are_several() {
            return texts;
        }
        let work = |snapshot: &Self, backend: &HttpBackend, mut texts: T| {
            let mut map = snapshot.mapping(backend, true);
            for text in texts.as_mut() {
                *text = with_skill_uris(text.clone(), &mut map);
            }
            texts
        };
        let sizes = texts.as_ref().iter().map(|text| text.as_bytes().len());
        let size: usize = sizes.sum();
        match size {
            ..=SMALL => work(self, backend, texts),
            _ => Box::pin(self.off_loop(backend, texts, work)).await,
        }
    }

    /// Maps on another thread, one at a time for each backend. A panic there is one here: nothing goes
    /// out with the URIs of its backend, which may be those of another's resources.
    async fn off_loop<T: Send + 'static>(
        self: &Arc<Self>,
        backend: &Arc<HttpBackend>,
        own: T,
        work: impl FnOnce(&Self, &HttpBackend, T) -> T + Send + 'static,
    ) -> T {
        let (snapshot, mapped_by) = (Arc::clone(self), Arc::clone(backend));
        let mapped = backend.off_loop(move || work(&snapshot, &mapped_by, own));
        mapped.await
    }

    /// The URIs that clients use for those of one message, which may be a list.
    fn mapping(
        &self,
        backend: &HttpBackend,
        is_list: bool,
    ) -> impl FnMut(&str) -> Option<Arc<str>> {
        let mut steps = MESSAGE_STEPS;
        move |own| self.client_uri_within(backend, own, is_list, &mut steps)
    }

    /// The URI that clients use for this one of a backend; `None` if it is the same.
    pub(crate) fn client_uri(&self, backend: &HttpBackend, own: &str) -> Option<Arc<str>> {
        self.client_uri_within(backend, own, false, &mut { MESSAGE_STEPS })
    }

    fn client_uri_within(
        &self,
        backend: &HttpBackend,
        own: &str,
        lists_it: bool,
        steps: &mut usize,
    ) -> Option<Arc<str>> {
        let uris = self.catalog.uris();
        let id = backend.id;
        if !uris.are_several() || uris.is_own(id, own) {
            return None;
        }
        uris.alias(id, own, steps).or_else(|| {
            let namer = Namer {
                id,
                name: backend.name(),
                has_resources: backend.capability(&["resources"]).is_some(),
                lists_it,
            };
            self.named_uris.name(namer, own, uris, steps)
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
        let mut steps = MESSAGE_STEPS;
        let is_whole = uris.is_own(id, own) || uris.alias(id, own, &mut steps).is_some();
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

    /// The backend that has files in this directory by its lists or by what it has named, and its own
    /// URI of it.
    pub(crate) fn owner_beneath(&self, directory: &str) -> Option<(BackendId, String)> {
        let aliased = self.beneath(directory);
        aliased.or_else(|| Some((self.owner_around(directory, true)?, directory.to_owned())))
    }

    /// The backend of a file beside others, and its own URI of it: what a text refers to by a relative
    /// path. Aliases go first, since they name their backend.
    pub(crate) fn owner_beside(&self, exposed: &str) -> Option<(BackendId, String)> {
        let aliased = parents(exposed).find_map(|directory| {
            let (backend, own) = self.beneath(directory)?;
            Some((directory, backend, own))
        });
        let Some((directory, backend, own)) = aliased else {
            return Some((self.owner_around(exposed, false)?, exposed.to_owned()));
        };
        let own = in_directory(&own, &exposed[directory.len()..]);
        // What is read says its own URI.
        self.named_uris.set_alias(backend, &own, exposed.into());
        Some((backend, own))
    }

    /// The backend whose aliases are in this directory, and its own URI of it.
    fn beneath(&self, directory: &str) -> Option<(BackendId, String)> {
        let listed = self.catalog.uris().beneath(directory);
        listed.or_else(|| self.named_uris.beneath(directory))
    }

    /// The only backend that has files around this URI. With `by_names` those that results have named
    /// show that, too. Takes a look at every URI; only where no other table has this one.
    fn owner_around(&self, uri: &str, by_names: bool) -> Option<BackendId> {
        // One that hasn't listed yet may have it.
        let is_expected = |backend: &Arc<HttpBackend>| {
            self.awaits(backend.id, Kind::Resource) && backend.failures() == 0
        };
        if self.backends.iter().any(is_expected) {
            return None;
        }
        let mut around = Around::new(uri);
        self.catalog.uris().look_around(&mut around);
        self.named_uris.look_around(&mut around, by_names);
        around.owner()
    }
}
