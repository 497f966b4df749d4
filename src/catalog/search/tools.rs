//! The tools of a catalog, searchable.
//!
//! Owns [`ToolIndex`], an index over the tools that clients may call, and how many results one backend may
//! have while others have some. An index belongs to the catalog that it was built from.

use super::document::Document;
use super::index::Index;
use crate::call_report::BackendId;
use crate::catalog::{Catalog, Entry};
use crate::protocol::Kind;

/// An index over all tools that clients may call; blocked and denied ones are not among them.
#[derive(Debug)]
pub(crate) struct ToolIndex(Index);

/// What is searched for.
pub(crate) struct Search<'a> {
    /// Words.
    pub(crate) query: &'a str,
    /// Only tools of this backend.
    pub(crate) backend: Option<BackendId>,
    /// Most results.
    pub(crate) limit: usize,
    /// The config's name of a backend. At most three of five results are of one that the query doesn't
    /// name, while others have some.
    pub(crate) name: &'a (dyn Fn(BackendId) -> &'a str + Sync),
}

impl Search<'_> {
    /// Most results of this backend while others have some.
    fn limit_of(&self, backend: BackendId) -> usize {
        let name = (self.name)(backend);
        let mut words = self
            .query
            .split(|c: char| !c.is_alphanumeric() && !"_-".contains(c));
        match words.any(|word| word.eq_ignore_ascii_case(name)) {
            true => self.limit,
            false => (self.limit * 3).div_ceil(5),
        }
    }
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
        search: &Search<'_>,
    ) -> Vec<(&'a Entry, f32)> {
        let &Search {
            query,
            backend,
            limit,
            ..
        } = search;
        let entry = |at| catalog.entry(Kind::Tool, at);
        let hits = match backend {
            Some(_) => self.0.search(query, self.0.len()),
            None => {
                let group = |at| entry(at).map(|entry| entry.backend);
                let limit_of =
                    |group: &Option<BackendId>| group.map_or(limit, |id| search.limit_of(id));
                self.0.search_spread(query, limit, limit_of, group)
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
