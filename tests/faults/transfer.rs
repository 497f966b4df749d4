//! C. HTTP: how bytes come, and whether they do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::chaos_proxy::{ChaosProxy, NetworkFault};
use crate::common::h2::{Http2Fault, Http2Server};
use crate::common::malformed::BAD_FRAMING;
use crate::common::message::text;
use crate::common::reply::Reply;
use crate::common::tls::{Authority, TlsProxy};
use crate::rig::{
    BAD_REPLY, DEADLINE, Must, ONE_SECOND, OUTCOME_UNKNOWN, Rig, TOO_LARGE, UNREACHABLE, judge,
    plan, plan_over, usual,
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
const NO_HTTP: Must = BAD_REPLY.saying("not HTTP as it should be");
const LOST: Must = OUTCOME_UNKNOWN.saying("connection lost after the request was sent");

fn json_reply() -> Reply {
    Reply::status(200).header("content-type", "application/json")
}

fn fault_41_truncated(run: &Run<'_>) {
    let mut rig = plan(run).start();
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
        rig.suffers(variant, &reply, LOST);
    }
    drop(rig);
    let bad = Arc::new(usual());
    let chaos = ChaosProxy::before(bad.port());
    let mut rig = plan_over(run, bad).at(&chaos.url()).start();
    rig.works("act");
    // Some of the head; all of it and some of the body.
    for after in [0, 10, 110] {
        for weather in [NetworkFault::Cut(after), NetworkFault::Reset(after)] {
            run.at(&format!("{weather:?}"));
            let before = rig.bad.runs("act");
            chaos.set(weather);
            rig.fails("act", LOST, 1);
            chaos.set(NetworkFault::None);
            run.ran(rig.bad.runs("act") - before);
            rig.works("act");
        }
    }
}

fn fault_42_eof_in_json(run: &Run<'_>) {
    let half = json_reply().body(r#"{"jsonrpc":"2.0","id":"$id","res"#);
    plan(run)
        .start()
        .suffers("half", &half.until_close(), BAD_REPLY.saying("not JSON"));
}

fn fault_43_framing(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for (variant, rest) in BAD_FRAMING {
        let reply = Reply::raw(format!("{HEAD}{rest}")).then_hang_up();
        rig.suffers(variant, &reply, NO_HTTP);
    }
    rig.suffers("SSH", &Reply::raw("SSH-2.0-OpenSSH_9.9\r\n"), NO_HTTP);
    drop(rig);
    let bad = Arc::new(usual());
    let chaos = ChaosProxy::before(bad.port());
    let mut rig = plan_over(run, bad).at(&chaos.url()).start();
    rig.works("act");
    run.at("garbage");
    let before = rig.bad.runs("act");
    chaos.set(NetworkFault::Corrupt);
    rig.fails("act", NO_HTTP, 1);
    chaos.set(NetworkFault::None);
    run.ran(rig.bad.runs("act") - before);
    rig.works("act");
}

/// What stands behind a body is another response, which would fit whatever is asked next.
fn fault_44_excess_bytes(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let answer = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "smuggled" }] } });
    let all = json!((0..2_000).map(answer).collect::<Vec<_>>()).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let excess = format!("{head}content-length: {}\r\n\r\n{all}", all.len());
    let lie = -isize::try_from(excess.len()).unwrap();
    for _ in 0..10 {
        // Body and excess go out together. What comes after the next request was sent can't be
        // told from its answer by anybody.
        let reply = json_reply().body(format!("{}{excess}", text("own")));
        rig.understands(reply.length_off_by(lie), "own");
        rig.works("act");
    }
}

fn fault_45_one_byte_per_ten_seconds(run: &Run<'_>) {
    let bad = Arc::new(usual());
    let chaos = ChaosProxy::before(bad.port());
    let plan = plan_over(run, bad).at(&chaos.url()).entry(ONE_SECOND);
    let mut rig = plan.start();
    rig.works("act");
    for weather in [
        NetworkFault::Throttle(Duration::from_secs(10)),
        NetworkFault::Stall(20),
        NetworkFault::DropUpload,
    ] {
        run.at(&format!("{weather:?}"));
        let before = rig.bad.runs("act");
        chaos.set(weather);
        let ids = ["act", "look"].map(|tool| rig.client().start_call(tool, json!({})));
        rig.good_works();
        for id in ids {
            judge(&rig.client().answer(id), DEADLINE, 1);
        }
        run.ran(rig.bad.runs("act") - before);
        chaos.set(NetworkFault::None);
        rig.bad.drop_connections();
        rig.closings_are_seen();
        rig.works("act");
    }
}

