//! Section 4: lists that come late, in part, or say themselves that they have changed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::table::{Row, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{complete, notification};
use crate::common::process;
use crate::common::reply::Reply;

pub(super) const ROWS: &[Row] = rows! {
    "4.01" "a list that takes long or never comes, of any kind" => "the others are there at once, to clients and to calls", slow_lists;
    "4.02" "a page that fails, after others were read" => "those count, the rest is kept as it was, and asked for again", failed_pages;
    "4.03" "the same at the start, with a last contact" => "completed by what was listed then", failed_pages_at_start;
    "4.04" "a list that makes the server say list_changed" => "ten lists in a minute at most, and each real change is seen", self_made_changes;
    "4.05" "check, with lists that fail or never come" => "the backend is up, the list is named", check_names_lists;
    "4.06" "a list whose answer says that the session is lost" => "a new session, and all lists", session_lost_by_a_list;
    "4.07" "a page that is slow or never comes, after others were read" => "those are there, the rest as it was until it comes", slow_pages;
    "4.08" "a nextCursor that is null, false, a number, an object or empty" => "null and false end the list, others are cursors", odd_cursors;
};

#[test]
fn section_4_lists() {
    check(ROWS);
}

const KINDS: [(&str, &str); 4] = [
    ("tools", "tools/list"),
    ("prompts", "prompts/list"),
    ("resources", "resources/list"),
    ("resourceTemplates", "resources/templates/list"),
];

/// A server with one item of each kind.
fn full() -> FakeBackend {
    let fake = FakeBackend::start().tool("t").prompt("p");
    fake.resource("res:r").template("res:x/{id}")
}

fn initialized(config: &str) -> TestGateway {
    let mut gateway = TestGateway::with_config(config);
    gateway.initialize();
    gateway
}

fn count(gateway: &mut TestGateway, (member, method): (&str, &str)) -> usize {
    let answer = gateway.ask(method, json!({}));
    answer.result()[member].as_array().unwrap().len()
}

/// Longer than a test may take: a list that waits for another one fails.
const NEVER: &str = "[gateway]\nstartup_wait_ms = 60000\n";

fn slow_lists() {
    for (slow, modern) in KINDS
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)])
    {
        let fake = if modern { full().modern() } else { full() };
        let gate = Gate::new();
        let empty = json!({ slow.0: [], "ttlMs": 0, "cacheScope": "private" });
        fake.always(slow.1, Reply::json(&complete(empty)).after(&gate));
        let healthy = FakeBackend::start().tool("other");
        let config = NEVER.to_owned() + &fake.entry("fake", "") + &healthy.entry("healthy", "");
        let mut gateway = initialized(&config);
        let pending = gateway.request(slow.1, json!({}));
        for other in KINDS.into_iter().filter(|kind| *kind != slow) {
            let expected = if other.0 == "tools" { 2 } else { 1 };
            assert_eq!(
                count(&mut gateway, other),
                expected,
                "{} beside {}",
                other.0,
                slow.0
            );
        }
        if slow.0 != "tools" {
            assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        }
        if slow.0 != "prompts" {
            gateway.ask("prompts/get", json!({ "name": "p" })).result();
        }
        gate.open();
        let late = gateway.answer(pending);
        let others = if slow.0 == "tools" { 1 } else { 0 };
        assert_eq!(late.result()[slow.0].as_array().unwrap().len(), others);
    }
}

/// Page by page; the page at this cursor is refused.
fn paged(fake: &FakeBackend, cursor: &str, first: &[&str], refusal: Reply) {
    let tool = |name: &&str| json!({ "name": name, "inputSchema": { "type": "object" } });
    let tools: Vec<Value> = first.iter().map(tool).collect();
    fake.on(
        "tools/list",
        Reply::result(json!({ "tools": tools, "nextCursor": cursor })),
    );
    fake.on("tools/list", refusal);
}

fn refusals() -> Vec<Reply> {
    vec![
        Reply::error(-32602, "Invalid cursor"),
        Reply::error(-32603, "database is locked"),
        Reply::status(500),
        Reply::status(400).body("no"),
        Reply::reset(),
        Reply::result(json!({})),
        Reply::status(200).body("<html>"),
    ]
}

