//! Section 2: a handshake that does not end at the first oddity.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::table::{Row, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::{error, error_with};
use crate::common::reply::Reply;
use crate::common::wire::Request;

pub(super) const ROWS: &[Row] = rows! {
    "2.01" "server/discover answered by 401, 403, 5xx, a redirect, a reset" => "initialize is tried", odd_probe_answers;
    "2.02" "the same, and initialize fails too" => "its own error is told", error_of_initialize;
    "2.03" "an era that was chosen after such an answer" => "not remembered: the next connection probes again", provisional_era;
    "2.04" "notifications/initialized refused, reset or never answered" => "the session goes on, after 2 s at most", refused_initialized;
    "2.05" "initialize refused for its version" => "a version that the refusal names, else the next older", refused_versions;
    "2.06" "a version that was refused, at the next start" => "the one that was taken is asked for first", remembered_version;
    "2.07" "initialize refused with the client's capabilities" => "offered without them", refused_capabilities;
    "2.08" "initialize refused by a 4xx but 401, 403 and 429, or by 501" => "the HTTP with SSE transport is tried", refused_post;
    "2.09" "capabilities that declare no kind of list" => "tools/list is asked all the same", no_capabilities;
    "2.10" "a server of both eras" => "spoken to in the era of the client", both_eras;
    "2.11" "a server that refuses everything" => "down after ten requests at most, the last error told", refuses_everything;
    "2.12" "a client that says initialize again" => "the same answer under the new id", second_initialize;
    "2.13" "a server behind two redirects that refuses the first version" => "connected within ten requests; the session stays at the last address", behind_redirects;
};

#[test]
fn section_2_handshake() {
    check(ROWS);
}

/// A gateway that lists and calls the tool `t`.
fn assert_serves(fake: &FakeBackend) -> TestGateway {
    let mut gateway = TestGateway::over(fake);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t"]);
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    gateway
}

/// The message of a call while the only backend is down.
fn reason(fake: &FakeBackend) -> String {
    let mut gateway = TestGateway::over(fake);
    gateway.initialize();
    gateway.call("t", json!({})).message().to_owned()
}

fn odd_answers() -> Vec<Reply> {
    let mut odd: Vec<Reply> = [401, 403, 408, 413, 429, 500, 501, 502, 503, 504, 520]
        .map(Reply::status)
        .into();
    for status in [301, 302, 303, 307, 308] {
        odd.push(Reply::status(status).header("location", "http://127.0.0.2/login"));
    }
    odd.push(Reply::status(503).header("retry-after", "30"));
    odd.push(Reply::status(401).header("www-authenticate", "Bearer"));
    odd.push(Reply::status(502).body("<html><title>Bad Gateway</title></html>"));
    odd.push(Reply::reset());
    odd.push(Reply::hang_up());
    odd
}

fn odd_probe_answers() {
    for (nth, odd) in odd_answers().into_iter().enumerate() {
        let fake = FakeBackend::start().tool("t").refusing_modern(odd);
        drop(assert_serves(&fake));
        let count = fake.requests_of("initialize").len();
        assert_eq!(count, 1, "answer {nth}");
    }
}

fn error_of_initialize() {
    for (own, expected) in [
        (Reply::status(500).body("no database"), "no database"),
        (Reply::error(-32001, "license expired"), "license expired"),
        (Reply::status(401), "(HTTP 401)"),
    ] {
        for odd in [Reply::status(502), Reply::status(401), Reply::reset()] {
            let fake = FakeBackend::start().tool("t").refusing_modern(odd);
            fake.always("initialize", own.clone());
            let reason = reason(&fake);
            assert!(reason.contains(expected), "{reason}");
        }
    }
}

