//! One item of a listing: its name and its definition.
//!
//! Owns the checks of a definition, and the definition that clients see. It must not know other
//! items: [`crate::catalog::names`] assigns names.

use std::sync::Arc;

use serde::Deserialize;

use crate::catalog::rejected::{MAX_BYTES, MAX_NAME_CHARS, MAX_URI_CHARS, RejectReason};
use crate::protocol::raw::quoted;
use crate::protocol::{Kind, RawJson};
use crate::text::{Scrubber, Unclean, clean_json, visible};

/// A valid item.
#[derive(Debug)]
pub(in crate::catalog) struct Item {
    /// The backend's own name or URI for it.
    pub(in crate::catalog) own: Arc<str>,
    /// The cleaned definition, still under its own name.
    pub(in crate::catalog) definition: RawJson,
    /// Annotated as read-only or idempotent.
    pub(in crate::catalog) safe_to_repeat: bool,
    /// `execution.taskSupport` is `required`.
    pub(in crate::catalog) requires_task: bool,
}

/// An invalid item: its name, if it could be read, and the reason.
pub(super) struct RejectedItem {
    pub(super) name: Option<String>,
    pub(super) reason: RejectReason,
}

impl Item {
    /// Reads one raw item.
    pub(super) fn read(
        kind: Kind,
        raw: &RawJson,
        scrubber: &Scrubber,
    ) -> Result<Self, RejectedItem> {
        let key = kind.key();
        let nameless = |reason| RejectedItem { name: None, reason };
        let members = raw
            .members()
            .ok_or_else(|| nameless(RejectReason::NotAnObject))?;
        let mut names = members.iter().filter(|(name, _)| name == key);
        let own: String = names
            .next()
            .and_then(|(_, value)| serde_json::from_str(value.get()).ok())
            .filter(|own: &String| !own.is_empty())
            .ok_or_else(|| nameless(RejectReason::NoName(key)))?;
        let checked = match names.next() {
            Some(_) => Err(RejectReason::TwoNames(key)),
            None => check_name(kind, &own, scrubber).and_then(|()| check_definition(raw, scrubber)),
        };
        match checked {
            Ok(definition) => {
                let annotations = members.iter().rev().find(|(name, _)| name == "annotations");
                let safe_to_repeat = kind == Kind::Tool
                    && annotations.is_some_and(|(_, value)| Hints::allow_repeat(value.get()));
                Ok(Self {
                    own: own.into(),
                    definition,
                    safe_to_repeat,
                    requires_task: kind == Kind::Tool && requires_task(raw),
                })
            }
            Err(reason) => Err(RejectedItem {
                name: Some(own),
                reason,
            }),
        }
    }
}

fn requires_task(tool: &RawJson) -> bool {
    let support = tool.at(&["execution", "taskSupport"]);
    support.is_some_and(|support| support.as_str() == r#""required""#)
}

/// The definition that clients see: with this name or URI and description, where given, and these
/// rules at the end of the description. Not copied if nothing changes.
pub(in crate::catalog) fn exposed_definition(
    kind: Kind,
    definition: &RawJson,
    name: Option<&str>,
    description: Option<&str>,
    rules: Option<&str>,
) -> RawJson {
    let own = || definition.get("description").and_then(|own| own.text());
    let with_rules = rules.map(|rules| match description.map(str::to_owned).or_else(own) {
        Some(description) => format!("{description}\n\n{rules}"),
        None => rules.to_owned(),
    });
    let description = with_rules.as_deref().or(description);
    let changes = [(kind.key(), name), ("description", description)];
    let changes = changes.into_iter();
    let set: Vec<_> = changes
        .filter_map(|(key, value)| Some((key, quoted(value?))))
        .collect();
    definition.with_members(&set, &[])
}

fn check_name(kind: Kind, own: &str, scrubber: &Scrubber) -> Result<(), RejectReason> {
    let limit = if kind.is_uri() {
        MAX_URI_CHARS
    } else {
        MAX_NAME_CHARS
    };
    let breaks_a_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if own.contains(breaks_a_line) || visible(own) != own {
        Err(RejectReason::HostileName(kind.key()))
    } else if scrubber.message(own) != own {
        Err(RejectReason::SecretName(kind.key()))
    } else if own.chars().count() > limit {
        Err(RejectReason::LongName(kind.key(), limit))
    } else {
        Ok(())
    }
}

fn check_definition(raw: &RawJson, scrubber: &Scrubber) -> Result<RawJson, RejectReason> {
    match raw.as_bytes().len() {
        0..=MAX_BYTES => clean_json(raw, scrubber).map_err(|unclean| match unclean {
            Unclean::HiddenKey => RejectReason::HostileKey,
            Unclean::SecretKey => RejectReason::SecretKey,
            Unclean::TooDeep => RejectReason::TooDeep,
        }),
        bytes => Err(RejectReason::TooLarge(bytes)),
    }
}

/// The annotations that allow a tool to run twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hints {
    #[serde(default)]
    read_only_hint: bool,
    #[serde(default)]
    idempotent_hint: bool,
}

