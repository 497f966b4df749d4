//! The schemas of a tool: objects of JSON Schema whose root says `"type": "object"`.
//!
//! Owns what is meant by one that says less. Arguments are always an object, so that a missing type
//! can mean nothing else. It must not know the difference between the eras.

use bytes::Bytes;

use super::coerce::{Changes, Fit, isnt};
use super::mends::Mends;
use crate::catalog::rejected::label;
use crate::protocol::RawJson;
use crate::protocol::message::elements;

/// What is listed for no schema at all.
const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

/// Holds an `inputSchema` against its shape; an error is a sentence.
pub(super) fn input(schema: Option<&RawJson>, mends: &mut Mends) -> Fit {
    let Some(schema) = schema else {
        mends.add("", "is missing: an object without parameters is listed");
        return Fit::As(RawJson::trusted(EMPTY));
    };
    if says_nothing(schema) {
        mends.add("", "says nothing: an object without parameters is listed");
        return Fit::As(RawJson::trusted(EMPTY));
    }
    match object(schema, mends) {
        Fit::No(why) => Fit::No(format!("its `inputSchema` {why}")),
        fit => fit,
    }
}

/// Whether a schema takes every value: `{}`, `true`, `null`, and `[]`, as which PHP writes `{}`.
pub(super) fn says_nothing(schema: &RawJson) -> bool {
    match schema.as_str() {
        "true" | "null" => true,
        text if text.starts_with('[') => elements(schema).is_some_and(|items| items.is_empty()),
        text => text.starts_with('{') && schema.members().is_some_and(|m| m.is_empty()),
    }
}

/// Holds a schema against the shape that is common to both schemas of a tool.
pub(super) fn object(schema: &RawJson, mends: &mut Mends) -> Fit {
    let Some(members) = schema.members() else {
        return Fit::No(isnt(schema, "a readable object"));
    };
    let of = |name: &str| {
        let last = members.iter().rev().find(|(key, _)| key == name);
        last.map(|(_, value)| schema.part(value))
    };
    let mut changes = Changes::default();
    match object_type(of("type").as_ref()) {
        Fit::Yes => {}
        Fit::As(object) => {
            let what = if of("type").is_some() {
                "allows more than"
            } else {
                "is missing:"
            };
            mends.add("type", format_args!("{what} `object`, which is listed"));
            changes.set("type", object.into_bytes());
        }
        Fit::No(why) => return Fit::No(why),
    }
    if of("$schema").is_some_and(|dialect| !dialect.as_str().starts_with('"')) {
        mends.add("$schema", "is not a string: left out");
        changes.remove("$schema");
    }
    let properties = of("properties");
    let names = properties.as_ref().and_then(RawJson::members);
    if let Some(properties) = &properties {
        let fit = mends.within("properties", |mends| self::properties(properties, mends));
        if let Err(why) = changes.apply("properties", fit) {
            return Fit::No(why);
        }
    }
    if let Some(required) = of("required") {
        let known = |name: &str| {
            let names = names.as_ref();
            names.is_some_and(|names| names.iter().any(|(known, _)| known == name))
        };
        match self::required(&required, known) {
            Required::Fits => {}
            Required::One(name) => {
                mends.add("required", "is a string: an array of it is listed");
                changes.set("required", Bytes::from(format!("[{}]", name.as_str())));
            }
            Required::Nothing => {
                mends.add("required", "holds nothing: left out");
                changes.remove("required");
            }
            Required::Unreadable => {
                return Fit::No("has a `required` that is not an array of names".into());
            }
        }
    }
    match changes.is_empty() {
        true => Fit::Yes,
        false => Fit::As(changes.apply_to(schema)),
    }
}

/// Holds a `type` against `object`. One that allows other types too allows an object, and nothing
/// else can be sent.
fn object_type(kind: Option<&RawJson>) -> Fit {
    let Some(kind) = kind.filter(|kind| kind.as_str() != "null") else {
        return Fit::As(RawJson::trusted("\"object\""));
    };
    let is_object = |kind: &RawJson| kind.text().is_some_and(|kind| kind == "object");
    if is_object(kind) {
        return Fit::Yes;
    }
    let is_spelled = kind
        .text()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("object"));
    let is_among = elements(kind).is_some_and(|kinds| kinds.iter().any(is_object));
    match is_spelled || is_among {
        true => Fit::As(RawJson::trusted("\"object\"")),
        false => match kind.text() {
            Some(kind) => Fit::No(format!("has the type `{}`, not `object`", label(&kind))),
            None => Fit::No("has a type that is not `object`".into()),
        },
    }
}

/// Holds the value of `properties` against an object of schemas that are objects.
fn properties(value: &RawJson, mends: &mut Mends) -> Fit {
    if !value.is_object() && says_nothing(value) && value.as_str() != "true" {
        mends.add("", "holds nothing: an empty object is listed");
        return Fit::As(RawJson::trusted("{}"));
    }
    let Some(members) = value.members() else {
        return Fit::No(format!(
            "has `properties` that {}",
            isnt(value, "a readable object").replacen("is", "are", 1)
        ));
    };
    let mut edits = Vec::new();
    for (name, schema) in &members {
        let at = value.range_of(schema);
        let schema = value.part(schema);
        if schema.is_object() {
            continue;
        }
        let (meant, what) = match schema.as_str() {
            "false" => ("{\"not\":{}}", "is false: the same as an object is listed"),
            _ if says_nothing(&schema) => ("{}", "says nothing: an empty schema is listed"),
            _ => {
                let name = label(name);
                return Fit::No(format!("has a property `{name}` that is not a schema"));
            }
        };
        mends.add(name, what);
        edits.push((at, Bytes::from_static(meant.as_bytes())));
    }
    match edits.is_empty() {
        true => Fit::Yes,
        false => Fit::As(value.with_edits(edits)),
    }
}

/// What a `required` means.
enum Required {
    Fits,
    /// The name of one property.
    One(RawJson),
    Nothing,
    Unreadable,
}

fn required(value: &RawJson, known: impl Fn(&str) -> bool) -> Required {
    let is_string = |name: &RawJson| name.as_str().starts_with('"');
    match value.as_str() {
        "null" | "false" => Required::Nothing,
        text if text.starts_with('[') => match elements(value) {
            Some(names) if names.iter().all(is_string) => Required::Fits,
            _ => Required::Unreadable,
        },
        text if text.starts_with('{') && says_nothing(value) => Required::Nothing,
        text if text.starts_with('"') && value.text().is_some_and(|name| known(&name)) => {
            Required::One(value.clone())
        }
        _ => Required::Unreadable,
    }
}
