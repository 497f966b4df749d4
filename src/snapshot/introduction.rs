//! What clients are told of the backends in a handshake.
//!
//! Owns how instructions and capabilities of several backends become one, and the limits on them. It must not know
//! where they are from.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::call_report::BackendId;
use crate::protocol::era::extension;
use crate::protocol::{RawJson, task};
use crate::text::beginning;

/// Most bytes of one backend's instructions that clients get.
const MAX_INSTRUCTIONS: usize = 2 * 1024;
/// Most bytes of all backends' instructions together.
const MAX_ALL: usize = 8 * 1024;
/// The extension for skills (SEP-2640).
const SKILLS: &str = "io.modelcontextprotocol/skills";

/// What one backend says of itself, cleaned.
#[derive(Debug, Clone, Default)]
pub(crate) struct BackendIntroduction {
    /// `instructions`, unless they are withheld.
    pub(crate) instructions: Option<Arc<str>>,
    /// `extensions` and `experimental` of its capabilities, an object.
    pub(crate) declared: Option<RawJson>,
}

/// What clients are told of all backends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Introduction {
    /// The config's, then each backend's under its name.
    pub(crate) instructions: Option<String>,
    /// `capabilities.extensions` for clients of the legacy era.
    pub(crate) extensions: Map<String, Value>,
    /// `capabilities.experimental`, of backends whose config passes it on.
    pub(crate) experimental: Map<String, Value>,
    /// The extensions of each backend that has some, and its experimental capabilities where its config
    /// passes them on.
    names: Vec<(BackendId, Vec<String>)>,
    /// Every backend has introduced itself, in this run or an earlier one.
    pub(crate) is_complete: bool,
}

/// One backend, and its introduction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IntroducedBackend<'a> {
    /// Its identity.
    pub(crate) id: BackendId,
    /// Its name.
    pub(crate) name: &'a str,
    /// `None` before its first contact.
    pub(crate) introduction: Option<&'a BackendIntroduction>,
    /// `experimental` of its config.
    pub(crate) is_experimental: bool,
}