fn fault_46_body_over_the_cap(run: &Run<'_>) {
    let mut rig = plan(run).gateway("max_message_bytes = 65536").start();
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
        rig.suffers(variant, &reply, TOO_LARGE);
    }
}

fn fault_47_header_flood(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let many: String = (0..100_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let endless = format!("x-endless: {}", "y".repeat(16 << 20));
    for (variant, flood) in [("many", many), ("endless", endless)] {
        let reply = Reply::raw(format!("HTTP/1.1 200 OK\r\n{flood}")).then_stall();
        rig.suffers(variant, &reply, NO_HTTP);
    }
}

/// The usual backend behind HTTP/2.
fn over_h2<'a>(run: &'a Run<'a>) -> (Http2Server, Rig<'a>) {
    let authority = Authority::new();
    let bad = Arc::new(usual().without_sessions());
    let h2 = Http2Server::before(&bad, &authority.issue(&["127.0.0.1"]));
    let rig = plan_over(run, bad)
        .at(&h2.url())
        .trusting(&authority)
        .start();
    (h2, rig)
}

fn fault_48_h2_refusals(run: &Run<'_>) {
    let (h2, mut rig) = over_h2(run);
    rig.works("act");
    let connections = h2.connections();
    for _ in 0..3 {
        rig.works("act");
    }
    assert_eq!(h2.connections(), connections, "one connection carries all");
    for refusal in [Http2Fault::RefusedStream, Http2Fault::GoAway] {
        run.at(&format!("{refusal:?}"));
        h2.on_call(&[refusal]);
        let before = rig.bad.runs("act");
        assert_eq!(rig.call("act").text(), "act {}");
        run.ran(rig.bad.runs("act") - before);
        rig.works("act");
    }
    run.at("taken, then GOAWAY");
    h2.on_call(&[Http2Fault::GoAwayAfterTaking]);
    let before = rig.bad.runs("act");
    rig.fails("act", OUTCOME_UNKNOWN, 1);
    run.ran(rig.bad.runs("act") - before);
    h2.on_call(&[Http2Fault::GoAwayAfterTaking]);
    assert_eq!(rig.call("look").text(), "look {}");
    run.at("refused to the end");
    h2.on_call(&[Http2Fault::RefusedStream; 20]);
    rig.fails("act", UNREACHABLE, 2);
}

fn fault_49_h2_stall(run: &Run<'_>) {
    let (h2, mut rig) = over_h2(run);
    rig.works("act");
    h2.on_call(&[Http2Fault::Stall]);
    let begun = Instant::now();
    rig.fails("act", OUTCOME_UNKNOWN, 1);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(24), "it took {took:?}");
    run.ran(rig.bad.runs("act") - 1);
    rig.works("act");
}

fn fault_50_closed_connections(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for _ in 0..5 {
        let connections = rig.bad.connections();
        rig.works("act");
        rig.bad.drop_connections();
        rig.closings_are_seen();
        rig.works("act");
        rig.expects(|| rig.bad.connections() > connections, "a new connection");
    }
    for (variant, reply) in [("closed", Reply::hang_up()), ("reset", Reply::reset())] {
        rig.suffers(variant, &reply, LOST);
    }
    drop(rig);
    if run.subject.is_ours() {
        closed_under_tls(run);
    }
}

/// A connection that ends without the farewell of TLS.
fn closed_under_tls(run: &Run<'_>) {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let bad = Arc::new(usual());
    let front = TlsProxy::before(bad.port(), identity.acceptor(None, None));
    let plan = plan_over(run, bad).at(&front.url("127.0.0.1"));
    let mut rig = plan.trusting(&authority).start();
    let cut_off = Reply::text("x").length_off_by(10);
    rig.suffers("closed under TLS", &Reply::hang_up(), LOST);
    rig.suffers("cut off under TLS", &cut_off.then_hang_up(), LOST);
}

fn fault_51_reset_in_upload(run: &Run<'_>) {
    let bad = Arc::new(usual());
    let chaos = ChaosProxy::before(bad.port());
    let mut rig = plan_over(run, bad).at(&chaos.url()).start();
    rig.works("act");
    let before = rig.bad.runs("act");
    let large = json!({ "x": "x".repeat(4 << 20) });
    chaos.set(NetworkFault::ResetUpload(100_000));
    let ids = ["act", "look"].map(|tool| rig.client().start_call(tool, large.clone()));
    rig.good_works();
    for (id, attempts) in ids.into_iter().zip([1, 2]) {
        let answer = rig.client().answer(id);
        if rig.is_ours() {
            judge(&answer, LOST, attempts);
        }
    }
    run.ran(rig.bad.runs("act") - before);
    chaos.set(NetworkFault::None);
    rig.works("act");
}
