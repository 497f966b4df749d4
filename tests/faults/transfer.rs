//! Section C, HTTP: the transfer of bodies and the loss of connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::chaos_proxy::{ChaosProxy, NetworkFault};
use crate::common::h2::{Http2Fault, Http2Server};
use crate::common::malformed::BAD_FRAMING;
use crate::common::message::text;
use crate::common::reply::Reply;
use crate::common::tls::{Authority, TlsProxy};
use crate::fixture::{
    BAD_REPLY, DEADLINE, Expected, Fixture, ONE_SECOND, OUTCOME_UNKNOWN, TOO_LARGE, UNREACHABLE,
    check_error, default_backend, plan, plan_with,
};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "41" Nothing "truncated body, content-length too long" => "outcome_unknown", fault_41_truncated;
    "42" Nothing "no length, EOF mid-JSON" => "bad_reply", fault_42_eof_in_json;
    "43" Nothing "bad chunk, two lengths, garbage" => "bad_reply", fault_43_framing;
    "44" Nothing "bytes past the length" => "never reach the next request", fault_44_excess_bytes;
    "45" Config "one byte per 10 s" => "deadline", fault_45_one_byte_per_ten_seconds;
    "46" Config "body over the cap" => "too_large", fault_46_body_over_the_cap;
    "47" Nothing "header flood" => "bounded", fault_47_header_flood;
    "48" Config "h2 REFUSED_STREAM, GOAWAY(NO_ERROR)" => "retried", fault_48_h2_refusals;
    "49" Config "h2 stall" => "keepalive ends it", fault_49_h2_stall;
    "50" Nothing "idle keep-alive closed; closed after the request was read" => "transparent; outcome_unknown, ran once", fault_50_closed_connections;
    "51" Nothing "reset mid-upload" => "an error, ran at most once", fault_51_reset_in_upload;
};

/// The head of a good response whose body ends with the connection.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
const NO_HTTP: Expected = BAD_REPLY.with_text("invalid HTTP response");
const LOST: Expected = OUTCOME_UNKNOWN.with_text("connection lost after the request was sent");

fn json_reply() -> Reply {
    Reply::status(200).header("content-type", "application/json")
}

fn fault_41_truncated(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let chunk = format!("{HEAD}transfer-encoding: chunked\r\n\r\nff\r\n{{");
    for (variant, reply) in [
        (
            "too long a length",
            Reply::text("x").length_off_by(10).then_hang_up(),
        ),
        ("within a chunk", Reply::raw(chunk).then_hang_up()),
        (
            "reset after the head",
            json_reply().length_off_by(9).then_reset(),
        ),
    ] {
        fixture.check_fault(variant, &reply, LOST);
    }
    drop(fixture);
    let bad = Arc::new(default_backend());
    let proxy = ChaosProxy::before(bad.port());
    let mut fixture = plan_with(run, bad).at(&proxy.url()).start();
    fixture.expect_success("act");
    // Some of the head; all of it and some of the body.
    for after in [0, 10, 110] {
        for network_fault in [NetworkFault::Cut(after), NetworkFault::Reset(after)] {
            run.set_variant(&format!("{network_fault:?}"));
            let before = fixture.bad.runs("act");
            proxy.set(network_fault);
            fixture.expect_error("act", LOST, 1);
            proxy.set(NetworkFault::None);
            run.record_runs(fixture.bad.runs("act") - before);
            fixture.expect_success("act");
        }
    }
}

