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

#[path = "../tests/search/set.rs"]
mod set;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use sentinel_gateway::catalog::search::{Document, Index};
use sentinel_gateway::protocol::RawJson;
use set::{Query, Set, Tool};

/// Numbers of tools: those of seventy public servers, and what a list may have at most.
const SIZES: [usize; 2] = [527, 10_000];

/// Results of a query, and most of one server among them, as `search_tools` gives them.
const LIMIT: usize = 5;
const LIMIT_EACH: usize = 3;

/// A tool and its definition.
type Listed = (Tool, RawJson);

fn main() -> Result<(), String> {
    let set = Set::everyday()?;
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
        let mut tool = tool.clone();
        if round > 0 {
            let other = &tools[round % tools.len()].server;
            tool.name = format!("{}_{other}", tool.name);
            tool.server = format!("{}{round}", tool.server);
        }
        let definition = tool.definition();
        (tool, definition)
    });
    listed.collect()
}

fn index(tools: &[Listed]) -> Index {
    let documents = tools
        .iter()
        .map(|(tool, definition)| Document::of_tool(&tool.server, &tool.name, definition));
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
        let group = |at: usize| tools.get(at).map(|(tool, _)| &tool.server);
        index.search_spread(&query.text, LIMIT, |_| LIMIT_EACH, group)
    };
    let ids = |query: &Query| -> Vec<String> {
        let hits = found(query).into_iter();
        hits.map(|hit| tools[hit.document].0.id()).collect()
    };
    if queries.iter().all(|query| query.recall(&ids(query)) == 0.0) {
        return Err("no query finds what is wanted".to_owned());
    }
    let mut group = criterion.benchmark_group("query");
    group.bench_function(BenchmarkId::from_parameter(tools.len()), |bencher| {
        bencher.iter(|| next.next().map(|query| found(black_box(query))));
    });
    group.finish();
    Ok(())
}
