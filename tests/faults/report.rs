//! What is told of the rows: a line each in their order, the counts, why some failed; and the same
//! as JSON in the file that `FAULTS_REPORT` names.

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::subject::Subject;
use crate::table::{MEMORY_CEILING, Needs, Row, Seen};

/// How many lines of a failure are shown: of its beginning, and of its end.
const BEGINNING: usize = 8;
const END: usize = 16;

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic is kept for the report of its row.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with_borrow_mut(|kept| {
            // The first is the cause; what follows while unwinding is not.
            if kept.is_empty() {
                *kept = panic.to_string();
            }
        });
    }));
}

/// What this thread's row failed of.
pub fn last_panic() -> String {
    PANIC.take()
}

pub enum RetryDecision {
    Survived,
    Failed(String),
    /// Asks for more than the program claims to be.
    NotApplicable,
}

/// A row that has been checked.
pub struct Checked {
    pub row: &'static Row,
    pub verdict: RetryDecision,
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

    /// Prints its line. Rows end in any order; each line says which it is.
    pub fn add(&mut self, checked: Checked) {
        println!("{}", line(&checked));
        self.checked.push(checked);
    }

    /// Says what came of all, and writes the file. Of others nothing is a failure of this run.
    pub fn end(mut self) -> ExitCode {
        if self.of == 0 {
            return ExitCode::SUCCESS;
        }
        self.checked.sort_by_key(|checked| place(checked.row));
        let failed: Vec<&Checked> = self.all(|verdict| matches!(verdict, RetryDecision::Failed(_)));
        for checked in &failed {
            if let RetryDecision::Failed(why) = &checked.verdict {
                let (row, variant) = (checked.row, &checked.seen.variant);
                let why = abridged(why);
                println!("\nrow {}: {} [{variant}]\n{why}", row.id, row.fault);
            }
        }
        println!("\n{}", self.summary());
        if let Some(path) = std::env::var_os("FAULTS_REPORT") {
            std::fs::write(path, format!("{:#}\n", self.json())).unwrap();
        }
        match failed.is_empty() || !self.subject.is_ours() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn all(&self, wanted: impl Fn(&RetryDecision) -> bool) -> Vec<&Checked> {
        let all = self.checked.iter();
        all.filter(|checked| wanted(&checked.verdict)).collect()
    }

    fn summary(&self) -> String {
        let counts = |wanted: fn(&RetryDecision) -> bool| {
            let all = self.all(wanted);
            let faults = all.iter().filter(|checked| !checked.row.is_of_security());
            let faults = faults.count();
            (faults, all.len() - faults)
        };
        let (survived, secure) = counts(|verdict| matches!(verdict, RetryDecision::Survived));
        let (apply, sections) = counts(|verdict| !matches!(verdict, RetryDecision::NotApplicable));
        let seen = || self.checked.iter().map(|checked| &checked.seen);
        let doubled: usize = seen().map(|seen| seen.doubled).sum();
        let runs: usize = seen().map(|seen| seen.fault_runs).sum();
        let peak = seen().map(|seen| seen.peak_memory).max().unwrap_or(0);
        let failed = self.all(|verdict| matches!(verdict, RetryDecision::Failed(_)));
        let failed: Vec<&str> = failed.iter().map(|checked| checked.row.id).collect();
        let mut lines = vec![
            format!("{}:", self.subject.name),
            format!("faults survived: {survived} of {apply}"),
            format!("security rows held: {secure} of {sections}"),
            format!(
                "executions more than once of tools not known to be safe: {doubled} of {runs} fault runs"
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
            .partition(|checked| checked.row.is_of_security());
        let as_json = |rows: Vec<&Checked>| rows.into_iter().map(as_json).collect::<Vec<Value>>();
        json!({
            "subject": self.subject.name,
            "rows": as_json(rows),
            "security": as_json(security),
        })
    }
}

/// What failed, without the place in the source and the transcript.
fn cause(why: &str) -> String {
    let told = why
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with(['→', '←']));
    let told: Vec<&str> = told.map(str::trim).take(3).collect();
    told.join(" ").trim_end_matches("; so far:").to_owned()
}

/// The beginning, which says what failed, and the end, which is what came last.
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

/// The order of the catalogue; its part on security comes last.
fn place(row: &Row) -> u32 {
    let number = row.id.trim_start_matches('S').parse().unwrap_or(0);
    if row.is_of_security() {
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
        RetryDecision::Survived => "ok",
        RetryDecision::Failed(_) => "FAILED",
        RetryDecision::NotApplicable => "n/a",
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
        RetryDecision::Survived => ("ok", None),
        RetryDecision::Failed(why) => ("failed", Some(why.as_str())),
        RetryDecision::NotApplicable => ("n/a", None),
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
