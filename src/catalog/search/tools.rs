//! The tools of a catalog, searchable.

use super::document::Document;
use super::index::Index;
use crate::call_report::BackendId;
use crate::catalog::{Catalog, Entry};
use crate::protocol::Kind;

/// An index over all tools that clients may call; blocked and denied ones are not among them.
#[derive(Debug)]
pub(crate) struct ToolIndex(Index);

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    /// Words.
    pub(crate) query: &'a str,
    /// Only tools of this backend.
    pub(crate) backend: Option<BackendId>,
    /// Most results.
    pub(crate) limit: usize,
    /// Most results of one backend while others have some.
    pub(crate) limit_each: usize,
}

impl ToolIndex {
    /// Takes time that backends decide. `name` is the config's name of a backend.
    pub(crate) fn build<'a>(catalog: &'a Catalog, name: impl Fn(BackendId) -> &'a str) -> Self {
        let entries = catalog.entries(Kind::Tool);
        let documents: Vec<Document> = entries
            .map(|entry| {
                let server = name(entry.backend);
                Document::of_tool(server, &entry.own_name, &entry.definition)
            })
            .collect();
        Self(Index::build(&documents))
    }

    /// The tools that fit best, best first, with their scores. `catalog` is the one that the index was
    /// built from.
    pub(crate) fn search<'a>(
        &self,
        catalog: &'a Catalog,
        search: Search<'_>,
    ) -> Vec<(&'a Entry, f32)> {
        let Search {
            query,
            backend,
            limit,
            limit_each,
        } = search;
        let entry = |at| catalog.entry(Kind::Tool, at);
        let hits = match backend {
            Some(_) => self.0.search(query, self.0.len()),
            None => {
                let group = |at| entry(at).map(|entry| entry.backend);
                self.0.search_spread(query, limit, limit_each, group)
            }
        };
        let found = hits
            .iter()
            .filter_map(|hit| Some((entry(hit.document)?, hit.score)));
        found
            .filter(|(entry, _)| backend.is_none_or(|backend| backend == entry.backend))
            .take(limit)
            .collect()
    }
}
