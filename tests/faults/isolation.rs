//! Section H: one backend against the others.
//!
//! Each kind of flood is measured by [`beside`](crate::common::beside): what a call to another backend
//! takes meanwhile, compared to the same while the hostile server floods a sink, and what a ping takes.
//! These rows run one after the other when all others are done.

use crate::common::beside::{Hostile, beside};
use crate::common::process;
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "92" TwoBackends "work of a size that a backend chooses" => "done in turns: another backend and ping are as fast as before", fault_92_work_in_turns;
};

/// A kind of flood.
struct Kind {
    name: &'static str,
    hostile: fn() -> Hostile,
}

const KINDS: &[Kind] = &[kind("tiny chunks", || {
    Hostile::new(|exchange| {
        if exchange.method() != "tools/call" {
            return Ok(false);
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        exchange.write(head.as_bytes())?;
        exchange.repeat(&b"1\r\n:\r\n".repeat(64 * 1024))
    })
})];

const fn kind(name: &'static str, hostile: fn() -> Hostile) -> Kind {
    Kind { name, hostile }
}

fn fault_92_work_in_turns(run: &Run<'_>) {
    measure(run, KINDS);
}

/// Measures each kind whose name contains `FAULTS_KIND`.
fn measure(run: &Run<'_>, kinds: &[Kind]) {
    let only = std::env::var("FAULTS_KIND").unwrap_or_default();
    let mut failed = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.name.contains(&only)) {
        run.set_variant(kind.name);
        let folder = tempfile::tempdir().unwrap();
        let (measured, log) = beside(&(kind.hostile)(), |toml| process::gateway(&folder, toml));
        run.check_log(&log);
        let line = format!("{}: {measured}", kind.name);
        if !measured.holds() {
            failed.push(line.clone());
        }
        run.note(line);
    }
    assert!(failed.is_empty(), "slower than promised: {failed:#?}");
}
