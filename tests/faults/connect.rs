//! Section B: connections that cannot be established.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::blackhole::Blackhole;
use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::common::tls::{Authority, Identity, TlsProxy};
use crate::fixture::{Fixture, UNREACHABLE, default_backend, plan, plan_with};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "21" Nothing "refused" => "retries, then unreachable, executed: no", fault_21_refused;
    "22" Nothing "SYN blackhole" => "connect timeout", fault_22_syn_blackhole;
    "23" Config "DNS failure or hang" => "unreachable, executed: no", fault_23_dns;
    "24" Config "TLS expired, wrong host, self-signed" => "cause named, no retry, no downgrade", fault_24_invalid_certificates;
    "25" Config "TLS handshake stalls" => "connect timeout", fault_25_tls_handshake_stalls;
    "26" Config "IPv6 broken, IPv4 good" => "connects", fault_26_ipv6_broken;
    "27" Config "out of file descriptors" => "overloaded, recovers", fault_27_out_of_descriptors;
};

fn fault_21_refused(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    fixture.expect_success("act");
    fixture.stop_bad_backend();
    let before = fixture.bad.runs("act");
    for tool in ["act", "look"] {
        fixture.expect_error(tool, UNREACHABLE.with_text("connection refused"), 2);
    }
    run.record_runs(fixture.bad.runs("act") - before);
    fixture.bad.come_up();
    fixture.expect_success("act");
}

fn fault_22_syn_blackhole(run: &Run<'_>) {
    let times = "connect_timeout_secs = 1";
    let mut fixture = plan(run).entry(times).start();
    fixture.expect_success("act");
    let before = fixture.bad.runs("act");
    fixture.stop_bad_backend();
    let address = (Ipv4Addr::LOCALHOST, fixture.bad.port());
    let _blackhole = Blackhole::at(address.into()).unwrap();
    for tool in ["act", "look"] {
        fixture.expect_error(tool, UNREACHABLE.with_text("connect timeout"), 2);
    }
    run.record_runs(fixture.bad.runs("act") - before);
}

/// Checks the cause given for a backend that never connected, in the error for an unknown tool.
fn check_is_down(fixture: &mut Fixture<'_>, why: &str) {
    fixture.check_good_backend();
    let unknown = fixture.client().call("act", json!({}));
    assert_eq!(unknown.code(), -32602);
    let message = unknown.message();
    assert!(
        message.contains(&format!("bad is down: {why}")),
        "{message}"
    );
}

fn fault_23_dns(run: &Run<'_>) {
    run.set_variant("failure");
    // The label is longer than 63 characters, so no resolver is queried (RFC 1035, section 2.3.4).
    let nowhere = format!("http://{}.invalid/mcp", "x".repeat(64));
    let mut fixture = plan(run).at(&nowhere).start();
    check_is_down(&mut fixture, "the name can't be resolved");
    drop(fixture);
    run.set_variant("hang");
    dns_hang(run);
}

/// A name server that never answers, for this process only. Needs the rights to create mounts and
/// to bind port 53.
fn dns_hang(run: &Run<'_>) {
    let silent = UdpSocket::bind("127.0.0.99:53");
    let own_mounts = Command::new("unshare").args(["-m", "true"]).status();
    let possible = silent.is_ok() && own_mounts.is_ok_and(|status| status.success());
    if !possible {
        return run.note_skipped("a resolver that hangs: as root");
    }
    let resolver = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(resolver.path(), "nameserver 127.0.0.99\n").unwrap();
    let path = resolver.path().display();
    let mount = format!("mount --bind '{path}' /etc/resolv.conf && exec \"$@\"");
    let mut fixture = plan(run)
        .at("http://hangs.example.test/mcp")
        .entry("connect_timeout_secs = 1")
        .through(&["unshare", "-m", "sh", "-c", &mount, "sh"])
        .start();
    let begun = Instant::now();
    while !fixture
        .client()
        .call("act", json!({}))
        .message()
        .contains("connect timeout")
    {
        assert!(
            begun.elapsed() < run.subject.timeout(),
            "no connect timeout"
        );
    }
    check_is_down(&mut fixture, "connect timeout");
    let begun = Instant::now();
    assert_eq!(fixture.end().status.code(), Some(0));
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "a lookup in flight delayed the exit: {took:?}"
    );
}