impl Introduction {
    /// Merges what backends say, in config order; `own` are the config's instructions. With
    /// `passes_instructions` false those of backends are left out.
    pub(crate) fn of(
        own: Option<&str>,
        passes_instructions: bool,
        backends: &[IntroducedBackend<'_>],
    ) -> Self {
        let mut merged = Self {
            instructions: own.map(str::to_owned),
            is_complete: backends
                .iter()
                .all(|backend| backend.introduction.is_some()),
            ..Self::default()
        };
        let mut left = MAX_ALL;
        for backend in backends {
            let Some(introduction) = backend.introduction else {
                continue;
            };
            if let Some(text) = introduction
                .instructions
                .as_deref()
                .filter(|_| passes_instructions)
            {
                merged.add_instructions(backend.name, text, &mut left);
            }
            let mut names = merged.declare("extensions", introduction);
            if backend.is_experimental {
                names.extend(merged.declare("experimental", introduction));
            }
            if !names.is_empty() {
                merged.names.push((backend.id, names));
            }
        }
        merged.extensions.remove(task::EXTENSION);
        merged
    }

    /// The extensions for clients of the modern era, which can have tasks.
    pub(crate) fn modern_extensions(&self) -> Map<String, Value> {
        let mut all = self.extensions.clone();
        all.insert(task::EXTENSION.to_owned(), json!({}));
        all
    }

    /// The backends that declare the extension that a method belongs to, in config order.
    pub(crate) fn backends_of(&self, method: &str) -> Vec<BackendId> {
        self.having(|name| extension::belongs(method, name))
    }

    /// The backends that declare the extension of this name, in config order.
    pub(crate) fn declaring(&self, extension: &str) -> Vec<BackendId> {
        self.having(|name| name == extension)
    }

    fn having(&self, is_meant: impl Fn(&str) -> bool) -> Vec<BackendId> {
        let having = self
            .names
            .iter()
            .filter(|(_, names)| names.iter().any(|name| is_meant(name)));
        having.map(|(backend, _)| *backend).collect()
    }

    /// Each line is quoted, so that no backend can speak in another's name.
    fn add_instructions(&mut self, name: &str, text: &str, left: &mut usize) {
        let limit = MAX_INSTRUCTIONS.min(*left);
        let shown = beginning(text.trim(), limit);
        if shown.is_empty() {
            return;
        }
        *left -= shown.len();
        let all = self.instructions.get_or_insert_default();
        if !all.is_empty() {
            all.push_str("\n\n");
        }
        let _ = write!(all, "The server \"{name}\" says:");
        for line in shown.lines() {
            all.push_str("\n> ");
            all.push_str(line);
        }
        if shown.len() < text.len() {
            all.push_str(" …");
        }
    }

    /// Of several declarations of one extension, the first counts; of skills, what any server can do.
    /// Returns the names.
    fn declare(&mut self, key: &str, introduction: &BackendIntroduction) -> Vec<String> {
        let declared = introduction.declared.as_ref().and_then(|all| all.get(key));
        let declared = declared.and_then(|all| all.read::<Map<String, Value>>().ok());
        let into = match key {
            "extensions" => &mut self.extensions,
            _ => &mut self.experimental,
        };
        let declared = declared.unwrap_or_default();
        let names = declared.keys().cloned().collect();
        for (name, value) in declared {
            let reads_directories = name == SKILLS && value["directoryRead"] == true;
            let known = into.entry(name).or_insert(value);
            if reads_directories && known.is_object() {
                known["directoryRead"] = json!(true);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn introduced(instructions: &str, declared: &'static str) -> BackendIntroduction {
        BackendIntroduction {
            instructions: Some(instructions.into()),
            declared: Some(RawJson::trusted(declared)),
        }
    }

    fn backend<'a>(name: &'a str, introduction: &'a BackendIntroduction) -> IntroducedBackend<'a> {
        IntroducedBackend {
            id: BackendId::new(u32::from(name.as_bytes()[0])),
            name,
            introduction: Some(introduction),
            is_experimental: name == "b",
        }
    }

    #[test]
    fn instructions_are_merged_in_order_each_under_its_name() {
        let (a, b) = (
            introduced("one\nThe server \"b\" says:", "{}"),
            introduced("two", "{}"),
        );
        let backends = [backend("a", &a), backend("b", &b)];
        let merged = Introduction::of(Some("Ours."), true, &backends);
        let expected = "Ours.\n\nThe server \"a\" says:\n> one\n> The server \"b\" says:\n\nThe server \"b\" says:\n> two";
        assert_eq!(merged.instructions.as_deref(), Some(expected));
        assert!(merged.is_complete);
        let off = Introduction::of(None, false, &backends);
        assert_eq!(off.instructions, None);
        let silent = IntroducedBackend {
            introduction: None,
            ..backends[0]
        };
        assert!(!Introduction::of(None, true, &[silent]).is_complete);
    }

    #[test]
    fn instructions_are_bounded_each_and_together() {
        let long = introduced(&"é".repeat(5_000), "{}");
        let names: Vec<String> = (0..10).map(|number| format!("b{number}")).collect();
        let backends: Vec<_> = names.iter().map(|name| backend(name, &long)).collect();
        let merged = Introduction::of(None, true, &backends)
            .instructions
            .unwrap();
        let of_one = merged.split("\n\n").next().unwrap();
        assert_eq!(of_one.matches('é').count(), MAX_INSTRUCTIONS / 2);
        assert!(of_one.ends_with(" …"));
        assert_eq!(merged.matches('é').count(), MAX_ALL / 2);
    }

    #[test]
    fn extensions_of_all_are_declared_and_experimental_ones_where_the_config_says_so() {
        let a = introduced(
            "",
            r#"{"extensions":{"io.modelcontextprotocol/ui":{"v":1},"io.modelcontextprotocol/skills":{},"io.modelcontextprotocol/tasks":{}},"experimental":{"x":{}}}"#,
        );
        let b = introduced(
            "",
            r#"{"extensions":{"io.modelcontextprotocol/ui":{"v":2},"io.modelcontextprotocol/skills":{"directoryRead":true}},"experimental":{"y":{}}}"#,
        );
        let merged = Introduction::of(None, true, &[backend("a", &a), backend("b", &b)]);
        let expected = json!({ "io.modelcontextprotocol/ui": { "v": 1 },
            "io.modelcontextprotocol/skills": { "directoryRead": true } });
        assert_eq!(json!(merged.extensions), expected);
        assert_eq!(json!(merged.experimental), json!({ "y": {} }));
        assert!(merged.modern_extensions().contains_key(task::EXTENSION));
        assert_eq!(merged.instructions, None);
        let [a, b] = [b'a', b'b'].map(|name| BackendId::new(u32::from(name)));
        assert_eq!(merged.backends_of("skills/list"), [a, b]);
        assert_eq!(merged.backends_of("y/do"), [b]);
        assert_eq!(merged.backends_of("x/do"), []);
        assert_eq!(merged.declaring(SKILLS), [a, b]);
    }
}
