//! What a request is about, and which backend has it.
//!
//! Owns finding the backend of a name or a URI in the catalog, and the error where there is none. Of
//! the params it reads only the members that calls are routed by. It must not know how a backend is
//! called.

mod switched_off;
mod unknown;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::HttpBackend;
use crate::backend::retry::Replay;
use crate::catalog::Entry;
use crate::protocol::{Kind, RawJson};
use crate::snapshot::Snapshot;
pub(super) use unknown::missing;

/// What a call is about: the member of its params that says where it goes.
#[derive(Debug)]
pub(super) struct CallTarget {
    /// The kind of list that has it.
    pub(super) kind: Kind,
    /// The client's name or URI for it.
    pub(super) name: String,
    /// Where the name stands in the params.
    pub(super) at: Range<usize>,
    /// Whether it is to run as a task of the legacy era.
    pub(super) is_task: bool,
    /// Whether the params have a `_meta`.
    pub(super) has_meta: bool,
}

/// Where a call goes.
pub(super) struct Route<'a> {
    /// The backend.
    pub(super) backend: &'a Arc<HttpBackend>,
    /// `None` for a resource that no backend lists under this URI.
    pub(super) entry: Option<&'a Entry>,
    /// The backend's own URI, where that of the client is an alias and not listed.
    pub(super) own_uri: Option<Arc<str>>,
}

impl<'a> Route<'a> {
    /// The backend's own name or URI; `None` where the client uses it too.
    pub(super) fn own_name(&self) -> Option<&Arc<str>> {
        let listed = self.entry.map(|entry| &entry.own_name);
        listed.or(self.own_uri.as_ref())
    }

    /// The tool that a call of this kind runs, if it runs one.
    pub(super) fn tool(&self, kind: Kind) -> Option<&'a Entry> {
        self.entry.filter(|_| kind == Kind::Tool)
    }

    /// The time that a call has, from the moment it came in.
    pub(super) fn timeout(&self) -> Duration {
        let config = &self.backend.config;
        let tool = self.entry.filter(|entry| entry.kind == Kind::Tool);
        tool.map_or(config.timeout, |tool| config.timeout_of(&tool.own_name))
    }

    /// Whether a call may run twice. Only tools can do harm; for them the config decides first, then
    /// the tool's annotations.
    pub(super) fn replay(&self, kind: Kind) -> Replay {
        match self.tool(kind) {
            Some(tool) => {
                let rule = self.backend.config.retry_of(&tool.own_name);
                Replay::of_tool(rule, tool.safe_to_repeat)
            }
            None => Replay::Safe,
        }
    }
}

impl CallTarget {
    /// Reads what a call of this method is about.
    ///
    /// # Errors
    /// What is wrong with the params, for a message.
    pub(super) fn read(method: &str, params: &RawJson) -> Result<Self, String> {
        let twice = |key: &str| format!("duplicate member {key:?}");
        let [name, uri, reference, task, meta] = params
            .locate_members(["name", "uri", "ref", "task", "_meta"])
            .map_err(twice)?;
        let (kind, at) = match method {
            "tools/call" => (Kind::Tool, name.ok_or(r#"params need "name""#)?),
            "prompts/get" => (Kind::Prompt, name.ok_or(r#"params need "name""#)?),
            "resources/read" => (Kind::Resource, uri.ok_or(r#"params need "uri""#)?),
            _ => referred(params, reference.ok_or(r#"params need "ref""#)?)?,
        };
        let name = params.slice(at.clone()).text();
        Ok(Self {
            kind,
            name: name.ok_or_else(|| format!("{} must be a string", named_by(kind)))?,
            at,
            is_task: task.is_some(),
            has_meta: meta.is_some(),
        })
    }

    /// The target of a request about a resource.
    pub(super) fn of_resource(uri: &str) -> Self {
        Self {
            kind: Kind::Resource,
            name: uri.to_owned(),
            at: 0..0,
            is_task: false,
            has_meta: false,
        }
    }

    /// The backend that has it, if one does: by its exact name, then as it was named by a tool or a
    /// result, then by template, then by the files beside it, then the only backend with resources.
    pub(super) fn route<'a>(&self, snapshot: &'a Snapshot) -> Option<Route<'a>> {
        let catalog = &snapshot.catalog;
        let to = |entry: &'a Entry| {
            // A template that matches a URI is not the entry of that URI.
            let named = (entry.kind == self.kind).then_some(entry);
            let backend = snapshot.backends.get(entry.backend)?;
            Some(Route {
                backend,
                entry: named,
                own_uri: named.is_none().then(|| Arc::clone(&entry.own_name)),
            })
        };
        let listed = catalog.resolve(self.kind, &self.name);
        match self.kind {
            Kind::Tool | Kind::Prompt => listed.and_then(to),
            Kind::Template => listed
                .or_else(|| catalog.resolve(Kind::Resource, &self.name))
                .and_then(to),
            Kind::Resource => listed
                .and_then(to)
                .or_else(|| self.route_unlisted(snapshot))
                .or_else(|| only_one_with_resources(snapshot)),
        }
    }

    /// The route of a resource that is in no list, but was named, or is one of a template.
    fn route_unlisted<'a>(&self, snapshot: &'a Snapshot) -> Option<Route<'a>> {
        let named = snapshot.owner_of_unlisted(&self.name);
        let (backend, own_uri) = match named {
            Some((backend, own)) => (backend, Some(own)),
            None => match snapshot.catalog.resolve_template(&self.name) {
                Some((template, own)) => (template.backend, own.map(Arc::from)),
                None => {
                    let (backend, own) = snapshot.owner_beside(&self.name)?;
                    (backend, Some(Arc::from(own)))
                }
            },
        };
        Some(Route {
            backend: snapshot.backends.get(backend)?,
            entry: None,
            own_uri: own_uri.filter(|own| **own != *self.name),
        })
    }
}

/// The kind that a completion refers to, and where the name or URI stands in the params.
fn referred(params: &RawJson, at: Range<usize>) -> Result<(Kind, Range<usize>), String> {
    let reference = params.slice(at.clone());
    let [kind, name, uri] = reference
        .locate_members(["type", "name", "uri"])
        .map_err(|key| format!("duplicate member {key:?} in \"ref\""))?;
    let kind = kind.and_then(|kind| reference.slice(kind).text());
    let (kind, inner) = match kind.as_deref() {
        Some("ref/prompt") => (Kind::Prompt, name),
        Some("ref/resource") => (Kind::Template, uri),
        Some(other) => return Err(format!("unknown reference type {other:?}")),
        None => return Err(r#""ref" needs "type", a string"#.into()),
    };
    let inner = inner.ok_or_else(|| format!("\"ref\" needs {}", named_by(kind)))?;
    Ok((kind, at.start + inner.start..at.start + inner.end))
}

/// The member that says which one of its kind is meant.
fn named_by(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool | Kind::Prompt => r#""name""#,
        Kind::Resource | Kind::Template => r#""uri""#,
    }
}

/// The route of a resource that no backend lists: only where a single backend has resources.
fn only_one_with_resources(snapshot: &Snapshot) -> Option<Route<'_>> {
    let mut offering = snapshot
        .backends
        .iter()
        .filter(|backend| backend.capability(&["resources"]).is_some());
    match (offering.next(), offering.next()) {
        (Some(backend), None) => Some(Route {
            backend,
            entry: None,
            own_uri: None,
        }),
        _ => None,
    }
}
