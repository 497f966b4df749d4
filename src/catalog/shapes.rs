//! Definitions as clients can read them.
//!
//! A client checks a list as a whole: the TypeScript SDK refuses all tools of all backends for one
//! that is malformed. Owns what is done about each departure from the specification: a definition
//! that can be meant in only one way is mended, one that can't be read is withheld alone, and both
//! are said. It works on the text: bytes outside of a mended member stay. Pure; it must not know
//! what is pinned, since a backend's own definition is, nor names.
//!
//! There are two shapes, one for each era. Each legacy version only adds constraints to the one
//! before, so that a definition in the shape of 2025-11-25 has that of every earlier one; newer
//! SDKs also read the lists of older versions by the newest shape.

mod fit;
mod members;
mod mends;
mod output;
mod pattern;
mod sound;
#[cfg(test)]
mod tests;
mod tool_schema;

use super::rejected::RejectReason;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Kind, RawJson};
use fit::fit_members;
use mends::Mends;

/// A definition in the shape of each era. Not copied where nothing is changed.
#[derive(Debug)]
pub(super) struct Shaped {
    /// For clients up to 2025-11-25.
    pub(super) legacy: RawJson,
    /// For clients from 2026-07-28.
    pub(super) modern: RawJson,
    /// What is changed, printable; `None` if nothing is.
    pub(super) mends: Option<String>,
}

/// Brings the definition of a server of this era into shape.
///
/// # Errors
/// Why it is withheld.
pub(super) fn shape(kind: Kind, definition: &RawJson, server: Era) -> Result<Shaped, RejectReason> {
    let mut mends = Mends::default();
    let members = definition.members().ok_or(RejectReason::NotAnObject)?;
    let changes = fit_members(members::of(kind), definition, &members, &mut mends);
    let mut changes = changes.map_err(RejectReason::Unreadable)?;
    let of = |name: &str| {
        let last = members.iter().rev().find(|(key, _)| key == name);
        last.map(|(_, value)| definition.part(value))
    };
    let mut modern_only = None;
    match kind {
        Kind::Tool => {
            let schema = of("inputSchema");
            let fit = mends.within("inputSchema", |mends| {
                tool_schema::input(schema.as_ref(), mends)
            });
            changes
                .apply("inputSchema", fit)
                .map_err(RejectReason::Unreadable)?;
            if let Some(schema) = of("outputSchema") {
                let output = mends.within("outputSchema", |mends| {
                    output::output(&schema, server, mends)
                });
                let mut modern = changes.clone();
                changes.apply_optional("outputSchema", output.legacy);
                modern.apply_optional("outputSchema", output.modern);
                modern_only = Some(modern);
            }
        }
        Kind::Prompt => {
            if let Some(arguments) = of("arguments") {
                let fit = members::arguments(&arguments, &mut mends);
                changes
                    .apply("arguments", fit)
                    .map_err(RejectReason::Unreadable)?;
            }
        }
        Kind::Resource | Kind::Template => {
            let key = kind.key();
            let uri = of(key).and_then(|uri| uri.text()).unwrap_or_default();
            if kind == Kind::Resource {
                members::check_uri(&uri).map_err(RejectReason::Unreadable)?;
            }
            let name = of("name");
            if !name.is_some_and(|name| name.as_str().starts_with('"')) {
                mends.say("name", format_args!("is no string: the {key} is listed"));
                changes.set("name", quoted(&uri));
            }
        }
    }
    let legacy = changes.apply_to(definition);
    Ok(Shaped {
        modern: modern_only.map_or_else(|| legacy.clone(), |changes| changes.apply_to(definition)),
        legacy,
        mends: mends.told(),
    })
}
