//! Texts of the mock's responses, each built once: results by size, and the list of tools.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::{FILES, FLEET_TOOLS};
use crate::support::call::{TOOLS, write_text};

/// Members of a modern result that may be cached.
pub(super) const CACHEABLE: &str =
    r#""resultType":"complete","ttlMs":60000,"cacheScope":"private""#;
/// `_meta` of a modern result, with the server's identity.
pub(super) const SERVER_INFO: &str =
    r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"mock","version":"1"}}"#;

/// Resources of the other servers of [`Servers::Files`](super::Servers::Files).
const FEW_FILES: usize = 8;

pub(super) struct Texts {
    /// Definitions of tools, separated by commas.
    tools: String,
    /// Definitions of resources. If there are some, results link to the first.
    resources: Vec<String>,
    /// By size, and whether it is modern; each built on first use.
    results: Mutex<HashMap<(usize, bool), Bytes>>,
}

impl Default for Texts {
    fn default() -> Self {
        let tools = TOOLS.map(|tool| {
            definition(
                &tool.to_string(),
                &format!("Answers with {} bytes", tool.bytes),
            )
        });
        Self::with(&tools)
    }
}

impl Texts {
    /// The texts of one server of a fleet, whose tools have unique names.
    pub(super) fn of_fleet(server: usize) -> Self {
        let tool = |number| {
            let about = "Finds rows by text, or by a range of days; answers with all that match, the newest first";
            definition(&format!("server{server}_search_{number}"), about)
        };
        Self::with(&(0..FLEET_TOOLS).map(tool).collect::<Vec<_>>())
    }

    /// The texts of one of the servers with resources.
    pub(super) fn of_files(server: usize) -> Self {
        // A list of many costs more instructions at start than all calls that are counted.
        let (folder, count) = match server {
            0 | 1 => ("rows", FILES),
            4 => ("columns", FEW_FILES),
            _ => ("rows", FEW_FILES),
        };
        let file = |number| {
            format!(
                r#"{{"uri":"file:///data/{folder}/{number}.json","name":"{folder} {number}","mimeType":"application/json"}}"#
            )
        };
        let tools = if server == 3 {
            Self::default().tools
        } else {
            String::new()
        };
        Self {
            tools,
            resources: (0..count).map(file).collect(),
            results: Mutex::default(),
        }
    }

    fn with(tools: &[String]) -> Self {
        Self {
            tools: tools.join(","),
            resources: Vec::new(),
            results: Mutex::default(),
        }
    }

    /// The capabilities of a legacy server.
    pub(super) fn capabilities(&self) -> &'static str {
        if self.resources.is_empty() {
            r#"{"tools":{}}"#
        } else {
            r#"{"tools":{},"resources":{}}"#
        }
    }

    /// The text of a response to `resources/list` after its id.
    pub(super) fn resources(&self) -> Bytes {
        let resources = self.resources.join(",");
        Bytes::from(format!(r#""result":{{"resources":[{resources}]}}}}"#))
    }

    /// The text of a response to `tools/list` after its id.
    pub(super) fn list(&self) -> Bytes {
        Bytes::from(format!(r#""result":{{"tools":[{}]}}}}"#, self.tools))
    }

    pub(super) fn modern_list(&self) -> Bytes {
        let tools = &self.tools;
        Bytes::from(format!(
            r#""result":{{"tools":[{tools}],{CACHEABLE},{SERVER_INFO}}}}}"#
        ))
    }

    /// The text of a response to a call after its id, with this many bytes of text in the result.
    pub(super) fn result(&self, bytes: usize, modern: bool) -> Bytes {
        let mut built = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        built
            .entry((bytes, modern))
            .or_insert_with(|| result(bytes, modern, self.resources.first()))
            .clone()
    }
}

fn result(bytes: usize, modern: bool, linked: Option<&String>) -> Bytes {
    let mut text = br#""result":{"content":[{"type":"text","text":""#.to_vec();
    write_text(bytes, &mut text);
    text.extend_from_slice(br#""}"#);
    if let Some(resource) = linked {
        text.extend_from_slice(br#",{"type":"resource_link","#);
        text.extend_from_slice(&resource.as_bytes()[1..]);
    }
    text.extend_from_slice(br#"],"isError":false"#);
    if modern {
        text.extend_from_slice(br#","resultType":"complete","#);
        text.extend_from_slice(SERVER_INFO.as_bytes());
    }
    text.extend_from_slice(b"}}");
    Bytes::from(text)
}

fn definition(name: &str, about: &str) -> String {
    format!(
        r#"{{"name":"{name}","description":"{about}","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string"}}}}}},"annotations":{{"readOnlyHint":true}}}}"#
    )
}
