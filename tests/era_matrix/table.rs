//! The table: its clients and backends, and how its cells are filled.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message;

pub const MODERN: &str = "2026-07-28";
pub const LEGACY: &str = "2025-11-25";
/// How many cells run concurrently; most of their time is waiting.
const CONCURRENT_CELLS: usize = 8;

/// An exchange, which returns a short description of its outcome.
type Exchange = fn(Pair) -> &'static str;
/// The outcome of an exchange, or why it failed.
type Outcome = Result<&'static str, String>;
/// A name and its exchange.
pub type Feature = (&'static str, Exchange);

/// A client and a backend, by the versions they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub client: &'static str,
    pub backend: &'static str,
}

/// Clients and backends of every era.
pub const PAIRS: [Pair; 4] = [
    Pair::new(LEGACY, LEGACY),
    Pair::new(LEGACY, MODERN),
    Pair::new(MODERN, LEGACY),
    Pair::new(MODERN, MODERN),
];

/// Clients of the older versions with backends of every era.
pub const OLDER: [Pair; 6] = [
    Pair::new("2024-11-05", LEGACY),
    Pair::new("2024-11-05", MODERN),
    Pair::new("2025-03-26", LEGACY),
    Pair::new("2025-03-26", MODERN),
    Pair::new("2025-06-18", LEGACY),
    Pair::new("2025-06-18", MODERN),
];

impl Pair {
    pub const fn new(client: &'static str, backend: &'static str) -> Self {
        Self { client, backend }
    }

    pub fn modern_client(self) -> bool {
        self.client == MODERN
    }

    pub fn modern_backend(self) -> bool {
        self.backend == MODERN
    }

    /// The value for this pair of eras: legacy to legacy, legacy to modern, modern to legacy or
    /// modern to modern.
    pub fn pick<T>(self, ll: T, lm: T, ml: T, mm: T) -> T {
        match (self.modern_client(), self.modern_backend()) {
            (false, false) => ll,
            (false, true) => lm,
            (true, false) => ml,
            (true, true) => mm,
        }
    }

    /// A backend of the pair's era; a legacy one has a GET stream.
    pub fn fake(self) -> FakeBackend {
        let fake = FakeBackend::start();
        if self.modern_backend() {
            fake.modern()
        } else {
            fake.with_get()
        }
    }

    /// A gateway with this backend and a client without capabilities.
    pub fn gateway(self, fake: &FakeBackend) -> TestGateway {
        self.gateway_for(fake, json!({}))
    }

    /// A gateway with this backend and a client with these capabilities.
    pub fn gateway_for(self, fake: &FakeBackend, capabilities: Value) -> TestGateway {
        self.gateway_with(&fake.entry("fake", ""), capabilities)
    }

    /// A gateway with this config and a client with these capabilities.
    pub fn gateway_with(self, toml: &str, capabilities: Value) -> TestGateway {
        let mut gateway = TestGateway::with_config(toml);
        if self.modern_client() {
            gateway.modern(capabilities);
        } else {
            gateway.initialize_with(self.client, capabilities).result();
        }
        gateway
    }

    /// A result as this backend writes it.
    pub fn result(self, result: Value) -> Value {
        if self.modern_backend() {
            message::complete(result)
        } else {
            message::result(result)
        }
    }

    /// A tool's text as this backend writes it.
    pub fn text(self, text: &str) -> Value {
        self.result(json!({ "content": [{ "type": "text", "text": text }] }))
    }
}

/// The outcomes of all exchanges.
pub struct Table {
    pairs: &'static [Pair],
    rows: Vec<(&'static str, Vec<Outcome>)>,
}

impl Table {
    /// Runs every exchange between every pair.
    pub fn fill(features: &[Feature], pairs: &'static [Pair]) -> Self {
        let exchanges = features.iter().map(|feature| feature.1);
        let cells = exchanges.flat_map(|exchange| pairs.iter().map(move |pair| (exchange, *pair)));
        let outcomes = run_all(&cells.collect::<Vec<_>>());
        let names = features.iter().map(|feature| feature.0);
        let rows = names.zip(outcomes.chunks(pairs.len()).map(<[_]>::to_vec));
        Self {
            pairs,
            rows: rows.collect(),
        }
    }

    /// The cells that failed.
    pub fn failures(&self) -> Vec<String> {
        let cells = self.rows.iter().flat_map(|(name, cells)| {
            let cells = cells.iter().zip(self.pairs);
            cells.filter_map(move |(cell, pair)| Some((name, pair, cell.as_ref().err()?)))
        });
        cells
            .map(|(name, pair, why)| format!("{name}, {pair:?}: {why}"))
            .collect()
    }

    pub fn markdown(&self) -> String {
        let mut page = String::from("| feature |");
        for pair in self.pairs {
            let _ = write!(page, " {} → {} |", pair.client, pair.backend);
        }
        let _ = writeln!(page, "\n|---|{}", "---|".repeat(self.pairs.len()));
        for (name, cells) in &self.rows {
            let _ = write!(page, "| {name} |");
            for cell in cells {
                let outcome = cell.as_ref().map_or("**fails**", |outcome| *outcome);
                let _ = write!(page, " {outcome} |");
            }
            page.push('\n');
        }
        page
    }
}

fn run_all(cells: &[(Exchange, Pair)]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![Ok(""); cells.len()]);
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENT_CELLS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((exchange, pair)) = cells.get(at) else {
                        return;
                    };
                    let outcome = catch_unwind(AssertUnwindSafe(|| exchange(*pair)));
                    outcomes.lock().unwrap()[at] = outcome.map_err(|panic| message_of(&*panic));
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// The message of a panic.
fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
