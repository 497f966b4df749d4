//! Allocations of a call through the gateway.
//!
//! The gateway runs in this process, through the library's `run`, over pipes, and every allocation of the process is counted. For comparison,
//! the HTTP client alone makes the same POST on a runtime of the same kind and reads the response into memory: that part belongs to reqwest,
//! hyper and tokio, the difference to the gateway. The driver allocates nothing while it counts.
//!
//! A separate bench, since the counter would slow down the others: `cargo bench --bench allocations`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(
    clippy::print_stdout,
    reason = "a bench prints to stdout; only the gateway must not"
)]

#[allow(dead_code, reason = "each bench uses a part of it")]
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
use support::client::http::Endpoint;
use support::mock::Servers;
use support::process::setup::Mock;
use support::report::Report;
use support::report::results::{Metric, Results, Route, Section};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls of a round. The same number precedes them, so that buffers have their final size.
const CALLS: usize = 1000;

/// Counts the allocations of a call through the gateway, and of the HTTP client alone
#[derive(Parser)]
#[command(name = "allocations")]
struct Args {
    #[command(flatten)]
    report: Report,
}

fn main() -> ExitCode {
    support::run_role(|| measure(&Args::parse()))
}

fn measure(args: &Args) -> Result<ExitCode> {
    let legacy = Mock::start(Servers::Legacy)?;
    let modern = Mock::start(Servers::Modern)?;
    let mut results = Results::default();
    let mut add = |section, route, figure| {
        results.add(section, Metric::Allocations, route, figure);
    };
    for _ in 0..args.report.rounds {
        let http = direct(legacy.url())?;
        for (section, mock, era) in [
            (Section::Allocations, &legacy, Era::Legacy),
            (Section::ModernToModern, &modern, Era::Modern),
        ] {
            add(section, Route::Gateway, gateway(mock.url(), era)?);
            add(section, Route::Direct, http);
        }
    }
    Ok(args.report.print(&results))
}

/// Allocations of one call, averaged over [`CALLS`].
fn per_call(calls: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = COUNTED.stats();
    calls()?;
    let after = COUNTED.stats();
    let count = |stats: stats_alloc::Stats| stats.allocations + stats.reallocations;
    Ok((count(after) - count(before)) as f64 / CALLS as f64)
}

fn gateway(url: &str, era: Era) -> Result<f64> {
    let mut gateway = InProcess::start(url)?;
    gateway.request(1, &era.first_request()?)?;
    if let Some(message) = era.after_first_request() {
        gateway.send(message.as_bytes())?;
    }
    gateway.request(2, &era.request(2, "tools/list")?)?;
    let call = Call {
        era,
        ..JSON_SMALL.into()
    };
    gateway.calls(call, FIRST_CALL)?;
    let figure = per_call(|| gateway.calls(call, FIRST_CALL + CALLS as u64))?;
    gateway.end()?;
    Ok(figure)
}

/// Allocations of the HTTP client alone: the request is built beforehand, and the response discarded.
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
    runtime.block_on(endpoint.post(Era::Legacy.first_request()?, |_| Ok(())))?;
    runtime.block_on(calls())?;
    per_call(|| runtime.block_on(calls()))
}

/// A runtime like that of the gateway's executable.
fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The gateway on a thread of this process, and the two pipes to it.
struct InProcess {
    input: PipeWriter,
    output: BufReader<PipeReader>,
    /// Buffer of the request line.
    request_line: Vec<u8>,
    /// Buffer of the last line read.
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
            let (_request, shutdown) = Shutdown::manual();
            Ok(runtime.block_on(sentinel_gateway::run(config, io, shutdown)))
        });
        Ok(Self {
            input,
            output: BufReader::with_capacity(64 << 10, output),
            request_line: Vec::with_capacity(1 << 10),
            line: Vec::with_capacity(64 << 10),
            thread,
        })
    }

    /// Makes [`CALLS`] calls, one after another.
    fn calls(&mut self, call: Call, first: u64) -> Result<()> {
        for id in (first..).take(CALLS) {
            self.request_line.clear();
            call.write(id, &mut self.request_line)?;
            self.request_line.push(b'\n');
            self.input.write_all(&self.request_line)?;
            self.read_response_to(id)?;
        }
        Ok(())
    }

    fn request(&mut self, id: u64, message: &[u8]) -> Result<()> {
        self.send(message)?;
        self.read_response_to(id)
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.input.write_all(&[message, b"\n"].concat())?)
    }

    /// Reads up to the response to this id, which is recognized by its first bytes.
    fn read_response_to(&mut self, id: u64) -> Result<()> {
        let mut head = [0; 64];
        let mut rest = &mut head[..];
        write!(rest, r#"{{"jsonrpc":"2.0","id":{id},"result":"#)?;
        let free = rest.len();
        let head = &head[..head.len() - free];
        loop {
            self.line.clear();
            if self.output.read_until(b'\n', &mut self.line)? == 0 {
                return Err(format!("the gateway ended before it had responded to {id}").into());
            }
            if self.line.starts_with(head) {
                return Ok(());
            }
            if self.line.starts_with(br#"{"jsonrpc":"2.0","id":"#) {
                return Err(format!("not a result: {}", self.line.escape_ascii()).into());
            }
        }
    }

    fn end(self) -> Result<()> {
        drop(self.input);
        self.thread.join().map_err(|_| "the gateway panicked")??;
        Ok(())
    }
}
