//! Where URIs of resources stand in what a server sends.
//!
//! Owns the places: content blocks (MCP 2025-11-25, server/tools and server/prompts), contents of
//! reads (server/resources), and the keys of `_meta` that name a tool's user interface (MCP Apps).
//! Text and structured content are never changed. It must not know whose a URI is.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::protocol::RawJson;
use crate::protocol::message::each_element;
use crate::protocol::raw::quoted;

/// Keys of `_meta` whose value is a URI.
const META_KEYS: [&str; 2] = ["ui/resourceUri", "openai/outputTemplate"];
/// Members of results in which URIs are.
const RESULT_KEYS: [&str; 6] = [
    "content",
    "contents",
    "messages",
    "_meta",
    "result",
    "inputRequests",
];
/// How deep results may be in a task, and content in the result of a tool that a model called.
const MAX_DEPTH: usize = 4;

/// Whether tools name the pages of their user interfaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pages {
    #[default]
    Shown,
    /// It is not known yet whose each URI is.
    Hidden,
}

/// A result, or the params of a request to a client, in which `map` has replaced the URIs of
/// resources; `None` leaves one as it is. The text is not copied if nothing changes.
pub(crate) fn with_uris(text: RawJson, map: &mut dyn FnMut(&str) -> Option<Arc<str>>) -> RawJson {
    if !may_have_uris(&text) {
        return text;
    }
    let mut places = Places::of(&text, map);
    places.result(&text, 0);
    let edits = places.edits;
    text.with_edits(edits)
}

/// A skill, or a result with skills or the files of a directory (SEP-2640), in which `map` has
/// replaced the URIs of resources; `None` leaves one as it is.
pub(crate) fn with_skill_uris(
    text: RawJson,
    map: &mut dyn FnMut(&str) -> Option<Arc<str>>,
) -> RawJson {
    let mut places = Places::of(&text, map);
    places.skill(&text);
    for skill in text.every("skill") {
        places.skill(&skill);
    }
    let edits = places.edits;
    text.with_edits(edits)
}

/// The definition of a tool, in which `map` has replaced the URIs of resources; `None` leaves one
/// as it is.
pub(crate) fn with_tool_uris(
    definition: &RawJson,
    map: &mut dyn FnMut(&str) -> Option<Arc<str>>,
) -> RawJson {
    let mut places = Places::of(definition, map);
    for meta in definition.every("_meta") {
        places.meta(&meta);
    }
    let edits = places.edits;
    definition.with_edits(edits)
}

/// The definition of a tool without the URIs of its user interface.
pub(crate) fn without_pages(definition: &RawJson) -> RawJson {
    let Some(meta) = definition.get("_meta") else {
        return definition.clone();
    };
    let ui = meta
        .get("ui")
        .map(|ui| ui.with_members(&[], &["resourceUri"]));
    let set: Vec<_> = ui.map(|ui| ("ui", ui.into_bytes())).into_iter().collect();
    let meta = meta.with_members(&set, &META_KEYS).into_bytes();
    definition.with_members(&[("_meta", meta)], &[])
}

/// The URIs that a tool's definition names, each once.
pub(crate) fn named_by_tool(definition: &RawJson) -> Box<[Arc<str>]> {
    let mut named: Vec<Arc<str>> = Vec::new();
    with_tool_uris(definition, &mut |uri| {
        if !named.iter().any(|known| **known == *uri) {
            named.push(uri.into());
        }
        None
    });
    named.into()
}

/// Whether there can be a URI at all: one or two searches instead of reading the text.
pub(crate) fn may_have_uris(text: &RawJson) -> bool {
    // Of `uri` and of `resourceUri`. Made once: making one takes longer than a search in a small result.
    static URI: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("ri\""));
    // Without what is before it: many servers write a slash as `\/`.
    static TEMPLATE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("outputTemplate\""));
    let has = |part: &Finder<'_>| part.find(text.as_bytes()).is_some();
    has(&URI) || has(&TEMPLATE)
}

/// The URIs found so far.
struct Places<'a> {
    whole: &'a [u8],
    map: &'a mut dyn FnMut(&str) -> Option<Arc<str>>,
    edits: Vec<(Range<usize>, Bytes)>,
}

impl<'a> Places<'a> {
    fn of(text: &'a RawJson, map: &'a mut dyn FnMut(&str) -> Option<Arc<str>>) -> Self {
        Self {
            whole: text.as_bytes(),
            map,
            edits: Vec::new(),
        }
    }

