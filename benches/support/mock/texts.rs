//! What the servers of the mock say, each text built once: results by their size, and the list of tools.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::FLEET_TOOLS;
use crate::support::call::{TOOLS, write_text};

/// What a modern result has that may be kept.
pub(super) const CACHEABLE: &str =
    r#""resultType":"complete","ttlMs":60000,"cacheScope":"private""#;
/// Who answers, as a modern result says it.
pub(super) const SIGNED: &str =
    r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"mock","version":"1"}}"#;

pub(super) struct Texts {
    /// Definitions of tools, separated by commas.
    tools: String,
    /// By size and era; each built when it is first asked for.
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
    /// Those of one server of a fleet, whose tools have names of their own.
    pub(super) fn of_fleet(server: usize) -> Self {
        let tool = |number| {
            let about = "Finds rows by text, or by a range of days; answers with all that match, the newest first";
            definition(&format!("server{server}_search_{number}"), about)
        };
        Self::with(&(0..FLEET_TOOLS).map(tool).collect::<Vec<_>>())
    }

    fn with(tools: &[String]) -> Self {
        Self {
            tools: tools.join(","),
            results: Mutex::default(),
        }
    }

    /// The rest of an answer to `tools/list`, behind its id.
    pub(super) fn list(&self) -> Bytes {
        Bytes::from(format!(r#""result":{{"tools":[{}]}}}}"#, self.tools))
    }

    pub(super) fn modern_list(&self) -> Bytes {
        let tools = &self.tools;
        Bytes::from(format!(
            r#""result":{{"tools":[{tools}],{CACHEABLE},{SIGNED}}}}}"#
        ))
    }

    /// The rest of an answer to a call, around so many bytes of text.
    pub(super) fn result(&self, bytes: usize, modern: bool) -> Bytes {
        let mut built = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        built
            .entry((bytes, modern))
            .or_insert_with(|| result(bytes, modern))
            .clone()
    }
}

fn result(bytes: usize, modern: bool) -> Bytes {
    let mut text = br#""result":{"content":[{"type":"text","text":""#.to_vec();
    write_text(bytes, &mut text);
    text.extend_from_slice(br#""}],"isError":false"#);
    if modern {
        text.extend_from_slice(br#","resultType":"complete","#);
        text.extend_from_slice(SIGNED.as_bytes());
    }
    text.extend_from_slice(b"}}");
    Bytes::from(text)
}

fn definition(name: &str, about: &str) -> String {
    format!(
        r#"{{"name":"{name}","description":"{about}","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string"}}}}}},"annotations":{{"readOnlyHint":true}}}}"#
    )
}
