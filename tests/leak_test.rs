//! Calls and reloads of the config leave nothing behind, whatever becomes of them.
//!
//! A separate binary: it counts every allocation of its process, the gateway's and the fake
//! backends', with nothing else beside them. Resident memory can't show a small leak, since an
//! allocator keeps what was freed.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::alloc::System;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::{ExitReason, Io, Shutdown};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use common::PATIENCE;
use common::fake::FakeBackend;
use common::message;
use common::reply::Reply;
use common::wire::Request;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The calls of a round, and how many of them are pending at a time.
const CALLS: u64 = 3000;
const PENDING: u64 = 20;
/// The rounds after which memory is compared.
const ROUNDS: u64 = 10;
/// The bytes that these rounds may leave, which is less than 3 for each call. Less can't be told:
/// the number of connections that end late differs, and each holds 9 KB.
const ALLOWED: isize = 80_000;

/// Reloads that are counted, unless `RELOADS` says another number, after those in which buffers and maps get
/// their size.
const RELOADS: u64 = 500;
const FIRST_RELOADS: u64 = 100;
/// The bytes that these may leave, however many they are: a connection more or less holds 13 KB.
const ALLOWED_OF_RELOADS: isize = 60_000;
/// One reload in so many is of a file that was saved, which must stay the same for a while; the others
/// are asked for.
const RELOADS_A_SAVE: u64 = 10;

/// What is measured is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn calls_leave_no_memory_behind() {
    let _alone = ALONE.lock().unwrap();
    let json = FakeBackend::start().tool("echo").with_get();
    let sse = FakeBackend::start().tool("echo").sse();
    let modern = FakeBackend::start().tool("echo").modern();
    let backends = [("json", json), ("sse", sse), ("modern", modern)]
        .map(|(name, fake)| (name, fake.without_recording().respond_with(reply)));
    let mut client = Client::start(&backends);

    // Buffers, maps and pools get their size in the first rounds.
    client.round();
    client.round();
    let before = live_bytes(&backends, isize::MIN);
    for _ in 0..ROUNDS {
        client.round();
    }
    let after = live_bytes(&backends, before + ALLOWED);
    assert!(
        after <= before + ALLOWED,
        "{} calls leave {} bytes, {ALLOWED} allowed",
        ROUNDS * CALLS,
        after - before
    );
    assert_eq!(client.end(), ExitReason::EndOfInput);
}