impl Hints {
    /// Only a `true` in an object allows it; anything else, and a duplicate member, does not.
    fn allow_repeat(annotations: &str) -> bool {
        // serde would read the struct from an array too.
        annotations.starts_with('{')
            && serde_json::from_str(annotations)
                .is_ok_and(|hints: Self| hints.read_only_hint || hints.idempotent_hint)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn raw(text: impl Into<String>) -> RawJson {
        RawJson::parse(Bytes::from(text.into())).unwrap()
    }

    fn reason(kind: Kind, text: impl Into<String>) -> RejectReason {
        Item::read(kind, &raw(text), &Scrubber::default())
            .err()
            .unwrap()
            .reason
    }

    #[test]
    fn row_72_names_with_invisible_characters_are_rejected() {
        for name in [
            "a\\nb",
            "a\\tb",
            "\\u001b[31mred",
            "ab\u{202e}dc",
            "a\\u200bb",
            "\u{feff}a",
            "a\u{e0041}",
            "a\u{9b}b",
        ] {
            let text = format!(r#"{{"name":"{name}"}}"#);
            assert_eq!(
                reason(Kind::Tool, text),
                RejectReason::HostileName("name"),
                "{name:?}"
            );
        }
        let uri = r#"{"name":"n","uri":"file:///a\u202eb"}"#;
        assert_eq!(
            reason(Kind::Resource, uri),
            RejectReason::HostileName("uri")
        );
        let long = |chars| format!(r#"{{"name":"{}"}}"#, "é".repeat(chars));
        assert!(Item::read(Kind::Prompt, &raw(long(128)), &Scrubber::default()).is_ok());
        assert_eq!(
            reason(Kind::Prompt, long(129)),
            RejectReason::LongName("name", 128)
        );
    }

    #[test]
    fn an_item_must_be_an_object_with_one_name() {
        for text in [
            "1",
            "null",
            r#"["name"]"#,
            r#""name""#,
            r#"{"\ud800":1,"name":"a"}"#,
        ] {
            assert_eq!(
                reason(Kind::Tool, text),
                RejectReason::NotAnObject,
                "{text}"
            );
        }
        for text in [
            "{}",
            r#"{"name":""}"#,
            r#"{"name":1}"#,
            r#"{"name":null}"#,
            r#"{"name":"\ud800"}"#,
        ] {
            assert_eq!(
                reason(Kind::Tool, text),
                RejectReason::NoName("name"),
                "{text}"
            );
        }
        assert_eq!(
            reason(Kind::Tool, r#"{"name":"a","na\u006de":"b"}"#),
            RejectReason::TwoNames("name")
        );
    }

    #[test]
    fn row_73_a_definition_is_bounded_and_a_remote_ref_is_not_resolved() {
        let sized = |bytes: usize| format!(r#"{{"name":"a","d":"{}"}}"#, "x".repeat(bytes - 19));
        assert!(Item::read(Kind::Tool, &raw(sized(MAX_BYTES)), &Scrubber::default()).is_ok());
        assert_eq!(
            reason(Kind::Tool, sized(MAX_BYTES + 1)),
            RejectReason::TooLarge(MAX_BYTES + 1)
        );
        let deep = format!(
            r#"{{"name":"a","inputSchema":{}1{}}}"#,
            "[".repeat(9_999),
            "]".repeat(9_999)
        );
        assert_eq!(reason(Kind::Tool, deep), RejectReason::TooDeep);
        let text = r#"{"name":"a","inputSchema":{"$ref":"http://evil.example/schema.json"}}"#;
        let item = Item::read(Kind::Tool, &raw(text), &Scrubber::default())
            .ok()
            .unwrap();
        assert_eq!(item.definition.as_str(), text);
    }

    #[test]
    fn only_the_boolean_true_makes_a_tool_safe_to_repeat() {
        let safe = |kind, annotations: &str| {
            let text = format!(r#"{{"name":"a","uri":"a","annotations":{annotations}}}"#);
            Item::read(kind, &raw(text), &Scrubber::default())
                .ok()
                .unwrap()
                .safe_to_repeat
        };
        assert!(safe(Kind::Tool, r#"{"readOnlyHint":true}"#));
        assert!(safe(
            Kind::Tool,
            r#"{"title":"t","idempotentHint":true,"readOnlyHint":false}"#
        ));
        for annotations in [
            "{}",
            "null",
            "[true]",
            r#"{"readOnlyHint":false}"#,
            r#"{"readOnlyHint":"true"}"#,
            r#"{"readOnlyHint":true,"readOnlyHint":true}"#,
            r#"{"destructiveHint":true}"#,
        ] {
            assert!(!safe(Kind::Tool, annotations), "{annotations}");
        }
        assert!(!safe(Kind::Resource, r#"{"readOnlyHint":true}"#));
    }

    #[test]
    fn only_name_and_description_change_and_only_where_given() {
        let text = r#"{ "title":"T","name" : "own" ,"x":1.10,"description":"old","inputSchema":{"name":"own"} }"#;
        let definition = raw(text);
        assert_eq!(
            exposed_definition(Kind::Tool, &definition, None, None, None)
                .as_bytes()
                .as_ptr(),
            definition.as_bytes().as_ptr()
        );
        assert_eq!(
            exposed_definition(
                Kind::Tool,
                &definition,
                Some("new"),
                Some("a \"b\"\n"),
                None
            )
            .as_str(),
            r#"{ "title":"T","name" : "new" ,"x":1.10,"description":"a \"b\"\n","inputSchema":{"name":"own"} }"#
        );
        assert_eq!(
            exposed_definition(
                Kind::Tool,
                &raw(r#"{"name":"own"}"#),
                Some("new"),
                Some("d"),
                None
            )
            .as_str(),
            r#"{"name":"new","description":"d"}"#
        );
    }
}
