//! What a row of the fault table is, and what is noted while it is checked.

use std::cell::RefCell;

use crate::common::process::{ExitedProcess, Process};
use crate::subject::Subject;

/// The most memory the gateway may ever have in any row, in KiB. Rows that are about size lower
/// the caps; the binary of the tests is neither optimized nor small.
pub const MEMORY_CEILING: u64 = 96 * 1024;

/// One fault, and what must come of it.
pub struct Row {
    /// Its number in the fault catalogue; `S1` and so on for the catalogue's part on security.
    pub id: &'static str,
    pub needs: Needs,
    pub fault: &'static str,
    pub outcome: &'static str,
    pub check: fn(&Run<'_>),
    /// What it doesn't check because it isn't built yet; empty for nothing.
    pub pending: &'static str,
}

impl Row {
    /// Whether it is of the catalogue's part on security, which is counted apart.
    pub fn is_of_security(&self) -> bool {
        self.id.starts_with('S')
    }
}

/// What a program must have to be asked for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// To stand between stdio and one server.
    Nothing,
    /// Settings of ours.
    Config,
    /// More than one server behind it.
    TwoBackends,
}

/// Rows: `"1" Nothing "what goes wrong" => "what must come of it", check_function;`, and before
/// the semicolon what is pending, if something is.
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

/// One row being checked.
pub struct Run<'a> {
    pub subject: &'a Subject,
    seen: RefCell<Seen>,
}

/// What was noted of a row.
#[derive(Default, Clone)]
pub struct Seen {
    /// Which variant of the fault it is at.
    pub variant: String,
    /// What a reader should know of how it was checked.
    pub notes: Vec<String>,
    /// In KiB.
    pub peak_memory: u64,
    /// Faults that a tool not known to be safe has met.
    pub fault_runs: usize,
    /// After which of them it had run more than once.
    pub doubled: usize,
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

    /// The variant that is checked next, to be named if it fails.
    pub fn at(&self, variant: &str) {
        variant.clone_into(&mut self.seen.borrow_mut().variant);
    }

    pub fn note(&self, note: impl Into<String>) {
        self.seen.borrow_mut().notes.push(note.into());
    }

    /// A part that takes more than this machine gives to a test. `.ci/run` sees to it that it
    /// has all, and says so by `FAULTS_ALL`.
    ///
    /// # Panics
    /// If this is such a machine.
    pub fn elsewhere(&self, what: &str) {
        assert!(
            std::env::var_os("FAULTS_ALL").is_none(),
            "not possible here: {what}"
        );
        self.note(format!("{what}, in .ci/run"));
    }

    /// A fault has been met by a tool not known to be safe, which ran so often.
    pub fn ran(&self, times: usize) {
        let mut seen = self.seen.borrow_mut();
        seen.fault_runs += 1;
        seen.doubled += usize::from(times > 1);
        drop(seen);
        assert!(times <= 1, "a tool not known to be safe ran {times} times");
    }

    /// Judges a process by what it needed and said, and waits for its end.
    pub fn end(&self, process: Process) -> ExitedProcess {
        self.weigh(process.peak_memory());
        let ended = process.end();
        self.judge_log(&ended.log);
        ended
    }

    /// Judges how much memory a process has had.
    pub fn weigh(&self, peak: u64) {
        let mut seen = self.seen.borrow_mut();
        seen.peak_memory = seen.peak_memory.max(peak);
        drop(seen);
        if self.subject.is_ours() {
            assert!(
                peak <= MEMORY_CEILING,
                "{peak} KiB of memory, over the ceiling of {MEMORY_CEILING}"
            );
        }
    }

    /// Judges what a process wrote to stderr.
    pub fn judge_log(&self, log: &str) {
        if self.subject.is_ours() {
            assert!(!log.contains("panicked at"), "it panicked: {log}");
        }
    }
}
