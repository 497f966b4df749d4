//! The report: one line a row, the failures with their causes, and the counts; the same as JSON in
//! the file that `FAULTS_REPORT` names.

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::subject::Subject;
use crate::table::{MEMORY_CEILING, Needs, Row, Seen};

/// Lines of a failure that are shown from its beginning and from its end.
const BEGINNING: usize = 8;
const END: usize = 16;

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Installs a hook that stores each panic for the report of its row.
pub fn store_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with_borrow_mut(|kept| {
            // The first is the cause; what follows while unwinding is not.
            if kept.is_empty() {
                *kept = panic.to_string();
            }
        });
    }));
}

/// The first panic of the row that this thread checks.
pub fn last_panic() -> String {
    PANIC.take()
}

pub enum Verdict {
    Survived,
    Failed(String),
    /// The row needs features that the program doesn't claim.
    NotApplicable,
}

/// A row that has been checked.
pub struct Checked {
    pub row: &'static Row,
    pub verdict: Verdict,
    pub seen: Seen,
    pub took: Duration,
}

pub struct Report<'a> {
    subject: &'a Subject,
    of: usize,
    begun: Instant,
    checked: Vec<Checked>,
}

impl<'a> Report<'a> {
    pub fn new(subject: &'a Subject, of: usize) -> Self {
        Self {
            subject,
            of,
            begun: Instant::now(),
            checked: Vec::new(),
        }
    }

    /// Prints the row's line. Rows finish in any order.
    pub fn add(&mut self, checked: Checked) {
        println!("{}", line(&checked));
        self.checked.push(checked);
    }

    /// Prints the summary and writes the file. Failures of other programs don't fail the run.
    pub fn end(mut self) -> ExitCode {
        if self.of == 0 {
            return ExitCode::SUCCESS;
        }
        self.checked.sort_by_key(|checked| sort_key(checked.row));
        let failed: Vec<&Checked> = self.all(|verdict| matches!(verdict, Verdict::Failed(_)));
        for checked in &failed {
            if let Verdict::Failed(why) = &checked.verdict {
                let (row, variant) = (checked.row, &checked.seen.variant);
                let why = abridged(why);
                println!("\nrow {}: {} [{variant}]\n{why}", row.id, row.fault);
            }
        }
        println!("\n{}", self.summary());
        if let Some(path) = std::env::var_os("FAULTS_REPORT") {
            std::fs::write(path, format!("{:#}\n", self.json())).unwrap();
        }
        match failed.is_empty() || !self.subject.is_gateway() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn all(&self, wanted: impl Fn(&Verdict) -> bool) -> Vec<&Checked> {
        let all = self.checked.iter();
        all.filter(|checked| wanted(&checked.verdict)).collect()
    }

    fn summary(&self) -> String {
        let counts = |wanted: fn(&Verdict) -> bool| {
            let all = self.all(wanted);
            let faults = all.iter().filter(|checked| !checked.row.is_security());
            let faults = faults.count();
            (faults, all.len() - faults)
        };
        let (survived, secure) = counts(|verdict| matches!(verdict, Verdict::Survived));
        let (apply, sections) = counts(|verdict| !matches!(verdict, Verdict::NotApplicable));
        let seen = || self.checked.iter().map(|checked| &checked.seen);
        let ran_repeatedly: usize = seen().map(|seen| seen.ran_repeatedly).sum();
        let runs: usize = seen().map(|seen| seen.fault_runs).sum();
        let peak = seen().map(|seen| seen.peak_memory).max().unwrap_or(0);
        let failed = self.all(|verdict| matches!(verdict, Verdict::Failed(_)));
        let failed: Vec<&str> = failed.iter().map(|checked| checked.row.id).collect();
        let mut lines = vec![
            format!("{}:", self.subject.name),
            format!("faults survived: {survived} of {apply}"),
            format!("security rows held: {secure} of {sections}"),
            format!(
                "tools not known to be safe that ran more than once: {ran_repeatedly} of {runs} fault runs"
            ),
            format!("highest peak memory: {peak} KiB (ceiling {MEMORY_CEILING})"),
            format!("took {:.1} s", self.begun.elapsed().as_secs_f64()),
        ];
        if !failed.is_empty() {
            lines.push(format!("failed: {}", failed.join(", ")));
        }
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let (security, rows): (Vec<&Checked>, _) = self
            .checked
            .iter()
            .partition(|checked| checked.row.is_security());
        let as_json = |rows: Vec<&Checked>| rows.into_iter().map(as_json).collect::<Vec<Value>>();
        json!({
            "subject": self.subject.name,
            "rows": as_json(rows),
            "security": as_json(security),
        })
    }
}

/// What failed, without the source location and the transcript.
fn cause(why: &str) -> String {
    let relevant = why
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with(['→', '←']));
    let first: Vec<&str> = relevant.map(str::trim).take(3).collect();
    first.join(" ").trim_end_matches("; so far:").to_owned()
}

/// The beginning, with the cause, and the end, with the last messages.
fn abridged(why: &str) -> String {
    let lines: Vec<&str> = why.lines().collect();
    if lines.len() <= BEGINNING + END {
        return why.to_owned();
    }
    let (beginning, rest) = lines.split_at(BEGINNING);
    let (left_out, end) = rest.split_at(rest.len() - END);
    let gap = format!("… {} lines …", left_out.len());
    [beginning, &[gap.as_str()], end].concat().join("\n")
}

/// The order of the table; its security rows come last.
fn sort_key(row: &Row) -> u32 {
    let number = row.id.trim_start_matches('S').parse().unwrap_or(0);
    if row.is_security() {
        1_000 + number
    } else {
        number
    }
}

fn line(checked: &Checked) -> String {
    let Checked {
        row, seen, took, ..
    } = checked;
    let verdict = match checked.verdict {
        Verdict::Survived => "ok",
        Verdict::Failed(_) => "FAILED",
        Verdict::NotApplicable => "n/a",
    };
    let notes = notes(row, seen);
    let notes = if notes.is_empty() {
        notes
    } else {
        format!("  [{notes}]")
    };
    format!(
        "{verdict:6} {:>3}  {} → {}{notes}  {:.1} s",
        row.id,
        row.fault,
        row.outcome,
        took.as_secs_f64()
    )
}

fn notes(row: &Row, seen: &Seen) -> String {
    let pending = (!row.pending.is_empty()).then(|| format!("pending: {}", row.pending));
    let all: Vec<String> = pending.into_iter().chain(seen.notes.clone()).collect();
    all.join("; ")
}

fn as_json(checked: &Checked) -> Value {
    let Checked { row, seen, .. } = checked;
    let (verdict, why) = match &checked.verdict {
        Verdict::Survived => ("ok", None),
        Verdict::Failed(why) => ("failed", Some(why.as_str())),
        Verdict::NotApplicable => ("n/a", None),
    };
    let needs = match row.needs {
        Needs::Nothing => "",
        Needs::Config => "needs settings of the gateway",
        Needs::TwoBackends => "needs more than one backend",
    };
    json!({
        "number": row.id.parse::<u32>().map_or_else(|_| json!(row.id), Value::from),
        "title": format!("{} → {}", row.fault, row.outcome),
        "verdict": verdict,
        "note": match verdict {
            "n/a" => needs.to_owned(),
            "failed" => cause(why.unwrap_or_default()),
            _ => notes(row, seen),
        },
        "variant": seen.variant,
        "seconds": checked.took.as_secs_f64(),
    })
}