fn provisional_era() {
    let folder = tempfile::tempdir().unwrap();
    for odd in [Reply::status(403), Reply::status(500), Reply::reset()] {
        let fake = FakeBackend::start().tool("t").refusing_modern(odd);
        let config = fake.entry("fake", "");
        for start in 1..=2 {
            let mut gateway = TestGateway::with_state(folder.path(), &config);
            gateway.initialize();
            assert_eq!(gateway.tool_names(), ["t"]);
            let probes = fake.requests_of("server/discover").len();
            assert_eq!(probes, 2 * start - 1);
            // A connection that is lost is made in the same way.
            fake.forget_sessions();
            assert_eq!(gateway.call("t", json!({})).text(), "t {}");
            assert_eq!(fake.requests_of("server/discover").len(), 2 * start);
        }
    }
    // An answer that decides the era is remembered.
    let fake = FakeBackend::start().tool("t");
    let config = fake.entry("fake", "");
    for _ in 0..2 {
        let mut gateway = TestGateway::with_state(folder.path(), &config);
        gateway.initialize();
        assert_eq!(gateway.tool_names(), ["t"]);
    }
    assert_eq!(fake.requests_of("server/discover").len(), 1);
    assert_eq!(fake.requests_of("initialize").len(), 2);
}

fn refused_initialized() {
    let mut odd: Vec<Reply> = [200, 400, 401, 403, 404, 405, 429, 500, 501, 503]
        .map(Reply::status)
        .into();
    let refused = error(-32601, "Method not found");
    odd.extend([200, 400].map(|status| Reply::json_as(status, &refused)));
    odd.extend([Reply::reset(), Reply::hang_up(), Reply::stall()]);
    for odd in odd {
        let fake = FakeBackend::start().tool("t");
        fake.always("notifications/initialized", odd);
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize();
        // A silent server takes as long as a start waits for.
        gateway.list_until(&["t"]);
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        assert_eq!(fake.requests_of("initialize").len(), 1);
    }
}

/// A server that takes this version alone, and refuses others so. Returns the versions it was asked for.
fn taking(version: &'static str, refusal: Reply) -> (FakeBackend, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let fake = FakeBackend::start().tool("t").respond_with(move |request| {
        let offered = offered(request)?;
        log.lock().unwrap().push(offered.clone());
        (offered != version).then(|| refusal.clone())
    });
    (fake, asked)
}

/// The version of an `initialize`.
fn offered(request: &Request) -> Option<String> {
    let version = &request.params()["protocolVersion"];
    let version = version.as_str().filter(|_| request.kind() == "initialize");
    version.map(str::to_owned)
}

fn refused_versions() {
    let supported = |members: Value| error_with(-32602, "Unsupported protocol version", &members);
    let naming = [
        Reply::json_as(400, &supported(json!({ "supported": ["2025-03-26"], "requested": "2025-11-25" }))),
        Reply::json_as(200, &supported(json!({ "supportedVersions": ["2025-03-26", "2024-11-05"] }))),
        Reply::json_as(400, &error_with(-32022, "Unsupported", &json!({ "supported": ["2025-03-26"] }))),
        Reply::status(400).body("Bad Request: Unsupported protocol version: 2025-11-25 (supported versions: 2025-03-26, 2024-10-07)"),
        Reply::status(500).body("ValueError: protocol version must be 2025-03-26"),
    ];
    for refusal in naming {
        let (fake, asked) = taking("2025-03-26", refusal);
        drop(assert_serves(&fake));
        assert_eq!(*asked.lock().unwrap(), ["2025-11-25", "2025-03-26"]);
    }
    let silent = [
        Reply::error(-32602, "Invalid params"),
        Reply::error(-32600, "Invalid request"),
        Reply::error(-32603, "Unsupported protocol version"),
        Reply::json_as(
            400,
            &error(-32000, "Bad Request: unsupported protocol version"),
        ),
        Reply::json_as(500, &error(-32603, "Internal error")),
        Reply::status(400),
        Reply::status(422).body("unprocessable"),
    ];
    let all = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
    for refusal in silent {
        let (fake, asked) = taking("2024-11-05", refusal);
        drop(assert_serves(&fake));
        assert_eq!(*asked.lock().unwrap(), all);
    }
}

fn remembered_version() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = Reply::error(-32602, "Unsupported protocol version");
    let (fake, asked) = taking("2025-03-26", refusal);
    let config = fake.entry("fake", "");
    let serve = || {
        let mut gateway = TestGateway::with_state(folder.path(), &config);
        gateway.initialize();
        assert_eq!(gateway.tool_names(), ["t"]);
        drop(gateway);
        std::mem::take(&mut *asked.lock().unwrap())
    };
    assert_eq!(serve(), ["2025-11-25", "2025-06-18", "2025-03-26"]);
    assert_eq!(serve(), ["2025-03-26"]);
    // Another version of the server is asked anew, one start later.
    fake.rename("other");
    assert_eq!(serve(), ["2025-03-26"]);
    assert_eq!(serve()[0], "2025-11-25");
}

