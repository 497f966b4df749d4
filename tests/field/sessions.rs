//! Section 5: what a server wants to get back, and sessions that are lost.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::table::{Row, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{complete_text, error, text};
use crate::common::reply::Reply;
use crate::common::wire::Request;

pub(super) const ROWS: &[Row] = rows! {
    "5.01" "a cookie of a load balancer that pins by it" => "sent back with every request of the session", sticky_cookie;
    "5.02" "cookies of two backends on one origin, and of two sessions" => "never mixed", separate_jars;
    "5.03" "a cookie beside a configured cookie header" => "the configured one wins", configured_cookie;
    "5.04" "a session id that changes in a later answer" => "the newest counts, for every request", moving_session;
    "5.05" "a lost session said by 410, or by 4xx and JSON-RPC errors in words" => "a new session; an unsafe call is not sent again", lost_sessions;
    "5.06" "404 with a JSON-RPC error under our id" => "the server's answer; the session stays", not_lost;
    "5.07" "a server that serves nothing else while its GET stream is open" => "noticed twice, then it stays closed; no call is sent again", one_slot_servers;
    "5.08" "a server that is slow" => "the stream stays open", slow_servers;
};

#[test]
fn section_5_sessions() {
    check(ROWS);
}

fn initialized(config: &str) -> TestGateway {
    let mut gateway = TestGateway::with_config(config);
    gateway.initialize();
    gateway
}

fn is_of_session(request: &Request) -> bool {
    !matches!(request.kind(), "server/discover" | "initialize")
}

/// A server behind a load balancer: `initialize` sets this cookie, and requests without it go to
/// another server, which knows no session.
fn pinned(fake: FakeBackend, cookie: &'static str) -> FakeBackend {
    fake.respond_with(move |request| {
        let pair = cookie.split(';').next().unwrap();
        if request.kind() == "initialize" {
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "pinned", "version": "1" },
            });
            return Some(Reply::result(result).header("set-cookie", cookie));
        }
        let sent = request.header("cookie").unwrap_or_default();
        (is_of_session(request) && sent != pair).then(|| Reply::status(400).body("no such worker"))
    })
}

fn sticky_cookie() {
    cookies_of_any_answer();
    for cookie in [
        "AWSALB=abcdefghijklmnop; Path=/; Secure; HttpOnly; SameSite=None",
        "route=1.2; Domain=.example.org; Expires=Fri, 01 Jan 2038 00:00:00 GMT",
        "sticky=x; path=/mcp",
    ] {
        let fake = FakeBackend::start().tool("t").with_get().without_sessions();
        let fake = pinned(fake, cookie);
        let mut gateway = initialized(&fake.entry("fake", ""));
        assert_eq!(gateway.tool_names(), ["t"]);
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        // A server that sets another one gets that.
        let moved = Reply::json(&text("moved")).header("set-cookie", "AWSALB=moved; Path=/");
        fake.on_tool("t", moved);
        assert_eq!(gateway.call("t", json!({})).text(), "moved");
        let _ = gateway.call("t", json!({}));
        let last = fake.requests_of("tools/call").pop().unwrap();
        assert!(last.header("cookie").unwrap().contains("AWSALB=moved"));
    }
}

/// A cookie that comes with any answer of the session counts, and goes to no other origin.
fn cookies_of_any_answer() {
    for modern in [false, true] {
        let fake = FakeBackend::start().tool("t");
        let fake = if modern { fake.modern() } else { fake };
        let elsewhere = FakeBackend::start();
        let mut gateway = initialized(&fake.entry("fake", "retries = 0"));
        assert_eq!(gateway.tool_names(), ["t"]);
        let refused = Reply::json_as(429, &error(-32_000, "later"));
        let answer = if modern {
            complete_text("x")
        } else {
            text("x")
        };
        let event = Reply::sse().event(answer);
        for (nth, reply) in [refused, Reply::status(500), event].into_iter().enumerate() {
            let value = format!("value-number-{nth}");
            let reply = reply.header("set-cookie", &format!("lb={value}; Path=/"));
            fake.on_tool("t", reply);
            let _ = gateway.call("t", json!({}));
            // It is a secret, also where a server shows it.
            let echo = Reply::status(500).body(format!("no worker {value} here"));
            fake.on_tool("t", echo);
            let answer = gateway.call("t", json!({}));
            assert!(
                answer.message().contains("no worker"),
                "{}",
                answer.message()
            );
            assert!(!answer.message().contains(&value), "{}", answer.message());
            let sent = fake.requests_of("tools/call").pop().unwrap();
            assert_eq!(
                sent.header("cookie"),
                Some(&*format!("lb={value}")),
                "{nth}"
            );
        }
        // Within the origin a redirect is followed with it; to another one nothing goes.
        let moved = Reply::status(307).header("location", &fake.url());
        fake.on_tool("t", moved.runs(false));
        gateway.call("t", json!({})).result();
        let sent = fake.requests_of("tools/call").pop().unwrap();
        assert_eq!(sent.header("cookie"), Some("lb=value-number-2"));
        let moved = Reply::status(307).header("location", &elsewhere.url());
        fake.on_tool("t", moved.runs(false));
        gateway.call("t", json!({})).error();
        assert!(elsewhere.requests().is_empty());
        // One that is taken back is sent no more.
        let gone = Reply::text("x").header("set-cookie", "lb=; Path=/; Max-Age=0");
        let gone = if modern {
            Reply::json(&complete_text("x")).header("set-cookie", "lb=; Path=/; Max-Age=0")
        } else {
            gone
        };
        fake.on_tool("t", gone);
        gateway.call("t", json!({})).result();
        gateway.call("t", json!({})).result();
        let sent = fake.requests_of("tools/call").pop().unwrap();
        assert_eq!(sent.header("cookie"), None);
    }
}

