//! Micro-benchmarks of the parts of the gateway that every call or every change of a listing uses.
//!
//! `cargo bench --bench micro` runs all, `cargo bench --bench micro -- sse` those with that in their name. They show which part takes the time
//! that `--bench gateway` measures.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]

use std::convert::Infallible;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use sentinel_gateway::backend::sse::Decoder;
use sentinel_gateway::call_report::BackendId;
use sentinel_gateway::catalog::{BackendListing, Catalog, Names, Pins, Source};
use sentinel_gateway::config::{
    BackendConfig, Config, Environment, Lock, Overrides, Pin, Schemas, load,
};
use sentinel_gateway::protocol::{Era, Kind, Listing, RawJson, message};
use sse_stream::SseStream;

fn main() -> Result<(), String> {
    let mut criterion = Criterion::default().configure_from_args();
    events(&mut criterion);
    envelopes(&mut criterion);
    catalog(&mut criterion)?;
    pins(&mut criterion)?;
    results(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// Results of a tool that declares an output schema. Tools without one are not looked at.
fn results(criterion: &mut Criterion) -> Result<(), String> {
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"degrees":{"type":"number"},"sky":{"enum":["clear","cloudy"]}},"required":["city","degrees"]}"#;
    let tool = |schema: &str| {
        let text = format!(
            r#"{{"name":"weather","inputSchema":{{"type":"object"}},"outputSchema":{schema}}}"#
        );
        RawJson::parse(Bytes::from(text)).map_err(|error| error.to_string())
    };
    let content = r#"{"city":"Oslo","degrees":-3.5,"sky":"clear"}"#;
    let text =
        r#"[{"type":"text","text":"{\"city\":\"Oslo\",\"degrees\":-3.5,\"sky\":\"clear\"}"}]"#;
    let config = config()?;
    let mut group = criterion.benchmark_group("result");
    for (name, schema, content, more) in [
        ("as promised", schema, content, ""),
        ("wrapped", r#"{"type":"array"}"#, "[1,2,3]", ""),
        ("an error that fits", schema, content, r#","isError":true"#),
        (
            "an error that doesn't",
            schema,
            r#"{"error":"no such city"}"#,
            r#","isError":true"#,
        ),
    ] {
        let mut listing = Listing::new(true);
        listing.items_mut(Kind::Tool).push(tool(schema)?);
        let read = [BackendListing::read(&config.backends[0], &listing)];
        let catalog = build(&config, &read, &Names::default());
        let entry = catalog.entries(Kind::Tool).next().ok_or("no tool")?;
        let promise = entry.promise.as_ref().ok_or("no promise")?;
        let result = format!(r#"{{"content":{text},"structuredContent":{content}{more}}}"#);
        let result = RawJson::parse(Bytes::from(result)).map_err(|error| error.to_string())?;
        group.bench_function(name, |bencher| {
            bencher.iter(|| promise.shape(black_box(&result), Era::Legacy));
        });
    }
    group.finish();
    Ok(())
}

/// The gateway's decoder and two common ones, on the same chunks. All must find the same number of events.
fn events(criterion: &mut Criterion) {
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1,"message":"reading"}}"#;
    let notification = format!("event: message\ndata: {progress}\n\n");
    let answer = format!("event: message\ndata: {}\n\n", answer(1 << 20));
    let inputs = [
        ("1,000 notifications", notification.repeat(1000), 1000),
        ("1 MiB answer", answer, 1),
    ];
    for (name, text, count) in inputs {
        let chunks = chunks(&text);
        let mut group = criterion.benchmark_group(format!("sse/{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.sample_size(20);
        group.bench_function("gateway", |bencher| {
            bencher.iter(|| assert_eq!(by_gateway(&chunks), count));
        });
        group.bench_function("eventsource-stream", |bencher| {
            bencher.iter(|| assert_eq!(drain(body(&chunks).eventsource()), count));
        });
        group.bench_function("sse-stream", |bencher| {
            bencher.iter(|| assert_eq!(drain(SseStream::from_bytes_stream(body(&chunks))), count));
        });
        group.finish();
    }
}

/// A body in chunks that end anywhere, as from the network.
fn chunks(text: &str) -> Vec<Bytes> {
    let chunks = text.as_bytes().chunks(16 << 10);
    chunks.map(Bytes::copy_from_slice).collect()
}

fn by_gateway(chunks: &[Bytes]) -> usize {
    let mut decoder = Decoder::new(32 << 20);
    let mut count = 0;
    for chunk in chunks {
        decoder.push(chunk.clone());
        for event in decoder.by_ref() {
            count += usize::from(black_box(event).is_ok());
        }
    }
    count
}

fn body(chunks: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
    stream::iter(chunks.iter().cloned().map(Ok))
}

/// The number of events of a stream that is always ready.
fn drain<T, E>(events: impl Stream<Item = Result<T, E>>) -> usize {
    let count = events.fold(0, async |count, event| {
        count + usize::from(black_box(event).is_ok())
    });
    count.now_or_never().unwrap_or_default()
}

/// Parsing the envelope of a message.
fn envelopes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    let request = Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":4711,"method":"tools/call","params":{"name":"search_rows","arguments":{"query":"select id, name, email from people where city = 'Lisbon' order by name limit 10"}}}"#,
    );
    group.throughput(Throughput::Bytes(request.len() as u64));
    group.bench_function("request", |bencher| {
        bencher.iter(|| message::json(request.clone()).map(|text| message::parse(&text)));
    });
    for (name, bytes) in [("1 KiB", 1 << 10), ("1 MiB", 1 << 20)] {
        let answer = Bytes::from(answer(bytes));
        group.throughput(Throughput::Bytes(answer.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("answer", name),
            &answer,
            |bencher, text| {
                bencher.iter(|| message::parse_fast(text));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("unusual answer", name),
            &answer,
            |bencher, text| {
                bencher.iter(|| message::json(text.clone()).map(|text| message::parse(&text)));
            },
        );
    }
    group.finish();
}

/// A response to a call, whose text is rows of JSON.
fn answer(bytes: usize) -> String {
    const ROW: &str = r#"{\"id\":1815,\"name\":\"Ada Lovelace\",\"email\":\"ada@example.com\"}\n"#;
    let text = ROW.repeat(bytes / ROW.len());
    format!(
        r#"{{"jsonrpc":"2.0","id":4711,"result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}}}"#
    )
}

const BACKENDS: usize = 50;
const TOOLS: usize = 200;

/// 10,000 tools of 50 backends: found by name, merged the first time, and merged again after one backend has changed its listing.
fn catalog(criterion: &mut Criterion) -> Result<(), String> {
    let mut group = criterion.benchmark_group("catalog of 10,000");
    group.sample_size(20);
    let config = config()?;
    let listings: Vec<_> = (0..BACKENDS)
        .map(|backend| listing(backend, "Finds rows by text"))
        .collect();
    let read_listings = read(&config, &listings);
    let catalog = build(&config, &read_listings, &Names::default());
    group.bench_function("resolve", |bencher| {
        let mut number = 0;
        bencher.iter(|| {
            number = (number + 7919) % (BACKENDS * TOOLS);
            let name = name(number / TOOLS, number % TOOLS);
            catalog
                .resolve(Kind::Tool, &name)
                .map(|entry| entry.backend)
        });
    });
    group.bench_function("first build", |bencher| {
        bencher.iter(|| {
            let read_listings = read(&config, &listings);
            build(&config, &read_listings, &Names::default())
        });
    });
    let mut portable = self::config()?;
    for backend in &mut portable.backends {
        let mut config = BackendConfig::clone(backend);
        config.schemas = Schemas::Portable;
        *backend = Arc::new(config);
    }
    group.bench_function("first build, portable", |bencher| {
        bencher.iter(|| {
            let read_listings = read(&portable, &listings);
            build(&portable, &read_listings, &Names::default())
        });
    });
    let changed = listing(BACKENDS / 2, "Finds rows by text or by date");
    let mut read_listings = read_listings;
    group.bench_function("build after one listing changed", |bencher| {
        bencher.iter(|| {
            let at = BACKENDS / 2;
            read_listings[at] = BackendListing::read(&config.backends[at], &changed);
            build(&config, &read_listings, catalog.names())
        });
    });
    group.finish();
    Ok(())
}

/// 10,000 tools of 50 backends compared with pins: without pins, with equal pins, and with pins in another spelling; and reading the lock.
fn pins(criterion: &mut Criterion) -> Result<(), String> {
    let mut group = criterion.benchmark_group("pins of 10,000");
    group.sample_size(20);
    let config = config()?;
    let listings: Vec<_> = (0..BACKENDS)
        .map(|backend| listing(backend, "Finds rows by text"))
        .collect();
    let mut read_listings = read(&config, &listings);
    let mut lock = Lock::default();
    for pin in compare(&config, &mut read_listings, &Arc::default()) {
        lock.add(pin);
    }
    let text = Bytes::from(lock.text());
    group.bench_function("all new", |bencher| {
        bencher.iter(|| compare(&config, &mut read_listings, &Arc::default()));
    });
    let accepted = Arc::new(lock);
    group.bench_function("all as accepted", |bencher| {
        bencher.iter(|| assert!(compare(&config, &mut read_listings, &accepted).is_empty()));
    });
    let spelled =
        String::from_utf8_lossy(&text).replace(r#"{"type":"object""#, r#"{ "type": "object""#);
    let respelled =
        Lock::parse(spelled.into()).map_err(|(line, what)| format!("{line}: {what}"))?;
    let respelled = Arc::new(respelled);
    group.bench_function("all in another spelling", |bencher| {
        bencher.iter(|| assert!(compare(&config, &mut read_listings, &respelled).is_empty()));
    });
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("lock read", |bencher| {
        bencher.iter(|| Lock::parse(text.clone()).map(|lock| lock.pins().count()));
    });
    group.finish();
    Ok(())
}

/// The tools that have no pin.
fn compare(
    config: &Config,
    read_listings: &mut [BackendListing],
    accepted: &Arc<Lock>,
) -> Vec<Pin> {
    let mut pins = Pins::new(Arc::clone(accepted));
    let pairs = config.backends.iter().zip(read_listings);
    pairs
        .flat_map(|(backend, backend_listing)| pins.compare(backend, backend_listing).new)
        .collect()
}

fn config() -> Result<Config, String> {
    let backend = |number| (format!("server{number}"), "http://127.0.0.1:9/mcp".into());
    let overrides = Overrides {
        backends: (0..BACKENDS).map(backend).collect(),
        ..Overrides::default()
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    load(&overrides, &Environment::new(folder)).map_err(|problems| problems.to_string())
}

fn name(backend: usize, tool: usize) -> String {
    format!("server{backend}_search_{tool}")
}

fn listing(backend: usize, about: &str) -> Listing {
    let mut listing = Listing::default();
    let definition = |tool| {
        let name = name(backend, tool);
        RawJson::trusted(format!(
            r#"{{"name":"{name}","description":"{about}","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string"}}}}}},"annotations":{{"readOnlyHint":true}}}}"#
        ))
    };
    listing
        .items_mut(Kind::Tool)
        .extend((0..TOOLS).map(definition));
    listing
}

fn read(config: &Config, listings: &[Listing]) -> Vec<BackendListing> {
    let pairs = config.backends.iter().zip(listings);
    pairs
        .map(|(backend, listing)| BackendListing::read(backend, listing))
        .collect()
}

fn build(config: &Config, read_listings: &[BackendListing], names: &Names) -> Catalog {
    let pairs = config.backends.iter().zip(read_listings);
    let sources: Vec<_> = (0..)
        .zip(pairs)
        .map(|(number, (backend, backend_listing))| Source {
            id: BackendId::new(number),
            config: backend,
            backend_listing: Some(backend_listing),
            confirmed: true,
        })
        .collect();
    Catalog::build(&config.gateway, &sources, names).catalog
}
