//! The fault catalogue as one table: what can go wrong, done to the real binary as a process, and
//! what must come of it.
//!
//! Every row also demands that nothing panics, that stdout holds lawful messages alone, that
//! nothing stays unanswered, that a good backend is answered meanwhile, and that memory stays
//! under a ceiling: [`rig`] and [`table`] see to it. Finer variants of many rows are in other
//! tests, by the name `fault_NN_…`.
//!
//! A binary of its own: it is its own harness, with a hook for panics and a log.
//!
//! `cargo test --test faults_test -- 41 58` checks these rows alone. See [`subject`] for how to
//! put another program to the test, and [`report`] for what is told of it.

// What helpers unwrap is as much a test's affair as what tests do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    unreachable_pub
)]

mod common;

#[path = "faults/bare.rs"]
mod bare;
#[path = "faults/connect.rs"]
mod connect;
#[path = "faults/http.rs"]
mod http;
#[path = "faults/lifecycle.rs"]
mod lifecycle;
#[path = "faults/pipes.rs"]
mod pipes;
#[path = "faults/protocol.rs"]
mod protocol;
#[path = "faults/report.rs"]
mod report;
#[path = "faults/retry.rs"]
mod retry;
#[path = "faults/rig.rs"]
mod rig;
#[path = "faults/security.rs"]
mod security;
#[path = "faults/sse.rs"]
mod sse;
#[path = "faults/stdio.rs"]
mod stdio;
#[path = "faults/subject.rs"]
mod subject;
#[path = "faults/table.rs"]
mod table;
#[path = "faults/transfer.rs"]
mod transfer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use report::{Checked, Report, RetryDecision};
use subject::Subject;
use table::{Needs, Row, Run};

/// Rows checked at once. Most of a row's time is waiting.
const AT_ONCE: usize = 8;

fn main() -> ExitCode {
    let rows = chosen(std::env::args().skip(1));
    if std::env::args().any(|word| word == "--list") {
        rows.iter().for_each(|row| println!("{}: test", name(row)));
        return ExitCode::SUCCESS;
    }
    let subject = Subject::from_environment();
    report::keep_panics();
    let report = Mutex::new(Report::new(&subject, rows.len()));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(rows.len()) {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let checked = check(row, &subject);
                    report.lock().unwrap().add(checked);
                }
            });
        }
    });
    report.into_inner().unwrap().end()
}

/// Flags of test harnesses that are followed by a value. It is no filter.
const WITH_VALUE: [&str; 5] = [
    "--test-threads",
    "--skip",
    "--format",
    "--color",
    "--logfile",
];

/// All rows, or those whose numbers or names are given. `cargo test` also passes filters that are
/// meant for other tests, and flags.
fn chosen(mut arguments: impl Iterator<Item = String>) -> Vec<&'static Row> {
    let mut filters = Vec::new();
    while let Some(word) = arguments.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            arguments.next();
        } else if !word.starts_with('-') {
            filters.push(word);
        }
    }
    let sections = [
        stdio::ROWS,
        pipes::ROWS,
        connect::ROWS,
        http::ROWS,
        transfer::ROWS,
        sse::ROWS,
        protocol::ROWS,
        lifecycle::ROWS,
        retry::ROWS,
        security::ROWS,
    ];
    let rows = sections.into_iter().flatten();
    let named = |row: &Row, word: &String| word == row.id || *word == name(row);
    let wanted = |row: &&Row| filters.is_empty() || filters.iter().any(|word| named(row, word));
    rows.filter(wanted).collect()
}

/// As a test is called.
fn name(row: &Row) -> String {
    format!("fault_{:0>2}", row.id)
}

fn check(row: &'static Row, subject: &Subject) -> Checked {
    let begun = Instant::now();
    let run = Run::new(subject);
    let verdict = if !subject.is_ours() && row.needs != Needs::Nothing {
        RetryDecision::NotApplicable
    } else {
        match catch_unwind(AssertUnwindSafe(|| (row.check)(&run))) {
            Ok(()) => RetryDecision::Survived,
            Err(_) => RetryDecision::Failed(report::last_panic()),
        }
    };
    Checked {
        row,
        verdict,
        seen: run.seen(),
        took: begun.elapsed(),
    }
}