fn separate_jars() {
    // Two accounts on one origin.
    let fake = FakeBackend::start().tool("t").without_sessions();
    let mut accounts = 0;
    let fake = fake.respond_with(move |request| {
        (request.kind() == "initialize").then(|| {
            accounts += 1;
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "two", "version": "1" },
            });
            Reply::result(result).header("set-cookie", &format!("account=number-{accounts}"))
        })
    });
    let config = fake.entry("one", "") + &fake.entry("two", "");
    let mut gateway = initialized(&config);
    assert_eq!(gateway.tool_names().len(), 2);
    let names = gateway.tool_names();
    let cookies: Vec<Option<String>> = names
        .iter()
        .map(|name| {
            gateway.call(name, json!({})).result();
            let call = fake.requests_of("tools/call").pop().unwrap();
            call.header("cookie").map(str::to_owned)
        })
        .collect();
    assert!(cookies.iter().all(Option::is_some), "{cookies:?}");
    assert_ne!(cookies[0], cookies[1]);
    // A new handshake begins without the old session's cookies.
    for hello in fake.requests_of("initialize") {
        assert_eq!(hello.header("cookie"), None);
    }
}

fn configured_cookie() {
    let fake = FakeBackend::start().tool("t").without_sessions();
    let fake = pinned(fake, "a=ours");
    let headers = "headers = { Cookie = \"mine=1\" }";
    let mut gateway = initialized(&fake.entry("fake", headers));
    let _ = gateway.tool_names();
    fake.wait_for_requests("tools/list", 1);
    let list = fake.requests_of("tools/list").pop().unwrap();
    assert_eq!(list.header("cookie"), Some("mine=1"));
}

fn moving_session() {
    let fake = FakeBackend::start().tool("t").without_sessions();
    let mut issued = 0;
    let mut current = String::new();
    let fake = fake.respond_with(move |request| {
        if request.kind() == "server/discover" {
            return None;
        }
        let sent = request.header("mcp-session-id").unwrap_or_default();
        let begins = request.kind() == "initialize";
        if begins != sent.is_empty() || (!begins && sent != current) {
            return Some(Reply::status(404).body("Session not found"));
        }
        let mut next = |reply: Reply| {
            issued += 1;
            current = format!("session-{issued}");
            reply.header("mcp-session-id", &current)
        };
        match request.kind() {
            "initialize" => Some(next(Reply::result(json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "moving", "version": "1" },
            })))),
            "tools/call" => Some(next(Reply::json(&text("done")))),
            "tools/list" => Some(next(Reply::result(json!({ "tools": [
                { "name": "t", "inputSchema": { "type": "object" } }
            ] })))),
            _ => None,
        }
    });
    let mut gateway = initialized(&fake.entry("fake", ""));
    assert_eq!(gateway.tool_names(), ["t"]);
    for _ in 0..5 {
        assert_eq!(gateway.call("t", json!({})).text(), "done");
    }
    assert_eq!(fake.requests_of("initialize").len(), 1);
    // The session that ends is the newest.
    drop(gateway);
    let ended = fake.next_request("DELETE");
    let last = fake.requests_of("tools/call").len() + 2;
    assert_eq!(
        ended.header("mcp-session-id"),
        Some(&*format!("session-{last}"))
    );
}

