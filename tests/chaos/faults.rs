//! What a server does with a call: whether it takes it, and what it answers.
//!
//! Owns the kinds of failure, and the terms on which a server may say that it did not take a call
//! (`.planning/EVIDENCE.md`). It must not know which calls there are.

use std::time::Duration;

use serde_json::{Value, json};

use super::common::body::{Body, Content, IdKind, Message, RESERVED};
use super::common::h2::Http2Fault;
use super::common::message;
use super::common::reply::Reply;
use super::common::rng::Rng;
use super::common::wire::Request;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    InSession,
    WithoutSession,
    Modern,
    /// The transport of 2024-11-05.
    HttpSse,
    Http2,
    /// It changes its era.
    Changing,
}

/// What a server does with one request.
pub(crate) struct Action {
    /// The kind of failure, for the figures.
    pub(crate) kind: &'static str,
    /// In words, for the story of the call.
    pub(crate) what: String,
    /// Whether it runs the tool.
    pub(crate) runs: bool,
    pub(crate) reply: Reply,
    /// What else happens, as soon as the call has come.
    pub(crate) beside: Option<Beside>,
}

/// What happens beside a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// The client cancels the call.
    Cancel,
    ForgetSessions,
    CutConnections,
    /// The next connection is reset before anything is read.
    ResetConnection,
    /// The next connection is closed before anything is read.
    CloseConnection,
    ChangeEra,
}

/// Statuses that some rule names.
const NAMED: [u16; 24] = [
    200, 201, 202, 204, 303, 307, 400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 425, 429, 499,
    500, 502, 503, 504, 599,
];

/// The answer of a call that succeeds.
pub(crate) fn answer(request: &Request) -> Value {
    let text = format!("done {}", request.params()["arguments"]["call"]);
    match request.is_modern() {
        true => message::complete_text(&text),
        false => message::text(&text),
    }
}

/// A call that succeeds.
pub(crate) fn success(request: &Request) -> Action {
    action(
        "an answer",
        "an answer",
        true,
        Reply::json(&answer(request)),
    )
}

/// What a server of this kind does with this request. `may_lose`: it may do what makes the gateway
/// connect anew.
pub(crate) fn choose(rng: &mut Rng, kind: Kind, may_lose: bool, request: &Request) -> Action {
    // One disturbance a wave: it may break the call that ends it too.
    let first = request.params()["arguments"]["first"] == true;
    let chosen = match rng.below(100) {
        0..14 => success(request),
        14..22 => late_success(rng, request),
        22..30 => not_taken(rng, kind, request),
        30..62 => status(rng, kind, may_lose, request),
        62..84 if !matches!(kind, Kind::HttpSse | Kind::Http2) => cut(rng, request),
        84..90 if kind != Kind::Http2 => nonsense(rng, request),
        91..97 if first => disturbed(rng, kind, may_lose, request),
        90..95 if kind != Kind::Http2 => cancelled(rng, request),
        97..99 if matches!(kind, Kind::InSession | Kind::WithoutSession) => resumed(rng, request),
        _ if kind == Kind::Http2 => status(rng, kind, may_lose, request),
        _ => action("hang-up", "hangs up", true, hang_up(rng)),
    };
    debug_assert!(may_lose || !matches!(chosen.beside, Some(Beside::ChangeEra)));
    chosen
}

/// The fault of a call over HTTP/2, and whether the call is taken; most have none.
pub(crate) fn http2(rng: &mut Rng) -> Option<Http2Fault> {
    match rng.below(20) {
        0 | 1 => Some(Http2Fault::RefusedStream),
        2 => Some(Http2Fault::GoAway),
        3 | 4 => Some(Http2Fault::GoAwayAfterTaking),
        _ => None,
    }
}

fn action(kind: &'static str, what: &str, runs: bool, reply: Reply) -> Action {
    Action {
        kind,
        what: what.to_owned(),
        runs,
        reply,
        beside: None,
    }
}

fn hang_up(rng: &mut Rng) -> Reply {
    match rng.one_in(2) {
        true => Reply::reset(),
        false => Reply::hang_up(),
    }
}

/// An answer after a while, with other messages around it.
fn late_success(rng: &mut Rng, request: &Request) -> Action {
    let answer = answer(request);
    let mut other = answer.clone();
    other["id"] = json!(u64::MAX);
    let pause = Duration::from_millis(rng.below(20) as u64);
    let stream = Reply::sse();
    let (what, reply) = match rng.below(5) {
        0 => (
            "progress, an answer",
            stream
                .event(message::progress(1.0))
                .pause(pause)
                .event(answer),
        ),
        1 => (
            "the answer twice",
            stream.event(answer.clone()).event(answer),
        ),
        2 => (
            "another answer, then this",
            stream.event(other).event(answer),
        ),
        3 => ("answers in an array", Reply::json(&json!([other, answer]))),
        _ => (
            "an answer after a pause",
            Reply::json(&answer).after_pause(pause),
        ),
    };
    action("a late answer", what, true, reply)
}

