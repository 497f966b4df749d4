//! The members of a definition (MCP 2025-11-25 and 2026-07-28, schema: `Tool`, `Prompt`, `Resource`,
//! `ResourceTemplate`), besides those that have rules of their own.
//!
//! Owns the tables, and the arguments of prompts. Left out are the members that identify an item,
//! which are checked before, and the schemas of tools. `execution` is of 2025-11-25 alone, and
//! harmless elsewhere.

use super::coerce::{Fit, Member, Shape, array, coerce_record, isnt};
use super::mends::Mends;
use crate::protocol::message::elements;
use crate::protocol::{Kind, RawJson};

/// The members of a definition of this kind.
pub(super) fn of(kind: Kind) -> &'static [Member] {
    match kind {
        Kind::Tool => &TOOL,
        Kind::Prompt => &PROMPT,
        Kind::Resource => &RESOURCE,
        Kind::Template => &TEMPLATE,
    }
}

const fn optional(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        shape,
        required: false,
    }
}

const fn required(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        shape,
        required: true,
    }
}

const TITLE: Member = optional("title", Shape::Text);
const DESCRIPTION: Member = optional("description", Shape::Text);
const MIME_TYPE: Member = optional("mimeType", Shape::Text);
const ICONS: Member = optional("icons", Shape::List(&ICON));
const META: Member = optional("_meta", Shape::Object);
const ANNOTATIONS: Member = optional("annotations", Shape::Record(&HOST_HINTS));

static TOOL: [Member; 6] = [
    TITLE,
    DESCRIPTION,
    // A hint that can't be read is left out, never read as `true`.
    optional("annotations", Shape::Record(&TOOL_HINTS)),
    optional("execution", Shape::Record(&EXECUTION)),
    ICONS,
    META,
];

static PROMPT: [Member; 4] = [TITLE, DESCRIPTION, ICONS, META];

static RESOURCE: [Member; 7] = [
    TITLE,
    DESCRIPTION,
    MIME_TYPE,
    optional("size", Shape::Integer),
    ANNOTATIONS,
    ICONS,
    META,
];

static TEMPLATE: [Member; 6] = [TITLE, DESCRIPTION, MIME_TYPE, ANNOTATIONS, ICONS, META];

static TOOL_HINTS: [Member; 5] = [
    TITLE,
    optional("readOnlyHint", Shape::Bool),
    optional("destructiveHint", Shape::Bool),
    optional("idempotentHint", Shape::Bool),
    optional("openWorldHint", Shape::Bool),
];

static EXECUTION: [Member; 1] = [optional(
    "taskSupport",
    Shape::OneOf(&["forbidden", "optional", "required"]),
)];

static HOST_HINTS: [Member; 3] = [
    optional(
        "audience",
        Shape::List(&Shape::OneOf(&["user", "assistant"])),
    ),
    optional("priority", Shape::UnitInterval),
    optional("lastModified", Shape::Timestamp),
];

static ICON: Shape = Shape::Record(&[
    required("src", Shape::Text),
    MIME_TYPE,
    optional("sizes", Shape::List(&Shape::Text)),
    optional("theme", Shape::OneOf(&["light", "dark"])),
]);

static ARGUMENT: [Member; 4] = [
    required("name", Shape::Text),
    TITLE,
    DESCRIPTION,
    optional("required", Shape::Flag),
];

/// Holds the URI of a resource against RFC 3986, as the WHATWG reads it: the Python SDK (1.x)
/// refuses all resources for one that is relative, or has no host where it needs one.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_uri(uri: &str) -> Result<(), String> {
    match url::Url::parse(uri) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("its `uri` is not an absolute URI: {why}")),
    }
}

/// The arguments of a prompt. One that can't be named can't be given: the prompt is withheld.
pub(super) fn arguments(value: &RawJson, mends: &mut Mends) -> Fit {
    let is_empty_object = value.members().is_some_and(|members| members.is_empty());
    if is_empty_object || value.as_str() == "null" {
        mends.add("", "holds nothing: an empty array is listed");
        return Fit::As(RawJson::trusted("[]"));
    }
    let Some(listed) = elements(value) else {
        return Fit::No(format!("its `arguments` {}", isnt(value, "an array")));
    };
    let (mut out, mut changed) = (Vec::with_capacity(listed.len()), false);
    for (at, element) in listed.into_iter().enumerate() {
        match mends.within(&at.to_string(), |mends| argument(&element, mends)) {
            Fit::Yes => out.push(element),
            Fit::As(mended) => {
                changed = true;
                out.push(mended);
            }
            Fit::No(why) => return Fit::No(format!("its `arguments.{at}` {why}")),
        }
    }
    match changed {
        true => Fit::As(array(&out)),
        false => Fit::Yes,
    }
}

/// One argument: an object with a name, or its name alone.
fn argument(value: &RawJson, mends: &mut Mends) -> Fit {
    if !value.as_str().starts_with('"') {
        return coerce_record(&ARGUMENT, value, mends);
    }
    mends.add("", "is a string: an argument of that name is listed");
    let argument = ["{\"name\":", value.as_str(), "}"].concat();
    Fit::As(RawJson::trusted(argument))
}
