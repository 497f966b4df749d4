//! How well tool search finds the tools of `everyday.json`, a set of our own: the tools of twelve
//! servers, and queries that were written before the ranking was tuned. The queries at even places
//! are for tuning; only those at odd places count here.

mod gateway;
mod modes;
mod refusals;
mod set;

use sentinel_gateway::catalog::search::{Document, Index};
use set::Set;

fn everyday() -> Set {
    Set::everyday().unwrap()
}

fn documents(set: &Set) -> Vec<Document> {
    let document =
        |tool: &set::Tool| Document::of_tool(&tool.server, &tool.name, &tool.definition());
    set.tools.iter().map(document).collect()
}

/// The recall of the queries at odd places, with `depth` results.
fn recall(set: &Set, index: &Index, depth: usize) -> f64 {
    let queries: Vec<&set::Query> = set.queries.iter().skip(1).step_by(2).collect();
    let recalls = queries.iter().map(|query| {
        let hits = index.search(&query.text, depth);
        let ids = hits.iter().map(|hit| set.tools[hit.document].id());
        query.recall(&ids.collect::<Vec<_>>())
    });
    recalls.sum::<f64>() / queries.len() as f64
}

#[test]
fn the_wanted_tool_is_found_among_the_first_results() {
    let set = everyday();
    let index = Index::build(&documents(&set));
    let (first, five) = (recall(&set, &index, 1), recall(&set, &index, 5));
    assert!(first >= 0.54, "recall@1 {first:.3}");
    assert!(five >= 0.70, "recall@5 {five:.3}");
}

#[test]
fn an_index_takes_at_most_two_kilobytes_a_tool() {
    let set = everyday();
    let index = Index::build(&documents(&set));
    assert_eq!(index.len(), 107);
    let each = index.bytes() / index.len();
    assert!((50..=2_048).contains(&each), "{each} bytes");
}

#[test]
fn the_same_query_always_gives_the_same_ranking() {
    let set = everyday();
    let documents = documents(&set);
    let (one, other) = (Index::build(&documents), Index::build(&documents));
    for query in &set.queries {
        let query = query.text.as_str();
        assert_eq!(one.search(query, 20), other.search(query, 20), "{query}");
    }
}