fn refused_capabilities() {
    for refusal in [
        Reply::error(-32602, "Invalid params: capabilities"),
        Reply::status(422),
    ] {
        let fake = FakeBackend::start().tool("t").respond_with(move |request| {
            let capabilities = &request.params()["capabilities"];
            let refused = request.kind() == "initialize" && *capabilities != json!({});
            refused.then(|| refusal.clone())
        });
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize_with("2025-11-25", json!({ "roots": {}, "sampling": {} }));
        assert_eq!(gateway.tool_names(), ["t"]);
        let last = fake.requests_of("initialize").pop().unwrap();
        assert_eq!(last.params()["protocolVersion"], "2025-11-25");
    }
}

fn refused_post() {
    for status in [400, 404, 405, 406, 410, 415, 422, 501] {
        let refusal = Reply::status(status);
        let fake = FakeBackend::start().tool("t").http_sse_refusing(refusal);
        drop(assert_serves(&fake));
        assert_eq!(fake.requests_of("GET").len(), 1, "{status}");
    }
    for status in [401, 403, 429, 500] {
        let fake = FakeBackend::start().tool("t");
        fake.always("initialize", Reply::status(status));
        reason(&fake);
        assert!(fake.requests_of("GET").is_empty(), "{status}");
    }
}

fn no_capabilities() {
    for capabilities in [
        json!({}),
        Value::Null,
        json!([]),
        json!({ "tools": null }),
        json!({ "tools": false }),
        json!({ "logging": {}, "experimental": {} }),
    ] {
        let fake = FakeBackend::start().tool("t").respond_with(move |request| {
            (request.kind() == "initialize").then(|| {
                Reply::result(json!({
                    "protocolVersion": "2025-11-25", "capabilities": capabilities,
                    "serverInfo": { "name": "shy", "version": "1" },
                }))
            })
        });
        drop(assert_serves(&fake.without_sessions()));
    }
    // A server that declares others has no tools where it declares none; one that declares nothing and
    // has no tools says so.
    for capabilities in [json!({ "prompts": {} }), json!({})] {
        let prompts = capabilities != json!({});
        let fake = FakeBackend::start().respond_with(move |request| match request.kind() {
            "initialize" => Some(Reply::result(json!({
                "protocolVersion": "2025-11-25", "capabilities": capabilities,
                "serverInfo": { "name": "shy", "version": "1" },
            }))),
            "tools/list" => Some(Reply::error(-32603, "there are none")),
            _ => None,
        });
        let fake = fake.without_sessions();
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize();
        assert!(gateway.tool_names().is_empty());
        assert_eq!(fake.requests_of("tools/list").is_empty(), prompts);
    }
}

fn both_eras() {
    let fake = FakeBackend::start().tool("t").dual();
    drop(assert_serves(&fake));
    assert_eq!(fake.requests_of("initialize").len(), 1);
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(json!({}));
    assert_eq!(gateway.tool_names(), ["t"]);
    assert_eq!(fake.requests_of("initialize").len(), 1);
    // One that names the legacy era and refuses it is modern.
    let fake = FakeBackend::start().tool("t").dual();
    fake.always("initialize", Reply::error(-32601, "Method not found"));
    drop(assert_serves(&fake));
}

fn refuses_everything() {
    for refusal in [
        Reply::status(400),
        Reply::status(404),
        Reply::error(-32602, "no such luck: protocol version"),
        Reply::error(-32603, "no such luck"),
    ] {
        let fake = FakeBackend::start()
            .tool("t")
            .refusing_modern(Reply::status(502));
        fake.always("initialize", refusal)
            .always("GET", Reply::status(404));
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
        // The first list is answered when the first handshake has failed.
        assert!(gateway.tool_names().is_empty());
        let count = fake.requests().len();
        assert!((2..=10).contains(&count), "{count} requests");
        let reason = gateway.call("t", json!({})).message().to_owned();
        let is_last = ["no such luck", "HTTP 400", "HTTP 404"];
        assert!(
            is_last.iter().any(|words| reason.contains(words)),
            "{reason}"
        );
    }
}

