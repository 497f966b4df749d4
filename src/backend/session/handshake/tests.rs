//! Whole handshakes with servers that always have a new reason to try again, or never finish.
//!
//! The clock is paused, and the servers run beside the handshake: time passes only while both wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::*;
use crate::backend::http::Credentials;
use crate::backend::stream::NoopHandler;
use crate::budget::Budget;
use crate::config::{Environment, Overrides, load};
use crate::transport::http::Pool;

const MAX_REQUESTS: usize = 10;
/// For all requests, and for `notifications/initialized` after them.
const LONGEST: Duration = Duration::from_secs(30 + 2);
const VERSIONS: [&str; 6] = [
    "2025-11-25",
    "2025-06-18",
    "2025-03-26",
    "2024-11-05",
    "1.0",
    "2027-01-01",
];

/// What a server sends: pieces, each after a wait; and whether the connection then stays open.
struct Answer {
    pieces: Vec<(Duration, String)>,
    stays: bool,
}

fn whole(status: u16, headers: &str, body: &str) -> Answer {
    let length = body.len();
    Answer {
        pieces: vec![(
            Duration::ZERO,
            format!("HTTP/1.1 {status} S\r\ncontent-length: {length}\r\n{headers}\r\n{body}"),
        )],
        stays: false,
    }
}

fn json(status: u16, body: &str) -> Answer {
    whole(status, "content-type: application/json\r\n", body)
}

/// A stream of events that says this every few seconds, for longer than any handshake.
fn stream(event: &str, pause: u64) -> Answer {
    let head = "HTTP/1.1 200 S\r\ncontent-type: text/event-stream\r\n\r\n";
    let mut pieces = vec![(Duration::ZERO, head.to_owned())];
    pieces.extend((0..60).map(|_| (Duration::from_secs(pause), event.to_owned())));
    Answer {
        pieces,
        stays: true,
    }
}

fn error_of(id: &str, code: i32, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
}

/// A server that draws each of its answers, and never shows anything of use.
struct OddServer {
    rng: SmallRng,
    requests: Arc<AtomicUsize>,
}

impl OddServer {
    fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound)
    }

    fn answer(&mut self, request: &str) -> Answer {
        let slow = Duration::from_secs([0, 0, 0, 1, 4, 12][self.below(6)]);
        let mut answer = match () {
            () if self.below(5) == 0 => self.of_any_request(),
            () if request.starts_with("GET") => self.of_get(),
            () if request.contains("server/discover") => self.of_discover(request),
            () if request.contains("notifications/") => whole(202, "", ""),
            () => self.of_initialize(request),
        };
        if let Some((wait, _)) = answer.pieces.first_mut() {
            *wait = slow;
        }
        answer
    }

    fn of_any_request(&mut self) -> Answer {
        let to = |status| whole(status, "location: /mcp\r\n", "");
        match self.below(12) {
            0..=2 => to(307),
            3 => to(308),
            4 => to(302),
            5 => whole(401, "www-authenticate: Bearer\r\n", ""),
            6 => whole(503, "retry-after: 1\r\n", ""),
            7 => stream(": ping\n\n", 3),
            8 => whole(200, "content-type: text/html\r\n", "<html>"),
            9 => Answer {
                pieces: Vec::new(),
                stays: false,
            },
            _ => Answer {
                pieces: Vec::new(),
                stays: true,
            },
        }
    }

    fn of_get(&mut self) -> Answer {
        match self.below(6) {
            0 => whole(405, "", ""),
            1 => whole(404, "", ""),
            2 => stream("event: other\ndata: x\n\n", 2),
            _ => stream("event: endpoint\ndata: /post\n\n", 5),
        }
    }

    fn of_discover(&mut self, request: &str) -> Answer {
        let id = id_of(request);
        match self.below(6) {
            0 => whole(404, "", ""),
            1 => json(200, &error_of(&id, -32601, "unknown method")),
            // Ours is among those that it speaks, all the same.
            2 | 3 => {
                let data = r#""data":{"supported":["2026-07-28","2025-11-25"]}"#;
                let error = format!(r#"{{"code":-32022,"message":"no",{data}}}"#);
                json(
                    400,
                    &format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#),
                )
            }
            4 => whole(500, "", "oops"),
            _ => whole(400, "", "Bad Request: Missing session ID"),
        }
    }

    fn of_initialize(&mut self, request: &str) -> Answer {
        let id = id_of(request);
        let other = VERSIONS[self.below(VERSIONS.len())];
        match self.below(9) {
            0 => json(400, &error_of(&id, -32602, "unsupported protocol version")),
            1 | 2 => {
                let words = format!("unsupported protocol version: supported are {other}");
                json(200, &error_of(&id, -32602, &words))
            }
            3 => json(200, &error_of(&id, -32600, "invalid request: capabilities")),
            4 => whole(404, "", "Not Found"),
            5 => whole(501, "", ""),
            6 => whole(400, "", &format!("protocolVersion must be {other}")),
            7 => json(
                200,
                &error_of("null", -32700, "parse error: protocolVersion"),
            ),
            _ => json(400, &error_of(&id, -32022, "unsupported version")),
        }
    }
}

