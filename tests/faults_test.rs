//! The fault table: each row injects one fault into the real binary, run as a process, and checks
//! the result.
//!
//! Every row also checks that nothing panics, that stdout contains only valid messages, that every
//! request is answered, that a good backend works during the fault, and that memory stays under a
//! ceiling: see [`fixture`] and [`table`]. More detailed variants of many rows are in other tests,
//! named `fault_NN_…`.
//!
//! A binary of its own: it is its own test harness, with its own panic hook and log.
//!
//! `cargo test --test faults_test -- 41 58` checks only these rows. See [`subject`] for how to
//! test another program, and [`report`] for the output.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
// The lints exempt only `#[test]` functions, not the helpers they call.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    unreachable_pub
)]

mod common;

#[path = "faults/background.rs"]
mod background;
#[path = "faults/connect.rs"]
mod connect;
#[path = "faults/deadlines.rs"]
mod deadlines;
#[path = "faults/fixture.rs"]
mod fixture;
#[path = "faults/fleet.rs"]
mod fleet;
#[path = "faults/http.rs"]
mod http;
#[path = "faults/isolation.rs"]
mod isolation;
#[path = "faults/lifecycle.rs"]
mod lifecycle;
#[path = "faults/lists.rs"]
mod lists;
#[path = "faults/pipes.rs"]
mod pipes;
#[path = "faults/protocol.rs"]
mod protocol;
#[path = "faults/raw_process.rs"]
mod raw_process;
#[path = "faults/records.rs"]
mod records;
#[path = "faults/report.rs"]
mod report;
#[path = "faults/retry.rs"]
mod retry;
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

use report::{Checked, Report, Verdict};
use subject::Subject;
use table::{Needs, Row, Run};

/// Rows checked in parallel. A row waits most of its time.
const PARALLEL_ROWS: usize = 8;

fn main() -> ExitCode {
    let rows = selected_rows(std::env::args().skip(1));
    if std::env::args().any(|argument| argument == "--list") {
        rows.iter().for_each(|row| println!("{}: test", name(row)));
        return ExitCode::SUCCESS;
    }
    let subject = Subject::from_environment();
    report::store_panics();
    let report = Mutex::new(Report::new(&subject, rows.len()));
    // Other rows would disturb a measurement.
    let (measured, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| is_measured(row));
    for (rows, in_parallel) in [(rows, PARALLEL_ROWS), (measured, 1)] {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..in_parallel.min(rows.len()) {
                scope.spawn(|| {
                    while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let checked = check(row, &subject);
                        report.lock().unwrap().add(checked);
                    }
                });
            }
        });
    }
    report.into_inner().unwrap().end()
}

fn is_measured(row: &Row) -> bool {
    let measured = isolation::ROWS.iter().chain(lists::ROWS);
    measured.into_iter().any(|measured| measured.id == row.id)
}

/// Flags of test harnesses that are followed by a value, which is not a filter.
const WITH_VALUE: [&str; 5] = [
    "--test-threads",
    "--skip",
    "--format",
    "--color",
    "--logfile",
];

/// The rows whose numbers or names are given, or all rows. `cargo test` also passes flags and
/// filters for other tests.
fn selected_rows(mut arguments: impl Iterator<Item = String>) -> Vec<&'static Row> {
    let mut filters = Vec::new();
    while let Some(argument) = arguments.next() {
        if WITH_VALUE.contains(&argument.as_str()) {
            arguments.next();
        } else if !argument.starts_with('-') {
            filters.push(argument);
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
        background::ROWS,
        deadlines::ROWS,
        isolation::ROWS,
        lists::ROWS,
        records::ROWS,
        fleet::ROWS,
        security::ROWS,
    ];
    let rows = sections.into_iter().flatten();
    let named = |row: &Row, argument: &String| argument == row.id || *argument == name(row);
    let wanted =
        |row: &&Row| filters.is_empty() || filters.iter().any(|argument| named(row, argument));
    rows.filter(wanted).collect()
}

/// The row's name as a test.
fn name(row: &Row) -> String {
    format!("fault_{:0>2}", row.id)
}

fn check(row: &'static Row, subject: &Subject) -> Checked {
    let begun = Instant::now();
    let run = Run::new(subject);
    let verdict = if !subject.is_gateway() && row.needs != Needs::Nothing {
        Verdict::NotApplicable
    } else {
        match catch_unwind(AssertUnwindSafe(|| (row.check)(&run))) {
            Ok(()) => Verdict::Survived,
            Err(_) => Verdict::Failed(report::last_panic()),
        }
    };
    Checked {
        row,
        verdict,
        seen: run.seen(),
        took: begun.elapsed(),
    }
}
