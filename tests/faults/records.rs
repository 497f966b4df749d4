//! Section I: the audit file and the log file can't be written.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::fixture::{Fixture, Plan, plan};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "101" Config "full disk under the audit file and the log file" => "calls go on or, if the config says so, are refused unsent; what is missing is counted; no line is torn", fault_101_full_disk;
    "102" Config "an audit file in a folder that can't be written" => "the same from the start on; once it can be, records are written", fault_102_unwritable_folder;
};

/// Bytes that a file may have: a multiple of both units that shells count in.
const LIMIT: u64 = 64 << 10;
/// Calls whose records are more than that.
const CALLS: usize = 250;

/// A gateway with both files in this folder.
fn with_files<'a>(run: &'a Run<'a>, folder: &Path, on_failure: &str) -> Plan<'a> {
    let file = |name: &str| folder.join(name).display().to_string();
    plan(run).gateway(&format!(
        "drain_ms = 2000\n[audit]\nfile = '{}'\non_failure = \"{on_failure}\"\n[log]\nfile = '{}'",
        file("audit.jsonl"),
        file("gateway.log"),
    ))
}

/// The records in the folder, each of which must be whole.
fn records(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap_or_default();
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "the last line is torn"
    );
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line}")))
        .collect()
}

/// Records that are written, and those that are said to be missing.
fn counts(records: &[Value]) -> (u64, u64) {
    let missing = records
        .iter()
        .filter_map(|record| record["missing"].as_u64());
    let written = records
        .iter()
        .filter(|record| record["seq"].is_u64())
        .count();
    (written as u64, missing.sum())
}

/// Waits until this member is in a whole line of the audit file.
fn wait_for(fixture: &mut Fixture<'_>, folder: &Path, member: &str) {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap_or_default();
        if text.contains(member) && text.ends_with('\n') {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "there is no {member}: {text}");
        fixture.expect_alive();
    }
}

/// Gives the process room in its files again.
fn lift_limit(fixture: &Fixture<'_>) -> bool {
    let pid = fixture.process().pid().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status();
    lifted.is_ok_and(|status| status.success())
}

fn fault_101_full_disk(run: &Run<'_>) {
    // A limit on the size of files does what a full disk does: a write takes a part, or nothing.
    let launcher = |unit: u64| format!("ulimit -S -f {}", LIMIT / unit);
    let unit = if shell_counts_kib() { 1024 } else { 512 };
    run.set_variant("drop");
    let folder = TempDir::new().unwrap();
    let mut fixture = with_files(run, folder.path(), "drop")
        .after(&launcher(unit))
        .start();
    if !fixture.is_gateway() {
        fixture.end();
        return;
    }
    for _ in 0..CALLS {
        fixture.client().call("look", json!({})).text();
    }
    let length = std::fs::metadata(folder.path().join("audit.jsonl"))
        .unwrap()
        .len();
    assert!(
        length <= LIMIT && length > LIMIT - 2_048,
        "{length} bytes: it was not full"
    );
    // What a write takes in part is taken back; in between a reader may see it.
    if lift_limit(&fixture) {
        wait_for(&mut fixture, folder.path(), "\"missing\"");
        fixture.expect_success("look");
    } else {
        run.note_skipped("the limit can't be lifted without prlimit");
    }
    let log = fixture.end().log;
    assert!(log.contains("the audit file can't be written"), "{log}");
    let all = records(folder.path());
    let last = all
        .iter()
        .filter_map(|record| record["seq"].as_u64())
        .max()
        .unwrap();
    let (written, missing) = counts(&all);
    assert!(missing > 0);
    assert_eq!(written + missing, last, "each record is written or counted");
    run.note(format!("{written} records written, {missing} counted"));

    run.set_variant("refuse");
    let folder = TempDir::new().unwrap();
    let mut fixture = with_files(run, folder.path(), "refuse")
        .after(&launcher(unit))
        .start();
    // The file is full once not even the line fits that says what is missing.
    let mut in_a_row = 0;
    for _ in 0..2 * CALLS {
        let answer = fixture.client().call("look", json!({}));
        in_a_row = match answer.0.json.get("error") {
            Some(_) => in_a_row + 1,
            None => 0,
        };
    }
    assert!(in_a_row > CALLS / 2, "calls go on without a record");
    let before = fixture.sent("act");
    fixture.expect_refused();
    assert_eq!(fixture.sent("act"), before);
    assert!(lift_limit(&fixture));
    wait_for(&mut fixture, folder.path(), "\"missing\"");
    fixture.client().call_until_success("look");
    fixture.end();
}

/// POSIX counts in 512 bytes, some shells in 1,024.
fn shell_counts_kib() -> bool {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("x").display().to_string();
    let script = "ulimit -f 1; trap '' XFSZ; head -c 4096 /dev/zero > \"$0\" 2>/dev/null";
    // It fails, having written what fits.
    let _ = Command::new("sh").args(["-c", script, &file]).status();
    std::fs::metadata(file).is_ok_and(|found| found.len() >= 1024)
}

fn fault_102_unwritable_folder(run: &Run<'_>) {
    let folder = TempDir::new().unwrap();
    // Not a folder at all, which stops root as well.
    let place = folder.path().join("logs");
    for on_failure in ["drop", "refuse"] {
        run.set_variant(on_failure);
        std::fs::write(&place, "").unwrap();
        let mut fixture = with_files(run, &place, on_failure).raw();
        fixture.client().initialize().result();
        if !fixture.is_gateway() {
            fixture.end();
            continue;
        }
        match on_failure {
            "drop" => assert_eq!(fixture.client().call("look", json!({})).text(), "look {}"),
            _ => fixture.expect_refused(),
        }
        std::fs::remove_file(&place).unwrap();
        // The gateway may be faster.
        std::fs::create_dir_all(&place).unwrap();
        // The record of the call before may come late enough to be written.
        fixture.client().call_until_success("look");
        wait_for(&mut fixture, &place, "\"seq\"");
        let log = fixture.end().log;
        assert!(log.contains("the audit file can't be written"), "{log}");
        let all = records(&place);
        let (written, missing) = counts(&all);
        let last = all.iter().filter_map(|record| record["seq"].as_u64()).max();
        assert_eq!(Some(written + missing), last, "{all:?}");
        std::fs::remove_dir_all(&place).unwrap();
    }
}

impl Fixture<'_> {
    /// Calls a tool, which is refused unsent.
    fn expect_refused(&mut self) {
        let answer = self.client().call("act", json!({}));
        assert_eq!(answer.gateway_error(), ("refused", "no", 0));
        assert!(
            answer.message().contains("on_failure"),
            "{}",
            answer.message()
        );
    }
}
