//! The `outputSchema` of a tool.
//!
//! Owns what a client of each era is promised. The legacy era has only objects as structured
//! content; what a modern server promises beyond that is wrapped for its clients, as the official
//! SDKs do it (MCP 2026-07-28, server/tools). A schema that can't be used is left out: it permits
//! nothing that is not permitted without it, and the TypeScript SDK refuses the whole list for one
//! that it can't compile.

use serde_json::Value;

use super::coerce::{Changes, Fit, isnt};
use super::mends::Mends;
use super::{sound, tool_schema, wrap};
use crate::protocol::{Era, RawJson};

/// Most bytes of a schema: clients compile it when they list, and error results are held against it.
const MAX_BYTES: usize = 64 << 10;

/// The schema for clients of each era.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) legacy: Fit,
    pub(super) modern: Fit,
    /// Legacy clients get it wrapped.
    pub(super) wrapped: bool,
}

impl Output {
    fn left_out(mends: &mut Mends, why: &str) -> Self {
        mends.add("", format_args!("{why}: left out"));
        Self {
            legacy: Fit::No(String::new()),
            modern: Fit::No(String::new()),
            wrapped: false,
        }
    }
}

/// Holds an `outputSchema` of a server of this era against its shape.
pub(super) fn output(schema: &RawJson, server: Era, mends: &mut Mends) -> Output {
    let is_empty = tool_schema::says_nothing(schema);
    if is_empty && (server == Era::Legacy || !schema.is_object()) {
        return Output::left_out(mends, "says nothing");
    }
    let whole = match usable(schema, server, mends) {
        Ok(usable) => usable,
        Err(why) => return Output::left_out(mends, &why),
    };
    let is_object = whole
        .get("type")
        .is_some_and(|kind| kind.as_str() == "\"object\"");
    if server == Era::Modern && !is_object {
        return Output {
            legacy: Fit::As(wrap::schema(&whole)),
            modern: changed(schema, whole),
            wrapped: true,
        };
    }
    let legacy = match tool_schema::object(&whole, mends) {
        Fit::Yes => changed(schema, whole.clone()),
        fit => fit,
    };
    if let Fit::No(why) = &legacy {
        return Output::left_out(mends, why);
    }
    let modern = match server {
        Era::Modern => changed(schema, whole),
        Era::Legacy => legacy.clone(),
    };
    Output {
        legacy,
        modern,
        wrapped: false,
    }
}

/// The schema without what only some clients can use, if all of them can compile the rest.
fn usable(schema: &RawJson, server: Era, mends: &mut Mends) -> Result<RawJson, String> {
    if !schema.is_object() {
        return Err(isnt(schema, "an object"));
    }
    if schema.as_bytes().len() > MAX_BYTES {
        return Err(format!("has more than {MAX_BYTES} bytes"));
    }
    let mut changes = Changes::default();
    let mut read: Value = schema
        .read()
        .map_err(|_| "has a value in it that not every client can read".to_owned())?;
    // Ajv compiles a schema once for each id, and refuses a second one that differs.
    if read.get("$id").is_some_and(|id| id.is_string()) {
        mends.add("$id", "is left out: it would belong to one tool alone");
        changes.remove("$id");
    }
    if read
        .get("$schema")
        .is_some_and(|dialect| !dialect.is_string())
    {
        mends.add("$schema", "is not a string: left out");
        changes.remove("$schema");
    }
    let is_object = server == Era::Legacy || read["type"] == "object";
    if let Some(members) = read.as_object_mut() {
        members.retain(|name, value| match &**name {
            "$id" => !value.is_string(),
            "$schema" => false,
            name => !(is_object && is_mended(name, value)),
        });
    }
    sound::check(&read)?;
    Ok(changes.apply_to(schema))
}

/// Whether [`tool_schema::object`] mends or refuses this member of the root of an object's schema.
fn is_mended(name: &str, value: &Value) -> bool {
    match name {
        "type" => value.is_null(),
        "properties" => !value.is_object(),
        "required" => !value.is_array(),
        _ => false,
    }
}

fn changed(before: &RawJson, now: RawJson) -> Fit {
    match *before == now {
        true => Fit::Yes,
        false => Fit::As(now),
    }
}
