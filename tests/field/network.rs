//! Section 7: networks and certificates.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::table::{Row, check, rows};
use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::process;
use crate::common::proxy::Proxy;
use crate::common::reply::Reply;
use crate::common::tls::{Identity, TlsProxy, file};

pub(super) const ROWS: &[Row] = rows! {
    "7.01" "a server's own self-signed certificate in ca_file" => "trusted", own_certificate;
    "7.02" "the same for another host, expired or not valid yet, or with another key" => "down, and the hint says what is wrong", wrong_certificates;
    "7.03" "a SOCKS proxy in ALL_PROXY, HTTP_PROXY or HTTPS_PROXY" => "used, and with socks5h it resolves the name", socks_proxies;
    "7.04" "a redirect from https to http on the same host" => "followed by https; no hint advises http", redirects_behind_tls;
    "7.05" "Retry-After: 1.5, \"2 seconds\", 120, or what can't be read" => "rounded up and told; what can't be read proves nothing", odd_retry_after;
    "7.06" "Retry-After in the handshake: 429 or 503, in any form, to any request of it" => "tried again no sooner", reconnects_wait_for_retry_after;
};

#[test]
fn section_7_network() {
    check(ROWS);
}

/// A gateway whose only backend is at this host behind TLS with this identity, and trusts the certificates of that
/// text.
fn gateway(
    fake: &FakeBackend,
    host: &str,
    identity: &Identity,
    trusted: &str,
) -> (TestGateway, TlsProxy) {
    let front = TlsProxy::before(fake.port(), identity.acceptor(None, None));
    let certificates = file(trusted);
    let entry = format!(
        "[[backends]]\nname = \"own\"\nurl = \"{}\"\nca_file = '{}'\nretries = 0\n",
        front.url(host),
        certificates.path().display()
    );
    let mut gateway = TestGateway::with_config(&entry);
    gateway.initialize();
    // The file is read when it connects.
    let _ = gateway.tool_names();
    (gateway, front)
}

fn own_certificate() {
    let authority = Identity::self_signed_authority(&["127.0.0.1", "localhost"]);
    let leaf = Identity::self_signed(&["127.0.0.1", "localhost"]);
    let other = Identity::self_signed_authority(&["elsewhere.test"]);
    for own in [&authority, &leaf] {
        for host in ["127.0.0.1", "localhost"] {
            // Alone in its file, or among others.
            for trusted in [own.pem().to_owned(), other.pem().to_owned() + own.pem()] {
                let fake = FakeBackend::start().tool("t");
                let (mut gateway, _front) = gateway(&fake, host, own, &trusted);
                assert_eq!(gateway.tool_names(), ["t"], "{host}");
                assert_eq!(gateway.call("t", json!({})).text(), "t {}");
            }
        }
    }
}

fn wrong_certificates() {
    let good = || Identity::self_signed_authority(&["127.0.0.1"]);
    let dates = "the server needs a new certificate, or a clock is wrong";
    let elsewhere = Identity::self_signed_authority(&["elsewhere.test"]);
    let nameless = Identity::self_signed_authority(&[]);
    let leaf = Identity::self_signed(&["elsewhere.test"]);
    let expired = Identity::self_signed_in(&["127.0.0.1"], 2001, 2002);
    let too_early = Identity::self_signed_in(&["127.0.0.1"], 2090, 2091);
    for (identity, trusted, expected) in [
        (&elsewhere, &elsewhere, "subjectAltName"),
        (&nameless, &nameless, "subjectAltName"),
        (&leaf, &leaf, "subjectAltName"),
        (&expired, &expired, dates),
        (&too_early, &too_early, dates),
        (&good(), &good(), "a private CA goes into ca_file"),
    ] {
        let fake = FakeBackend::start().tool("t");
        let (mut gateway, _front) = gateway(&fake, "127.0.0.1", identity, trusted.pem());
        let answer = gateway.call("t", json!({}));
        assert!(answer.message().contains(expected), "{}", answer.message());
        assert!(fake.requests().is_empty());
    }
}

/// A gateway whose only backend is behind TLS, with a certificate of its own.
fn behind_tls(fake: &FakeBackend) -> (TestGateway, TlsProxy) {
    let own = Identity::self_signed_authority(&["127.0.0.1"]);
    gateway(fake, "127.0.0.1", &own, own.pem())
}

