//! A set of tools, and of queries for them with the tools that are wanted.
//!
//! Owns the form of such a file, and what a ranking is worth by it. The example `retrieval`, the bench
//! `search` and the tests of tool search read sets with it.

use std::path::Path;

use bytes::Bytes;
use sentinel_gateway::protocol::RawJson;
use serde::Deserialize;
use serde_json::Value;

/// What a file has.
#[derive(Deserialize)]
pub(crate) struct Set {
    pub(crate) tools: Vec<Tool>,
    pub(crate) queries: Vec<Query>,
}

/// A tool, as its server lists it.
#[derive(Clone, Deserialize)]
pub(crate) struct Tool {
    /// The server's name.
    pub(crate) server: String,
    pub(crate) name: String,
    #[serde(alias = "desc", default)]
    description: String,
    #[serde(rename = "inputSchema", alias = "schema", default)]
    schema: Value,
}

/// A query.
#[derive(Deserialize)]
pub(crate) struct Query {
    /// What somebody asks for.
    #[serde(rename = "query", alias = "q")]
    pub(crate) text: String,
    /// What they need: each need is a list of tools by their ids, any of which meets it.
    #[serde(alias = "groups")]
    pub(crate) relevant: Vec<Vec<String>>,
}

impl Set {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let error = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read(file).map_err(|reason| error(&reason))?;
        serde_json::from_slice(&text).map_err(|reason| error(&reason))
    }

    /// The set of our own.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn everyday() -> Result<Self, String> {
        Self::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/search/everyday.json"))
    }
}

impl Tool {
    /// `server:name`.
    pub(crate) fn id(&self) -> String {
        format!("{}:{}", self.server, self.name)
    }

    /// The definition, as JSON.
    pub(crate) fn definition(&self) -> RawJson {
        let definition = serde_json::json!({
            "name": self.name, "description": self.description, "inputSchema": self.schema,
        });
        RawJson::trusted(Bytes::from(definition.to_string()))
    }
}

impl Query {
    /// The share of the needs that these tools meet.
    pub(crate) fn recall<S: AsRef<str>>(&self, found: &[S]) -> f64 {
        let is_met = |need: &&Vec<String>| {
            let mut found = found.iter().map(AsRef::as_ref);
            found.any(|id| need.iter().any(|tool| tool == id))
        };
        self.relevant.iter().filter(is_met).count() as f64 / self.relevant.len().max(1) as f64
    }
}
