//! Section 7: networks and certificates.

use serde_json::json;

use super::table::{Row, assert_explained, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::tls::{Identity, TlsProxy};

const ROWS: &[Row] = rows! {
    "7.01" "a server's own self-signed certificate in ca_file" => "trusted", own_certificate;
    "7.02" "the same for another host, expired, or with another key" => "down, and the hint says what is wrong", wrong_certificates;
};

#[test]
fn section_7_network() {
    check(ROWS);
}

#[test]
fn section_7_is_explained() {
    assert_explained("7", ROWS);
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