fn socks_proxies() {
    let fake = FakeBackend::start().tool("t");
    let identity = Identity::self_signed_authority(&["backend.invalid"]);
    let front = TlsProxy::before(fake.port(), identity.acceptor(None, None));
    let certificate = file(identity.pem());
    let [plain, tls] = [fake.port(), front.port()];
    // With `socks5` the gateway resolves the name, so that there must be an address.
    for (variable, scheme, port, url, asked) in [
        (
            "ALL_PROXY",
            "socks5h",
            plain,
            "http://backend.invalid:8080/mcp",
            "backend.invalid:8080",
        ),
        (
            "all_proxy",
            "socks5h",
            plain,
            "http://backend.invalid:8080/mcp",
            "backend.invalid:8080",
        ),
        (
            "HTTP_PROXY",
            "socks5h",
            plain,
            "http://backend.invalid:8080/mcp",
            "backend.invalid:8080",
        ),
        (
            "http_proxy",
            "socks5h",
            plain,
            "http://backend.invalid:8080/mcp",
            "backend.invalid:8080",
        ),
        (
            "HTTPS_PROXY",
            "socks5h",
            tls,
            "https://backend.invalid/mcp",
            "backend.invalid:443",
        ),
        (
            "https_proxy",
            "socks5h",
            tls,
            "https://backend.invalid/mcp",
            "backend.invalid:443",
        ),
        (
            "ALL_PROXY",
            "socks5h",
            tls,
            "https://backend.invalid/mcp",
            "backend.invalid:443",
        ),
        (
            "ALL_PROXY",
            "socks5",
            plain,
            "http://192.0.2.1:8080/mcp",
            "192.0.2.1:8080",
        ),
        (
            "HTTP_PROXY",
            "socks5",
            plain,
            "http://192.0.2.1:8080/mcp",
            "192.0.2.1:8080",
        ),
    ] {
        let proxy = Proxy::socks_to(port);
        let folder = tempfile::tempdir().unwrap();
        let mut toml = format!("[[backends]]\nname = \"far\"\nurl = \"{url}\"\n");
        if port == tls {
            toml += &format!("ca_file = '{}'\n", certificate.path().display());
        }
        std::fs::write(folder.path().join("sentinel.toml"), toml).unwrap();
        let output = process::bare_gateway(&folder)
            .env(variable, proxy.url_with(scheme))
            .args(["--config", "sentinel.toml", "call", "t"])
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(shown, "t {}\n", "{variable} {scheme} {url}: {errors}");
        let heads = proxy.heads();
        assert!(!heads.is_empty(), "{variable}");
        let is_asked = |head: &String| head == asked;
        assert!(heads.iter().all(is_asked), "{variable}: {heads:?}");
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
        (303, own.replace("https:", "http:")),
    ] {
        fake.on_tool("t", moved(status, &to));
        let answer = gateway.call("t", json!({}));
        let message = answer.message();
        assert!(message.contains("redirects to"), "{status} {to}: {message}");
        assert!(!message.contains("into url: http:"), "{message}");
    }
    assert!(elsewhere.requests().is_empty());
    // Whatever is sent: the handshake of either era, the list, the call.
    for (is_modern, kinds) in [
        (true, &["server/discover", "tools/list", "tools/call"][..]),
        (
            false,
            &[
                "initialize",
                "notifications/initialized",
                "tools/list",
                "tools/call",
            ],
        ),
    ] {
        let fake = FakeBackend::start().tool("t");
        let fake = if is_modern { fake.modern() } else { fake };
        for kind in kinds {
            fake.on(kind, moved(307, "http://127.0.0.1/mcp"));
        }
        let (mut gateway, _front) = behind_tls(&fake);
        assert_eq!(gateway.tool_names(), ["t"], "modern: {is_modern}");
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    }
}

/// 429 or 503 with this `Retry-After`.
fn later(status: u16, when: &str) -> Reply {
    Reply::status(status)
        .header("retry-after", when)
        .runs(false)
}

/// The HTTP date that is so many seconds away, to the second before.
fn date_in(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds))
}

