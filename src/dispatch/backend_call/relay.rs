//! What a backend sends during a call, in the terms of the client.
//!
//! Owns the translation in both directions: related tasks and URIs have the names that each side uses,
//! and a server request says which backend it is from. It must not know what the messages are about.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::backend::{HttpBackend, ServerMessageHandler};
use crate::client::attribution::{attributed, completion_for_client};
use crate::protocol::era::modern::{self, key};
use crate::protocol::raw::quoted;
use crate::protocol::{Notification, Outcome, RawJson, Request, task};
use crate::snapshot::Snapshot;

/// Passes server messages on to another handler, in the client's terms.
pub(in crate::dispatch) struct RelayHandler<'a> {
    /// Where they go.
    pub(in crate::dispatch) handler: &'a dyn ServerMessageHandler,
    /// The backend that is called.
    pub(in crate::dispatch) backend: &'a HttpBackend,
}

impl ServerMessageHandler for RelayHandler<'_> {
    fn notification(&self, notification: Notification) {
        let (backend, method) = (self.backend, &notification.method);
        let params = completion_for_client(method, notification.params, backend.name());
        let params = task::related_for_client(params, &backend.id_prefix);
        let mut params = params.map(modern::without_ours);
        if notification.method == "notifications/resources/updated" {
            // It goes to all subscriptions, which must know whose URI it is.
            params = params.map(|params| of_backend(&params, backend.name()));
        }
        self.handler.notification(Notification {
            params,
            ..notification
        });
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        let request = server_request_for_client(request, self.backend);
        let answer = self.handler.request(request);
        answer.map(task::related_for_backend).boxed()
    }

    fn may_be_replayed(&self) -> bool {
        self.handler.may_be_replayed()
    }
}

/// Params that say in `_meta` which backend they are from.
fn of_backend(params: &RawJson, backend: &str) -> RawJson {
    let meta = params.get("_meta").filter(RawJson::is_object);
    let meta = meta.unwrap_or_else(|| RawJson::trusted("{}"));
    let meta = meta.with_members(&[(key::BACKEND, quoted(backend))], &[]);
    params.with_members(&[("_meta", meta.into_bytes())], &[])
}

/// The backend that params are from, by its name in `_meta`.
fn backend_in<'a>(params: &RawJson, snapshot: &'a Snapshot) -> Option<&'a Arc<HttpBackend>> {
    let name = params.at(&["_meta", key::BACKEND])?.text()?;
    let mut backends = snapshot.backends.iter();
    backends.find(|backend| backend.name() == name)
}

/// `notifications/resources/updated` of a call, with the URI that clients use.
pub(crate) fn updated_for_client(notification: Notification, snapshot: &Snapshot) -> Notification {
    let Some(params) = &notification.params else {
        return notification;
    };
    let backend = backend_in(params, snapshot);
    let notification = Notification {
        params: Some(modern::without_key(params, key::BACKEND)),
        ..notification
    };
    match backend {
        Some(backend) => snapshot.with_client_uri(backend, notification),
        None => notification,
    }
}

/// The params of a server request, which say whose they are, with the URIs that clients use.
///
/// # Errors
/// The params as they are, and their backend, where mapping them is no work for the loop.
pub(crate) fn request_uris_for_client(
    params: Option<RawJson>,
    snapshot: &Snapshot,
) -> Result<Option<RawJson>, (Arc<HttpBackend>, RawJson)> {
    let Some(params) = params else {
        return Ok(None);
    };
    match backend_in(&params, snapshot) {
        Some(backend) => match snapshot.with_client_uris_at_once(backend, params) {
            Ok(mapped) => Ok(Some(mapped)),
            Err(large) => Err((Arc::clone(backend), large)),
        },
        None => Ok(Some(params)),
    }
}

/// A server request in the client's terms. The response is translated back by
/// [`task::related_for_backend`].
pub(crate) fn server_request_for_client(request: Request, backend: &HttpBackend) -> Request {
    let params = task::related_for_client(request.params, &backend.id_prefix);
    Request {
        params: attributed(&request.method, params, backend.name()),
        ..request
    }
}