fn second_initialize() {
    let fake = FakeBackend::start().tool("t");
    let mut gateway = assert_serves(&fake);
    let first = gateway.send_initialize("2025-11-25", json!({}));
    for version in ["2025-11-25", "2024-11-05", "2099-01-01"] {
        let again = gateway.send_initialize(version, json!({ "sampling": {} }));
        assert_eq!(again.result(), first.result());
    }
    gateway.notify("notifications/initialized", json!({}));
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    assert_eq!(fake.requests_of("initialize").len(), 1);
}

/// Where a request goes, without the query of the fake's URL.
fn path(request: &Request) -> &str {
    request.target.split('?').next().unwrap_or_default()
}

/// Where the requests of this kind went.
fn targets(fake: &FakeBackend, kind: &str) -> Vec<String> {
    let requests = fake.requests_of(kind);
    let paths = requests.iter().map(|request| path(request).to_owned());
    paths.collect()
}

fn redirect(status: u16, to: &str) -> Reply {
    Reply::status(status).header("location", to).runs(false)
}

/// A server at `place`, to which two redirects lead from `/mcp`, that speaks only the version `taken`.
fn behind_redirects_to(
    place: &'static str,
    status: u16,
    taken: &'static str,
    refusal: Reply,
) -> impl FnMut(&Request) -> Option<Reply> {
    move |request| match path(request) {
        "/mcp" => Some(redirect(status, "/mcp/")),
        "/mcp/" => Some(redirect(status, place)),
        _ => (offered(request)? != taken).then(|| refusal.clone()),
    }
}

fn behind_redirects() {
    let refusals = [
        Reply::error(-32602, "Unsupported protocol version"),
        Reply::json_as(400, &error(-32602, "Unsupported protocol version")),
    ];
    for (status, refusal) in [307, 308].into_iter().zip(refusals) {
        let server = behind_redirects_to("/in/mcp", status, "2024-11-05", refusal);
        let fake = FakeBackend::start().with_get().tool("t").behind(server);
        let gateway = assert_serves(&fake);
        let targets = |kind| targets(&fake, kind);
        assert_eq!(targets("server/discover"), ["/mcp", "/mcp/", "/in/mcp"]);
        assert_eq!(targets("initialize"), ["/in/mcp"; 4]);
        assert_eq!(targets("notifications/initialized"), ["/in/mcp"]);
        // What the session asks afterwards needs no redirect either.
        for kind in ["tools/list", "tools/call", "GET"] {
            assert!(
                targets(kind).iter().all(|target| target == "/in/mcp"),
                "{kind}"
            );
        }
        drop(gateway);
        fake.wait_for_requests("DELETE", 1);
        assert_eq!(targets("DELETE"), ["/in/mcp"]);
    }
}

/// A confirmation that is redirected once more arrives, after as many refusals as there are versions.
#[test]
fn the_confirmation_of_a_handshake_follows_a_redirect_of_its_own() {
    let refusal = Reply::error(-32602, "Unsupported protocol version");
    let mut inner = behind_redirects_to("/in/mcp", 307, "2024-11-05", refusal);
    let fake = FakeBackend::start().tool("t").behind(move |request| {
        let is_confirmation = request.kind() == "notifications/initialized";
        match path(request) {
            "/in/mcp" if is_confirmation => Some(redirect(307, "/other")),
            _ => inner(request),
        }
    });
    drop(assert_serves(&fake));
    let confirmations = fake.requests_of("notifications/initialized");
    let targets: Vec<&str> = confirmations.iter().map(path).collect();
    assert_eq!(targets, ["/in/mcp", "/other"]);
    let handshake =
        fake.requests_of("server/discover").len() + fake.requests_of("initialize").len();
    assert_eq!(handshake, 7);
}

