//! B. No connection comes about.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::blackhole::Blackhole;
use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::common::tls::{Authority, Identity, TlsProxy};
use crate::rig::{Rig, UNREACHABLE, plan, plan_over, usual};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "21" Nothing "refused" => "retries, then unreachable, executed: no", fault_21_refused;
    "22" Nothing "SYN blackhole" => "connect timeout", fault_22_syn_blackhole;
    "23" Config "DNS failure or hang" => "unreachable, executed: no", fault_23_dns;
    "24" Config "TLS expired, wrong host, self-signed" => "cause named, no retry, no downgrade", fault_24_tls_that_does_not_hold;
    "25" Config "TLS handshake stalls" => "connect timeout", fault_25_tls_handshake_stalls;
    "26" Config "IPv6 broken, IPv4 good" => "connects", fault_26_ipv6_broken;
    "27" Config "out of file descriptors" => "overloaded, recovers", fault_27_out_of_descriptors;
};

fn fault_21_refused(run: &Run<'_>) {
    let mut rig = plan(run).start();
    rig.works("act");
    rig.dies();
    let before = rig.bad.runs("act");
    for tool in ["act", "look"] {
        rig.fails(tool, UNREACHABLE.saying("connection refused"), 2);
    }
    run.ran(rig.bad.runs("act") - before);
    rig.bad.come_up();
    rig.works("act");
}

fn fault_22_syn_blackhole(run: &Run<'_>) {
    let times = "connect_timeout_secs = 1";
    let mut rig = plan(run).entry(times).start();
    rig.works("act");
    let before = rig.bad.runs("act");
    rig.dies();
    let address = (Ipv4Addr::LOCALHOST, rig.bad.port());
    let _blackhole = Blackhole::at(address.into()).unwrap();
    for tool in ["act", "look"] {
        rig.fails(tool, UNREACHABLE.saying("connect timeout"), 2);
    }
    run.ran(rig.bad.runs("act") - before);
}

/// What is said of a backend that was never there: by the error of a tool that nobody has.
fn is_down(rig: &mut Rig<'_>, why: &str) {
    rig.good_works();
    let unknown = rig.client().call("act", json!({}));
    assert_eq!(unknown.code(), -32602);
    let message = unknown.message();
    assert!(
        message.contains(&format!("bad is down: {why}")),
        "{message}"
    );
}

fn fault_23_dns(run: &Run<'_>) {
    run.at("failure");
    // No resolver is asked for a label of more than 63 characters (RFC 1035, section 2.3.4).
    let nowhere = format!("http://{}.invalid/mcp", "x".repeat(64));
    let mut rig = plan(run).at(&nowhere).start();
    is_down(&mut rig, "the name can't be resolved");
    drop(rig);
    run.at("hang");
    dns_hang(run);
}

/// A name server that never answers, for this process alone. Takes a machine where a test may
/// have its own mounts and the port of name servers.
fn dns_hang(run: &Run<'_>) {
    let silent = UdpSocket::bind("127.0.0.99:53");
    let own_mounts = Command::new("unshare").args(["-m", "true"]).status();
    let may = silent.is_ok() && own_mounts.is_ok_and(|status| status.success());
    if !may {
        return run.elsewhere("a resolver that hangs: as root");
    }
    let resolver = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(resolver.path(), "nameserver 127.0.0.99\n").unwrap();
    let path = resolver.path().display();
    let mount = format!("mount --bind '{path}' /etc/resolv.conf && exec \"$@\"");
    let mut rig = plan(run)
        .at("http://hangs.example.test/mcp")
        .entry("connect_timeout_secs = 1")
        .through(&["unshare", "-m", "sh", "-c", &mount, "sh"])
        .start();
    let begun = Instant::now();
    while !rig
        .client()
        .call("act", json!({}))
        .message()
        .contains("connect timeout")
    {
        assert!(
            begun.elapsed() < run.subject.patience(),
            "no connect timeout"
        );
    }
    is_down(&mut rig, "connect timeout");
    let begun = Instant::now();
    assert_eq!(rig.end().status.code(), Some(0));
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "a lookup under way held it up for {took:?}"
    );
}