/// The ways to say that a call was not taken.
fn not_taken(rng: &mut Rng, kind: Kind, request: &Request) -> Action {
    let in_session = request.header("mcp-session-id").is_some();
    let body = *rng.pick(&[Body::Empty, Body::Text, Body::OtherJson]);
    let modern = request.is_modern();
    let (what, reply) = match rng.below(6) {
        0 => ("429", body.reply(429, modern)),
        1 => (
            "429, Retry-After",
            body.reply(429, modern).header("retry-after", "0"),
        ),
        2 => (
            "503, Retry-After",
            body.reply(503, modern).header("retry-after", "0"),
        ),
        3 => ("401", body.reply(401, modern)),
        4 if kind != Kind::Http2 => {
            let path = request.target.clone();
            ("a redirect", Reply::status(307).header("location", &path))
        }
        _ if in_session => ("404 in a session", body.reply(404, modern)),
        _ if modern => {
            let mismatch = message::error(RESERVED[0], "mismatch");
            ("-32020 with 400", Reply::json_as(400, &mismatch))
        }
        _ => (
            "503, Retry-After",
            body.reply(503, modern).header("retry-after", "0"),
        ),
    };
    action("not taken", what, false, reply)
}

/// Any status with any body.
fn status(rng: &mut Rng, kind: Kind, may_lose: bool, request: &Request) -> Action {
    let bodies = Body::all();
    loop {
        let status = match rng.one_in(2) {
            true => *rng.pick(&NAMED),
            false => 200 + rng.below(400) as u16,
        };
        let body = match status {
            204 | 304 => Body::Empty,
            _ => *rng.pick(&bodies),
        };
        if !may_lose && loses_connection(kind, request, status, body) {
            continue;
        }
        let readable = rng.one_in(3);
        let mut reply = body.reply(status, request.is_modern());
        if readable {
            reply = reply.header("retry-after", "0");
        }
        let runs = takes(kind, request, status, body, readable);
        let after = if readable { ", Retry-After" } else { "" };
        let what = format!("{status}{after}, {body}");
        return action("a status and a body", &what, runs, reply);
    }
}

/// Whether a server that answers so has taken the call. It may answer so without having taken it only
/// where its answer says of this call that it has not.
fn takes(kind: Kind, request: &Request, status: u16, body: Body, readable: bool) -> bool {
    let in_session = request.header("mcp-session-id").is_some();
    let ours = body.ours();
    // A result is proof, whatever the status, where the response to the POST has it.
    let is_taken = kind != Kind::HttpSse
        && matches!(
            ours,
            Some(Content::Result | Content::BadResult | Content::WithoutVersion)
        );
    let says_no = match status {
        401 | 429 => true,
        503 => readable,
        404 if kind == Kind::HttpSse => body.is_whole() && !names_a_request(body),
        404 => in_session && ours.is_none() && body.is_whole(),
        400 => request.is_modern() && ours == Some(Content::Error(RESERVED[0])),
        _ => false,
    };
    is_taken || !says_no
}

/// Whether it has a response to some request.
fn names_a_request(body: Body) -> bool {
    match body {
        Body::Array(_) => true,
        Body::Message(_, Message { id, .. }) => matches!(id, IdKind::Ours | IdKind::Other),
        _ => false,
    }
}

/// Whether the gateway connects anew after this answer.
fn loses_connection(kind: Kind, request: &Request, status: u16, body: Body) -> bool {
    let in_session = request.header("mcp-session-id").is_some();
    let refusal = status >= 400;
    match request.is_modern() {
        true => matches!(status, 400 | 404 | 405) && body.ours().is_none(),
        false => {
            (refusal && body.has_reserved_code())
                || (in_session && (matches!(status, 404 | 410) || body.says_session_lost()))
                || (kind == Kind::HttpSse && status == 404)
        }
    }
}