fn fault_42_eof_in_json(run: &Run<'_>) {
    let half = json_reply().body(r#"{"jsonrpc":"2.0","id":"$id","res"#);
    plan(run)
        .start()
        .check_fault("half", &half.until_close(), BAD_REPLY.with_text("not JSON"));
}

fn fault_43_framing(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for (variant, rest) in BAD_FRAMING {
        let reply = Reply::raw(format!("{HEAD}{rest}")).then_hang_up();
        fixture.check_fault(variant, &reply, NO_HTTP);
    }
    fixture.check_fault("SSH", &Reply::raw("SSH-2.0-OpenSSH_9.9\r\n"), NO_HTTP);
    drop(fixture);
    let bad = Arc::new(default_backend());
    let proxy = ChaosProxy::before(bad.port());
    let mut fixture = plan_with(run, bad).at(&proxy.url()).start();
    fixture.expect_success("act");
    run.set_variant("garbage");
    let before = fixture.bad.runs("act");
    proxy.set(NetworkFault::Corrupt);
    fixture.expect_error("act", NO_HTTP, 1);
    proxy.set(NetworkFault::None);
    run.record_runs(fixture.bad.runs("act") - before);
    fixture.expect_success("act");
}

/// The bytes after the body are another response, which would match any following request.
fn fault_44_excess_bytes(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let answer = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "smuggled" }] } });
    let all = json!((0..2_000).map(answer).collect::<Vec<_>>()).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let excess = format!("{head}content-length: {}\r\n\r\n{all}", all.len());
    let difference = -isize::try_from(excess.len()).unwrap();
    for _ in 0..10 {
        // Body and excess are sent together: bytes that arrive after the next request was sent
        // can't be told from its answer.
        let reply = json_reply().body(format!("{}{excess}", text("own")));
        fixture.expect_text(reply.length_off_by(difference), "own");
        fixture.expect_success("act");
    }
}

fn fault_45_one_byte_per_ten_seconds(run: &Run<'_>) {
    let bad = Arc::new(default_backend());
    let proxy = ChaosProxy::before(bad.port());
    let plan = plan_with(run, bad).at(&proxy.url()).entry(ONE_SECOND);
    let mut fixture = plan.start();
    fixture.expect_success("act");
    for network_fault in [
        NetworkFault::Throttle(Duration::from_secs(10)),
        NetworkFault::Stall(20),
        NetworkFault::DropUpload,
    ] {
        run.set_variant(&format!("{network_fault:?}"));
        let before = fixture.bad.runs("act");
        proxy.set(network_fault);
        let ids = ["act", "look"].map(|tool| fixture.client().start_call(tool, json!({})));
        fixture.check_good_backend();
        for id in ids {
            check_error(&fixture.client().answer(id), DEADLINE, 1);
        }
        run.record_runs(fixture.bad.runs("act") - before);
        proxy.set(NetworkFault::None);
        fixture.bad.drop_connections();
        fixture.wait_for_closed_connections();
        fixture.expect_success("act");
    }
}

fn fault_46_body_over_the_cap(run: &Run<'_>) {
    let mut fixture = plan(run).gateway("max_message_bytes = 65536").start();
    let large = json!("x".repeat(100_000)).to_string();
    let chunked = Reply::sse().header("content-type", "application/json");
    for (variant, reply) in [
        ("announced", json_reply().body(large.clone())),
        (
            "until close",
            json_reply().body(large.clone()).until_close(),
        ),
        (
            "announced and never sent",
            json_reply().length_off_by(1 << 40),
        ),
        ("chunked", chunked.body(large)),
    ] {
        fixture.check_fault(variant, &reply, TOO_LARGE);
    }
}

fn fault_47_header_flood(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let many: String = (0..100_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let endless = format!("x-endless: {}", "y".repeat(16 << 20));
    for (variant, flood) in [("many", many), ("endless", endless)] {
        let reply = Reply::raw(format!("HTTP/1.1 200 OK\r\n{flood}")).then_stall();
        fixture.check_fault(variant, &reply, NO_HTTP);
    }
}

/// The default backend behind HTTP/2.
fn over_h2<'a>(run: &'a Run<'a>) -> (Http2Server, Fixture<'a>) {
    let authority = Authority::new();
    let bad = Arc::new(default_backend().without_sessions());
    let h2 = Http2Server::before(&bad, &authority.issue(&["127.0.0.1"]));
    let fixture = plan_with(run, bad)
        .at(&h2.url())
        .trusting(&authority)
        .start();
    (h2, fixture)
}

