//! How well the gateway's tool search finds tools: recall at 1, 3, 5 and 10, the mean reciprocal rank,
//! the tokens that searching saves, and the time of a query.
//!
//! ```text
//! cargo run --release --example retrieval -- [SET.json] [--half first|second] [--misses]
//!     [--against RANKING.json]
//! ```
//!
//! A set, that of `tests/search/everyday.json` where none is named, is one JSON object:
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
//!
//! `--against` compares with another ranking of the same tools, an object with the ids that it finds
//! for each query, best first: `{ "put it elsewhere": ["drive:drive_copy"] }`. Of the difference of the
//! recalls it prints the mean, its interval in a paired bootstrap, and the share of resamples in which
//! ours is not above the other.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for a terminal, which reads one file"
)]

#[path = "../tests/search/set.rs"]
mod set;

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use sentinel_gateway::catalog::search::{
    Document, Found, Hit, Index, estimate_tokens, own_tools, results,
};
use sentinel_gateway::protocol::RawJson;
use set::{Query, Set};

/// What another ranking finds, by query.
type Ranking = HashMap<String, Vec<String>>;

/// The depths at which recall is measured.
const DEPTHS: [usize; 4] = [1, 3, 5, 10];
const RESAMPLES: usize = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().filter(|first| !first.starts_with("--"));
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let set = match file {
        Some(file) => Set::read(Path::new(file))?,
        None => Set::everyday()?,
    };
    let ids: Vec<String> = set.tools.iter().map(set::Tool::id).collect();
    let definitions: Vec<RawJson> = set.tools.iter().map(set::Tool::definition).collect();

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
            index.search_spread(&query.text, limit, |_| each, server)
        };
        let recalls = DEPTHS.map(|depth| query.recall(&names(&found(depth))));
        let rank = reciprocal_rank(query, &names(&index.search(&query.text, set.tools.len())));
        let [one, three, five, ten] = recalls;
        rows.push([one, three, five, ten, rank]);
        let five = found(5);
        if has("--misses") && recalls[2] < 1.0 {
            let wanted = &query.relevant;
            println!(
                "{}\n  wanted {wanted:?}\n  found  {:?}",
                query.text,
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
    let against = arguments
        .iter()
        .position(|argument| argument == "--against");
    if let Some(at) = against {
        let file = arguments.get(at + 1).ok_or("--against needs a file")?;
        let other: Ranking = serde_json::from_slice(&std::fs::read(file)?)?;
        compare(&queries, &rows, &other)?;
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

/// How much better the recalls of `rows` are than those of another ranking.
fn compare(queries: &[&Query], rows: &[[f64; 5]], other: &Ranking) -> Result<(), String> {
    for (at, depth) in DEPTHS.iter().enumerate() {
        let mut differences = Vec::new();
        let mut others = Vec::new();
        for (query, row) in queries.iter().zip(rows) {
            let found = other.get(&query.text);
            let found = found.ok_or_else(|| format!("the ranking has no {:?}", query.text))?;
            let recall = query.recall(&found[..found.len().min(*depth)]);
            differences.push(row[at] - recall);
            others.push(recall);
        }
        let means = resampled(&differences);
        let not_above = means.iter().filter(|mean| **mean <= 0.0).count();
        println!(
            "against@{depth:<2} {:.3}; ours {:+.3}  ({:+.3} to {:+.3}), not above in {:.1} % of resamples",
            mean(&others),
            mean(&differences),
            means[RESAMPLES / 40],
            means[RESAMPLES - RESAMPLES / 40],
            100.0 * not_above as f64 / RESAMPLES as f64,
        );
    }
    Ok(())
}

/// Of the first tool that meets a need.
fn reciprocal_rank(query: &Query, found: &[&str]) -> f64 {
    let is_relevant = |id: &&str| query.relevant.iter().flatten().any(|tool| tool == id);
    let rank = found.iter().position(is_relevant);
    rank.map_or(0.0, |rank| 1.0 / (rank + 1) as f64)
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
    let means = resampled(values);
    (means[RESAMPLES / 40], means[RESAMPLES - RESAMPLES / 40])
}

/// The means of resamples of these values, lowest first.
fn resampled(values: &[f64]) -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut resample = || -> Vec<f64> {
        let places = values.iter().map(|_| next() % values.len());
        places.map(|at| values[at]).collect()
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean(&resample())).collect();
    means.sort_by(f64::total_cmp);
    means
}

/// The mean time of a query in microseconds.
fn time_of_a_query(index: &Index, queries: &[&Query]) -> f64 {
    let rounds = 2_000 / queries.len().max(1) + 1;
    let begun = Instant::now();
    for _ in 0..rounds {
        for query in queries {
            std::hint::black_box(index.search(&query.text, 10));
        }
    }
    begun.elapsed().as_secs_f64() * 1e6 / (rounds * queries.len().max(1)) as f64
}
