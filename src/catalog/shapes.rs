//! Definitions as clients can read them.
//!
//! A client checks a list as a whole: the TypeScript SDK refuses all tools of all backends for one
//! that is malformed. Owns what is done about each departure from the specification: a definition
//! that can be meant in only one way is mended, one that can't be read is withheld alone, and both
//! are reported. It works on the text: bytes outside of a mended member stay. Pure; it must not know
//! what is pinned, since a backend's own definition is, nor names.
//!
//! There are two shapes, one for each era. Each legacy version only adds constraints to the one
//! before, so that a definition in the shape of 2025-11-25 has that of every earlier one; newer
//! SDKs also read the lists of older versions by the newest shape.

mod coerce;
mod members;
mod mends;
mod output;
mod pattern;
mod promise;
mod sound;
#[cfg(test)]
mod tests;
mod tool_schema;
mod validator;
mod wrap;

use std::sync::Arc;

use serde_json::value::RawValue;

use super::rejected::RejectReason;
use crate::protocol::era::modern::key;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Kind, RawJson};
use coerce::{Changes, Fit, coerce_members, has_huge_number};
use mends::Mends;
pub(crate) use pattern::is_portable_pattern;
pub use promise::Promise;
pub(crate) use promise::shape_unpromised;

/// A definition in the shape of each era. Not copied where nothing is changed.
#[derive(Debug)]
pub(super) struct Shaped {
    /// For clients up to 2025-11-25.
    pub(super) legacy: RawJson,
    /// For clients from 2026-07-28.
    pub(super) modern: RawJson,
    /// What results are held against, if the backend lists an `outputSchema`.
    pub(super) promise: Option<Arc<Promise>>,
    /// What is changed, printable; `None` if nothing is.
    pub(super) mends: Option<String>,
    /// What the description must say, whatever else it says.
    pub(super) rules: Option<String>,
}

/// Brings the definition of a server of this era into shape.
///
/// # Errors
/// Why it is withheld.
pub(super) fn shape(kind: Kind, definition: &RawJson, server: Era) -> Result<Shaped, RejectReason> {
    let mut mends = Mends::default();
    let definition = &with_readable_numbers(kind, definition, &mut mends)?;
    let members = definition.members().ok_or(RejectReason::NotAnObject)?;
    let changes = coerce_members(members::of(kind), definition, &members, &mut mends);
    let mut work = Work {
        definition,
        members,
        changes: changes.map_err(RejectReason::Unreadable)?,
        mends,
    };
    work.leave_out_ours();
    let shaped = match kind {
        Kind::Tool => work.tool(server),
        Kind::Prompt => work.prompt(),
        Kind::Resource | Kind::Template => work.resource(kind),
    };
    shaped.map_err(RejectReason::Unreadable)
}

/// The definition without optional members that have a number which is too large to be read.
///
/// # Errors
/// Such a number is elsewhere.
fn with_readable_numbers(
    kind: Kind,
    definition: &RawJson,
    mends: &mut Mends,
) -> Result<RawJson, RejectReason> {
    if !has_huge_number(definition) {
        return Ok(definition.clone());
    }
    let optional = members::of(kind).iter().map(|member| member.name);
    let optional = optional.chain((kind == Kind::Tool).then_some("outputSchema"));
    let is_huge = |name: &&str| {
        definition
            .get(name)
            .is_some_and(|value| has_huge_number(&value))
    };
    let left_out: Vec<&str> = optional.filter(is_huge).collect();
    for name in &left_out {
        mends.add(name, "has a number that is too large to be read: left out");
    }
    let definition = definition.with_members(&[], &left_out);
    match has_huge_number(&definition) {
        true => Err(RejectReason::Unreadable(
            "it has a number that is too large to be read".into(),
        )),
        false => Ok(definition),
    }
}

/// A definition whose simple members are held against their shapes already. Errors are sentences.
struct Work<'a> {
    definition: &'a RawJson,
    members: Vec<(String, &'a RawValue)>,
    changes: Changes,
    mends: Mends,
}

impl Work<'_> {
    /// The value of a member; of duplicates the last one.
    fn get(&self, name: &str) -> Option<RawJson> {
        let last = self.members.iter().rev().find(|(key, _)| key == name);
        last.map(|(_, value)| self.definition.part(value))
    }

    /// A server could name another under the keys that the gateway alone sets (F-X-06).
    fn leave_out_ours(&mut self) {
        let has = |meta: &RawJson| key::OURS.iter().any(|key| meta.get(key).is_some());
        let says = self.definition.every("_meta").any(|meta| has(&meta));
        if let Some(meta) = self.get("_meta").filter(|_| says) {
            let rest = meta.with_members(&[], &key::OURS);
            self.changes.set("_meta", rest.into_bytes());
        }
    }

    fn tool(mut self, server: Era) -> Result<Shaped, String> {
        let schema = self.get("inputSchema");
        let input = |mends: &mut Mends| tool_schema::input(schema.as_ref(), mends);
        let fit = self.mends.within("inputSchema", input);
        self.changes.apply("inputSchema", fit)?;
        let Some(schema) = self.get("outputSchema") else {
            return Ok(self.done());
        };
        let output = |mends: &mut Mends| output::output(&schema, server, mends);
        let output = self.mends.within("outputSchema", output);
        let listed = match &output.modern {
            Fit::Yes => Some(schema),
            Fit::As(schema) => Some(schema.clone()),
            Fit::No(_) => None,
        };
        let mut modern = self.changes.clone();
        modern.apply_optional("outputSchema", output.modern);
        let modern = modern.apply_to(self.definition);
        self.changes.apply_optional("outputSchema", output.legacy);
        Ok(Shaped {
            modern,
            promise: Some(Arc::new(Promise::new(listed, output.wrapped))),
            ..self.done()
        })
    }

    fn prompt(mut self) -> Result<Shaped, String> {
        if let Some(arguments) = self.get("arguments") {
            let fit = |mends: &mut Mends| members::arguments(&arguments, mends);
            let fit = self.mends.within("arguments", fit);
            self.changes.apply("arguments", fit)?;
        }
        Ok(self.done())
    }

    fn resource(mut self, kind: Kind) -> Result<Shaped, String> {
        let key = kind.key();
        let uri = self.get(key).and_then(|uri| uri.text()).unwrap_or_default();
        if kind == Kind::Resource {
            members::check_uri(&uri)?;
        }
        let name = self.get("name");
        if !name.is_some_and(|name| name.as_str().starts_with('"')) {
            self.mends
                .add("name", format_args!("is no string: the {key} is listed"));
            self.changes.set("name", quoted(&uri));
        }
        Ok(self.done())
    }

    fn done(self) -> Shaped {
        let definition = self.changes.apply_to(self.definition);
        Shaped {
            modern: definition.clone(),
            legacy: definition,
            promise: None,
            mends: self.mends.summary(),
            rules: None,
        }
    }
}