    /// In one pass: texts are long.
    fn result(&mut self, result: &RawJson, depth: usize) {
        for (key, value) in result.each_of(RESULT_KEYS) {
            match key {
                "content" => self.content(&value, depth),
                "contents" => each_element(&value).for_each(|one| self.resource(&one)),
                "messages" => {
                    for message in each_element(&value) {
                        for content in message.every("content") {
                            self.content(&content, depth);
                        }
                    }
                }
                "_meta" => self.meta(&value),
                _ if depth == MAX_DEPTH => {}
                "result" => self.result(&value, depth + 1),
                _ => self.requests(&value, depth + 1),
            }
        }
    }

    /// Requests for input; those for a model have messages.
    fn requests(&mut self, requests: &RawJson, depth: usize) {
        let requests = requests.members().map(|members| {
            let values = members.into_iter();
            values
                .map(|(_, value)| requests.part(value))
                .collect::<Vec<_>>()
        });
        for request in requests.unwrap_or_default() {
            for params in request.every("params") {
                self.result(&params, depth);
            }
        }
    }

    /// A content block, or several.
    fn content(&mut self, content: &RawJson, depth: usize) {
        if content.as_str().trim_start().starts_with('[') {
            each_element(content).for_each(|block| self.block(&block, depth));
        } else {
            self.block(content, depth);
        }
    }

    fn block(&mut self, block: &RawJson, depth: usize) {
        let kind = block.get("type").and_then(|kind| kind.text());
        match kind.as_deref() {
            Some("resource_link") => self.resource(block),
            Some("resource") => {
                for (key, value) in block.each_of(["resource", "_meta"]) {
                    match key {
                        "resource" => self.resource(&value),
                        _ => self.meta(&value),
                    }
                }
            }
            Some("tool_result") if depth < MAX_DEPTH => {
                for content in block.every("content") {
                    self.content(&content, depth + 1);
                }
            }
            _ => {}
        }
    }

    /// The file of a skill itself, and those beside it.
    fn skill(&mut self, skill: &RawJson) {
        self.resource(skill);
        for files in skill.every("resources") {
            for file in each_element(&files) {
                self.resource(&file);
            }
        }
    }

    fn resource(&mut self, resource: &RawJson) {
        for (key, value) in resource.each_of(["uri", "_meta"]) {
            match key {
                "uri" => self.uri(&value),
                _ => self.meta(&value),
            }
        }
    }

    fn meta(&mut self, meta: &RawJson) {
        for (key, value) in meta.each_of(["ui", META_KEYS[0], META_KEYS[1]]) {
            match key {
                "ui" => value.every("resourceUri").for_each(|uri| self.uri(&uri)),
                _ => self.uri(&value),
            }
        }
    }

