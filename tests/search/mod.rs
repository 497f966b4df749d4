//! How well tool search finds the tools of `everyday.json`, a set of our own: the tools of twelve
//! servers, and queries that were written before the ranking was tuned. The queries at even places
//! are for tuning; only those at odd places count here.

mod gateway;
mod modes;

use std::path::Path;

use bytes::Bytes;
use sentinel_gateway::catalog::search::{Document, Index};
use sentinel_gateway::protocol::RawJson;
use serde_json::Value;

/// The tools and queries of the set.
fn everyday() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/search/everyday.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn documents(tools: &[Value]) -> Vec<Document> {
    let document = |tool: &Value| {
        let definition = RawJson::parse(Bytes::from(tool.to_string())).unwrap();
        Document::of_tool(text(&tool["server"]), text(&tool["name"]), &definition)
    };
    tools.iter().map(document).collect()
}

/// The share of queries at odd places of which one of the wanted tools is among the first `depth`.
fn recall(set: &Value, index: &Index, depth: usize) -> f64 {
    let tools = set["tools"].as_array().unwrap();
    let id = |at: usize| {
        format!(
            "{}:{}",
            text(&tools[at]["server"]),
            text(&tools[at]["name"])
        )
    };
    let queries = set["queries"].as_array().unwrap();
    let queries: Vec<&Value> = queries.iter().skip(1).step_by(2).collect();
    let found = queries.iter().filter(|query| {
        let wanted = query["relevant"][0].as_array().unwrap();
        let hits = index.search(text(&query["query"]), depth);
        hits.iter()
            .any(|hit| wanted.iter().any(|wanted| text(wanted) == id(hit.document)))
    });
    found.count() as f64 / queries.len() as f64
}

#[test]
fn the_wanted_tool_is_found_among_the_first_results() {
    let set = everyday();
    let index = Index::build(&documents(set["tools"].as_array().unwrap()));
    let (first, five) = (recall(&set, &index, 1), recall(&set, &index, 5));
    assert!(first >= 0.45, "recall@1 {first:.3}");
    assert!(five >= 0.66, "recall@5 {five:.3}");
}

#[test]
fn an_index_takes_at_most_two_kilobytes_a_tool() {
    let set = everyday();
    let index = Index::build(&documents(set["tools"].as_array().unwrap()));
    assert_eq!(index.len(), 107);
    let each = index.bytes() / index.len();
    assert!((50..=2_048).contains(&each), "{each} bytes");
}

#[test]
fn the_same_query_always_gives_the_same_ranking() {
    let set = everyday();
    let documents = documents(set["tools"].as_array().unwrap());
    let (one, other) = (Index::build(&documents), Index::build(&documents));
    for query in set["queries"].as_array().unwrap() {
        let query = text(&query["query"]);
        assert_eq!(one.search(query, 20), other.search(query, 20), "{query}");
    }
}
