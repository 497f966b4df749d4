//! Metrics for Prometheus, and probes: what they say, and who gets them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use serde_json::json;

use crate::common::PATIENCE;
use crate::common::canary;
use crate::common::fake::FakeBackend;
use crate::common::gateway::{TestGateway, save};
use crate::common::reply::Reply;

/// An address that is free now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn config(address: SocketAddr, backends: &[(&str, &FakeBackend)]) -> String {
    let backends = backends.iter().map(|(name, fake)| fake.entry(name, ""));
    let telemetry = format!("[telemetry]\nlisten = \"{address}\"\n");
    telemetry + &backends.collect::<String>()
}

/// The whole response to a request, once there is a listener.
fn ask(address: SocketAddr, head: &str) -> String {
    let begun = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::yield_now();
    };
    let request = format!("{head}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}"))
}

/// What limits have refused, what the audit file has and lacks, and sessions that have ended.
#[test]
fn a_scrape_has_refusals_records_and_sessions() {
    let one = FakeBackend::start().tool("act");
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let config = |limit: &str, header: &str| {
        let backend = one.entry(
            "one",
            &format!("{limit}headers = {{ X-New = \"{header}\" }}"),
        );
        format!("[telemetry]\nlisten = \"{address}\"\n[audit]\nfile = \"audit.jsonl\"\n{backend}")
    };
    let limit = "rate_per_minute = 1\n";
    let mut gateway = TestGateway::in_folder(folder.path(), &config(limit, "a"));
    gateway.initialize();
    gateway.call("act", json!({})).result();
    for _ in 0..2 {
        gateway.call("act", json!({})).error();
    }
    let until = |lines: &[&str]| {
        let begun = Instant::now();
        loop {
            let text = get(address, "/metrics");
            match lines.iter().find(|line| !text.contains(**line)) {
                None => return,
                Some(line) => assert!(begun.elapsed() < PATIENCE, "{line}: {text}"),
            }
        }
    };
    until(&[
        r#"sentinel_calls_rate_limited_total{backend="one"} 2"#,
        "sentinel_audit_records_total 3",
        "sentinel_audit_records_dropped_total 0",
        r#"sentinel_session_duration_seconds_count{backend="one"} 0"#,
    ]);
    // The file can't be written: a folder is in its place.
    let file = folder.path().join("audit.jsonl");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    gateway.call("act", json!({})).error();
    until(&[
        "sentinel_audit_records_dropped_total 1",
        "sentinel_audit_records_total 3",
    ]);
    // The session is lost with all connections, and there is another one.
    one.forget_sessions();
    save(
        folder.path(),
        &canary::plant(&config("", "a"), folder.path()),
    );
    gateway.call_until_success("act");
    until(&[
        r#"sentinel_session_duration_seconds_count{backend="one"} 1"#,
        // There were more of them before the limit was gone.
        "sentinel_calls_rate_limited_total{backend=\"one\"} ",
    ]);
    let text = get(address, "/metrics");
    let refused = r#"sentinel_calls_rate_limited_total{backend="one"} 0"#;
    assert!(!text.contains(refused), "what was counted stays: {text}");
    // A reload that ends a session is counted, and so are those before it; nor does switching off take
    // anything away.
    let saved = |toml: &str| save(folder.path(), &canary::plant(toml, folder.path()));
    saved(&config("", "b"));
    until(&[
        r#"sentinel_session_duration_seconds_count{backend="one"} 2"#,
        r#"sentinel_reloads_total{result="applied"} 2"#,
        r#"sentinel_reloads_total{result="refused"} 0"#,
    ]);
    saved(&config("enabled = false\n", "b"));
    until(&[
        r#"sentinel_session_duration_seconds_count{backend="one"} 3"#,
        r#"sentinel_backend_enabled{backend="one"} 0"#,
        r#"sentinel_reloads_total{result="applied"} 3"#,
    ]);
    let text = get(address, "/metrics");
    assert!(!text.contains(refused), "what was counted stays: {text}");
    saved("nonsense");
    until(&[
        r#"sentinel_reloads_total{result="applied"} 3"#,
        r#"sentinel_reloads_total{result="refused"} 1"#,
    ]);
}

