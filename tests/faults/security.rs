//! Security rows: proxies, TLS and credentials.

use std::sync::Arc;

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::proxy::Proxy;
use crate::common::reply::Reply;
use crate::common::tls::{Authority, TlsProxy};
use crate::fixture::{default_backend, expected, plan_with};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "S1" Config "HTTPS_PROXY" => "honoured, and sees no credentials", proxy_for_https;
    "S2" Config "HTTP_PROXY" => "honoured", proxy_for_http;
    "S3" Config "proxies of the environment, a backend on loopback" => "never used", no_proxy_for_loopback;
    "S4" Config "own CA and client certificate" => "mutual TLS; without it, down", mutual_tls;
    "S5" Config "credentials over plain http to another machine" => "refused, zero bytes", credentials_in_the_clear;
    "S6" Config "ALL_PROXY=socks5h" => "honoured", socks_proxy;
    "S7" Config "307 from https to http on the same host" => "followed by https alone", redirect_behind_tls;
};

const KEY: &str = "headers = { \"X-Key\" = \"a-secret-key\" }";

fn proxy_for_https(run: &Run<'_>) {
    let authority = Authority::new();
    let identity = authority.issue(&["backend.invalid"]);
    let bad = Arc::new(default_backend());
    let front = TlsProxy::before(bad.port(), identity.acceptor(None, None));
    let proxy = Proxy::to(front.port());
    let mut fixture = plan_with(run, bad)
        .at("https://backend.invalid/mcp")
        .trusting(&authority)
        .entry(KEY)
        .variable("HTTPS_PROXY", &proxy.url())
        .start();
    fixture.expect_success("act");
    let call = fixture.bad.next_request("tools/call");
    assert_eq!(call.header("x-key"), Some("a-secret-key"));
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with("CONNECT backend.invalid:443 "), "{head}");
        assert!(
            !head.contains("a-secret-key") && !head.contains("/mcp"),
            "{head}"
        );
    }
}

fn proxy_for_http(run: &Run<'_>) {
    let bad = Arc::new(default_backend());
    let proxy = Proxy::to(bad.port());
    let mut fixture = plan_with(run, bad)
        .at("http://backend.invalid/mcp")
        .variable("HTTP_PROXY", &proxy.url())
        .start();
    fixture.expect_success("act");
    let heads = proxy.heads();
    let absolute = "POST http://backend.invalid/mcp ";
    assert!(
        heads.iter().any(|head| head.starts_with(absolute)),
        "{heads:?}"
    );
}

fn socks_proxy(run: &Run<'_>) {
    let bad = Arc::new(default_backend());
    let proxy = Proxy::socks_to(bad.port());
    let mut fixture = plan_with(run, bad)
        .at("http://backend.invalid:8080/mcp")
        .variable("ALL_PROXY", &proxy.socks_url())
        .start();
    fixture.expect_success("act");
    let asked = proxy.heads();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|asked| asked == "backend.invalid:8080"),
        "{asked:?}"
    );
}

/// A server behind a proxy that ends TLS names itself by http.
fn redirect_behind_tls(run: &Run<'_>) {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let bad = Arc::new(default_backend());
    let front = TlsProxy::before(bad.port(), identity.acceptor(None, None));
    let other = FakeBackend::start().tool("act");
    let mut fixture = plan_with(run, bad)
        .at(&front.url("127.0.0.1"))
        .trusting(&authority)
        .entry(KEY)
        .start();
    let default_port = "http://127.0.0.1/mcp".to_owned();
    for to in [
        front.url("127.0.0.1").replace("https:", "http:"),
        default_port,
    ] {
        run.set_variant(&to);
        let moved = Reply::status(307).header("location", &to).runs(false);
        fixture.bad.on_tool("act", moved);
        assert_eq!(fixture.call("act").text(), "act {}");
    }
    let own = front.url("127.0.0.1");
    let hint = "put the final address into url, with https";
    for (status, to, text) in [
        (
            301,
            own.replace("https:", "http:"),
            "redirects to https://127.0.0.1:",
        ),
        (307, other.url(), hint),
        (307, "http://127.0.0.2/mcp".to_owned(), hint),
    ] {
        let moved = Reply::status(status).header("location", &to).runs(false);
        let refused = expected("refused", "unknown", 1).with_text(text);
        fixture.check_fault(&format!("{status} {to}"), &moved, refused);
    }
    assert_eq!(other.connections(), 0);
}

fn no_proxy_for_loopback(run: &Run<'_>) {
    let bad = Arc::new(default_backend());
    let proxy = Proxy::to(bad.port());
    let mut plan = plan_with(run, bad);
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        plan = plan.variable(name, &proxy.url());
    }
    let mut fixture = plan.entry(KEY).start();
    fixture.expect_success("act");
    assert_eq!(proxy.heads(), [""; 0], "a proxy was used for loopback");
}

fn mutual_tls(run: &Run<'_>) {
    let authority = Authority::new();
    let server = authority.issue(&["127.0.0.1"]);
    let [certificate, key] = authority.issue(&["client.test"]).files();
    let bad = Arc::new(default_backend());
    let front = TlsProxy::before(bad.port(), server.acceptor(Some(&authority), None));
    let at = front.url("127.0.0.1");
    let files = format!(
        "client_cert_file = '{}'\nclient_key_file = '{}'",
        certificate.path().display(),
        key.path().display()
    );
    let with = plan_with(run, Arc::clone(&bad))
        .at(&at)
        .trusting(&authority);
    let mut fixture = with.entry(&files).start();
    fixture.expect_success("act");
    drop(fixture);
    let requests = bad.requests().len();
    let without = plan_with(run, Arc::clone(&bad))
        .at(&at)
        .trusting(&authority);
    let mut fixture = without.start();
    fixture.check_good_backend();
    let unknown = fixture.client().call("act", json!({}));
    let message = unknown.message();
    assert!(message.contains("bad is down: TLS"), "{message}");
    assert_eq!(bad.requests().len(), requests, "a request got through");
}

fn credentials_in_the_clear(run: &Run<'_>) {
    let bad = Arc::new(default_backend());
    let proxy = Proxy::to(bad.port());
    let mut fixture = plan_with(run, bad)
        .at("http://backend.invalid/mcp")
        .entry(KEY)
        .variable("HTTP_PROXY", &proxy.url())
        .start();
    fixture.check_good_backend();
    let unknown = fixture.client().call("act", json!({}));
    let message = unknown.message();
    assert!(
        message.contains("bad is down") && message.contains("allow_insecure"),
        "{message}"
    );
    assert_eq!(proxy.heads(), [""; 0], "something was sent");
}
