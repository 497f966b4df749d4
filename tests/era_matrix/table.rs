//! The table: who stands on its sides, and how its cells are filled.

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
/// Cells wait more than they work.
const SIDE_BY_SIDE: usize = 8;

/// An exchange, which says in a few words what was seen to happen.
type Exchange = fn(Pair) -> &'static str;
/// What an exchange said, or why it failed.
type Seen = Result<&'static str, String>;
/// A name and its exchange.
pub type Feature = (&'static str, Exchange);

/// A client and a backend, by the versions they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub client: &'static str,
    pub backend: &'static str,
}

/// Every era with every era.
pub const PAIRS: [Pair; 4] = [
    Pair::new(LEGACY, LEGACY),
    Pair::new(LEGACY, MODERN),
    Pair::new(MODERN, LEGACY),
    Pair::new(MODERN, MODERN),
];

/// Clients of the older versions with every era.
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

    /// One of four, by the eras: legacy to legacy, legacy to modern, modern to legacy, modern to
    /// modern.
    pub fn pick<T>(self, ll: T, lm: T, ml: T, mm: T) -> T {
        match (self.modern_client(), self.modern_backend()) {
            (false, false) => ll,
            (false, true) => lm,
            (true, false) => ml,
            (true, true) => mm,
        }
    }

    /// A backend of this era with all that its era has.
    pub fn fake(self) -> FakeBackend {
        let fake = FakeBackend::start();
        if self.modern_backend() {
            fake.modern()
        } else {
            fake.with_get()
        }
    }

    /// A gateway over this backend and a client that can do nothing.
    pub fn gateway(self, fake: &FakeBackend) -> TestGateway {
        self.gateway_for(fake, json!({}))
    }

    /// A gateway over this backend and a client that can do these things.
    pub fn gateway_for(self, fake: &FakeBackend, capabilities: Value) -> TestGateway {
        self.gateway_with(&fake.entry("fake", ""), capabilities)
    }

    /// A gateway with this config and a client that can do these things.
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

/// What came of all exchanges.
pub struct Table {
    pairs: &'static [Pair],
    rows: Vec<(&'static str, Vec<Seen>)>,
}

impl Table {
    /// Runs every exchange between every pair.
    pub fn fill(features: &[Feature], pairs: &'static [Pair]) -> Self {
        let exchanges = features.iter().map(|feature| feature.1);
        let cells = exchanges.flat_map(|exchange| pairs.iter().map(move |pair| (exchange, *pair)));
        let seen = run_all(&cells.collect::<Vec<_>>());
        let names = features.iter().map(|feature| feature.0);
        let rows = names.zip(seen.chunks(pairs.len()).map(<[_]>::to_vec));
        Self {
            pairs,
            rows: rows.collect(),
        }
    }

    /// The cells that are not as they should be.
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
                let said = cell.as_ref().map_or("**fails**", |said| *said);
                let _ = write!(page, " {said} |");
            }
            page.push('\n');
        }
        page
    }
}

fn run_all(cells: &[(Exchange, Pair)]) -> Vec<Seen> {
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(vec![Ok(""); cells.len()]);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((exchange, pair)) = cells.get(at) else {
                        return;
                    };
                    let said = catch_unwind(AssertUnwindSafe(|| exchange(*pair)));
                    seen.lock().unwrap()[at] = said.map_err(|panic| words_of(&*panic));
                }
            });
        }
    });
    seen.into_inner().unwrap()
}

/// What a panic said.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
