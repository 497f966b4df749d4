//! A row of the fault table, and what is recorded while it is checked.

use std::cell::RefCell;

use crate::common::process::{ExitedProcess, Process};
use crate::subject::Subject;

/// The most memory that the gateway may use in any row, in KiB. Rows about size lower the caps. The
/// tests run a binary that isn't optimized.
pub const MEMORY_CEILING: u64 = 96 * 1024;

/// The most bytes of a line in the gateway's log.
const LONGEST_LINE: usize = 1024;

/// One fault and its expected outcome.
pub struct Row {
    /// The row's number; `S1` and so on for security rows.
    pub id: &'static str,
    pub needs: Needs,
    pub fault: &'static str,
    pub outcome: &'static str,
    pub check: fn(&Run<'_>),
    /// What it doesn't check because it isn't implemented yet, or empty.
    pub pending: &'static str,
}

impl Row {
    /// Whether it is a security row. They are counted separately.
    pub fn is_security(&self) -> bool {
        self.id.starts_with('S')
    }
}

/// What a program must support for this row to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It bridges stdio to one server.
    Nothing,
    /// It reads the gateway's configuration.
    Config,
    /// It serves several servers.
    TwoBackends,
}

/// Rows: `"1" Nothing "the fault" => "the expected outcome", check_function;`, with an optional
/// `, pending "what"` before the semicolon.
macro_rules! rows {
    ($($id:literal $needs:ident $fault:literal => $outcome:literal,
       $check:ident $(, pending $pending:literal)?;)*) => {
        &[$($crate::table::Row {
            id: $id,
            needs: $crate::table::Needs::$needs,
            fault: $fault,
            outcome: $outcome,
            check: $check,
            pending: concat!("" $(, $pending)?),
        }),*]
    };
}
pub(crate) use rows;

/// The check of one row.
pub struct Run<'a> {
    pub subject: &'a Subject,
    seen: RefCell<Seen>,
}

/// What was recorded about a row.
#[derive(Default, Clone)]
pub struct Seen {
    /// The current variant of the fault.
    pub variant: String,
    /// What a reader should know about how it was checked.
    pub notes: Vec<String>,
    /// In KiB.
    pub peak_memory: u64,
    /// Faults injected into calls of a tool not known to be safe.
    pub fault_runs: usize,
    /// Those of them after which the tool had run more than once.
    pub ran_repeatedly: usize,
}

impl<'a> Run<'a> {
    pub fn new(subject: &'a Subject) -> Self {
        Self {
            subject,
            seen: RefCell::default(),
        }
    }

    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Sets the variant that is checked next, to be reported if it fails.
    pub fn set_variant(&self, variant: &str) {
        variant.clone_into(&mut self.seen.borrow_mut().variant);
    }

    pub fn note(&self, note: impl Into<String>) {
        self.seen.borrow_mut().notes.push(note.into());
    }

    /// Notes that a part of the row is skipped because it needs what this machine doesn't give to a
    /// test. `.ci/run` provides everything, and sets `FAULTS_ALL`.
    ///
    /// # Panics
    /// If `FAULTS_ALL` is set.
    pub fn note_skipped(&self, what: &str) {
        assert!(
            std::env::var_os("FAULTS_ALL").is_none(),
            "not possible here: {what}"
        );
        self.note(format!("{what}, in .ci/run"));
    }

    /// Records how often a tool not known to be safe ran after a fault.
    ///
    /// # Panics
    /// If it ran more than once.
    pub fn record_runs(&self, times: usize) {
        let mut seen = self.seen.borrow_mut();
        seen.fault_runs += 1;
        seen.ran_repeatedly += usize::from(times > 1);
        drop(seen);
        assert!(times <= 1, "a tool not known to be safe ran {times} times");
    }

    /// Checks a process's memory and log, and waits for its end.
    pub fn end(&self, process: Process) -> ExitedProcess {
        self.check_memory(process.peak_memory());
        let ended = process.end();
        self.check_log(&ended.log);
        ended
    }

    /// Checks the peak memory of a process, in KiB.
    pub fn check_memory(&self, peak: u64) {
        let mut seen = self.seen.borrow_mut();
        seen.peak_memory = seen.peak_memory.max(peak);
        drop(seen);
        if self.subject.is_gateway() {
            assert!(
                peak <= MEMORY_CEILING,
                "{peak} KiB of memory, over the ceiling of {MEMORY_CEILING}"
            );
        }
    }

    /// Checks what a process wrote to stderr.
    pub fn check_log(&self, log: &str) {
        if self.subject.is_gateway() {
            for said in ["panicked at", "the gateway has a bug"] {
                assert!(!log.contains(said), "it panicked: {log}");
            }
            let longest = log.lines().map(str::len).max().unwrap_or_default();
            assert!(longest <= LONGEST_LINE, "a line of {longest} bytes: {log}");
        }
    }
}
