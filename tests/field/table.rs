//! A row of the table, and how rows are checked and printed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// How many rows are checked concurrently; most of their time is waiting.
const CONCURRENT_ROWS: usize = 4;

/// One kind of what is said in the field.
pub struct Row {
    /// The number of its section and its own.
    pub id: &'static str,
    pub seen: &'static str,
    pub outcome: &'static str,
    pub check: fn(),
}

/// Rows: `"1.01" "what is seen" => "what comes of it", check_function;`.
macro_rules! rows {
    ($($id:literal $seen:literal => $outcome:literal, $check:ident;)*) => {
        &[$($crate::field::table::Row {
            id: $id,
            seen: $seen,
            outcome: $outcome,
            check: $check,
        }),*]
    };
}
pub(crate) use rows;

/// Checks the rows, prints a line for each, and panics with the causes if one fails.
#[expect(
    clippy::print_stdout,
    reason = "the table is for people, and shown by --nocapture"
)]
pub fn check(rows: &[Row]) {
    let wanted = std::env::var("FIELD").ok();
    let is_wanted = |row: &&Row| {
        wanted
            .as_ref()
            .is_none_or(|wanted| row.id.starts_with(&**wanted))
    };
    let rows: Vec<&Row> = rows.iter().filter(is_wanted).collect();
    let next = AtomicUsize::new(0);
    let checked = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENT_ROWS {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let outcome = catch_unwind(AssertUnwindSafe(row.check));
                    let line = (row, outcome.map_err(cause), begun.elapsed());
                    checked.lock().unwrap().push(line);
                }
            });
        }
    });
    let mut checked = checked.into_inner().unwrap();
    checked.sort_by_key(|(row, ..)| row.id);
    let mut failures = String::new();
    for (row, outcome, took) in &checked {
        let verdict = if outcome.is_ok() { "ok  " } else { "FAIL" };
        let Row {
            id,
            seen,
            outcome: right,
            ..
        } = row;
        println!(
            "{verdict} {id:<5} {seen} -> {right} ({} ms)",
            took.as_millis()
        );
        if let Err(cause) = outcome {
            failures += &format!("\n{id} {seen}: {cause}");
        }
    }
    assert!(
        failures.is_empty(),
        "rows of the field table fail:{failures}"
    );
}

fn cause(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

/// The ids of the rows that the page explains, in its order.
pub fn explained() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(".planning/FIELD.md");
    let page = std::fs::read_to_string(page).unwrap();
    let lines = page.lines().filter_map(|line| line.strip_prefix("| "));
    let first = lines.filter_map(|line| line.split(" | ").next());
    let is_id = |cell: &&str| cell.starts_with(|first: char| first.is_ascii_digit());
    first.filter(is_id).map(str::to_owned).collect()
}

/// The numbers of the sections that the page has, in its order.
pub fn sections() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(".planning/FIELD.md");
    let page = std::fs::read_to_string(page).unwrap();
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    let numbers = headings.filter_map(|heading| heading.split_once(". "));
    numbers.map(|(number, _)| number.to_owned()).collect()
}
