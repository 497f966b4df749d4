//! The log file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gateway::save;
use crate::common::process::{Process, gateway};
use crate::common::reply::Reply;

fn table(file: &Path, more: &str) -> String {
    format!("[log]\nfile = '{}'\n{more}\n", file.display())
}

/// A folder that outlives the process, and the log file in it.
fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.log");
    (folder, file)
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

fn start(config: &str, flags: &[&str]) -> Process {
    let folder = TempDir::new().unwrap();
    let mut command = gateway(&folder, config);
    command.args(flags);
    let mut process = Process::start(command, folder, PATIENCE);
    process.client.initialize();
    process
}

#[test]
fn the_log_file_has_a_line_for_each_call_with_process_and_client() {
    let fake = FakeBackend::start().tool("t");
    let (_kept, file) = place();
    let mut process = start(&(table(&file, "") + &fake.entry("db", "")), &[]);
    let pid = process.pid();
    // More than there are lines of one message a minute.
    for _ in 0..20 {
        process.client.call("t", json!({})).text();
    }
    let stderr = process.end().log;
    assert!(
        !stderr.contains("method="),
        "stderr has its own level: {stderr}"
    );
    let log = text(&file);
    let calls: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("tool=\"t\""))
        .collect();
    assert_eq!(calls.len(), 20, "{log}");
    for part in [
        "INFO ok ",
        "backend=\"db\"",
        "executed=\"yes\"",
        "attempts=1",
        "total_ms=",
    ] {
        assert!(calls[0].contains(part), "{part}: {}", calls[0]);
    }
    for line in log.lines() {
        assert!(line.contains(&format!(" pid={pid}")), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
    assert!(calls[0].ends_with(" client=\"test 1.0\""), "{}", calls[0]);
}

#[test]
fn lines_of_the_log_file_are_json_where_those_of_stderr_are() {
    let fake = FakeBackend::start().tool("t");
    let (_kept, file) = place();
    let mut process = start(
        &(table(&file, "") + &fake.entry("db", "")),
        &["--log-format", "json"],
    );
    let pid = process.pid();
    process.client.call("t", json!({})).text();
    process.end();
    let lines: Vec<Value> = (text(&file).lines())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let call = lines.iter().find(|line| line["tool"] == "t").unwrap();
    assert_eq!(
        (&call["pid"], &call["client"]),
        (&json!(pid), &json!("test 1.0"))
    );
    assert_eq!(
        (&call["message"], &call["attempts"]),
        (&json!("ok"), &json!(1))
    );
}

#[test]
fn the_level_of_the_log_file_changes_while_the_gateway_runs() {
    let fake = FakeBackend::start().tool("t");
    let (_kept, file) = place();
    let rest = fake.entry("db", "");
    let config = |level: &str| table(&file, &format!("level = \"{level}\"")) + &rest;
    let mut process = start(&config("error"), &[]);
    for _ in 0..3 {
        process.client.call("t", json!({})).text();
    }
    assert_eq!(text(&file), "");
    save(process.folder(), &config("debug"));
    let begun = Instant::now();
    while !text(&file).contains("tool=\"t\"") {
        assert!(begun.elapsed() < PATIENCE);
        process.client.call("t", json!({})).text();
    }
    assert!(text(&file).contains(" DEBUG "), "{}", text(&file));
    save(process.folder(), &config("warn"));
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE);
        let before = text(&file).len();
        for _ in 0..50 {
            process.client.call("t", json!({})).text();
        }
        if text(&file).len() == before {
            break;
        }
    }
    // Lines that are urgent enough are still written.
    fake.on_tool("t", Reply::status(429).header("retry-after", "0"));
    process.client.call("t", json!({})).text();
    process.end();
    assert!(text(&file).contains("retrying after transient error"));
}

#[test]
fn a_full_log_file_starts_anew() {
    let fake = FakeBackend::start().tool("t");
    let (kept, file) = place();
    let more = "max_bytes = 4096\nkeep = 2";
    let mut process = start(&(table(&file, more) + &fake.entry("db", "")), &[]);
    for _ in 0..100 {
        process.client.call("t", json!({})).text();
    }
    process.end();
    let mut names: Vec<String> = std::fs::read_dir(kept.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .inspect(|entry| assert!(entry.metadata().unwrap().len() <= 4096))
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "gateway.log",
            "gateway.log.1",
            "gateway.log.2",
            "gateway.log.lock"
        ]
    );
}

#[test]
fn check_says_where_audit_file_and_log_file_are() {
    let fake = FakeBackend::start().tool("t");
    let (kept, file) = place();
    let folder = TempDir::new().unwrap();
    let audit = kept.path().join("audit.jsonl");
    let config = format!(
        "[audit]\nfile = '{}'\n{}{}",
        audit.display(),
        table(&file, ""),
        fake.entry("db", "")
    );
    let said = |flags: &[&str]| {
        let output = gateway(&folder, &config).arg("check").args(flags).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let shown = said(&[]);
    for line in [
        format!("audit: {}", audit.display()),
        format!("log: {}", file.display()),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
    let json: Value = serde_json::from_str(&said(&["--json"])).unwrap();
    assert_eq!(
        (&json["audit"], &json["log"]),
        (&json!(audit), &json!(file))
    );
    // It makes no call that there would be a record of.
    assert_eq!(text(&audit), "");
}
