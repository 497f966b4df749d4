//! Finds the authorization server of a backend.
//!
//! Owns the order in which documents are asked for, one after the other, and what is believed
//! (MCP 2026-07-28, basic/authorization/authorization-server-discovery; MCP 2025-03-26,
//! basic/authorization, for servers without protected resource metadata).

use url::Url;

use super::http::{Http, shown};
use super::oauth::challenge::BearerChallenge;
use super::oauth::metadata::{
    MetadataError, ResourceMetadata, ServerMetadata, base_issuer, canonical_resource,
    resource_candidates, server_candidates,
};
use crate::config::{ResourceParam, SignIn};

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The authorization server.
    pub(crate) server: ServerMetadata,
    /// `resource` of all requests there; `None`: left out.
    pub(crate) resource: Option<String>,
    /// What the resource says of scopes.
    pub(crate) scopes_supported: Option<Vec<String>>,
}

/// Follows the challenge, or looks where the specifications say. Of several authorization servers
/// the one is taken that the config names, then `known`, who issued what we hold, then the first.
///
/// # Errors
/// A message for people: which document, what is wrong, and what to do.
pub(crate) async fn discover(
    http: &Http,
    sign_in: &SignIn,
    challenge: Option<&BearerChallenge>,
    known: Option<&str>,
) -> Result<Found, String> {
    let resource = resource_metadata(http, challenge).await?;
    let server = match (&sign_in.issuer, &resource) {
        (Some(issuer), _) => server_metadata(http, issuer).await?,
        (None, Some(resource)) => {
            let all = &resource.authorization_servers;
            let held = known.and_then(|known| all.iter().find(|issuer| *issuer == known));
            let issuer = held.or(all.first()).ok_or_else(|| {
                "its metadata names no authorization server: set oauth.issuer".to_owned()
            })?;
            server_metadata(http, issuer).await?
        }
        (None, None) => without_resource_metadata(http).await?,
    };
    Ok(Found {
        server,
        resource: match &sign_in.resource {
            ResourceParam::Omitted => None,
            ResourceParam::Text(text) => Some(text.clone()),
            ResourceParam::Published => Some(match &resource {
                Some(published) => published.resource.clone(),
                None => canonical_resource(&http.url),
            }),
        },
        scopes_supported: resource.and_then(|resource| resource.scopes_supported),
    })
}

async fn resource_metadata(
    http: &Http,
    challenge: Option<&BearerChallenge>,
) -> Result<Option<ResourceMetadata>, String> {
    let hint = challenge.and_then(|challenge| challenge.resource_metadata.as_deref());
    let candidates = match hint {
        Some(hint) => vec![http.rules.read("resource_metadata", hint)?],
        None => resource_candidates(&http.url),
    };
    for url in &candidates {
        let fetched = http.get(url).await?;
        if fetched.status == 200 {
            let metadata = ResourceMetadata::read(&fetched.body, &http.url);
            return metadata
                .map(Some)
                .map_err(|why| format!("{}: {why}", shown(url)));
        }
        if hint.is_some() {
            return Err(format!("{}: HTTP {}", shown(url), fetched.status));
        }
    }
    Ok(None)
}

async fn server_metadata(http: &Http, issuer: &str) -> Result<ServerMetadata, String> {
    let url = http.rules.read("the issuer", issuer)?;
    let candidates = server_candidates(&url);
    match first_server(http, &candidates, issuer).await? {
        Some(metadata) => Ok(metadata),
        None => {
            let asked: Vec<String> = candidates.iter().map(shown).collect();
            Err(format!(
                "{} has no metadata; asked: {}",
                shown(&url),
                asked.join(", ")
            ))
        }
    }
}

/// Of a server of MCP 2025-03-26: metadata at its origin, else the default paths there.
async fn without_resource_metadata(http: &Http) -> Result<ServerMetadata, String> {
    let issuer = base_issuer(&http.url);
    let mut origin = http.url.clone();
    origin.set_path("/");
    origin.set_query(None);
    let found = first_server(http, &server_candidates(&origin), &issuer).await?;
    Ok(found.unwrap_or_else(|| ServerMetadata::by_default_paths(&origin)))
}

async fn first_server(
    http: &Http,
    candidates: &[Url],
    issuer: &str,
) -> Result<Option<ServerMetadata>, String> {
    for url in candidates {
        let fetched = http.get(url).await?;
        if fetched.status != 200 {
            continue;
        }
        let metadata = ServerMetadata::read(&fetched.body, issuer, http.rules);
        return metadata.map(Some).map_err(|error| match &error {
            MetadataError::OtherIssuer { named, .. } => format!(
                "{}: {error}; if that is right, set oauth.issuer = \"{named}\"",
                shown(url)
            ),
            MetadataError::Unusable(why) => format!("{}: {why}", shown(url)),
        });
    }
    Ok(None)
}
