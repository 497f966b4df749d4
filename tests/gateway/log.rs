//! Which call a log line belongs to.

use serde_json::json;
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::process::{Process, gateway};
use crate::common::reply::Reply;

#[test]
fn a_log_line_of_a_call_names_request_method_backend_tool_and_attempt() {
    let fake = FakeBackend::start().tool("other").tool("write");
    let folder = TempDir::new().unwrap();
    let mut command = gateway(&folder, &fake.entry("fake", ""));
    command.args(["--log-format", "json"]);
    let mut process = Process::start(command, folder, PATIENCE);
    process.client.initialize();
    for _ in 0..2 {
        fake.on_tool("write", Reply::status(429).header("retry-after", "0"));
    }
    process.client.call("write", json!({})).text();
    let log = process.end().log;
    let retries: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.contains("retrying after transient error"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(retries.len(), 2, "{log}");
    for (retry, attempt) in retries.iter().zip(1..) {
        let request = &retry["request"];
        assert_eq!(request["method"], "tools/call", "{retry}");
        assert_eq!(request["backend"], "fake", "{retry}");
        assert_eq!(request["tool"], "write", "{retry}");
        assert!(request["id"].is_number(), "{retry}");
        assert_eq!(request["attempt"], attempt, "{retry}");
    }
}
