//! What a call through the gateway allocates.
//!
//! The gateway runs within this process, through the library's `run`, over pipes, with every allocation of the process counted. Beside it, the
//! same POST is made by the HTTP client alone, on a runtime of the same kind, its answer read into memory: what that takes belongs to reqwest,
//! hyper and tokio, and what the gateway has on top is its own. So the gateway's own headers count as its own, as do both of its threads.
//! The driver allocates nothing while it counts.
//!
//! A bench of its own, since the counter would slow the others down: `cargo bench --bench allocations`.

#![allow(
    clippy::print_stdout,
    reason = "a bench speaks on stdout; the gateway alone must not"
)]

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::alloc::System;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::process::ExitCode;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use clap::Parser;
use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::{ExitReason, Io, Shutdown};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::Result;
use support::call::{Call, Era, FIRST_CALL, JSON_SMALL};
use support::http::Endpoint;
use support::mock::Servers;
use support::parties::Mock;
use support::report::Report;
use support::sheet::{Lane, Measure, Section, Sheet};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls of a round, and as many beforehand, so that everything has the size that it keeps.
const CALLS: usize = 1000;

/// Counts what a call through the gateway allocates, beside what the HTTP client alone does.
#[derive(Parser)]
#[command(name = "allocations")]
struct Args {
    #[command(flatten)]
    report: Report,
}

fn main() -> ExitCode {
    support::play_role(|| weigh(&Args::parse()))
}

fn weigh(args: &Args) -> Result<ExitCode> {
    let legacy = Mock::start(Servers::Legacy)?;
    let modern = Mock::start(Servers::Modern)?;
    let mut sheet = Sheet::default();
    let mut add = |section, lane, figure| {
        sheet.add(section, Measure::Allocations, lane, figure);
    };
    for _ in 0..args.report.rounds {
        let http = direct(legacy.url())?;
        for (section, mock, era) in [
            (Section::Allocations, &legacy, Era::Legacy),
            (Section::ModernToModern, &modern, Era::Modern),
        ] {
            add(section, Lane::Gateway, gateway(mock.url(), era)?);
            add(section, Lane::Direct, http);
        }
    }
    Ok(args.report.give(&sheet))
}

/// Allocations of one call, by the count over many.
fn per_call(calls: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = COUNTED.stats();
    calls()?;
    let after = COUNTED.stats();
    let count = |stats: stats_alloc::Stats| stats.allocations + stats.reallocations;
    Ok((count(after) - count(before)) as f64 / CALLS as f64)
}

fn gateway(url: &str, era: Era) -> Result<f64> {
    let mut gateway = InProcess::start(url)?;
    gateway.ask(1, &era.greeting()?)?;
    if let Some(message) = era.after_greeting() {
        gateway.send(message.as_bytes())?;
    }
    gateway.ask(2, &era.request(2, "tools/list")?)?;
    let call = Call {
        era,
        ..JSON_SMALL.into()
    };
    gateway.calls(call, FIRST_CALL)?;
    let figure = per_call(|| gateway.calls(call, FIRST_CALL + CALLS as u64))?;
    gateway.end()?;
    Ok(figure)
}

/// Those of the HTTP client alone: the request is there beforehand, and its answer thrown away.
fn direct(url: &str) -> Result<f64> {
    let runtime = runtime()?;
    let endpoint = Endpoint::new(url)?;
    let mut request = Vec::new();
    Call::from(JSON_SMALL).write(FIRST_CALL, &mut request)?;
    let request = Bytes::from(request);
    let calls = async || {
        for _ in 0..CALLS {
            endpoint.post(request.clone(), |_| Ok(())).await?;
        }
        Result::Ok(())
    };
    runtime.block_on(endpoint.post(Era::Legacy.greeting()?, |_| Ok(())))?;
    runtime.block_on(calls())?;
    per_call(|| runtime.block_on(calls()))
}

/// As the gateway's executable has it.
fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The gateway on a thread of this process, and the two pipes to it.
struct InProcess {
    input: PipeWriter,
    output: BufReader<PipeReader>,
    request: Vec<u8>,
    line: Vec<u8>,
    thread: JoinHandle<Result<ExitReason>>,
}

impl InProcess {
    fn start(url: &str) -> Result<Self> {
        let (reader, input) = pipe()?;
        let (output, writer) = pipe()?;
        let overrides = Overrides {
            backends: vec![("mock".into(), url.into())],
            ..Overrides::default()
        };
        let environment = Environment::new(support::process::scratch());
        let config = load(&overrides, &environment).map_err(|problems| problems.to_string())?;
        let io = Io {
            reader: Box::new(reader),
            writer: Box::new(writer),
        };
        let thread = thread::spawn(move || {
            let runtime = runtime()?;
            let (_wish, shutdown) = Shutdown::manual();
            Ok(runtime.block_on(sentinel_gateway::run(config, io, shutdown)))
        });
        Ok(Self {
            input,
            output: BufReader::with_capacity(64 << 10, output),
            request: Vec::with_capacity(1 << 10),
            line: Vec::with_capacity(64 << 10),
            thread,
        })
    }

    /// One call after another.
    fn calls(&mut self, call: Call, first: u64) -> Result<()> {
        for id in (first..).take(CALLS) {
            self.request.clear();
            call.write(id, &mut self.request)?;
            self.request.push(b'\n');
            self.input.write_all(&self.request)?;
            self.answer_to(id)?;
        }
        Ok(())
    }

    fn ask(&mut self, id: u64, message: &[u8]) -> Result<()> {
        self.send(message)?;
        self.answer_to(id)
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.input.write_all(&[message, b"\n"].concat())?)
    }

    /// Reads up to the answer to this id, which is told by its first bytes.
    fn answer_to(&mut self, id: u64) -> Result<()> {
        let mut head = [0; 64];
        let mut rest = &mut head[..];
        write!(rest, r#"{{"jsonrpc":"2.0","id":{id},"result":"#)?;
        let free = rest.len();
        let head = &head[..head.len() - free];
        loop {
            self.line.clear();
            if self.output.read_until(b'\n', &mut self.line)? == 0 {
                return Err(format!("the gateway ended before it had answered {id}").into());
            }
            if self.line.starts_with(head) {
                return Ok(());
            }
            if self.line.starts_with(br#"{"jsonrpc":"2.0","id":"#) {
                return Err(format!("not an answer: {}", self.line.escape_ascii()).into());
            }
        }
    }

    fn end(self) -> Result<()> {
        drop(self.input);
        self.thread.join().map_err(|_| "the gateway panicked")??;
        Ok(())
    }
}
