//! Section H: one backend against the others.
//!
//! Each kind of flood is measured by [`beside`](crate::common::beside): what a call to another backend
//! takes meanwhile, compared to the same while the hostile server floods a sink, and what a ping takes.
//! These rows run one after the other when all others are done.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use serde_json::json;

use crate::common::beside::{Exchange, Hostile, beside};
use crate::common::process;
use crate::lists;
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "92" TwoBackends "work of a size that a backend chooses" => "done in turns: another backend and ping are as fast as before", fault_92_work_in_turns;
};

const MIB: usize = 1 << 20;
/// Just below `max_message_bytes`.
const LARGE: usize = 30 * MIB;
const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

/// A kind of flood.
struct Kind {
    name: &'static str,
    hostile: fn() -> Hostile,
}

const KINDS: &[Kind] = &[
    kind("gzip: large events", || {
        gzip_of(SSE, &event(&log(&"a".repeat(LARGE))))
    }),
    kind("gzip: a large answer", || gzip_of(JSON, &[b'a'; LARGE])),
    kind("gzip: tiny events", || {
        gzip_of(SSE, &b"data: 1\n\n".repeat(MIB))
    }),
    kind("gzip: comments", || gzip_of(SSE, &b":\n".repeat(8 * MIB))),
    kind("deep values", || {
        let deep = format!("{}{}", "[".repeat(MIB), "]".repeat(MIB));
        events("", b"", event(&log_of(&deep)))
    }),
    kind("wide values", || {
        let members: String = (0..9_000).map(|name| format!("\"{name}\":0,")).collect();
        events("", b"", event(&log_of(&format!("{{{members}\"z\":0}}"))))
    }),
    kind("arrays of messages", || {
        let all = vec![log("x"); 9_000].join(",");
        events("", b"", event(&format!("[{all}]")))
    }),
    kind("an array as the answer", || {
        let all = vec![log("x"); 9_000].join(",");
        body(format!("[{all}]").into_bytes())
    }),
    kind("tiny events", || {
        events("", b"", b"data: 1\n\n".repeat(MIB))
    }),
    kind("large logs", || {
        events("", b"", event(&log(&"a".repeat(MIB - 1024))))
    }),
    kind("tiny logs", || {
        events("", b"", event(&log("x")).repeat(1024))
    }),
    kind("blank lines after a long id", || {
        let id = format!("id: {}\n", "i".repeat(8 * 1024));
        events("", b"", [id.into_bytes(), b"\n".repeat(MIB)].concat())
    }),
    kind("tiny chunks", || {
        Hostile::new(|exchange| {
            if exchange.method() != "tools/call" {
                return Ok(false);
            }
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            exchange.write(head.as_bytes())?;
            exchange.repeat(&b"1\r\n:\r\n".repeat(64 * 1024))
        })
    }),
    kind("progress of its call", || {
        Hostile::new(|exchange| {
            if exchange.method() != "tools/call" {
                return Ok(false);
            }
            exchange.head(SSE, "")?;
            let (token, mut step) = (exchange.token(), 0);
            while exchange.goes_on() {
                let steps = (0..1000).map(|more| {
                    let progress = step + more;
                    format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":{progress}}}}}\n\n")
                });
                exchange.write(steps.collect::<String>().as_bytes())?;
                step += 1000;
            }
            exchange.repeat(b"")
        })
    }),
    kind("gzip: pages of a list", pages),
    kind("links beside an alias", links),
    kind("a result of small values", || {
        small_values(false, |exchange| match exchange.method() {
            "tools/list" => answer(
                exchange,
                r#"{"tools":[{"name":"act","inputSchema":{"type":"object"},"outputSchema":{"type":"object"}}]}"#,
            ),
            _ => Ok(false),
        })
    }),
    kind("an error result of small values, modern", || {
        small_values(true, modern)
    }),
    kind("a JSON-RPC error of small values", || {
        let values = "0,".repeat(4 * MIB);
        let error = format!(r#"{{"code":1,"message":"m","data":[{values}0]}}"#);
        answers(
            |_| Ok(false),
            move |exchange| {
                let response = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#,
                    exchange.id()
                );
                exchange.answer("200 OK", JSON, &response)?;
                Ok(true)
            },
        )
    }),
    kind("large requests for input", || {
        let values = "0,".repeat(4 * MIB);
        let result = format!(
            r#"{{"resultType":"input_required","inputRequests":{{"k":{{"method":"elicitation/create","params":{{"mode":"form","message":"m","requestedSchema":{{"type":"object","properties":{{}},"x":[{values}0]}}}}}}}}}}"#
        );
        answers(modern, move |exchange| answer(exchange, &result))
    }),
    kind("pings", || {
        events(
            "",
            b"",
            event(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).repeat(256),
        )
    }),
    kind("cancellations with a long escaped id", || {
        let pings = (0..256).map(|id| {
            event(&format!(
                r#"{{"jsonrpc":"2.0","id":"p\\u0061{id}","method":"ping"}}"#
            ))
        });
        let pings = pings.collect::<Vec<_>>().concat();
        let id = "\\u0061".repeat(MIB / 8);
        let cancelled = event(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":"{id}"}}}}"#
        ));
        events("", b"", [pings, cancelled].concat())
    }),
    kind("answers under a long escaped id", || {
        let id = "\\u0061".repeat(2 * MIB);
        let response = format!(r#"{{"jsonrpc":"2.0","id":"{id}","result":{{}}}}"#);
        answers(
            |_| Ok(false),
            move |exchange| {
                exchange.answer("200 OK", JSON, &response)?;
                Ok(true)
            },
        )
    }),
    kind("task states with many requests", || {
        let requests = (0..9_999).map(|key| {
            format!(r#""{key}":{{"method":"elicitation/create","params":{{"message":"m"}}}}"#)
        });
        let requests = requests.collect::<Vec<_>>().join(",");
        let state = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{{"taskId":"1","status":"input_required","inputRequests":{{{requests}}}}}}}"#
        );
        streams(event(&state))
    }),
];

