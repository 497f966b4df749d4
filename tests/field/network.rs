//! Section 7: networks and certificates.

use std::time::{Duration, Instant};

use serde_json::json;

use super::table::{Row, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::process;
use crate::common::proxy::Proxy;
use crate::common::reply::Reply;
use crate::common::tls::{Identity, TlsProxy};

pub(super) const ROWS: &[Row] = rows! {
    "7.01" "a server's own self-signed certificate in ca_file" => "trusted", own_certificate;
    "7.02" "the same for another host, expired, or with another key" => "down, and the hint says what is wrong", wrong_certificates;
    "7.03" "a SOCKS proxy in ALL_PROXY or HTTP_PROXY" => "used, and it resolves the name", socks_proxies;
    "7.04" "a redirect from https to http on the same host" => "followed by https; no hint advises http", redirects_behind_tls;
    "7.05" "Retry-After: 1.5, \"2 seconds\", 120, or what can't be read" => "rounded up and told; what can't be read proves nothing", odd_retry_after;
    "7.06" "Retry-After in the handshake" => "tried again no sooner", reconnects_wait_for_retry_after;
};

#[test]
fn section_7_network() {
    check(ROWS);
}

/// A gateway whose only backend has this identity and trusts that file.
fn gateway(fake: &FakeBackend, identity: &Identity, trusted: &Identity) -> (TestGateway, TlsProxy) {
    let front = TlsProxy::before(fake.port(), identity.acceptor(None, None));
    let [certificate, _key] = trusted.files();
    let entry = format!(
        "[[backends]]\nname = \"own\"\nurl = \"{}\"\nca_file = '{}'\nretries = 0\n",
        front.url("127.0.0.1"),
        certificate.path().display()
    );
    let mut gateway = TestGateway::with_config(&entry);
    gateway.initialize();
    // The file is read when it connects.
    let _ = gateway.tool_names();
    (gateway, front)
}

fn own_certificate() {
    for own in [
        Identity::self_signed_authority(&["127.0.0.1", "localhost"]),
        Identity::self_signed(&["127.0.0.1"]),
    ] {
        let fake = FakeBackend::start().tool("t");
        let (mut gateway, _front) = gateway(&fake, &own, &own);
        assert_eq!(gateway.tool_names(), ["t"]);
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    }
}

fn wrong_certificates() {
    let good = || Identity::self_signed_authority(&["127.0.0.1"]);
    let elsewhere = Identity::self_signed_authority(&["elsewhere.test"]);
    let nameless = Identity::self_signed_authority(&[]);
    let expired = Identity::self_signed_expired(&["127.0.0.1"]);
    for (identity, trusted, expected) in [
        (&elsewhere, &elsewhere, "subjectAltName"),
        (&nameless, &nameless, "subjectAltName"),
        (&expired, &expired, "the server needs a new certificate"),
        (&good(), &good(), "a private CA goes into ca_file"),
    ] {
        let fake = FakeBackend::start().tool("t");
        let (mut gateway, _front) = gateway(&fake, identity, trusted);
        let answer = gateway.call("t", json!({}));
        assert!(answer.message().contains(expected), "{}", answer.message());
        assert!(fake.requests().is_empty());
    }
}

/// A gateway whose only backend is behind TLS, with a certificate of its own.
fn behind_tls(fake: &FakeBackend) -> (TestGateway, TlsProxy) {
    let own = Identity::self_signed_authority(&["127.0.0.1"]);
    gateway(fake, &own, &own)
}

fn socks_proxies() {
    let fake = FakeBackend::start().tool("t");
    for variable in ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"] {
        let proxy = Proxy::socks_to(fake.port());
        let folder = tempfile::tempdir().unwrap();
        let output = process::bare_gateway(&folder)
            .env(variable, proxy.socks_url())
            .args([
                "--backend",
                "far=http://backend.invalid:8080/mcp",
                "call",
                "t",
            ])
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(shown, "t {}\n", "{variable}: {errors}");
        let asked = proxy.heads();
        assert!(!asked.is_empty(), "{variable}");
        // The name is the proxy's to resolve.
        let far = |asked: &String| asked == "backend.invalid:8080";
        assert!(asked.iter().all(far), "{variable}: {asked:?}");
    }
}

