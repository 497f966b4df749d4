//! `skills/list`, `skills/get` and `resources/directory/read` (SEP-2640).
//!
//! Owns merging the skills of all backends, and whose a skill or a directory is. Skills are files, and
//! have the URIs of resources; whose a URI is, is decided in [`crate::snapshot`].

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::merged::{Part, merged};
use super::request::ExtensionRequest;
use crate::backend::retry::Replay;
use crate::backend::{Answer, HttpBackend};
use crate::dispatch::answer::{sized_for_client, to_client_error, unknown_cursor};
use crate::dispatch::call_target::CallTarget;
use crate::dispatch::exchange::Exchange;
use crate::observe::request_span::RequestSpan;
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Kind, Kinds, Outcome, RawJson, Request, RpcError};
use crate::snapshot::{Snapshot, Snapshots};

/// The extension's name.
pub(in crate::dispatch) const EXTENSION: &str = "io.modelcontextprotocol/skills";
/// Most skills of one backend.
const MAX_SKILLS: usize = 10_000;

/// Serves `skills/list`: the skills of every backend that has some, in config order. A backend that
/// fails costs its own skills only, and is logged.
pub(in crate::dispatch) async fn list(
    request: Request,
    snapshots: Snapshots,
    exchange: Exchange,
) -> Outcome {
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    let cursor = params.get("cursor");
    if cursor.is_some_and(|cursor| cursor.as_str() != "null") {
        return unknown_cursor("skills/list").into();
    }
    // Until the first listings, no snapshot says which backends have skills.
    let current = Arc::clone(&snapshots.borrow());
    let snapshot = with_uris_listed(snapshots).await.unwrap_or(current);
    let ids = snapshot.introduction.declaring(EXTENSION).into_iter();
    let backends: Vec<_> = ids.filter_map(|id| snapshot.backends.get(id)).collect();
    let all = backends
        .iter()
        .map(|backend| skills_of(backend, &params, &snapshot, &exchange));
    // One after the other, so that URIs are given out in config order.
    let mut skills = Vec::new();
    for (backend, mut listed) in backends.iter().zip(join_all(all).await) {
        let mapping = snapshot.with_client_skill_uris(backend, listed.items);
        listed.items = mapping.await;
        skills.push(listed);
    }
    let is_modern = exchange.client.era == Era::Modern;
    let gateway = is_modern.then(|| snapshot.identity.clone());
    Outcome::Result(merged("skills", skills, gateway).await)
}

async fn skills_of(
    backend: &Arc<HttpBackend>,
    params: &RawJson,
    snapshot: &Snapshot,
    exchange: &Exchange,
) -> Part {
    let mut skills = Part::new(backend);
    let mut params = params.with_members(&[], &["cursor"]);
    let request = ExtensionRequest::new(backend, snapshot, exchange, Instant::now());
    loop {
        let why = match request
            .send("skills/list", &params, None, Replay::Safe)
            .await
        {
            Ok(Answer {
                outcome: Outcome::Result(page),
                ..
            }) => {
                let next;
                (skills, next) = skills.with_page("skills", page).await;
                match next {
                    Some(cursor) if skills.items.len() < MAX_SKILLS => {
                        let cursor = cursor.into_bytes();
                        params = params.with_members(&[("cursor", cursor)], &[]);
                        continue;
                    }
                    _ => break,
                }
            }
            Ok(Answer {
                outcome: Outcome::Error(error),
                ..
            }) => {
                let text = error.get("message").and_then(|text| text.text());
                backend
                    .config
                    .scrubber
                    .message(&text.unwrap_or_default())
                    .into_owned()
            }
            Err(error) => error.message,
        };
        tracing::warn!(
            backend = backend.name(),
            error = why,
            "its skills can't be listed"
        );
        break;
    }
    skills.items.truncate(MAX_SKILLS);
    skills
}

/// Serves `skills/get` and `resources/directory/read`: by the backend that the URI is of.
pub(in crate::dispatch) async fn of_uri(
    request: Request,
    snapshots: Snapshots,
    exchange: Exchange,
) -> Outcome {
    let begun = Instant::now();
    let method = request.method.as_str();
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    let Some(uri) = params.get("uri").and_then(|uri| uri.text()) else {
        let why = format!("{method}: \"uri\" must be a string");
        return RpcError::new(INVALID_PARAMS, why).into();
    };
    let current = Arc::clone(&snapshots.borrow());
    let snapshot = with_uris_listed(snapshots).await;
    let snapshot = snapshot.unwrap_or(current);
    let Some((backend, own)) = owner(&uri, &snapshot) else {
        let target = CallTarget::of_resource(&uri);
        let era = exchange.client.era;
        let unknown = target.unknown(&snapshot, era);
        return RpcError::new(INVALID_PARAMS, unknown.message).into();
    };
    RequestSpan::set_target(&backend.config.name, None);
    let params = params.with_members(&[("uri", quoted(&own))], &[]);
    let sent = ExtensionRequest::new(backend, &snapshot, &exchange, begun).counted();
    match sent.send(method, &params, None, Replay::Safe).await {
        Ok(answer) => {
            let outcome = match answer.outcome {
                Outcome::Result(result) => {
                    let mapping = snapshot.with_client_skill_uris(backend, [result]);
                    let [mapped] = mapping.await;
                    Outcome::Result(mapped)
                }
                error @ Outcome::Error(_) => error,
            };
            let answer = Answer { outcome, ..answer };
            sized_for_client(
                answer,
                backend,
                &exchange.client,
                method,
                Some(&uri),
                &snapshot,
            )
            .await
        }
        Err(error) => to_client_error(error, exchange.client.era, method, &snapshot),
    }
}

/// The backend that a skill's file or a directory is of, and its own URI: as a resource, by the files in
/// the directory, else the only one with skills.
fn owner<'a>(uri: &str, snapshot: &'a Snapshot) -> Option<(&'a Arc<HttpBackend>, String)> {
    let skilled = snapshot.introduction.declaring(EXTENSION);
    let target = CallTarget::of_resource(uri);
    if let Some(route) = target
        .route(snapshot)
        .filter(|route| skilled.contains(&route.backend.id))
    {
        let own = route.own_name().map_or(uri, |own| own);
        return Some((route.backend, own.to_owned()));
    }
    let beneath = snapshot.owner_beneath(uri);
    if let Some((id, own)) = beneath.filter(|(id, _)| skilled.contains(id)) {
        return Some((snapshot.backends.get(id)?, own));
    }
    match skilled[..] {
        [only] => Some((snapshot.backends.get(only)?, uri.to_owned())),
        _ => None,
    }
}

/// The first snapshot in which what has a URI is listed, or the last one of a gateway that ends.
async fn with_uris_listed(mut snapshots: Snapshots) -> Option<Arc<Snapshot>> {
    let kinds = Kinds::that(Kind::is_uri);
    let ready = snapshots.wait_for(|snapshot| snapshot.can_list(kinds));
    let ready = ready.await.ok()?;
    Some(Arc::clone(&ready))
}