const fn kind(name: &'static str, hostile: fn() -> Hostile) -> Kind {
    Kind { name, hostile }
}

/// Answers calls with an event stream of these bytes, the last of them over and over.
fn events(headers: &'static str, first: &'static [u8], repeated: Vec<u8>) -> Hostile {
    on_calls(move |exchange| {
        exchange.head(SSE, headers)?;
        exchange.write(first)?;
        exchange.repeat(&repeated)
    })
}

/// Answers calls with a body without end: these bytes over and over, compressed.
fn gzip_of(media: &'static str, bytes: &[u8]) -> Hostile {
    // RFC 1952, section 2.3: deflate, no flags, no time, no system.
    const HEAD: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    let mut packed = Vec::with_capacity(MIB);
    // A full flush ends at a byte and refers to nothing before it: what follows may be the same again.
    Compress::new(Compression::best(), false)
        .compress_vec(bytes, &mut packed, FlushCompress::Full)
        .unwrap();
    let repeated = packed.repeat(1 + 4096 / packed.len());
    on_calls(move |exchange| {
        exchange.head(media, "content-encoding: gzip\r\n")?;
        exchange.write(HEAD)?;
        exchange.repeat(&repeated)
    })
}

/// Lists that change all the time, and have large pages without end.
fn pages() -> Hostile {
    let rest = format!("{}\"}}}}", "a".repeat(MIB));
    let (packed, checksum) = lists::deflated(rest.as_bytes());
    let next = AtomicUsize::new(0);
    Hostile::new(move |exchange| match exchange.method() {
        "" if exchange.message.is_null() => lists::announce(exchange),
        "tools/list" if exchange.goes_on() => {
            let (id, cursor) = (exchange.id(), next.fetch_add(1, Relaxed));
            let beginning = format!(
                r#"{{"id":{id},"jsonrpc":"2.0","result":{{"tools":[],"nextCursor":"{cursor}","more":""#
            );
            let page = lists::gzip_of(beginning.as_bytes(), &packed, &checksum);
            let length = page.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {JSON}\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"
            );
            exchange.write(head.as_bytes())?;
            exchange.write(&page)?;
            Ok(true)
        }
        _ => Ok(false),
    })
    .drawn_by("tools/list")
    .spread_over(Duration::from_secs(1))
    .in_parallel(1)
}