fn id_of(request: &str) -> String {
    let body: serde_json::Value = request
        .split_once("\r\n\r\n")
        .and_then(|(_, body)| serde_json::from_str(body).ok())
        .unwrap_or_default();
    body["id"].to_string()
}

/// Reads one request, head and body. `None` when the client has closed the connection.
async fn read(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                (name == "content-length").then(|| value.parse().ok())?
            });
            let length: usize = length.unwrap_or(0);
            if body.len() >= length {
                read.drain(..head.len() + 4 + length);
                return Some(text[..head.len() + 4 + length].to_owned());
            }
        }
        let count = stream.read_buf(read).await.ok()?;
        (count > 0).then_some(())?;
    }
}

async fn serve(mut stream: TcpStream, server: Arc<crate::sync::Mutex<OddServer>>) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let answer = {
            let mut server = server.lock();
            server.requests.fetch_add(1, Ordering::Relaxed);
            server.answer(&request)
        };
        let is_silent = answer.pieces.is_empty();
        for (wait, piece) in answer.pieces {
            sleep(wait).await;
            if stream.write_all(piece.as_bytes()).await.is_err() {
                return;
            }
        }
        match (answer.stays, is_silent) {
            // Until the client gives up.
            (true, _) => {
                let _ = stream.read_buf(&mut buffer).await;
                return;
            }
            (false, true) => return,
            (false, false) => {}
        }
    }
}

/// One handshake with the server of this seed: how many requests it took, and how long.
async fn handshake(seed: u64) -> (usize, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let server = Arc::new(crate::sync::Mutex::new(OddServer {
        rng: SmallRng::seed_from_u64(seed),
        requests: Arc::clone(&requests),
    }));
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&server)));
        }
    });

    let flags = Overrides {
        backends: vec![("odd".into(), url)],
        ..Overrides::default()
    };
    let config = load(&flags, &Environment::new("no-such-folder")).unwrap();
    let config = &config.backends[0];
    let pool = Pool::default();
    let credentials = Arc::new(Credentials::new(Arc::clone(config), &pool));
    let budget = Budget::new(1 << 20);
    let endpoint = Endpoint::resolve(config, credentials, &pool, 1 << 20, budget).await;
    let endpoint = Arc::new(endpoint.unwrap());
    let background = TaskTracker::new();
    let run = Handshake {
        endpoint: &endpoint,
        background: &background,
        unsolicited: Arc::new(NoopHandler),
        protocol: Protocol::Auto,
        limit: HANDSHAKE_TIMEOUT,
        passes_experimental: true,
        remembered: None,
    };
    let client = ClientProfile {
        era: Era::Legacy,
        ..ClientProfile::superset()
    };
    let (_known, mut client) = watch::channel(Some(Arc::new(client)));
    let begun = Instant::now();
    let outcome = run.run(&mut client).await;
    let took = begun.elapsed();
    assert!(outcome.is_err(), "seed {seed}: {outcome:?}");
    accepting.abort();
    (requests.load(Ordering::Relaxed), took)
}

#[tokio::test(start_paused = true)]
async fn a_handshake_ends_after_ten_requests_and_thirty_seconds() {
    let (mut most, mut longest) = (0, Duration::ZERO);
    for seed in 0..500 {
        let (requests, took) = handshake(seed).await;
        assert!(requests <= MAX_REQUESTS, "seed {seed}: {requests} requests");
        assert!(took <= LONGEST, "seed {seed}: {took:?}");
        most = most.max(requests);
        longest = longest.max(took);
    }
    // The servers do reach the limits.
    assert_eq!(most, MAX_REQUESTS);
    assert!(longest > Duration::from_secs(29), "{longest:?}");
}