fn lost_sessions() {
    let words = [
        "Session not found",
        "Invalid session ID",
        "session expired",
        "Unknown session",
        "No valid session ID provided",
        "session does not exist",
        "Session terminated",
        "The session is closed",
        "no such session",
        "Session timed out",
        "Server not initialized",
    ];
    let mut lost = vec![Reply::status(410), Reply::status(410).body("Gone")];
    lost.push(Reply::json_as(410, &error(-32601, "Method not found")));
    // Each in another place.
    for (nth, words) in words.into_iter().enumerate() {
        lost.push(match nth % 5 {
            3 => Reply::json_as(
                404,
                &json!({
                    "jsonrpc": "2.0", "id": null, "error": { "code": -32001, "message": words }
                }),
            ),
            4 => Reply::json(&error(-32001, words)),
            place => Reply::status([400, 401, 403][place]).body(words),
        });
    }
    for (nth, lost) in lost.into_iter().enumerate() {
        let safe = json!({ "annotations": { "readOnlyHint": true } });
        let fake = FakeBackend::start().tool("act").tool_with("look", safe);
        let mut gateway = initialized(&fake.entry("fake", ""));
        assert_eq!(gateway.tool_names().len(), 2);
        fake.on_tool("look", lost.clone());
        assert_eq!(gateway.call("look", json!({})).text(), "look {}", "{nth}");
        assert_eq!(fake.requests_of("initialize").len(), 2, "{nth}");
        fake.on_tool("act", lost);
        let answer = gateway.call("act", json!({}));
        let again = fake.requests_of("tools/call").len() - 3;
        // A 404 without a response to us says that the call was not taken.
        if again > 0 {
            assert_eq!(answer.text(), "act {}");
        } else {
            assert_eq!(answer.gateway_error().1, "unknown", "{nth}");
        }
        assert!(fake.runs("act") <= 1);
        assert_eq!(gateway.call("act", json!({})).text(), "act {}", "{nth}");
        assert_eq!(fake.requests_of("initialize").len(), 3, "{nth}");
    }
}

fn not_lost() {
    let fake = FakeBackend::start().tool("t");
    let mut gateway = initialized(&fake.entry("fake", ""));
    for (status, code) in [
        (404, -32601),
        (404, -32602),
        (422, -32601),
        (400, -32601),
        (405, -32601),
    ] {
        let refusal = error(code, "Method not found");
        fake.on_tool("t", Reply::json_as(status, &refusal));
        let answer = gateway.call("t", json!({}));
        assert_eq!(
            (answer.code(), answer.message()),
            (code, "Method not found"),
            "{status}"
        );
    }
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    assert_eq!(fake.requests_of("initialize").len(), 1);
    let kinds: Vec<Value> = fake
        .requests()
        .iter()
        .map(|request| json!(request.kind()))
        .collect();
    assert!(!kinds.contains(&json!("DELETE")), "{kinds:?}");
}

/// A server that serves nothing else while a GET stream is open: a POST hangs, or is refused.
fn one_slot(refuses: bool) -> FakeBackend {
    let open: Arc<Mutex<Option<LiveStream>>> = Arc::default();
    let fake = FakeBackend::start().tool("t").without_sessions();
    fake.respond_with(move |request| {
        if request.http_method == "GET" {
            let live = LiveStream::new();
            *open.lock().unwrap() = Some(live.clone());
            return Some(Reply::sse().live(&live));
        }
        if !is_of_session(request) {
            return None;
        }
        let live = open.lock().unwrap().clone().filter(LiveStream::is_open)?;
        if refuses {
            return Some(Reply::status(409).body("one connection at a time"));
        }
        let own = match request.kind() {
            "tools/list" => {
                json!({ "tools": [{ "name": "t", "inputSchema": { "type": "object" } }] })
            }
            "tools/call" => json!({ "content": [{ "type": "text", "text": "t {}" }] }),
            _ => json!({}),
        };
        let gate = Gate::new();
        let closed = gate.clone();
        std::thread::spawn(move || {
            live.wait_until_closed();
            closed.open();
        });
        Some(Reply::result(own).after(&gate))
    })
}

fn one_slot_servers() {
    for refuses in [false, true] {
        let fake = one_slot(refuses);
        let mut gateway = initialized(&fake.entry("fake", ""));
        gateway.list_until(&["t"]);
        // A call hangs, or fails, until the stream is closed.
        let _ = gateway.call("t", json!({}));
        // Twice it was in the way; then it stays closed.
        fake.wait_for_requests("GET", 2);
        gateway.call_until_success("t");
        for _ in 0..3 {
            assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        }
        assert_eq!(fake.requests_of("GET").len(), 2);
        assert_eq!(fake.requests_of("initialize").len(), 1);

        let fake = one_slot(refuses);
        let mut gateway = initialized(&fake.entry("fake", "server_stream = \"never\""));
        assert_eq!(gateway.tool_names(), ["t"]);
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        assert!(fake.requests_of("GET").is_empty());
    }
}

fn slow_servers() {
    let fake = FakeBackend::start().tool("t").with_get();
    let mut gateway = initialized(&fake.entry("fake", ""));
    assert_eq!(gateway.tool_names(), ["t"]);
    let gate = Gate::new();
    fake.on_tool("t", Reply::json(&text("slow")).after(&gate));
    let call = gateway.start_call("t", json!({}));
    // The server answers a ping meanwhile, so the stream is not in its way.
    fake.next_request("ping");
    gate.open();
    assert_eq!(gateway.answer(call).text(), "slow");
    assert!(fake.stream(0).is_open());
    assert_eq!(fake.requests_of("GET").len(), 1);
}
