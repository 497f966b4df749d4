//! How well the gateway's tool search finds tools: recall at 1, 3, 5 and 10, the mean reciprocal rank,
//! the tokens that searching saves, and the time of a query.
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
//! it. The recall of a query is the share of its needs that are met by k results, as `search_tools`
//! gives them: of one server at most three of five, while others have results. Tokens are estimates:
//! all definitions, and the list of those that search with three answers of five results.
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
use sentinel_gateway::catalog::search::{
    Document, Found, Hit, Index, estimate_tokens, own_tools, results,
};
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
    let mut answers: Vec<usize> = Vec::new();
    let names =
        |hits: &[Hit]| -> Vec<&str> { hits.iter().map(|hit| ids[hit.document].as_str()).collect() };
    for query in &queries {
        let server = |at: usize| set.tools[at].server.as_str();
        let found = |limit: usize| {
            let each = (limit * 3).div_ceil(5);
            index.search_spread(&query.query, limit, each, server)
        };
        let recalls = DEPTHS.map(|depth| recall(query, &names(&found(depth))));
        let rank = reciprocal_rank(query, &names(&index.search(&query.query, set.tools.len())));
        let [one, three, five, ten] = recalls;
        rows.push([one, three, five, ten, rank]);
        let five = found(5);
        if has("--misses") && recalls[2] < 1.0 {
            let wanted = &query.relevant;
            println!(
                "{}\n  wanted {wanted:?}\n  found  {:?}",
                query.query,
                names(&five)
            );
        }
        let five = five.iter().map(|hit| Found {
            server: server(hit.document),
            definition: &definitions[hit.document],
        });
        answers.push(estimate_tokens(&results(&five.collect::<Vec<_>>(), false)));
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
    print_tokens(&set, &definitions, answers);
    Ok(())
}

fn definition(tool: &Tool) -> RawJson {
    let definition = serde_json::json!({
        "name": tool.name, "description": tool.description, "inputSchema": tool.schema,
    });
    RawJson::parse(Bytes::from(definition.to_string())).unwrap()
}

/// The share of the needs that these tools meet.
fn recall(query: &Query, found: &[&str]) -> f64 {
    let met = query
        .relevant
        .iter()
        .filter(|need| found.iter().any(|id| meets(need, id)));
    met.count() as f64 / query.relevant.len() as f64
}

/// Of the first tool that meets a need.
fn reciprocal_rank(query: &Query, found: &[&str]) -> f64 {
    let is_relevant = |id: &&str| query.relevant.iter().any(|need| meets(need, id));
    let rank = found.iter().position(is_relevant);
    rank.map_or(0.0, |rank| 1.0 / (rank + 1) as f64)
}

fn meets(need: &[String], id: &str) -> bool {
    need.iter().any(|tool| tool == id)
}

/// What all definitions take, and what searching takes.
fn print_tokens(set: &Set, definitions: &[RawJson], mut answers: Vec<usize>) {
    let mut servers: Vec<&str> = set.tools.iter().map(|tool| tool.server.as_str()).collect();
    servers.dedup();
    let tokens =
        |all: &[RawJson]| -> usize { all.iter().map(|one| estimate_tokens(one.as_str())).sum() };
    let (all, list) = (
        tokens(definitions),
        tokens(&own_tools(servers.into_iter(), true)),
    );
    answers.sort_unstable();
    let median = answers.get(answers.len() / 2).copied().unwrap_or_default();
    let searching = list + 3 * median;
    let saved = 100.0 - 100.0 * searching as f64 / all.max(1) as f64;
    println!("tokens     {all} before; {list} for the list, {median} an answer (median)");
    println!("saved      {saved:.1} % with three searches");
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
