//! One record of each call in the audit file.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::request;
use crate::common::process::{Process, gateway};
use crate::common::reply::Reply;

/// The `[audit]` table with these lines beside the file.
fn audit(more: &str) -> String {
    format!("[audit]\nfile = \"audit.jsonl\"\n{more}\n")
}

/// The records of a file so far. A line that is being written is left.
fn read(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let records = text[..whole].lines();
    records
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no record: {line}")))
        .collect()
}

/// A gateway with an audit file beside its config.
struct Fixture {
    gateway: TestGateway,
}

impl Fixture {
    fn new(audit: &str, rest: &str) -> Self {
        let mut gateway = TestGateway::with_config(&format!("{audit}{rest}"));
        gateway.initialize();
        Self { gateway }
    }

    fn records(&self) -> Vec<Value> {
        read(&self.gateway.folder().join("audit.jsonl"))
    }

    /// Begins a call of `t` that is held until the gate opens.
    fn held_call(&mut self, fake: &FakeBackend) -> (Gate, u64) {
        let gate = Gate::new();
        fake.on_tool("t", Reply::text("late").after(&gate));
        let call = self.gateway.start_call("t", json!({}));
        gate.wait_for(1);
        (gate, call)
    }

    /// Waits for the record with this number.
    fn record(&self, number: usize) -> Value {
        let begun = Instant::now();
        loop {
            let mut records = self.records();
            if records.len() >= number {
                return records.swap_remove(number - 1);
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "no record {number}: {records:?}"
            );
            std::thread::yield_now();
        }
    }

    /// Calls a tool; returns its record, the one with this number.
    fn call(&mut self, number: usize, tool: &str) -> (Answer, Value) {
        let answer = self.gateway.call(tool, json!({}));
        (answer, self.record(number))
    }
}

#[test]
fn a_record_says_what_was_called_and_what_became_of_it() {
    let fake = FakeBackend::start().tool("read").tool("fail");
    let mut fixture = Fixture::new(
        &audit(""),
        &fake.entry("db", "tools.rename = { read = \"sql_read\" }"),
    );
    let before = SystemTime::now();
    let (_, record) = fixture.call(1, "sql_read");
    let expected = json!({
        "pid": std::process::id(), "seq": 1, "client": "test", "client_version": "1.0", "client_era": "legacy",
        "method": "tools/call", "backend": "db", "backend_era": "legacy", "tool": "sql_read",
        "own_tool": "read", "outcome": "ok", "executed": "yes", "attempts": 1,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&record[key], value, "{key} of {record}");
    }
    for absent in ["arguments", "result", "class", "code", "trace_id"] {
        assert_eq!(record.get(absent), None, "{record}");
    }
    for bytes in ["bytes_sent", "bytes_received"] {
        assert!(
            (20..10_000).contains(&record[bytes].as_u64().unwrap()),
            "{record}"
        );
    }
    let [queued, first_byte, total] = ["queued_ms", "first_byte_ms", "total_ms"].map(|key| {
        record[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key}: {record}"))
    });
    assert!(queued <= first_byte && first_byte <= total, "{record}");
    let at = time_of(record["time"].as_str().unwrap());
    assert!(at + Duration::from_secs(2) > before, "{record}");

    fake.on_tool(
        "fail",
        Reply::result(json!({ "content": [], "isError": true })),
    );
    let (_, record) = fixture.call(2, "fail");
    assert_eq!(
        (&record["outcome"], &record["executed"]),
        (&json!("tool_error"), &json!("yes"))
    );
    assert_eq!(record["instance"], fixture.record(1)["instance"]);

    fake.on_tool("fail", Reply::error(-32602, "no"));
    let (_, record) = fixture.call(3, "fail");
    assert_eq!(
        (&record["outcome"], &record["code"]),
        (&json!("error"), &json!(-32602))
    );
    assert_eq!(record.get("class"), None, "it is the backend's own");

    fake.on_tool("fail", Reply::status(500).body("no"));
    let (answer, record) = fixture.call(4, "fail");
    let (class, executed, attempts) = answer.gateway_error();
    assert_eq!(record["outcome"], "error");
    assert_eq!(
        (&record["class"], &record["executed"]),
        (&json!(class), &json!(executed))
    );
    assert_eq!(record["attempts"], attempts);

    let (answer, record) = fixture.call(5, "nothing");
    assert_eq!(
        (&record["outcome"], &record["code"]),
        (&json!("error"), &json!(answer.code()))
    );
    assert_eq!(
        (&record["executed"], &record["attempts"]),
        (&json!("no"), &json!(0))
    );
    assert_eq!(
        (record.get("backend"), &record["tool"]),
        (None, &json!("nothing"))
    );
    assert_eq!(fixture.records().len(), 5, "no record of anything else");
}