    /// Each value under a key counts: readers differ on which one they take.
    fn uri(&mut self, value: &RawJson) {
        let Some(exposed) = value.text().and_then(|own| (self.map)(&own)) else {
            return;
        };
        let start = value.as_bytes().as_ptr() as usize - self.whole.as_ptr() as usize;
        let range = start..start + value.as_bytes().len();
        self.edits.push((range, quoted(&exposed)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(text: &'static str) -> String {
        let mut map = |uri: &str| {
            uri.strip_prefix("ui:")
                .map(|rest| format!("UI:{rest}").into())
        };
        let shown = with_uris(RawJson::trusted(text), &mut map);
        shown.as_str().to_owned()
    }

    #[test]
    fn uris_are_mapped_in_every_place_and_every_other_byte_stays() {
        for (own, shown) in [
            (
                r#"{ "content":[{"type":"resource_link","uri":"ui:a","name":"ui:a"},{"type":"text","text":"ui:a","uri":"ui:a"}],"structuredContent":{"uri":"ui:a"}}"#,
                r#"{ "content":[{"type":"resource_link","uri":"UI:a","name":"ui:a"},{"type":"text","text":"ui:a","uri":"ui:a"}],"structuredContent":{"uri":"ui:a"}}"#,
            ),
            (
                r#"{"content":[{"type":"resource","resource":{"uri":"u\u0069:a","text":"ui:a"}}]}"#,
                r#"{"content":[{"type":"resource","resource":{"uri":"UI:a","text":"ui:a"}}]}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"ui:a"}},{"content":[{"type":"tool_result","content":[{"type":"resource_link","uri":"ui:b"}]}]}]}"#,
                r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"UI:a"}},{"content":[{"type":"tool_result","content":[{"type":"resource_link","uri":"UI:b"}]}]}]}"#,
            ),
            (
                r#"{"contents":[{"uri":"ui:a","uri":"ui:b","blob":""},7]}"#,
                r#"{"contents":[{"uri":"UI:a","uri":"UI:b","blob":""},7]}"#,
            ),
            (
                r#"{"_meta":{"ui":{"resourceUri":"ui:a"},"ui/resourceUri":"ui:b","openai/outputTemplate":"ui:c"},"content":[]}"#,
                r#"{"_meta":{"ui":{"resourceUri":"UI:a"},"ui/resourceUri":"UI:b","openai/outputTemplate":"UI:c"},"content":[]}"#,
            ),
            // As many servers write slashes; each alone, since one is enough to look further.
            (
                r#"{"_meta":{"openai\/outputTemplate":"ui:\/c"},"content":[]}"#,
                r#"{"_meta":{"openai\/outputTemplate":"UI:/c"},"content":[]}"#,
            ),
            (
                r#"{"_meta":{"ui\/resourceUri":"ui:b"},"content":[]}"#,
                r#"{"_meta":{"ui\/resourceUri":"UI:b"},"content":[]}"#,
            ),
            (
                r#"{"inputRequests":{"k":{"method":"sampling/createMessage","params":{"messages":[{"content":{"type":"resource_link","uri":"ui:a"}}]}}}}"#,
                r#"{"inputRequests":{"k":{"method":"sampling/createMessage","params":{"messages":[{"content":{"type":"resource_link","uri":"UI:a"}}]}}}}"#,
            ),
            (
                r#"{"taskId":"1","result":{"content":[{"type":"resource_link","uri":"ui:a"}]}}"#,
                r#"{"taskId":"1","result":{"content":[{"type":"resource_link","uri":"UI:a"}]}}"#,
            ),
        ] {
            assert_eq!(mapped(own), shown);
        }
    }

    #[test]
    fn uris_are_mapped_however_many_there_are() {
        let block = r#"{"type":"resource_link","uri":"a://b"}"#;
        let result =
            |block: &str| format!(r#"{{"content":[{}]}}"#, [block].repeat(10_001).join(","));
        let mut count = 0;
        let mapped = with_uris(RawJson::trusted(result(block)), &mut |_| {
            count += 1;
            Some("c://d".into())
        });
        assert_eq!(count, 10_001);
        assert_eq!(mapped.as_str(), result(&block.replace("a://b", "c://d")));
    }

    #[test]
    fn uris_of_skills_and_their_files_are_mapped() {
        let mut map = |uri: &str| {
            uri.strip_prefix("ui:")
                .map(|rest| format!("UI:{rest}").into())
        };
        for (own, shown) in [
            (
                r#"{"uri":"ui:a","frontmatter":{"uri":"ui:a"},"resources":[{"uri":"ui:b"}]}"#,
                r#"{"uri":"UI:a","frontmatter":{"uri":"ui:a"},"resources":[{"uri":"UI:b"}]}"#,
            ),
            (
                r#"{"skill":{"uri":"ui:a"},"resources":[{"uri":"ui:b","name":"ui:b"}]}"#,
                r#"{"skill":{"uri":"UI:a"},"resources":[{"uri":"UI:b","name":"ui:b"}]}"#,
            ),
        ] {
            assert_eq!(
                with_skill_uris(RawJson::trusted(own), &mut map).as_str(),
                shown
            );
        }
    }

    #[test]
    fn a_text_without_uris_is_not_copied() {
        let text = RawJson::trusted(r#"{"content":[{"type":"text","text":"a"}]}"#);
        let shown = with_uris(text.clone(), &mut |_| panic!("there is none"));
        assert_eq!(shown.as_bytes().as_ptr(), text.as_bytes().as_ptr());
    }

    #[test]
    fn a_tool_names_the_uris_of_its_meta_alone() {
        for (tool, uris) in [
            (
                r#"{"name":"t","uri":"x:0","_meta":{"ui":{"resourceUri":"x:1"},"ui/resourceUri":"x:1","openai/outputTemplate":"x:2"}}"#,
                &["x:1", "x:2"][..],
            ),
            // As many servers write slashes.
            (
                r#"{"name":"t","_meta":{"openai\/outputTemplate":"x:\/\/2"}}"#,
                &["x://2"],
            ),
            (r#"{"name":"t","uri":"x:0"}"#, &[]),
        ] {
            let named = named_by_tool(&RawJson::trusted(tool));
            let named: Vec<&str> = named.iter().map(|uri| &**uri).collect();
            assert_eq!(named, uris, "{tool}");
        }
    }
}