fn failed_pages() {
    for cursor in ["2", ""] {
        for refusal in refusals() {
            let fake = FakeBackend::start();
            paged(&fake, cursor, &["a", "b"], refusal);
            // The list is whole when it is asked for again.
            fake.set_tools(&["a", "b", "c"]);
            let mut gateway = initialized(&fake.entry("fake", "retries = 0"));
            assert_eq!(gateway.tool_names(), ["a", "b"]);
            gateway.wait_for_tool("c");
            assert_eq!(gateway.tool_names(), ["a", "b", "c"]);
        }
    }
    failed_pages_of_other_lists();
    // What was known of the page that fails is kept.
    let fake = FakeBackend::start().tool("a").tool("b").with_get();
    let mut gateway = initialized(&fake.entry("fake", "retries = 0"));
    assert_eq!(gateway.tool_names(), ["a", "b"]);
    let gate = Gate::new();
    let refused = Reply::error(-32603, "no");
    paged(&fake, "2", &["new", "a"], refused);
    fake.set_tools(&["new"]);
    fake.on(
        "tools/list",
        Reply::result(json!({ "tools": [] })).after(&gate),
    );
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    gateway.wait_for_tool("new");
    assert_eq!(gateway.tool_names(), ["new", "a", "b"]);
    gate.open();
    gateway.list_until(&[]);
}

/// The other kinds of list, and the other era.
fn failed_pages_of_other_lists() {
    for (member, method) in KINDS {
        for modern in [false, true] {
            let fake = full();
            let fake = if modern { fake.modern() } else { fake };
            let item = match member {
                "tools" => json!({ "name": "first", "inputSchema": { "type": "object" } }),
                "prompts" => json!({ "name": "first" }),
                "resources" => json!({ "name": "first", "uri": "res:first" }),
                _ => json!({ "name": "first", "uriTemplate": "res:first/{id}" }),
            };
            let page = json!({
                member: [item], "nextCursor": "2", "ttlMs": 0, "cacheScope": "private"
            });
            fake.on(method, Reply::json(&complete(page)));
            fake.always(method, Reply::error(-32603, "no"));
            let mut gateway = initialized(&fake.entry("fake", "retries = 0"));
            assert_eq!(
                count(&mut gateway, (member, method)),
                1,
                "{method}, {modern}"
            );
        }
    }
}

/// A page that is slow, or never comes, after others were read.
fn slow_pages() {
    let fake = FakeBackend::start();
    let gate = Gate::new();
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        let page = json!({ "tools": [tool(name)], "nextCursor": at.to_string() });
        fake.on("tools/list", Reply::result(page));
    }
    let last = json!({ "tools": [tool("c")] });
    fake.on("tools/list", Reply::result(last).after(&gate));
    let mut gateway = initialized(&(NEVER.to_owned() + &fake.entry("fake", "")));
    assert_eq!(gateway.tool_names(), ["a", "b"]);
    assert_eq!(fake.requests_of("tools/list").len(), 3);
    gate.open();
    gateway.wait_for_tool("c");
    assert_eq!(gateway.tool_names(), ["a", "b", "c"]);
    // It was not asked for again.
    assert_eq!(fake.requests_of("tools/list").len(), 3);

    // What was known of a page that is slow is kept until it comes.
    let fake = FakeBackend::start().tool("old").with_get();
    let mut gateway = initialized(&fake.entry("fake", ""));
    assert_eq!(gateway.tool_names(), ["old"]);
    let page = json!({ "tools": [tool("new")], "nextCursor": "2" });
    fake.on("tools/list", Reply::result(page));
    let gate = Gate::new();
    fake.on(
        "tools/list",
        Reply::result(json!({ "tools": [] })).after(&gate),
    );
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    gateway.wait_for_tool("new");
    assert_eq!(gateway.tool_names(), ["new", "old"]);
    gate.open();
    gateway.list_until(&["new"]);
}