/// At each reload one backend gets a new connection, and at some another one new rules, while a third
/// comes or goes.
#[test]
fn reloads_leave_no_memory_tasks_or_descriptors_behind() {
    let _alone = ALONE.lock().unwrap();
    // The latest round in which a session of it began. A session of an earlier round may begin later.
    let connected = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&connected);
    let backends = ["kept", "connected", "changed", "comes"].map(|name| {
        let fake = FakeBackend::start().tool("echo").without_recording();
        let seen = Arc::clone(&seen);
        let fake = fake.respond_with(move |request| {
            if let (Some(round), "initialize") = (request.header("x-round"), request.kind()) {
                seen.fetch_max(round.parse().unwrap(), Relaxed);
            }
            None
        });
        (name, fake)
    });
    let config = |round: u64| -> String {
        let all = backends.iter().take(3 + round as usize % 2);
        let entries = all.map(|(name, fake)| match *name {
            "connected" => fake.entry(name, "headers = { X-Round = \"${ROUND}\" }"),
            "changed" => fake.entry(name, &format!("timeout_secs = {}", 100 + round % 7)),
            _ => fake.entry(name, ""),
        });
        let entries: String = entries.collect();
        format!("[gateway]\ntool_names = \"prefixed\"\n{entries}")
    };
    let round = Arc::new(AtomicU64::new(0));
    let current = Arc::clone(&round);
    let mut client = Client::start_with(&config(0), move |name| match name {
        "ROUND" => Some(current.load(Relaxed).to_string()),
        _ => common::canary::variable(name),
    });
    let reload = |client: &mut Client| {
        let now = round.fetch_add(1, Relaxed) + 1;
        if now.is_multiple_of(RELOADS_A_SAVE) {
            client.save_config(&config(now / RELOADS_A_SAVE));
        } else {
            client.hangups.send(()).unwrap();
        }
        let begun = Instant::now();
        while connected.load(Relaxed) != now {
            assert!(begun.elapsed() < PATIENCE, "reload {now} is not taken");
            client.call_echo("connected");
        }
        client.call_echo("changed");
    };
    for _ in 0..FIRST_RELOADS {
        reload(&mut client);
    }
    let before = live_bytes(&backends, isize::MIN);
    let (tasks, open) = (client.tasks(), descriptors());
    let count = std::env::var("RELOADS").map_or(RELOADS, |count| count.parse().unwrap());
    for _ in 0..count {
        reload(&mut client);
    }
    let after = live_bytes(&backends, before + ALLOWED_OF_RELOADS);
    assert!(
        after <= before + ALLOWED_OF_RELOADS,
        "{count} reloads leave {} bytes, {ALLOWED_OF_RELOADS} allowed",
        after - before
    );
    let begun = Instant::now();
    while client.tasks() > tasks || descriptors() > open {
        let now = (client.tasks(), descriptors());
        assert!(
            begun.elapsed() < PATIENCE,
            "{tasks} tasks, {open} descriptors, then {now:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(client.end(), ExitReason::EndOfInput);
}

/// The open descriptors of this process; 0 where the system doesn't say.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// What becomes of a call is in its arguments.
fn reply(request: &Request) -> Option<Reply> {
    if request.kind() != "tools/call" {
        return None;
    }
    let done = || message::complete_text("done");
    Some(match request.params()["arguments"]["outcome"].as_str()? {
        "fails" => Reply::status(500).body("out of order"),
        "breaks" => Reply::sse().event(message::progress(1.0)).then_hang_up(),
        "progress" => (1..=3)
            .map(|n| message::progress(n.into()))
            .fold(Reply::sse(), Reply::event)
            .event(done()),
        "refused" => Reply::error(-32602, "no"),
        "slow" => Reply::sse().pause(Duration::from_millis(5)).event(done()),
        _ => return None,
    })
}

/// A client that keeps nothing of what it reads.
struct Client {
    input: PipeWriter,
    output: BufReader<PipeReader>,
    line: Vec<u8>,
    next: u64,
    gateway: JoinHandle<ExitReason>,
    folder: tempfile::TempDir,
    runtime: Handle,
    /// Each has the config loaded again.
    hangups: UnboundedSender<()>,
}

impl Client {
    fn start(backends: &[(&str, FakeBackend)]) -> Self {
        let entries = backends.iter().map(|(name, fake)| fake.entry(name, ""));
        let gateway = "[gateway]\ntool_names = \"prefixed\"\n".to_owned();
        let toml: String = std::iter::once(gateway).chain(entries).collect();
        Self::start_with(&toml, common::canary::variable)
    }

    fn start_with(
        toml: &str,
        variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.toml");
        std::fs::write(&file, common::canary::plant(toml, folder.path())).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        let environment = Environment::new(folder.path()).with_variables(variables);
        let config = load(&overrides, &environment).unwrap();
        let (reader, input) = pipe().unwrap();
        let (output, writer) = pipe().unwrap();
        let (_request, shutdown) = Shutdown::manual();
        let (hangups, shutdown) = shutdown.with_hangups();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let gateway = thread::spawn(move || {
            let io = Io {
                reader: Box::new(reader),
                writer: Box::new(writer),
            };
            runtime.block_on(sentinel_gateway::run(config, io, shutdown))
        });
        let mut client = Self {
            input,
            output: BufReader::new(output),
            line: Vec::new(),
            next: 1,
            gateway,
            folder,
            runtime: handle,
            hangups,
        };
        client.send(&json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            },
        }));
        client.read_responses(1);
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn save_config(&self, toml: &str) {
        let folder = self.folder.path();
        common::gateway::save(folder, &common::canary::plant(toml, folder));
    }

    /// Makes a call that succeeds.
    fn call_echo(&mut self, backend: &str) {
        let id = self.next;
        self.next += 1;
        self.send(&json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": format!("{backend}__echo"), "arguments": {} },
        }));
        self.read_responses(1);
        let line = String::from_utf8_lossy(&self.line);
        assert!(line.contains("\"result\":"), "{line}");
    }

    /// The tasks that the gateway has now.
    fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// Makes [`CALLS`] calls.
    fn round(&mut self) {
        for _ in 0..CALLS / PENDING {
            let answered = (0..PENDING).filter(|_| self.call()).count();
            self.read_responses(answered);
        }
    }

    /// Sends one call; returns whether there will be a response.
    fn call(&mut self) -> bool {
        let id = self.next;
        self.next += 1;
        let backend = ["json", "sse", "modern"][(id % 3) as usize];
        let outcome = [
            "echo",
            "slow",
            "progress",
            "refused",
            "echo",
            "cancelled",
            "unknown",
            "echo",
        ][(id / 3 % 8) as usize];
        // Rare enough that neither the breaker nor the retry budget changes what is tried.
        let outcome = match id % 100 {
            7 => "fails",
            57 => "breaks",
            _ => outcome,
        };
        let tool = if outcome == "unknown" { "none" } else { "echo" };
        let cancelled = outcome == "cancelled";
        let arguments = json!({ "outcome": if cancelled { "slow" } else { outcome } });
        self.send(&json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
                "name": format!("{backend}__{tool}"), "arguments": arguments,
                "_meta": { "progressToken": id },
            },
        }));
        if cancelled {
            self.send(&json!({
                "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": { "requestId": id },
            }));
        }
        !cancelled
    }

    fn send(&mut self, message: &Value) {
        self.input
            .write_all(format!("{message}\n").as_bytes())
            .unwrap();
    }

    /// Reads lines until so many of them were responses.
    fn read_responses(&mut self, mut count: usize) {
        while count > 0 {
            self.line.clear();
            let read = self.output.read_until(b'\n', &mut self.line).unwrap();
            assert!(read > 0, "the gateway has ended");
            if self.line.starts_with(br#"{"jsonrpc":"2.0","id":"#) {
                count -= 1;
            }
        }
    }

    fn end(self) -> ExitReason {
        drop(self.input);
        self.gateway.join().unwrap()
    }
}

/// The bytes that the process holds when it is idle and has no idle connections: the lowest value
/// of a while, or the first that is at most `enough`.
fn live_bytes(backends: &[(&str, FakeBackend)], enough: isize) -> isize {
    for (_, fake) in backends {
        fake.drop_connections();
    }
    let begun = Instant::now();
    let mut least = isize::MAX;
    while least > enough && begun.elapsed() < PATIENCE / 3 {
        thread::sleep(Duration::from_millis(10));
        let stats = COUNTED.stats();
        least = least.min(stats.bytes_allocated as isize - stats.bytes_deallocated as isize);
    }
    least
}
