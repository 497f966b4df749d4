//! The ranking of tools: how long an index takes to build, and a query to answer.
//!
//! `cargo bench --bench search` runs all, `cargo bench --bench search -- query` the queries. The tools and
//! the queries are those of `tests/search/everyday.json`; beyond its tools they repeat, each time under
//! other servers and with other words in their names, so that a query has more to rank the more tools
//! there are.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput};
use sentinel_gateway::catalog::search::{Document, Index};
use sentinel_gateway::protocol::RawJson;
use serde::Deserialize;
use serde_json::{Value, json};

/// Numbers of tools: those of seventy public servers, and what a list may have at most.
const SIZES: [usize; 2] = [527, 10_000];

/// Results of a query, and most of one server among them, as `search_tools` gives them.
const LIMIT: usize = 5;
const LIMIT_EACH: usize = 3;

#[derive(Deserialize)]
struct Set {
    tools: Vec<Tool>,
    queries: Vec<Query>,
}

#[derive(Deserialize)]
struct Tool {
    server: String,
    name: String,
    #[serde(default)]
    description: String,
    #[serde(rename = "inputSchema", default)]
    schema: Value,
}

#[derive(Deserialize)]
struct Query {
    query: String,
}

/// A tool as a server lists it.
struct Listed {
    server: String,
    name: String,
    definition: RawJson,
}

fn main() -> Result<(), String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/search/everyday.json");
    let text = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let set: Set = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let mut criterion = Criterion::default().configure_from_args();
    for size in SIZES {
        let tools = listed(&set.tools, size);
        build(&mut criterion, &tools);
        query(&mut criterion, &tools, &set.queries)?;
    }
    criterion.final_summary();
    Ok(())
}

/// So many tools.
fn listed(tools: &[Tool], size: usize) -> Vec<Listed> {
    let all = tools.iter().cycle().take(size).enumerate();
    let listed = all.map(|(at, tool)| {
        let round = at / tools.len();
        let name = match round {
            0 => tool.name.clone(),
            round => format!("{}_{}", tool.name, tools[round % tools.len()].server),
        };
        Listed {
            server: format!("{}{round}", tool.server),
            definition: RawJson::of(&json!({
                "name": name,
                "description": tool.description,
                "inputSchema": tool.schema,
            })),
            name,
        }
    });
    listed.collect()
}

fn index(tools: &[Listed]) -> Index {
    let documents = tools
        .iter()
        .map(|tool| Document::of_tool(&tool.server, &tool.name, &tool.definition));
    Index::build(&documents.collect::<Vec<_>>())
}

/// From definitions to an index.
fn build(criterion: &mut Criterion, tools: &[Listed]) {
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(tools.len() as u64));
    group.sample_size(10);
    group.bench_with_input(
        BenchmarkId::from_parameter(tools.len()),
        tools,
        |bencher, tools| {
            bencher.iter(|| index(black_box(tools)));
        },
    );
    group.finish();
}

/// One query, by turns each of the set.
fn query(criterion: &mut Criterion, tools: &[Listed], queries: &[Query]) -> Result<(), String> {
    let index = index(tools);
    let mut next = queries.iter().cycle();
    let found = |query: &Query| {
        let group = |at: usize| tools.get(at).map(|tool| &tool.server);
        index.search_spread(&query.query, LIMIT, LIMIT_EACH, group)
    };
    if queries.iter().all(|query| found(query).is_empty()) {
        return Err("no query finds anything".to_owned());
    }
    let mut group = criterion.benchmark_group("query");
    group.bench_function(BenchmarkId::from_parameter(tools.len()), |bencher| {
        bencher.iter(|| next.next().map(|query| found(black_box(query))));
    });
    group.finish();
    Ok(())
}