/// The time of a record, to the second.
fn time_of(rfc3339: &str) -> SystemTime {
    let number = |range: std::ops::Range<usize>| rfc3339[range].parse::<u64>().unwrap();
    assert!(rfc3339.ends_with('Z') && rfc3339.len() == 24, "{rfc3339}");
    let day = days_since_1970(number(0..4), number(5..7), number(8..10));
    let seconds = day * 86_400 + number(11..13) * 3_600 + number(14..16) * 60 + number(17..19);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let years = (1970..year).map(|year| 365 + u64::from(is_leap(year)));
    let lengths = [
        31,
        28 + u64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let months = lengths.iter().take(usize::try_from(month).unwrap() - 1);
    years.sum::<u64>() + months.sum::<u64>() + day - 1
}

#[test]
fn a_record_of_call_tool_names_the_tool_and_its_backend() {
    let fake = FakeBackend::start().tool("read").tool("drop");
    let rules = "tools.rename = { read = \"sql_read\" }\ntools.deny = [\"drop\"]";
    let mut fixture = Fixture::new(
        &audit("arguments = \"all\""),
        &("[gateway]\ntool_mode = \"search\"\n".to_owned() + &fake.entry("db", rules)),
    );
    let mut record = |number: usize, arguments: Value| {
        let _ = fixture.gateway.call("call_tool", arguments);
        let record = fixture.record(number);
        assert_eq!(record["method"], "tools/call");
        record
    };
    // The arguments, too, are those of the tool, also where a model writes them as text.
    for (number, given) in [(1, json!({ "q": 1 })), (2, json!("{\"q\":1}"))] {
        let called = record(number, json!({ "name": "sql_read", "arguments": given }));
        let expected = json!({
            "backend": "db", "tool": "sql_read", "own_tool": "read", "arguments": { "q": 1 },
            "outcome": "ok", "executed": "yes", "attempts": 1,
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&called[key], value, "{key} of {called}");
        }
    }
    let denied = record(3, json!({ "name": "drop", "arguments": { "q": 2 } }));
    let what = (&denied["tool"], &denied["arguments"], denied.get("backend"));
    assert_eq!(what, (&json!("drop"), &json!({ "q": 2 }), None));
    let became = (&denied["outcome"], &denied["executed"]);
    assert_eq!(became, (&json!("error"), &json!("no")));
    // Without a name there is no other tool.
    let nameless = record(4, json!({}));
    let what = (&nameless["tool"], &nameless["executed"]);
    assert_eq!(what, (&json!("call_tool"), &json!("no")), "{nameless}");
    assert_eq!((fake.runs("read"), fake.runs("drop")), (2, 0));
}

#[test]
fn retries_count_and_what_no_backend_was_sent_has_a_record() {
    let fake = FakeBackend::start().tool("t");
    let gateway_table = "[gateway]\nmax_in_flight = 1\n";
    let mut fixture = Fixture::new(
        &audit(""),
        &format!("{gateway_table}{}", fake.entry("db", "")),
    );
    fixture.gateway.tool_names();
    for _ in 0..2 {
        fake.on_tool("t", Reply::status(429).header("retry-after", "0"));
    }
    let (_, record) = fixture.call(1, "t");
    assert_eq!(
        (&record["attempts"], &record["outcome"]),
        (&json!(3), &json!("ok"))
    );

    let (gate, held) = fixture.held_call(&fake);
    let (answer, record) = fixture.call(2, "t");
    assert_eq!(answer.gateway_error().0, "overloaded");
    assert_eq!(
        (&record["class"], &record["executed"]),
        (&json!("overloaded"), &json!("no"))
    );
    assert_eq!(
        (&record["attempts"], record.get("backend")),
        (&json!(0), None)
    );
    gate.open();
    fixture.gateway.answer(held);
    assert_eq!(fixture.record(3)["outcome"], "ok");

    fake.go_down();
    let (answer, record) = fixture.call(4, "t");
    assert_eq!(record["class"], answer.gateway_error().0);
    assert_eq!(
        (&record["backend"], &record["executed"]),
        (&json!("db"), &json!("no"))
    );
}

#[test]
fn a_call_with_an_id_in_flight_has_a_record_of_its_refusal() {
    let fake = FakeBackend::start().tool("t");
    let mut fixture = Fixture::new(&audit(""), &fake.entry("db", ""));
    let (gate, call) = fixture.held_call(&fake);
    let params = json!({ "name": "t", "arguments": {} });
    fixture.gateway.request_as(call, "tools/call", params);
    assert_eq!(fixture.gateway.answer(call).code(), -32600);
    let record = fixture.record(1);
    let ending = (&record["outcome"], &record["code"], &record["executed"]);
    assert_eq!(ending, (&json!("error"), &json!(-32600), &json!("no")));
    gate.open();
    assert_eq!(fixture.gateway.answer(call).text(), "late");
    assert_eq!(fixture.record(2)["outcome"], "ok");
}

#[test]
fn a_cancelled_call_has_a_record_of_what_was_sent() {
    let fake = FakeBackend::start().tool("t");
    let mut fixture = Fixture::new(&audit(""), &fake.entry("db", ""));
    let (gate, call) = fixture.held_call(&fake);
    fixture.gateway.cancel(call);
    let record = fixture.record(1);
    assert_eq!(
        (&record["outcome"], &record["executed"]),
        (&json!("cancelled"), &json!("unknown"))
    );
    assert_eq!(
        (&record["attempts"], &record["backend"]),
        (&json!(1), &json!("db"))
    );
    assert!(record["bytes_sent"].as_u64().unwrap() > 0, "{record}");
    assert_eq!(
        record["total_ms"].as_f64().map(|total| total > 0.0),
        Some(true)
    );
    gate.open();
}

#[test]
fn all_that_goes_to_a_backend_has_a_record() {
    let fake = FakeBackend::start()
        .prompt("hello")
        .resource("memo://a")
        .capabilities(json!({ "completions": {} }));
    let mut fixture = Fixture::new(&audit(""), &fake.entry("db", ""));
    let reference = json!({ "type": "ref/prompt", "name": "hello" });
    let requests = [
        (
            "resources/read",
            json!({ "uri": "memo://a" }),
            "target",
            "memo://a",
        ),
        ("prompts/get", json!({ "name": "hello" }), "prompt", "hello"),
        (
            "completion/complete",
            json!({ "ref": reference, "argument": { "name": "a", "value": "" } }),
            "target",
            "hello",
        ),
    ];
    for (number, (method, params, key, target)) in (1..).zip(requests) {
        let id = fixture.gateway.request(method, params);
        fixture.gateway.answer(id);
        let record = fixture.record(number);
        assert_eq!(
            (&record["method"], &record["backend"]),
            (&json!(method), &json!("db"))
        );
        assert_eq!(
            (&record[key], &record["attempts"]),
            (&json!(target), &json!(1)),
            "{record}"
        );
    }
    fixture.gateway.ask("ping", json!({})).result();
    fixture.gateway.tool_names();
    fixture.gateway.eof();
    fixture.gateway.exit();
    assert_eq!(fixture.records().len(), 3);
}

#[test]
fn a_call_that_needs_input_has_a_record_for_each_request_of_its_client() {
    let fake = FakeBackend::start().tool("ask");
    let config = audit("") + &fake.entry("db", "");
    let mut gateway = TestGateway::with_config(&config);
    gateway.modern(json!({ "elicitation": { "form": {} } }));
    let form = json!({ "message": "sure?", "requestedSchema": {} });
    fake.on_tool(
        "ask",
        Reply::sse()
            .event(request(json!(7), "elicitation/create", form))
            .then_stall(),
    );
    let params = json!({ "name": "ask", "arguments": {} });
    let id = gateway.request("tools/call", params.clone());
    let asked = gateway.answer(id);
    assert!(asked.is_input_required(), "{asked:?}");
    let fixture = Fixture { gateway };
    let first = fixture.record(1);
    assert_eq!(
        (&first["outcome"], &first["client_era"]),
        (&json!("input_required"), &json!("modern"))
    );
    assert_eq!(first["backend_era"], "legacy");
    // The tool runs, and waits for the answer.
    assert_eq!(first["executed"], "unknown");
    let mut gateway = fixture.gateway;
    let key = asked.input_requests().keys().next().unwrap().clone();
    let answers = json!({ key: { "action": "accept", "content": {} } });
    let retry = gateway.retry("tools/call", &params, &asked, answers);
    fake.next_request("response");
    gateway.cancel(retry);
    let fixture = Fixture { gateway };
    let second = fixture.record(2);
    assert_eq!(
        (&second["outcome"], &second["tool"]),
        (&json!("cancelled"), &json!("ask"))
    );
    assert_eq!(
        (&second["attempts"], &second["executed"]),
        (&json!(1), &json!("unknown")),
        "{second}"
    );
}

#[test]
fn the_trace_of_the_client_is_named() {
    let fake = FakeBackend::start().tool("t");
    let mut fixture = Fixture::new(&audit(""), &fake.entry("db", ""));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parents = [
        (format!("00-{trace}-b7ad6b7169203331-01"), json!(trace)),
        ("nonsense".to_owned(), Value::Null),
        (
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            Value::Null,
        ),
    ];
    for (number, (parent, expected)) in (1..).zip(parents) {
        let params = json!({ "name": "t", "arguments": {}, "_meta": { "traceparent": parent } });
        fixture.gateway.ask("tools/call", params).result();
        let record = fixture.record(number);
        assert_eq!(record["trace_id"], expected, "{record}");
    }
}

#[test]
fn arguments_and_results_are_in_a_record_only_as_the_config_says() {
    let fake = FakeBackend::start().tool("t");
    let rest = fake.entry("db", "");
    let given =
        json!({ "query": "SELECT 1", "password": "hunter2", "deep": { "apiKey": "hunter2" } });
    let result =
        json!({ "content": [{ "type": "text", "text": "{\"token\":\"hunter2\",\"rows\":1}" }] });
    let shown = |mode: &str| {
        fake.on_tool("t", Reply::result(result.clone()));
        let mut fixture = Fixture::new(&audit(&format!("arguments = \"{mode}\"")), &rest);
        fixture.gateway.call("t", given.clone()).result();
        fixture.record(1)
    };
    let none = shown("none");
    assert_eq!((none.get("arguments"), none.get("result")), (None, None));
    let keys = shown("keys");
    let mut names: Vec<&str> = (keys["arguments"].as_array().unwrap().iter())
        .map(|name| name.as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        (names, keys.get("result")),
        (vec!["deep", "password", "query"], None)
    );
    let redacted = shown("redacted");
    assert_eq!(redacted["arguments"]["query"], "SELECT 1");
    assert!(
        redacted["result"].to_string().contains("rows"),
        "{redacted}"
    );
    assert!(!redacted.to_string().contains("hunter2"), "{redacted}");
    let all = shown("all");
    assert_eq!((&all["arguments"], &all["result"]), (&given, &result));
}

#[test]
fn a_long_argument_is_left_out_and_its_length_said() {
    let fake = FakeBackend::start().tool("t");
    let mut fixture = Fixture::new(&audit("arguments = \"all\""), &fake.entry("db", ""));
    fixture
        .gateway
        .call("t", json!({ "text": "x".repeat(100_000) }))
        .result();
    let record = fixture.record(1);
    assert!(
        record["arguments"]
            .as_str()
            .unwrap()
            .ends_with("bytes are left out"),
        "{record}"
    );
    assert!(record.to_string().len() < 2_000);
}

#[test]
fn gateways_share_a_file_that_is_rotated_and_lose_nothing() {
    const CALLS: usize = 150;
    let fake = FakeBackend::start().tool("t");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("shared.jsonl");
    let table = format!(
        "[audit]\nfile = '{}'\nmax_bytes = 8192\nkeep = 100\n",
        file.display()
    );
    let config = table + &fake.entry("db", "");
    let mut gateways: Vec<TestGateway> =
        (0..3).map(|_| TestGateway::with_config(&config)).collect();
    for gateway in &mut gateways {
        gateway.initialize();
    }
    for _ in 0..CALLS {
        let calls = gateways
            .iter_mut()
            .map(|gateway| gateway.start_call("t", json!({})));
        let calls: Vec<u64> = calls.collect();
        for (gateway, call) in gateways.iter_mut().zip(calls) {
            gateway.answer(call);
        }
    }
    for mut gateway in gateways {
        gateway.eof();
        gateway.exit();
    }
    let mut seen: Vec<(String, u64)> = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::metadata(&path).unwrap().len();
        assert!(bytes <= 8192 + 1024, "{}: {bytes}", path.display());
        files += 1;
        for record in read(&path) {
            let instance = record["instance"].as_str().unwrap().to_owned();
            seen.push((instance, record["seq"].as_u64().unwrap()));
        }
    }
    assert!(files > 5, "{files} files");
    seen.sort();
    let instances: std::collections::BTreeSet<&str> = seen.iter().map(|(of, _)| &**of).collect();
    assert_eq!(instances.len(), 3);
    for instance in instances {
        let numbers: Vec<u64> = (seen.iter().filter(|(of, _)| of == instance))
            .map(|(_, number)| *number)
            .collect();
        assert_eq!(numbers, (1..=CALLS as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_file_that_another_program_rotates_is_followed() {
    let fake = FakeBackend::start().tool("t");
    let mut fixture = Fixture::new(&audit(""), &fake.entry("db", ""));
    fixture.call(1, "t");
    let file = fixture.gateway.folder().join("audit.jsonl");
    let moved = fixture.gateway.folder().join("audit.old");
    std::fs::rename(&file, &moved).unwrap();
    let (_, record) = fixture.call(1, "t");
    assert_eq!(record["seq"], 2);
    assert_eq!(read(&moved).len(), 1);
}

#[test]
fn all_records_are_there_when_the_gateway_has_ended() {
    let fake = FakeBackend::start().tool("t").tool("never");
    fake.always_tool("never", Reply::stall());
    for by_signal in [false, true] {
        let folder = TempDir::new().unwrap();
        let copy = TempDir::new().unwrap();
        let file = copy.path().join("audit.jsonl");
        let config = format!(
            "[gateway]\ndrain_ms = 50\n[audit]\nfile = '{}'\n{}",
            file.display(),
            fake.entry("db", "")
        );
        let mut process = Process::start(gateway(&folder, &config), folder, PATIENCE);
        process.client.initialize();
        for _ in 0..100 {
            process.client.call("t", json!({})).text();
        }
        let runs = fake.runs("never");
        let cut_off = process.client.start_call("never", json!({}));
        fake.wait_for_requests("tools/call", runs);
        while fake.runs("never") == runs {
            std::thread::yield_now();
        }
        match by_signal {
            true => process.signal("TERM"),
            false => process.client.eof(),
        }
        assert_eq!(
            process.client.answer(cut_off).gateway_error().0,
            "shutting_down"
        );
        assert!(process.end().status.success());
        let records = read(&file);
        assert_eq!(records.len(), 101);
        let last = &records[100];
        assert_eq!(
            (&last["class"], &last["tool"]),
            (&json!("shutting_down"), &json!("never"))
        );
        assert_eq!(
            (&last["executed"], &last["attempts"]),
            (&json!("unknown"), &json!(1)),
            "{last}"
        );
    }
}

#[test]
fn the_file_is_changed_switched_off_and_on_while_the_gateway_runs() {
    let fake = FakeBackend::start().tool("t");
    let rest = fake.entry("db", "");
    let mut fixture = Fixture::new("", &rest);
    let other = fixture.gateway.folder().join("other.jsonl");
    let steps = [
        ("audit.jsonl", "", 1),
        ("other.jsonl", "", 1),
        ("other.jsonl", "arguments = \"all\"", 2),
    ];
    for (name, more, count) in steps {
        let file = fixture.gateway.folder().join(name);
        fixture
            .gateway
            .save_config(&format!("[audit]\nfile = \"{name}\"\n{more}\n{rest}"));
        // Calls until the config has changed.
        let begun = Instant::now();
        let before = |file: &Path| read(file).len();
        while before(&file) < count
            || (!more.is_empty() && read(&file).last().unwrap().get("arguments").is_none())
        {
            assert!(begun.elapsed() < PATIENCE, "{name} {more}");
            fixture.gateway.call("t", json!({})).text();
        }
    }
    fixture.gateway.save_config(&rest);
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE);
        let before = read(&other).len();
        // A call that is recorded is so before the answer to the second one after it, or not at all.
        for _ in 0..50 {
            fixture.gateway.call("t", json!({})).text();
        }
        if read(&other).len() == before {
            break;
        }
    }
    let first = fixture.records();
    assert_eq!(first[0]["pid"], std::process::id());
}

#[cfg(unix)]
#[test]
fn the_file_is_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;

    let fake = FakeBackend::start().tool("t");
    let mut fixture = Fixture::new(&audit(""), &fake.entry("db", ""));
    fixture.call(1, "t");
    let file = fixture.gateway.folder().join("audit.jsonl");
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_config_that_was_merely_found_names_no_file_to_write() {
    use sentinel_gateway::config::{Environment, Overrides, load};

    let folder = TempDir::new().unwrap();
    let text = "[audit]\nfile = \"a\"\n[log]\nfile = \"b\"\n";
    std::fs::write(folder.path().join("sentinel.toml"), text).unwrap();
    let config = load(&Overrides::default(), &Environment::new(folder.path())).unwrap();
    assert_eq!((&config.audit.file, &config.log.file), (&None, &None));
    for key in ["audit.file", "log.file"] {
        let warned = |warning: &String| warning.contains(key) && warning.contains("--config");
        assert!(config.warnings.iter().any(warned), "{:?}", config.warnings);
    }
}

#[test]
fn with_refuse_calls_are_refused_while_there_can_be_no_record() {
    let fake = FakeBackend::start().tool("t");
    let place = tempfile::tempdir().unwrap();
    // No folder, so the file can't be made.
    let folder = place.path().join("logs");
    std::fs::write(&folder, "").unwrap();
    let file = folder.join("audit.jsonl").display().to_string();
    let table = format!("[audit]\nfile = '{file}'\non_failure = \"refuse\"\n");
    let mut fixture = Fixture::new(&table, &fake.entry("db", ""));
    let refused = fixture.gateway.call("t", json!({}));
    assert_eq!(refused.gateway_error(), ("refused", "no", 0));
    for said in ["logs/audit.jsonl", "on_failure", "it was not sent"] {
        assert!(refused.message().contains(said), "{}", refused.message());
    }
    assert_eq!(fake.runs("t"), 0);
    std::fs::remove_file(&folder).unwrap();
    // The gateway may be faster.
    std::fs::create_dir_all(&folder).unwrap();
    fixture.gateway.call_until_success("t");
    let begun = Instant::now();
    let outcomes = || read(&folder.join("audit.jsonl"));
    while !outcomes().iter().any(|record| record["outcome"] == "ok") {
        assert!(begun.elapsed() < PATIENCE);
    }
    let records = outcomes();
    let missing: u64 = records
        .iter()
        .filter_map(|record| record["missing"].as_u64())
        .sum();
    let written = records.iter().filter_map(|record| record["seq"].as_u64());
    let last = written.clone().max().unwrap();
    assert_eq!(written.count() as u64 + missing, last, "{records:?}");
}