fn redirects_behind_tls() {
    let fake = FakeBackend::start().tool("t");
    let (mut gateway, front) = behind_tls(&fake);
    let own = front.url("127.0.0.1");
    let moved = |status: u16, to: &str| {
        let reply = Reply::status(status).header("location", to);
        reply.runs(false)
    };
    for (status, to) in [
        (307, own.replace("https:", "http:")),
        (308, own.replace("https:", "http:")),
        (307, "http://127.0.0.1/mcp".to_owned()),
    ] {
        fake.on_tool("t", moved(status, &to));
        assert_eq!(gateway.call("t", json!({})).text(), "t {}", "{status} {to}");
    }
    // Another host or port, or a status that changes the method: it is not followed.
    let elsewhere = FakeBackend::start().tool("t");
    for (status, to) in [
        (307, elsewhere.url()),
        (308, "http://127.0.0.2/mcp".to_owned()),
        (301, own.replace("https:", "http:")),
        (302, own.replace("https:", "http:")),
    ] {
        fake.on_tool("t", moved(status, &to));
        let answer = gateway.call("t", json!({}));
        let message = answer.message();
        assert!(message.contains("redirects to"), "{status} {to}: {message}");
        assert!(!message.contains("into url: http:"), "{message}");
    }
    assert!(elsewhere.requests().is_empty());
}

/// 429 or 503 with this `Retry-After`.
fn later(status: u16, when: &str) -> Reply {
    Reply::status(status)
        .header("retry-after", when)
        .runs(false)
}

fn odd_retry_after() {
    let fake = FakeBackend::start().tool("t");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t"]);
    // It is rounded up, and the wait counts from the answer.
    for (status, when, least) in [(429, "1.2", 2), (503, "1 second", 1), (503, "0.1s", 1)] {
        fake.on_tool("t", later(status, when));
        let begun = Instant::now();
        assert_eq!(gateway.call("t", json!({})).text(), "t {}", "{when}");
        assert!(begun.elapsed() >= Duration::from_secs(least), "{when}");
    }
    // More than a call waits: the seconds are told.
    for status in [429, 503] {
        for when in ["120", "119.5", "120 seconds"] {
            fake.on_tool("t", later(status, when));
            let answer = gateway.call("t", json!({}));
            assert!(answer.message().contains("120 s"), "{}", answer.message());
            assert_eq!(answer.gateway_error().1, "no");
        }
    }
    // What can't be read is no evidence that the call was not taken.
    for when in ["soon", "", "-1", "1e9"] {
        // Each for itself: the breaker opens after several failures.
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize();
        let before = fake.requests_of("tools/call").len();
        fake.on_tool("t", later(503, when));
        let answer = gateway.call("t", json!({}));
        assert_eq!(answer.gateway_error().1, "unknown", "{when:?}");
        assert_eq!(fake.requests_of("tools/call").len(), before + 1, "{when:?}");
    }
}

/// A backend that is down is tried again no sooner than it says.
fn reconnects_wait_for_retry_after() {
    let fake = FakeBackend::start().tool("t");
    fake.always("server/discover", later(503, "3"));
    fake.always("initialize", later(503, "3"));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    fake.wait_for_requests("initialize", 1);
    let refused = Instant::now();
    let first = fake.requests_of("server/discover").len();
    fake.wait_for_requests("server/discover", first + 1);
    let waited = refused.elapsed();
    // The first answer had come before.
    assert!(waited >= Duration::from_millis(2_500), "{waited:?}");
    assert!(gateway.tool_names().is_empty());
}