/// A front that redirects POST alone: the stream of GET is where the config says.
#[test]
fn a_stream_that_is_not_where_post_was_led_is_asked_for_at_the_url() {
    let page = Reply::status(200).header("content-type", "text/html");
    let refusals = [404, 405, 410, 501].map(Reply::status);
    for (nth, refusal) in refusals
        .into_iter()
        .chain([page.body("<html>")])
        .enumerate()
    {
        let refusal = refusal.runs(false);
        let fake = FakeBackend::start()
            .with_get()
            .tool("t")
            .behind(move |request| match (path(request), request.kind()) {
                ("/in/mcp", "GET") => Some(refusal.clone()),
                ("/mcp", "GET") | ("/in/mcp", _) => None,
                _ => Some(redirect(307, "/in/mcp")),
            });
        let mut gateway = assert_serves(&fake);
        fake.wait_for_requests("GET", 2);
        fake.put_tool("later", json!({}));
        fake.notify_clients("notifications/tools/list_changed", json!({}));
        gateway.wait_for_tool("later");
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        assert_eq!(targets(&fake, "GET"), ["/in/mcp", "/mcp"], "{nth}");
        // What one method learns says nothing of another.
        let calls = targets(&fake, "tools/call");
        assert_eq!(calls, ["/in/mcp"; 2], "{nth}");
        drop(gateway);
        fake.wait_for_requests("DELETE", 1);
        assert_eq!(targets(&fake, "DELETE"), ["/in/mcp"], "{nth}");
    }
}

/// A server without a stream is asked twice for it, and no more.
#[test]
fn a_stream_that_is_nowhere_is_not_asked_for_again() {
    let fake = FakeBackend::start()
        .tool("t")
        .behind(|request| match path(request) {
            "/mcp" if request.kind() != "GET" => Some(redirect(308, "/in/mcp")),
            _ => None,
        });
    let mut gateway = assert_serves(&fake);
    fake.wait_for_requests("GET", 2);
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    assert_eq!(targets(&fake, "GET"), ["/in/mcp", "/mcp"]);
    assert_eq!(targets(&fake, "tools/call"), ["/in/mcp"; 2]);
}

/// An address that is no longer there is forgotten, and the configured one leads on.
#[test]
fn an_address_that_a_redirect_led_to_is_left_when_it_is_gone() {
    let has_moved = Arc::new(AtomicBool::new(false));
    let moved = Arc::clone(&has_moved);
    let fake = FakeBackend::start().tool("t").behind(move |request| {
        let moved = moved.load(Ordering::Relaxed);
        match path(request) {
            "/mcp" => Some(redirect(307, if moved { "/new" } else { "/old" })),
            "/old" if moved => Some(Reply::status(404).runs(false)),
            _ => None,
        }
    });
    let fake = fake.without_sessions();
    let mut gateway = assert_serves(&fake);
    has_moved.store(true, Ordering::Relaxed);
    let refused = gateway.call("t", json!({}));
    assert!(refused.message().contains("404"), "{}", refused.message());
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
}

/// A page that a redirect leads to, as gates have, is no place of the server.
#[test]
fn a_redirect_of_the_probe_to_a_page_leads_no_other_request() {
    let fake = FakeBackend::start().tool("t").behind(|request| {
        let page = Reply::status(200)
            .header("content-type", "text/html")
            .body("<html>");
        match path(request) {
            "/login" => Some(page),
            _ if request.kind() == "server/discover" => Some(redirect(307, "/login")),
            _ => None,
        }
    });
    drop(assert_serves(&fake));
    assert_eq!(fake.requests_of("initialize").len(), 1);
}

/// The endpoint of the HTTP with SSE transport is relative to where its stream came from.
#[test]
fn an_endpoint_is_relative_to_where_redirects_led_to() {
    let endpoint = Reply::sse().body("event: endpoint\ndata: messages\n\n");
    let fake = FakeBackend::start().behind(move |request| {
        Some(match path(request) {
            "/mcp" if request.kind() == "GET" => redirect(307, "/front/sse"),
            "/front/sse" => endpoint.clone().then_stall(),
            _ => Reply::status(405),
        })
    });
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    assert!(gateway.tool_names().is_empty());
    let offers = fake.requests_of("initialize");
    let targets: Vec<&str> = offers.iter().map(path).collect();
    assert!(targets.contains(&"/front/messages"), "{targets:?}");
}