fn fault_48_h2_refusals(run: &Run<'_>) {
    let (h2, mut fixture) = over_h2(run);
    fixture.expect_success("act");
    let connections = h2.connections();
    for _ in 0..3 {
        fixture.expect_success("act");
    }
    assert_eq!(
        h2.connections(),
        connections,
        "more than one connection was used"
    );
    for refusal in [Http2Fault::RefusedStream, Http2Fault::GoAway] {
        run.set_variant(&format!("{refusal:?}"));
        h2.on_call(&[refusal]);
        let before = fixture.bad.runs("act");
        assert_eq!(fixture.call("act").text(), "act {}");
        run.record_runs(fixture.bad.runs("act") - before);
        fixture.expect_success("act");
    }
    run.set_variant("accepted, then GOAWAY");
    h2.on_call(&[Http2Fault::GoAwayAfterTaking]);
    let before = fixture.bad.runs("act");
    fixture.expect_error("act", OUTCOME_UNKNOWN, 1);
    run.record_runs(fixture.bad.runs("act") - before);
    h2.on_call(&[Http2Fault::GoAwayAfterTaking]);
    assert_eq!(fixture.call("look").text(), "look {}");
    run.set_variant("refused to the end");
    h2.on_call(&[Http2Fault::RefusedStream; 20]);
    fixture.expect_error("act", UNREACHABLE, 2);
    // Nothing below the gateway's retries sends a request again.
    fixture.expect_that(|| h2.faults_left() == 18, "more requests than attempts");
}

fn fault_49_h2_stall(run: &Run<'_>) {
    let (h2, mut fixture) = over_h2(run);
    fixture.expect_success("act");
    h2.on_call(&[Http2Fault::Stall]);
    let begun = Instant::now();
    fixture.expect_error("act", OUTCOME_UNKNOWN, 1);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(24), "it took {took:?}");
    run.record_runs(fixture.bad.runs("act") - 1);
    fixture.expect_success("act");
}

fn fault_50_closed_connections(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for _ in 0..5 {
        let connections = fixture.bad.connections();
        fixture.expect_success("act");
        fixture.bad.drop_connections();
        fixture.wait_for_closed_connections();
        fixture.expect_success("act");
        fixture.expect_that(
            || fixture.bad.connections() > connections,
            "a new connection",
        );
    }
    for (variant, reply) in [("closed", Reply::hang_up()), ("reset", Reply::reset())] {
        fixture.check_fault(variant, &reply, LOST);
    }
    drop(fixture);
    if run.subject.is_gateway() {
        closed_under_tls(run);
    }
}

/// A connection that ends without TLS close_notify (RFC 8446, section 6.1).
fn closed_under_tls(run: &Run<'_>) {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let bad = Arc::new(default_backend());
    let front = TlsProxy::before(bad.port(), identity.acceptor(None, None));
    let plan = plan_with(run, bad).at(&front.url("127.0.0.1"));
    let mut fixture = plan.trusting(&authority).start();
    let cut_off = Reply::text("x").length_off_by(10);
    fixture.check_fault("closed under TLS", &Reply::hang_up(), LOST);
    fixture.check_fault("cut off under TLS", &cut_off.then_hang_up(), LOST);
}

fn fault_51_reset_in_upload(run: &Run<'_>) {
    let bad = Arc::new(default_backend());
    let proxy = ChaosProxy::before(bad.port());
    let mut fixture = plan_with(run, bad).at(&proxy.url()).start();
    fixture.expect_success("act");
    let before = fixture.bad.runs("act");
    let large = json!({ "x": "x".repeat(4 << 20) });
    proxy.set(NetworkFault::ResetUpload(100_000));
    let ids = ["act", "look"].map(|tool| fixture.client().start_call(tool, large.clone()));
    fixture.check_good_backend();
    for (id, attempts) in ids.into_iter().zip([1, 2]) {
        let answer = fixture.client().answer(id);
        if fixture.is_gateway() {
            check_error(&answer, LOST, attempts);
        }
    }
    run.record_runs(fixture.bad.runs("act") - before);
    proxy.set(NetworkFault::None);
    fixture.expect_success("act");
}
