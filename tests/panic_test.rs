//! A panic is logged, and logging it does not block when stderr is full.
//!
//! A separate binary: it starts itself again as the process that logs and panics. That process
//! installs the gateway's logger and panic hook, which is possible once per process.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::io::Read;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use sentinel_gateway::observe::logs;
use tracing::level_filters::LevelFilter;

/// Set in the process that panics: the number of log lines before the panic.
const IN_CHILD: &str = "PANICS_WITH_LINES_BEFORE";
const ALIVE: &str = "still running";
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the panicking test in a child process, which logs this many lines and then panics. Its
/// stderr is not read until its stdout has ended. Returns stdout and stderr.
fn panic_after(lines: u32) -> (String, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_panics"])
        .args(["--ignored", "--nocapture"])
        .env(IN_CHILD, lines.to_string())
        // The standard hook would then write more than a nearly full pipe takes.
        .env("RUST_BACKTRACE", "full")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (ended, end) = channel();
    thread::spawn(move || {
        let mut output = String::new();
        let _ = stdout.read_to_string(&mut output);
        let _ = ended.send(output);
    });
    let output = end.recv_timeout(PATIENCE);
    if output.is_err() {
        child.kill().unwrap();
    }
    let mut log = String::new();
    let _ = child.stderr.take().unwrap().read_to_string(&mut log);
    child.wait().unwrap();
    (output.expect("the process hangs"), log)
}

#[test]
#[ignore = "the other tests run it in a child process"]
fn the_process_that_panics() {
    let lines = std::env::var(IN_CHILD).unwrap();
    logs::start(Some(LevelFilter::INFO), false);
    for line in 0..lines.parse().unwrap() {
        // Of each backend, the log takes some lines only.
        let backend = line.to_string();
        tracing::info!(target: "sentinel_gateway", backend, "{}", "x".repeat(900));
    }
    catch_unwind(|| panic!("the test's panic")).unwrap_err();
    println!("{ALIVE}");
}

#[test]
fn a_panic_is_logged_as_one_line() {
    let (output, log) = panic_after(0);
    assert!(output.contains(ALIVE), "{output}");
    let line = log.lines().find(|line| line.contains("the test's panic"));
    let line = line.unwrap_or_else(|| panic!("not logged: {log}"));
    assert!(line.contains("ERROR"), "{line}");
    assert!(line.contains("tests/panic_test.rs"), "{line}");
    assert!(!log.contains("stack backtrace"), "{log}");
}

#[test]
fn a_panic_does_not_block_when_stderr_is_not_read() {
    let (output, log) = panic_after(500);
    assert!(output.contains(ALIVE), "{output}");
    assert!(log.len() < 500_000, "nothing was dropped");
}
