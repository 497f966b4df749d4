//! A panic is told in the log, and waits for it no more than any other line.
//!
//! A binary of its own: it starts itself once more as the process that logs and panics. There the
//! log is installed as the gateway does it, and with it a hook for panics, both once per process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::io::Read;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use sentinel_gateway::observe::logs;

/// Set in the process that panics.
const IN_CHILD: &str = "PANICS_WITH_LINES_BEFORE";
const ALIVE: &str = "it lives on";
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs this test alone in a process of its own, which logs so many lines and then panics, while
/// nobody reads its stderr until its stdout has ended.
fn panic_after(lines: u32) -> (String, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_panics"])
        .args(["--ignored", "--nocapture"])
        .env(IN_CHILD, lines.to_string())
        // What Rust would write by itself is then more than is left of a full pipe.
        .env("RUST_BACKTRACE", "full")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (ended, end) = channel();
    thread::spawn(move || {
        let mut said = String::new();
        let _ = stdout.read_to_string(&mut said);
        let _ = ended.send(said);
    });
    let said = end.recv_timeout(PATIENCE);
    if said.is_err() {
        child.kill().unwrap();
    }
    let mut log = String::new();
    let _ = child.stderr.take().unwrap().read_to_string(&mut log);
    child.wait().unwrap();
    (said.expect("it hangs"), log)
}

#[test]
#[ignore = "the others run it, each in a process of its own"]
fn the_process_that_panics() {
    let lines = std::env::var(IN_CHILD).unwrap();
    logs::start(Some("info"), false);
    for line in 0..lines.parse().unwrap() {
        tracing::info!(target: "sentinel_gateway", line, "{}", "x".repeat(1_000));
    }
    catch_unwind(|| panic!("no such luck")).unwrap_err();
    println!("{ALIVE}");
}

#[test]
fn a_panic_is_logged_as_one_line() {
    let (said, log) = panic_after(0);
    assert!(said.contains(ALIVE), "{said}");
    let line = log.lines().find(|line| line.contains("no such luck"));
    let line = line.unwrap_or_else(|| panic!("not told: {log}"));
    assert!(line.contains("ERROR"), "{line}");
    assert!(line.contains("tests/panic_test.rs"), "{line}");
    assert!(!log.contains("stack backtrace"), "{log}");
}

#[test]
fn a_panic_does_not_block_when_stderr_is_not_read() {
    let (said, log) = panic_after(500);
    assert!(said.contains(ALIVE), "{said}");
    assert!(log.len() < 500_000, "nothing was dropped");
}
