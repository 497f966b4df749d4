//! How well the gateway's tool search finds tools: recall at 1, 3, 5 and 10, the mean reciprocal rank,
//! and the time of a query.
//!
//! ```text
//! cargo run --release --example retrieval -- SET.json [--half first|second] [--misses]
//! ```
//!
//! A set is one JSON object:
//!
//! ```json
//! { "tools": [ { "server": "drive", "name": "drive_move", "description": "…", "inputSchema": { … } } ],
//!   "queries": [ { "query": "put it elsewhere", "relevant": [ ["drive:drive_move"] ] } ] }
//! ```
//!
//! `relevant` is a list of needs; a need is a list of tools, written `server:name`, any of which meets
//! it. The recall of a query is the share of its needs that are met by the first k results.
//! `--half` uses the queries at even or at odd places only. Intervals are those of 95 % of 2,000
//! resamples of the queries, always the same ones.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for a terminal, which reads one file"
)]

use std::time::Instant;

use bytes::Bytes;
use sentinel_gateway::catalog::search::{Document, Index};
use sentinel_gateway::protocol::RawJson;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Set {
    tools: Vec<Tool>,
    queries: Vec<Query>,
}

#[derive(Deserialize)]
struct Tool {
    server: String,
    name: String,
    #[serde(alias = "desc", default)]
    description: String,
    #[serde(rename = "inputSchema", alias = "schema", default)]
    schema: Value,
}

#[derive(Deserialize)]
struct Query {
    #[serde(alias = "q")]
    query: String,
    #[serde(alias = "groups")]
    relevant: Vec<Vec<String>>,
}

/// The depths at which recall is measured.
const DEPTHS: [usize; 4] = [1, 3, 5, 10];
const RESAMPLES: usize = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().ok_or("usage: retrieval SET.json")?;
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let set: Set = serde_json::from_slice(&std::fs::read(file)?)?;
    let ids: Vec<String> = set
        .tools
        .iter()
        .map(|tool| format!("{}:{}", tool.server, tool.name))
        .collect();
    let definitions: Vec<RawJson> = set.tools.iter().map(definition).collect();

    let begun = Instant::now();
    let documents: Vec<Document> = (set.tools.iter().zip(&definitions))
        .map(|(tool, definition)| Document::of_tool(&tool.server, &tool.name, definition))
        .collect();
    let index = Index::build(&documents);
    let built = begun.elapsed();

    let queries = set
        .queries
        .iter()
        .enumerate()
        .filter(|(at, _)| !(has("first") && at % 2 == 1 || has("second") && at % 2 == 0));
    let queries: Vec<&Query> = queries.map(|(_, query)| query).collect();
    let mut rows: Vec<[f64; 5]> = Vec::new();
    for query in &queries {
        let hits = index.search(&query.query, set.tools.len());
        let found: Vec<&str> = hits.iter().map(|hit| ids[hit.document].as_str()).collect();
        rows.push(measure(query, &found));
        if has("--misses") && rows.last().unwrap()[2] < 1.0 {
            println!(
                "{}\n  wanted {:?}\n  found  {:?}",
                query.query,
                query.relevant,
                &found[..found.len().min(5)]
            );
        }
    }
    println!("{} tools, {} queries", set.tools.len(), queries.len());
    for (at, name) in ["recall@1", "recall@3", "recall@5", "recall@10", "MRR"]
        .iter()
        .enumerate()
    {
        let values: Vec<f64> = rows.iter().map(|row| row[at]).collect();
        let (low, high) = interval(&values);
        println!("{name:<10} {:.3}  ({low:.3} to {high:.3})", mean(&values));
    }
    let micros = time_of_a_query(&index, &queries);
    println!(
        "index      {:.1} ms, {} bytes a tool",
        built.as_secs_f64() * 1e3,
        index.bytes() / index.len().max(1)
    );
    println!("query      {micros:.1} µs");
    Ok(())
}

fn definition(tool: &Tool) -> RawJson {
    let definition = serde_json::json!({
        "name": tool.name, "description": tool.description, "inputSchema": tool.schema,
    });
    RawJson::parse(Bytes::from(definition.to_string())).unwrap()
}

/// The recalls at all depths, and the reciprocal rank of the first tool that meets a need.
fn measure(query: &Query, found: &[&str]) -> [f64; 5] {
    let meets = |need: &[String], id: &str| need.iter().any(|tool| tool == id);
    let recall = |depth: usize| {
        let first = &found[..depth.min(found.len())];
        let met = query
            .relevant
            .iter()
            .filter(|need| first.iter().any(|id| meets(need, id)));
        met.count() as f64 / query.relevant.len() as f64
    };
    let is_relevant = |id: &&str| query.relevant.iter().any(|need| meets(need, id));
    let rank = found.iter().position(is_relevant);
    let [one, three, five, ten] = DEPTHS.map(recall);
    [
        one,
        three,
        five,
        ten,
        rank.map_or(0.0, |rank| 1.0 / (rank + 1) as f64),
    ]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The 95 % interval of the mean, by bootstrap.
fn interval(values: &[f64]) -> (f64, f64) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            mean(
                &values
                    .iter()
                    .map(|_| values[next() % values.len()])
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    means.sort_by(f64::total_cmp);
    (means[RESAMPLES / 40], means[RESAMPLES - RESAMPLES / 40])
}

/// The mean time of a query in microseconds.
fn time_of_a_query(index: &Index, queries: &[&Query]) -> f64 {
    let rounds = 2_000 / queries.len().max(1) + 1;
    let begun = Instant::now();
    for _ in 0..rounds {
        for query in queries {
            std::hint::black_box(index.search(&query.query, 10));
        }
    }
    begun.elapsed().as_secs_f64() * 1e6 / (rounds * queries.len().max(1)) as f64
}