/// An answer that ends at some byte.
fn cut(rng: &mut Rng, request: &Request) -> Action {
    let mut answer = answer(request);
    answer["id"] = request.message["id"].clone();
    let json = answer.to_string();
    let progress = message::progress(1.0).to_string();
    let token = request.params()["_meta"]["progressToken"].to_string();
    let events = format!(
        ": hello\n\nevent: message\ndata: {}\n\ndata: {json}\n\n",
        progress.replace("\"$token\"", &token)
    );
    let (kind, whole) = match rng.below(5) {
        0 => ("JSON with a length", with_length("application/json", &json)),
        1 => ("JSON in chunks", in_chunks("application/json", &json)),
        2 => (
            "events with a length",
            with_length("text/event-stream", &events),
        ),
        3 => ("events in chunks", in_chunks("text/event-stream", &events)),
        _ => {
            let head = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(3);
            (
                "1xx, then JSON",
                head + &with_length("application/json", &json),
            )
        }
    };
    // The stages of a response have different lengths: each is cut as often.
    let head = whole.find("\r\n\r\n").map_or(0, |at| at + 4);
    let at = match rng.below(4) {
        0 => rng.below(16.min(whole.len())),
        1 => rng.below(head.max(1)),
        2 => head + rng.below(whole.len() - head),
        _ => whole.len() - 1 - rng.below(12),
    };
    let part = Reply::raw(&whole.as_bytes()[..at]);
    let (end, reply) = match rng.one_in(2) {
        true => ("reset", part.then_reset()),
        false => ("closed", part.then_hang_up()),
    };
    let what = format!("{kind}, {end} after {at} of {} bytes", whole.len());
    action("cut off", &what, true, reply)
}

fn with_length(media: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn in_chunks(media: &str, body: &str) -> String {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n\r\n");
    let (one, two) = body.split_at(body.len() / 2);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    head + &chunk(one) + &chunk(two) + "0\r\n\r\n"
}

/// What is no answer to the call.
fn nonsense(rng: &mut Rng, request: &Request) -> Action {
    let mut other = answer(request);
    other["id"] = json!(u64::MAX);
    let json = || Reply::status(200).header("content-type", "application/json");
    let (what, reply) = match rng.below(7) {
        0 => (
            "no HTTP",
            Reply::raw("SSH-2.0-no-web-server\r\n").then_hang_up(),
        ),
        1 => ("another answer", Reply::json(&other)),
        2 => ("an event with another answer", Reply::sse().event(other)),
        3 => ("an event of nonsense", Reply::sse().body("data: {oops\n\n")),
        4 => (
            "gzip that breaks off",
            json().body("{}").gzip().length_off_by(9).then_hang_up(),
        ),
        5 => (
            "a body that is no gzip",
            json().header("content-encoding", "gzip").body("{}"),
        ),
        _ => {
            let many = (0..300).fold(Reply::status(200), |reply, n| {
                reply.header(&format!("x-{n}"), "x")
            });
            ("too many headers", many.body("?"))
        }
    };
    action("nonsense", what, true, reply)
}

/// The client gives up while the tool runs; a few times it waits for the deadline.
fn cancelled(rng: &mut Rng, request: &Request) -> Action {
    let pause = Duration::from_millis(rng.below(30) as u64);
    let mut action = match rng.below(3) {
        0 => {
            let stream = Reply::sse().event(message::progress(1.0));
            let reply = stream.pause(pause).event(answer(request));
            action("cancelled", "progress, then an answer", true, reply)
        }
        1 => action("cancelled", "nothing", true, Reply::stall()),
        _ => {
            let reply = Reply::json(&answer(request)).after_pause(pause);
            action("cancelled", "an answer after a pause", true, reply)
        }
    };
    if !rng.one_in(40) {
        action.beside = Some(Beside::Cancel);
    }
    action
}

/// Something happens to the server while the call runs.
fn disturbed(rng: &mut Rng, kind: Kind, may_lose: bool, request: &Request) -> Action {
    let pause = Duration::from_millis(rng.below(15) as u64);
    let reply = Reply::json(&answer(request)).after_pause(pause);
    let mut action = action("a disturbance", "", true, reply);
    let beside = match rng.below(6) {
        0 | 1 if may_lose && kind == Kind::Changing => Beside::ChangeEra,
        0 | 1 if may_lose => Beside::ForgetSessions,
        2 => Beside::ResetConnection,
        3 => Beside::CloseConnection,
        _ => Beside::CutConnections,
    };
    action.what = format!("an answer after {pause:?}, and {beside:?}");
    action.beside = Some(beside);
    action
}

/// A stream that ends before the answer and can be resumed. The GET gets the answer, or nothing.
fn resumed(rng: &mut Rng, request: &Request) -> Action {
    let id = &request.message["id"];
    let number = &request.params()["arguments"]["call"];
    let resumes = rng.one_in(2);
    let event = match resumes {
        // What the GET is answered with is in the id of the event.
        true => format!("{id}.{number}"),
        false => "lost".to_owned(),
    };
    let reply = Reply::sse().priming_event(&event, 10).then_hang_up();
    let what = format!(
        "a stream that {}can be resumed",
        if resumes { "" } else { "only seemingly " }
    );
    action("resumed", &what, true, reply)
}

/// The reply to a GET that resumes a stream, if it can be resumed.
pub(crate) fn rest_of(request: &Request) -> Option<Reply> {
    let (id, number) = request.header("last-event-id")?.split_once('.')?;
    let mut answer = message::text(&format!("done {number}"));
    answer["id"] = serde_json::from_str(id).ok()?;
    Some(Reply::sse().event(answer))
}