/// Results with as many links as fit, each to another file beside one that another backend has too.
fn links() -> Hostile {
    let link = |number: usize| {
        format!(r#"{{"type":"resource_link","uri":"s://shared/{number}","name":"n"}}"#)
    };
    let all = (0..MIB / link(100_000).len()).map(link);
    let all = all.collect::<Vec<_>>().join(",");
    let first = link(0);
    Hostile::new(move |exchange| match exchange.method() {
        "tools/call" if exchange.goes_on() => {
            answer(exchange, &format!(r#"{{"content":[{all}]}}"#))
        }
        _ => with_resources(exchange),
    })
    .beside(move |exchange| match exchange.method() {
        "tools/call" => answer(exchange, &format!(r#"{{"content":[{first}]}}"#)),
        _ => with_resources(exchange),
    })
    .in_parallel(16)
}

/// Results with as many values as fit into some MiB, between other requests that `others` answers.
fn small_values(
    is_error: bool,
    others: impl Fn(&mut Exchange<'_>) -> std::io::Result<bool> + Send + Sync + 'static,
) -> Hostile {
    let values = "0,".repeat(2 * MIB);
    let result = format!(
        r#"{{"resultType":"complete","content":[],"isError":{is_error},"structuredContent":{{"a":[{values}0]}}}}"#
    );
    answers(others, move |exchange| answer(exchange, &result))
}

/// Answers calls so, between other requests that `others` answers.
fn answers(
    others: impl Fn(&mut Exchange<'_>) -> std::io::Result<bool> + Send + Sync + 'static,
    of_call: impl Fn(&mut Exchange<'_>) -> std::io::Result<bool> + Send + Sync + 'static,
) -> Hostile {
    Hostile::new(move |exchange| match exchange.method() {
        "tools/call" if exchange.goes_on() => of_call(exchange),
        _ => others(exchange),
    })
    .in_parallel(2)
}

/// The handshake and the list of a modern server.
fn modern(exchange: &mut Exchange<'_>) -> std::io::Result<bool> {
    match exchange.method() {
        "server/discover" => answer(
            exchange,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#,
        ),
        "tools/list" => answer(
            exchange,
            r#"{"resultType":"complete","ttlMs":60000,"cacheScope":"private","tools":[{"name":"act","inputSchema":{"type":"object"},"outputSchema":{"type":"object"}}]}"#,
        ),
        _ => Ok(false),
    }
}

/// Sends these bytes over and over on the stream of GET. The sink gets them by a method that no gateway
/// sends.
fn streams(bytes: Vec<u8>) -> Hostile {
    Hostile::new(move |exchange| match exchange.method() {
        "" if exchange.message.is_null() => {
            exchange.head(SSE, "")?;
            loop {
                match exchange.goes_on() {
                    true => exchange.write(&bytes)?,
                    false => {
                        exchange.write(b":\n\n")?;
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
        "flood" => {
            exchange.head(SSE, "")?;
            exchange.repeat(&bytes)
        }
        _ => Ok(false),
    })
    .drawn_by("flood")
    .in_parallel(1)
}

/// The handshake and the lists of a server whose resources no list has.
fn with_resources(exchange: &mut Exchange<'_>) -> std::io::Result<bool> {
    match exchange.method() {
        "initialize" => answer(
            exchange,
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"resources":{}},"serverInfo":{"name":"s","version":"1"}}"#,
        ),
        "resources/list" => answer(exchange, r#"{"resources":[]}"#),
        "resources/templates/list" => answer(exchange, r#"{"resourceTemplates":[]}"#),
        _ => Ok(false),
    }
}

/// Answers with this result.
fn answer(exchange: &mut Exchange<'_>, result: &str) -> std::io::Result<bool> {
    let response = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
        exchange.id()
    );
    exchange.answer("200 OK", JSON, &response)?;
    Ok(true)
}

/// Answers calls with this body, as JSON.
fn body(bytes: Vec<u8>) -> Hostile {
    on_calls(move |exchange| {
        exchange.head(JSON, "")?;
        exchange.write(&bytes)?;
        Err(std::io::ErrorKind::ConnectionAborted.into())
    })
}

fn on_calls(
    flood: impl Fn(&mut Exchange<'_>) -> std::io::Result<bool> + Send + Sync + 'static,
) -> Hostile {
    Hostile::new(move |exchange| match exchange.method() {
        "tools/call" => flood(exchange),
        _ => Ok(false),
    })
}

fn log(text: &str) -> String {
    log_of(&json!(text).to_string())
}

/// A log message with this JSON as its data.
fn log_of(data: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":{data}}}}}"#
    )
}

fn event(message: &str) -> Vec<u8> {
    format!("data: {message}\n\n").into_bytes()
}

fn fault_92_work_in_turns(run: &Run<'_>) {
    measure(run, KINDS);
}

/// Measures each kind whose name contains `FAULTS_KIND`.
fn measure(run: &Run<'_>, kinds: &[Kind]) {
    let only = std::env::var("FAULTS_KIND").unwrap_or_default();
    let mut failed = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.name.contains(&only)) {
        run.set_variant(kind.name);
        let folder = tempfile::tempdir().unwrap();
        let (measured, log) = beside(&(kind.hostile)(), |toml| process::gateway(&folder, toml));
        run.check_log(&log);
        let line = format!("{}: {measured}", kind.name);
        if !measured.holds() {
            failed.push(line.clone());
        }
        run.note(line);
    }
    assert!(failed.is_empty(), "slower than promised: {failed:#?}");
}
