//! The tools of a catalog, searchable.

use super::document::Document;
use super::index::{Hit, Index};
use crate::call_report::BackendId;
use crate::catalog::{Catalog, Entry};
use crate::protocol::Kind;

/// Most results that are looked at for those that are kept.
const MAX_HITS: usize = 200;

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
    /// Most results of one backend.
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
        let most = match backend {
            Some(_) => usize::MAX,
            None => MAX_HITS,
        };
        let mut found: Vec<(&Entry, f32)> = Vec::new();
        for Hit { document, score } in self.0.search(query, most) {
            let Some(entry) = catalog.entry(Kind::Tool, document) else {
                continue;
            };
            let is_wanted = backend.is_none_or(|backend| backend == entry.backend);
            let of_backend = |(other, _): &&(&Entry, f32)| other.backend == entry.backend;
            if is_wanted && found.iter().filter(of_backend).count() < limit_each {
                found.push((entry, score));
                if found.len() == limit {
                    break;
                }
            }
        }
        found
    }
}