fn fault_24_invalid_certificates(run: &Run<'_>) {
    let authority = Authority::new();
    let good = authority.issue(&["127.0.0.1"]);
    let bad = Arc::new(default_backend());
    let front = TlsProxy::before(bad.port(), good.acceptor(None, None));
    let at = front.url("127.0.0.1");
    let mut fixture = plan_with(run, bad).at(&at).trusting(&authority).start();
    fixture.expect_success("act");
    for (variant, identity, cause) in [
        (
            "expired",
            authority.issue_expired(&["127.0.0.1"]),
            "expired",
        ),
        (
            "wrong host",
            authority.issue(&["elsewhere.test"]),
            "not valid for name",
        ),
        (
            "self-signed",
            Identity::self_signed(&["127.0.0.1"]),
            "UnknownIssuer",
        ),
    ] {
        run.set_variant(variant);
        front.set_acceptor(Some(identity.acceptor(None, None)));
        fixture.bad.drop_connections();
        front.wait_until_closed();
        fixture.wait_for_closed_connections();
        let (connections, requests) = (front.connections(), fixture.bad.requests().len());
        fixture.expect_error("act", UNREACHABLE.with_text(cause), 1);
        assert_eq!(front.connections() - connections, 1, "it was tried again");
        fixture.expect_error("look", UNREACHABLE.with_text("TLS"), 1);
        assert_eq!(fixture.bad.requests().len(), requests, "something was sent");
        front.set_acceptor(Some(good.acceptor(None, None)));
        fixture.expect_success("act");
    }
}

fn fault_25_tls_handshake_stalls(run: &Run<'_>) {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let bad = Arc::new(default_backend());
    let front = TlsProxy::before(bad.port(), identity.acceptor(None, None));
    let mut fixture = plan_with(run, bad)
        .at(&front.url("127.0.0.1"))
        .trusting(&authority)
        .entry("connect_timeout_secs = 1")
        .start();
    fixture.expect_success("act");
    front.set_acceptor(None);
    fixture.bad.drop_connections();
    front.wait_until_closed();
    fixture.wait_for_closed_connections();
    fixture.expect_error("act", UNREACHABLE.with_text("connect timeout"), 2);
    front.set_acceptor(Some(identity.acceptor(None, None)));
    fixture.expect_success("act");
}

fn fault_26_ipv6_broken(run: &Run<'_>) {
    for variant in ["refused", "blackhole"] {
        run.set_variant(variant);
        let plan = plan(run);
        let port = plan.bad().port();
        let dead = Blackhole::at((Ipv6Addr::LOCALHOST, port).into());
        let blackhole = match (variant, dead) {
            ("blackhole", Ok(blackhole)) => Some(blackhole),
            ("blackhole", Err(error)) => {
                run.note(format!("no IPv6 on this machine: {error}"));
                continue;
            }
            _ => None,
        };
        let mut fixture = plan.at(&format!("http://localhost:{port}/mcp")).start();
        fixture.expect_success("act");
        fixture.expect_success("look");
        drop((fixture, blackhole));
    }
}

fn fault_27_out_of_descriptors(run: &Run<'_>) {
    const CALLS: usize = 40;
    let mut fixture = plan(run).after("ulimit -n 32").start();
    fixture.expect_success("act");
    let gate = Gate::new();
    fixture
        .bad
        .always_tool("act", Reply::text("done").after(&gate));
    let before = fixture.bad.runs("act");
    let ids: Vec<u64> = (0..CALLS)
        .map(|_| fixture.client().start_call("act", json!({})))
        .collect();
    let refused = fixture.client().next_message();
    assert_eq!(
        refused.json["error"]["data"]["class"], "overloaded",
        "{}",
        refused.line
    );
    fixture.check_good_backend();
    gate.open();
    let mut overloaded = 1;
    for id in ids.iter().filter(|id| *refused.id() != json!(id)) {
        let answer = fixture.client().answer(*id);
        if answer.0.json.get("error").is_some() {
            let (class, executed, _) = answer.gateway_error();
            assert_eq!((class, executed), ("overloaded", "no"));
            overloaded += 1;
        }
    }
    let ran = fixture.bad.runs("act") - before;
    assert_eq!(ran, CALLS - overloaded, "an answer for each that ran");
    fixture.bad.reset_script("tools/call act");
    fixture.expect_success("act");
}