/// `nextCursor` in other forms.
fn odd_cursors() {
    for (cursor, pages) in [
        (json!(null), 1),
        (json!(2), 2),
        (json!({ "page": 2 }), 2),
        (json!(false), 1),
        (json!(""), 2),
    ] {
        let fake = FakeBackend::start();
        let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
        let page = json!({ "tools": [tool("a")], "nextCursor": cursor });
        fake.on("tools/list", Reply::result(page));
        fake.on("tools/list", Reply::result(json!({ "tools": [tool("b")] })));
        let mut gateway = initialized(&fake.entry("fake", ""));
        assert_eq!(gateway.tool_names(), ["a", "b"][..pages], "{cursor}");
        for asked in fake.requests_of("tools/list").iter().skip(1) {
            assert_eq!(asked.params()["cursor"], cursor);
        }
    }
}

fn failed_pages_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let fake = FakeBackend::start().tool("a").tool("b");
    let config = fake.entry("fake", "retries = 0");
    let mut first = TestGateway::with_state(folder.path(), &config);
    first.initialize();
    assert_eq!(first.tool_names(), ["a", "b"]);
    drop(first);
    for refusal in refusals() {
        paged(&fake, "2", &["a"], refusal);
        fake.always("tools/list", Reply::status(500));
        let mut gateway = TestGateway::with_state(folder.path(), &config);
        gateway.initialize();
        assert_eq!(gateway.tool_names(), ["a", "b"]);
        assert_eq!(gateway.call("b", json!({})).text(), "b {}");
    }
}

fn self_made_changes() {
    changes_said_by_lists();
    let fake = FakeBackend::start().tool("t").with_get();
    let mut gateway = initialized(&fake.entry("fake", ""));
    assert_eq!(gateway.tool_names(), ["t"]);
    // The first real changes are seen at once, whatever the server says in between.
    let begun = Instant::now();
    for seen in 2..=4 {
        fake.notify_clients("notifications/tools/list_changed", json!({}));
        fake.wait_for_requests("tools/list", seen);
    }
    fake.put_tool("new", json!({}));
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    gateway.wait_for_tool("new");
    fake.put_tool("newer", json!({}));
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    let changed = Instant::now();
    gateway.wait_for_tool("newer");
    // Not after the wait that unchanged lists had reached.
    assert!(changed.elapsed() < changed - begun + Duration::from_secs(2));
}

/// Fetching makes the server say at once that the lists have changed.
fn changes_said_by_lists() {
    let open: Arc<Mutex<Option<LiveStream>>> = Arc::default();
    let fake = full().respond_with(move |request| {
        if request.kind() == "GET" {
            let live = LiveStream::new();
            *open.lock().unwrap() = Some(live.clone());
            return Some(Reply::sse().live(&live));
        }
        if let Some((_, method)) = KINDS.iter().find(|(_, method)| *method == request.kind()) {
            let kind = method.split('/').next().unwrap();
            let changed = format!("notifications/{kind}/list_changed");
            let live = open.lock().unwrap();
            let said = live.iter();
            said.for_each(|live| live.event(&notification(&changed, json!({}))));
        }
        None
    });
    let mut gateway = initialized(&fake.entry("fake", ""));
    gateway.list_until(&["t"]);
    // A while in which lists that really change would be fetched ten times.
    for _ in 0..2 {
        fake.on_tool("t", Reply::text("done").after_pause(Duration::from_secs(6)));
        assert_eq!(gateway.call("t", json!({})).text(), "done");
    }
    for (_, method) in KINDS {
        let fetched = fake.requests_of(method).len();
        assert!((3..=8).contains(&fetched), "{fetched} × {method} in 12 s");
    }
}

fn check_names_lists() {
    let fake = full();
    fake.always("resources/list", Reply::stall());
    fake.always("prompts/list", Reply::error(-32603, "no prompts today"));
    let toml = fake.entry("fake", "retries = 0");
    let folder = tempfile::tempdir().unwrap();
    let mut command = process::gateway(&folder, &toml);
    command.args(["check", "--timeout", "2"]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "prompts/list failed",
        "no prompts today",
        "resources/list failed",
        "no answer within 2 s",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains("tools/list"), "{text}");
}

fn session_lost_by_a_list() {
    let fake = FakeBackend::start().tool("t").with_get();
    let mut gateway = initialized(&fake.entry("fake", ""));
    assert_eq!(gateway.tool_names(), ["t"]);
    fake.forget_sessions();
    fake.put_tool("new", json!({}));
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    gateway.wait_for_tool("new");
    assert_eq!(fake.requests_of("initialize").len(), 2);
}