#[test]
fn a_scrape_has_the_numbers_of_each_backend() {
    let (one, two) = (FakeBackend::start().tool("act"), FakeBackend::down());
    one.on_tool("act", Reply::text("x"));
    one.on_tool("act", Reply::status(400));
    let address = free_address();
    let mut gateway = TestGateway::with_config(&config(address, &[("one", &one), ("two", &two)]));
    gateway.initialize();
    gateway.call("act", json!({})).result();
    gateway.call("act", json!({})).error();
    let response = get(address, "/metrics");
    let (head, text) = response.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    for line in [
        r#"sentinel_calls_total{backend="one"} 2"#,
        r#"sentinel_call_errors_total{backend="one"} 1"#,
        r#"sentinel_calls_total{backend="two"} 0"#,
        r#"sentinel_backend_up{backend="one"} 1"#,
        r#"sentinel_backend_up{backend="two"} 0"#,
        r#"sentinel_backend_tools{backend="one"} 1"#,
        r#"sentinel_call_duration_seconds_count{backend="one"} 2"#,
        r#"sentinel_call_duration_seconds_bucket{le="+Inf",backend="one"} 2"#,
        r#"sentinel_calls_in_flight{backend="one"} 0"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    // Each line is a comment, or a name, labels and a number.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn probes_say_whether_it_runs_and_whether_its_lists_are_complete() {
    let fake = FakeBackend::start().tool("act");
    let gate = crate::common::gate::Gate::new();
    fake.on(
        "tools/list",
        Reply::result(json!({ "tools": [] })).after(&gate),
    );
    let address = free_address();
    let mut gateway = TestGateway::with_config(&config(address, &[("one", &fake)]));
    gateway.initialize();
    gate.wait_for(1);
    assert!(get(address, "/health").starts_with("HTTP/1.1 200"));
    assert!(get(address, "/ready").starts_with("HTTP/1.1 503"));
    gate.open();
    gateway.tool_names();
    assert!(get(address, "/ready").starts_with("HTTP/1.1 200"));
}

#[test]
fn only_programs_of_this_machine_are_answered_and_only_what_there_is() {
    let fake = FakeBackend::start();
    let address = free_address();
    let mut gateway = TestGateway::with_config(&config(address, &[("one", &fake)]));
    gateway.initialize();
    for (head, status) in [
        ("GET /metrics HTTP/1.1\r\nhost: evil.example", "403"),
        ("GET /metrics HTTP/1.1\r\nhost: localhost:1", "200"),
        ("GET /metrics HTTP/1.1\r\nhost: [::1]:1", "200"),
        ("GET /metrics HTTP/1.1", "403"),
        (
            "POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0",
            "405",
        ),
        ("GET /other HTTP/1.1\r\nhost: localhost", "404"),
        ("nonsense", "400"),
    ] {
        let response = ask(address, head);
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}: {response}"
        );
    }
    // A reader that never reads or writes disturbs no other.
    let _idle: Vec<_> = (0..7)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    assert!(get(address, "/health").starts_with("HTTP/1.1 200"));
}

/// A connection that was kept open to the old address would go on reading.
#[test]
fn connections_end_when_the_address_changes() {
    let fake = FakeBackend::start();
    let [before, after] = [free_address(), free_address()];
    let mut gateway = TestGateway::with_config(&config(before, &[("one", &fake)]));
    gateway.initialize();
    get(before, "/health");
    let mut kept = TcpStream::connect(before).unwrap();
    kept.set_read_timeout(Some(PATIENCE)).unwrap();
    kept.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut some = [0; 12];
    kept.read_exact(&mut some).unwrap();
    assert_eq!(&some, b"HTTP/1.1 200");
    let begun = Instant::now();
    gateway.save_config(&config(after, &[("one", &fake)]));
    // To the end, which must come long before that of a connection that is kept.
    kept.read_to_end(&mut Vec::new()).unwrap();
    assert!(begun.elapsed() < PATIENCE);
    assert!(get(after, "/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn an_address_that_is_taken_is_no_failure() {
    let fake = FakeBackend::start().tool("act");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut gateway = TestGateway::with_config(&config(address, &[("one", &fake)]));
    gateway.initialize();
    assert_eq!(gateway.call("act", json!({})).text(), "act {}");
    // It has another one from the next save on.
    let other = free_address();
    gateway.save_config(&config(other, &[("one", &fake)]));
    assert!(get(other, "/metrics").contains("sentinel_calls_total"));
}