fn fault_24_tls_that_does_not_hold(run: &Run<'_>) {
    let authority = Authority::new();
    let good = authority.issue(&["127.0.0.1"]);
    let bad = Arc::new(usual());
    let front = TlsProxy::before(bad.port(), good.acceptor(None, None));
    let at = front.url("127.0.0.1");
    let mut rig = plan_over(run, bad).at(&at).trusting(&authority).start();
    rig.works("act");
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
        run.at(variant);
        front.set_acceptor(Some(identity.acceptor(None, None)));
        rig.bad.drop_connections();
        front.wait_until_closed();
        rig.closings_are_seen();
        let (connections, requests) = (front.connections(), rig.bad.requests().len());
        rig.fails("act", UNREACHABLE.saying(cause), 1);
        assert_eq!(front.connections() - connections, 1, "it was tried again");
        rig.fails("look", UNREACHABLE.saying("TLS"), 1);
        assert_eq!(rig.bad.requests().len(), requests, "something was sent");
        front.set_acceptor(Some(good.acceptor(None, None)));
        rig.works("act");
    }
}

fn fault_25_tls_handshake_stalls(run: &Run<'_>) {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let bad = Arc::new(usual());
    let front = TlsProxy::before(bad.port(), identity.acceptor(None, None));
    let mut rig = plan_over(run, bad)
        .at(&front.url("127.0.0.1"))
        .trusting(&authority)
        .entry("connect_timeout_secs = 1")
        .start();
    rig.works("act");
    front.set_acceptor(None);
    rig.bad.drop_connections();
    front.wait_until_closed();
    rig.closings_are_seen();
    rig.fails("act", UNREACHABLE.saying("connect timeout"), 2);
    front.set_acceptor(Some(identity.acceptor(None, None)));
    rig.works("act");
}

fn fault_26_ipv6_broken(run: &Run<'_>) {
    for variant in ["refused", "blackhole"] {
        run.at(variant);
        let plan = plan(run);
        let port = plan.bad().port();
        let dead = Blackhole::at((Ipv6Addr::LOCALHOST, port).into());
        let blackhole = match (variant, dead) {
            ("blackhole", Ok(blackhole)) => Some(blackhole),
            ("blackhole", Err(error)) => {
                run.note(format!("no IPv6 here to be broken: {error}"));
                continue;
            }
            _ => None,
        };
        let mut rig = plan.at(&format!("http://localhost:{port}/mcp")).start();
        rig.works("act");
        rig.works("look");
        drop((rig, blackhole));
    }
}

fn fault_27_out_of_descriptors(run: &Run<'_>) {
    const CALLS: usize = 40;
    let mut rig = plan(run).after("ulimit -n 32").start();
    rig.works("act");
    let gate = Gate::new();
    rig.bad.always_tool("act", Reply::text("done").after(&gate));
    let before = rig.bad.runs("act");
    let ids: Vec<u64> = (0..CALLS)
        .map(|_| rig.client().start_call("act", json!({})))
        .collect();
    let refused = rig.client().next_message();
    assert_eq!(
        refused.json["error"]["data"]["class"], "overloaded",
        "{}",
        refused.line
    );
    rig.good_works();
    gate.open();
    let mut overloaded = 1;
    for id in ids.iter().filter(|id| *refused.id() != json!(id)) {
        let answer = rig.client().answer(*id);
        if answer.0.json.get("error").is_some() {
            let (class, executed, _) = answer.gateway_error();
            assert_eq!((class, executed), ("overloaded", "no"));
            overloaded += 1;
        }
    }
    let ran = rig.bad.runs("act") - before;
    assert_eq!(ran, CALLS - overloaded, "an answer for each that ran");
    rig.bad.reset_script("tools/call act");
    rig.works("act");
}