fn odd_retry_after() {
    let fake = FakeBackend::start().tool("t");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t"]);
    // It is rounded up, and the wait counts from the answer.
    for (status, when, least) in [
        (429, "1.2", 2_000),
        (503, "1.2", 2_000),
        (429, "0.1s", 1_000),
        (503, "1 second", 1_000),
        (429, "a date", 900),
        (503, "a date", 900),
    ] {
        let asked = match when {
            "a date" => date_in(2),
            when => when.to_owned(),
        };
        fake.on_tool("t", later(status, &asked));
        let begun = Instant::now();
        assert_eq!(gateway.call("t", json!({})).text(), "t {}", "{when}");
        assert!(begun.elapsed() >= Duration::from_millis(least), "{when}");
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
    // What can't be read is no evidence that the call was not taken; that it was 429 is.
    for when in ["soon", "", "-1", "1e9"] {
        // Each for itself: the breaker opens after several failures.
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize();
        let before = fake.requests_of("tools/call").len();
        fake.on_tool("t", later(503, when));
        let answer = gateway.call("t", json!({}));
        assert_eq!(answer.gateway_error().1, "unknown", "{when:?}");
        assert_eq!(fake.requests_of("tools/call").len(), before + 1, "{when:?}");
        fake.on_tool("t", later(429, when));
        assert_eq!(gateway.call("t", json!({})).text(), "t {}", "{when:?}");
        assert_eq!(fake.requests_of("tools/call").len(), before + 3, "{when:?}");
    }
}

/// A server that refuses these requests with this status and `Retry-After` while that is so, and when they came.
struct Refusing {
    fake: FakeBackend,
    refuses: Arc<AtomicBool>,
    refused: Arc<Mutex<Vec<Instant>>>,
    kinds: usize,
    case: String,
}

impl Refusing {
    fn new(
        (what, fake): (&str, FakeBackend),
        kinds: &'static [&'static str],
        status: u16,
        when: fn() -> String,
    ) -> Self {
        let (refuses, refused) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<Vec<_>>>::default(),
        );
        let (refuses_now, seen) = (Arc::clone(&refuses), Arc::clone(&refused));
        let fake = fake.tool("t").behind(move |request| {
            let kind = request.kind();
            let is_refused = refuses_now.load(Ordering::Relaxed) && kinds.contains(&kind);
            is_refused.then(|| {
                let mut seen = seen.lock().unwrap();
                seen.push(Instant::now());
                later(status, &when())
            })
        });
        let case = format!("{what}: {status} {} of {kinds:?}", when());
        Self {
            fake,
            refuses,
            refused,
            kinds: kinds.len(),
            case,
        }
    }

    fn set(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }

    /// Waits for the second attempt to connect, where so many requests of the first one are refused; returns the
    /// time between the attempts.
    fn pause_after(&self, first: usize) -> Duration {
        let begun = Instant::now();
        loop {
            let refused = self.refused.lock().unwrap();
            if let Some(second) = refused.get(first) {
                return *second - refused[first - 1];
            }
            drop(refused);
            assert!(
                begun.elapsed() < PATIENCE,
                "no second attempt: {}",
                self.case
            );
            std::thread::yield_now();
        }
    }
}

/// A backend that is down is tried again no sooner than it says, whichever request of the handshake says it, with
/// either status and in any form.
fn reconnects_wait_for_retry_after() {
    const BOTH: &[&str] = &["server/discover", "initialize"];
    const SECONDS: fn() -> String = || "3".to_owned();
    const OTHER_FORMS: [fn() -> String; 3] = [
        || "2.2".to_owned(),
        || "3 seconds".to_owned(),
        || date_in(4),
    ];
    let start = |refusing: &Refusing| {
        let toml = refusing.fake.entry("fake", "retries = 0");
        let mut gateway = TestGateway::with_config(&toml);
        gateway.initialize();
        gateway
    };
    let legacy = || ("legacy", FakeBackend::start());
    let modern = || ("modern", FakeBackend::start().modern());
    let mut waiting = Vec::new();
    for status in [429, 503] {
        let mut refusing = vec![
            Refusing::new(legacy(), &BOTH[1..], status, SECONDS),
            Refusing::new(modern(), &BOTH[..1], status, SECONDS),
            Refusing::new(modern(), BOTH, status, SECONDS),
            Refusing::new(legacy(), BOTH, status, SECONDS),
        ];
        let other_forms = OTHER_FORMS.into_iter();
        refusing.extend(other_forms.map(|when| Refusing::new(legacy(), BOTH, status, when)));
        for refusing in refusing {
            refusing.set();
            let gateway = start(&refusing);
            let first = refusing.kinds;
            waiting.push((refusing, gateway, first));
        }
        // One that was connected, and has lost its session.
        let lost = ("lost session", FakeBackend::start());
        let refusing = Refusing::new(lost, BOTH, status, SECONDS);
        let mut gateway = start(&refusing);
        assert_eq!(gateway.tool_names(), ["t"]);
        refusing.set();
        refusing.fake.forget_sessions();
        let answer = gateway.call("t", json!({}));
        assert_eq!(answer.gateway_error().1, "no", "{}", refusing.case);
        // The end of its stream may have caused an attempt before the call did.
        let first = refusing.refused.lock().unwrap().len();
        waiting.push((refusing, gateway, first));
    }
    for (refusing, _gateway, first) in waiting {
        let pause = refusing.pause_after(first);
        let least = Duration::from_millis(2_900);
        assert!(pause >= least, "{pause:?}: {}", refusing.case);
    }
}
