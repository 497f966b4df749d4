//! A hostile backend beside a healthy one: how much it slows the other, and the gateway itself.
//!
//! Owns the measurement. Calls to a healthy backend are timed in two alternating phases. *Beside*: the
//! hostile server floods the gateway. *Alone*: it floods a sink in this process instead, so that the
//! machine is as busy. Both servers run on threads of their own. It must not know what a hostile
//! server sends; a test says that with a [`Hostile`].

use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::process::{ChildGuard, peak_memory, read_to_end, spawn};
pub use server::Exchange;
use server::Server;
use threads::Threads;

mod server;
mod threads;

/// Another backend's calls may take this long, however fast they are alone.
pub const CALL_FLOOR: Duration = Duration::from_millis(10);
/// A ping may take this long.
pub const PING_LIMIT: Duration = Duration::from_millis(50);

/// Pairs of phases.
const ROUNDS: usize = 4;
/// Timed calls of one phase.
const CALLS: usize = 100;
/// Every so many calls a ping is timed.
const PING_EVERY: usize = 5;
/// A phase ends after this time, with fewer calls.
const PHASE: Duration = Duration::from_secs(2);
/// Calls and pings before a phase is timed: the flood has begun by then.
const WARM_UP: usize = 10;
/// A call that takes longer ends the measurement.
const HOPELESS: Duration = Duration::from_secs(5);
/// Measurements of a row: the machine may have been busy with something else.
const TRIES: usize = 3;

/// What a hostile server does.
#[derive(Clone)]
pub struct Hostile {
    answer: Arc<Answer>,
    healthy: Arc<Answer>,
    draw: Draw,
    in_parallel: usize,
    spread: Duration,
    gateway: String,
    entry: String,
}

type Answer = dyn Fn(&mut Exchange<'_>) -> std::io::Result<bool> + Send + Sync;

/// The request that draws the flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Draw {
    /// `tools/call`, from the client.
    Call,
    /// This method, which the gateway sends of its own accord.
    Method(&'static str),
}

impl Hostile {
    /// A server that floods those who call its tool. `answer` answers a request, or returns false for
    /// the answer of a good server. It is called on a thread of its own for each connection, and ends
    /// a flood when [`Exchange::goes_on`] is false or a write fails.
    pub fn new(
        answer: impl Fn(&mut Exchange<'_>) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            healthy: Arc::new(|_| Ok(false)),
            draw: Draw::Call,
            in_parallel: 4,
            spread: Duration::ZERO,
            gateway: String::new(),
            entry: String::new(),
        }
    }

    /// The healthy server answers so, where this doesn't return false.
    pub fn beside(
        self,
        healthy: impl Fn(&mut Exchange<'_>) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        Self {
            healthy: Arc::new(healthy),
            ..self
        }
    }

    /// A server that floods the answer to a request that the gateway sends of its own accord, such as
    /// `tools/list`. The sink sends the same.
    pub fn drawn_by(mut self, method: &'static str) -> Self {
        self.draw = Draw::Method(method);
        self
    }

    /// How many calls, and requests of the sink, are open at any time.
    pub fn in_parallel(mut self, count: usize) -> Self {
        self.in_parallel = count;
        self
    }

    /// Spreads the calls of a phase over this time, for a server that floods now and then.
    pub fn spread_over(mut self, phase: Duration) -> Self {
        self.spread = phase;
        self
    }

    /// Adds these lines to `[gateway]`.
    pub fn gateway(mut self, lines: &str) -> Self {
        self.gateway = format!("{}{lines}\n", self.gateway);
        self
    }

    /// Adds these lines to the hostile backend's entry.
    pub fn entry(mut self, lines: &str) -> Self {
        self.entry = format!("{}{lines}\n", self.entry);
        self
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The 99th percentile of a call to the healthy backend while the sink is flooded.
    pub alone: Duration,
    /// The same while the gateway is flooded.
    pub beside: Duration,
    /// The longest ping while the gateway is flooded.
    pub ping: Duration,
    /// Peak resident memory of the gateway, in KiB.
    pub peak_memory: u64,
    /// The same when it had just answered `initialize`.
    pub memory_at_rest: u64,
}

impl Measured {
    /// Whether the healthy backend and the ping were as fast as they must be.
    pub fn holds(&self) -> bool {
        self.beside <= CALL_FLOOR.max(2 * self.alone) && self.ping <= PING_LIMIT
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "p99 {:.1} ms alone, {:.1} ms beside, longest ping {:.1} ms",
            millis(self.alone),
            millis(self.beside),
            millis(self.ping)
        )
    }
}

/// Measures until it holds, a few times at most, and returns the last measurement and the log of its
/// gateway. `command` starts a gateway with this sentinel.toml.
pub fn beside(hostile: &Hostile, command: impl Fn(&str) -> Command) -> (Measured, String) {
    let mut measured = measure(hostile, &command);
    for _ in 1..TRIES {
        if measured.0.holds() {
            break;
        }
        measured = measure(hostile, &command);
    }
    measured
}

fn measure(hostile: &Hostile, command: &impl Fn(&str) -> Command) -> (Measured, String) {
    let floods_gateway = Arc::new(AtomicBool::new(false));
    let threads = Threads::default();
    let bad = Server::start(Arc::clone(&hostile.answer), Arc::clone(&floods_gateway));
    let on_the_way = threads.clone();
    let answer = Arc::clone(&hostile.healthy);
    let healthy = move |exchange: &mut Exchange<'_>| {
        on_the_way.add_this();
        answer(exchange)
    };
    let good = Server::start(Arc::new(healthy), Arc::default());
    let toml = format!(
        "[gateway]\n{}\n{}{}\n{}",
        hostile.gateway,
        bad.entry("bad", "act"),
        hostile.entry,
        good.entry("good", "other"),
    );
    let mut gateway = Gateway::start(command(&toml), hostile.spread, threads);
    let (mut alone, mut beside, mut pings) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let sink = Sink::open(&bad, hostile);
        gateway.time_calls(&mut alone, &mut Vec::new());
        drop(sink);
        floods_gateway.store(true, Ordering::Relaxed);
        if hostile.draw == Draw::Call {
            gateway.flood(hostile.in_parallel);
        }
        gateway.time_calls(&mut beside, &mut pings);
        floods_gateway.store(false, Ordering::Relaxed);
        gateway.end_flood();
        if beside.iter().chain(&pings).max() >= Some(&HOPELESS) {
            break;
        }
    }
    let measured = Measured {
        alone: p99(&mut alone),
        beside: p99(&mut beside),
        ping: pings.into_iter().max().unwrap_or_default(),
        peak_memory: peak_memory(gateway.child.pid()),
        memory_at_rest: gateway.memory_at_rest,
    };
    (measured, gateway.end())
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or(Duration::MAX)
}

/// A thread that the hostile server floods in place of the gateway, until this is dropped. It is one
/// for all connections, like that of the gateway.
struct Sink {
    reader: Option<thread::JoinHandle<()>>,
    ends: Arc<AtomicBool>,
}

impl Sink {
    fn open(server: &Server, hostile: &Hostile) -> Self {
        let method = match hostile.draw {
            Draw::Call => "tools/call",
            Draw::Method(method) => method,
        };
        let params = json!({ "name": "act", "arguments": {}, "_meta": { "progressToken": 1 } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let body = body.to_string();
        let length = body.len();
        let request =
            format!("POST /sink HTTP/1.1\r\nhost: sink\r\ncontent-length: {length}\r\n\r\n{body}");
        let ends = Arc::new(AtomicBool::new(false));
        let (ending, address, count) = (Arc::clone(&ends), server.address(), hostile.in_parallel);
        let reader = thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            let mut streams: Vec<TcpStream> = Vec::new();
            while !ending.load(Ordering::Relaxed) {
                // As with the gateway, each answer that ends is followed by the next request.
                while streams.len() < count {
                    streams.push(ask(address, request.as_bytes()));
                }
                let mut idle = true;
                streams.retain_mut(|stream| match stream.read(&mut bytes) {
                    Ok(0) => false,
                    Ok(_) => {
                        idle = false;
                        true
                    }
                    Err(error) => error.kind() == ErrorKind::WouldBlock,
                });
                if idle {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Self {
            reader: Some(reader),
            ends,
        }
    }
}

fn ask(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A gateway and its client, which reads each line as soon as it comes.
struct Gateway {
    child: ChildGuard,
    stdin: ChildStdin,
    answers: Receiver<(String, Instant)>,
    threads: Threads,
    stderr: Receiver<String>,
    /// Ids of the requests so far, which count up.
    last_id: usize,
    /// The time over which the calls of a phase are spread.
    spread: Duration,
    /// Calls of the flood that are open.
    open: Vec<String>,
    /// In KiB.
    memory_at_rest: u64,
}

impl Gateway {
    fn start(mut command: Command, spread: Duration, threads: Threads) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(piped.stderr(Stdio::piped()));
        let stdout = child.stdout.take().unwrap();
        let (sender, answers) = channel();
        let reader = threads.clone();
        thread::spawn(move || {
            reader.add_this();
            read_answers(stdout, &sender);
        });
        threads.add_this();
        let mut gateway = Self {
            stdin: child.stdin.take().unwrap(),
            stderr: read_to_end(child.stderr.take().unwrap()),
            child: ChildGuard::new(child, Duration::from_secs(30)),
            answers,
            threads,
            last_id: 0,
            spread,
            open: Vec::new(),
            memory_at_rest: 0,
        };
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        });
        gateway.time("initialize", &params.to_string());
        gateway.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let pid = gateway.child.pid();
        gateway.threads.add_all_of(pid);
        gateway.memory_at_rest = peak_memory(pid);
        gateway
    }

    fn send(&mut self, line: &str) {
        self.stdin
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Sends a request and returns its id.
    fn request(&mut self, prefix: &str, method: &str, params: &str) -> String {
        self.last_id += 1;
        let id = format!("{prefix}{}", self.last_id);
        self.send(&format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","method":"{method}","params":{params}}}"#
        ));
        id
    }

    /// The time of one request, without that in which a thread on its way was ready to run and others
    /// had the processors. Calls of the flood that end meanwhile are made again.
    fn time(&mut self, method: &str, params: &str) -> Duration {
        let waited = self.threads.waited();
        let begun = Instant::now();
        let id = self.request("m", method, params);
        loop {
            let left = HOPELESS.saturating_sub(begun.elapsed());
            match self.answers.recv_timeout(left) {
                Ok((answered, at)) if answered == id => {
                    let waited = self.threads.waited().saturating_sub(waited);
                    return (at - begun).saturating_sub(waited);
                }
                Ok((answered, _)) => self.flood_again(&answered),
                Err(_) => return HOPELESS,
            }
        }
    }

    fn flood(&mut self, calls: usize) {
        for _ in 0..calls {
            let params = json!({ "name": "act", "arguments": {}, "_meta": { "progressToken": format!("t{}", self.last_id) } });
            let id = self.request("f", "tools/call", &params.to_string());
            self.open.push(id);
        }
    }

    fn flood_again(&mut self, ended: &str) {
        let before = self.open.len();
        self.open.retain(|id| id != ended);
        self.flood(before - self.open.len());
    }

    fn end_flood(&mut self) {
        for id in std::mem::take(&mut self.open) {
            let params = json!({ "requestId": id });
            self.send(
                &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })
                    .to_string(),
            );
        }
    }

    fn time_calls(&mut self, calls: &mut Vec<Duration>, pings: &mut Vec<Duration>) {
        let params = r#"{"name":"other","arguments":{}}"#;
        let begun = Instant::now();
        for number in 0..WARM_UP + CALLS {
            let call = self.time("tools/call", params);
            let ping = (number % PING_EVERY == 0).then(|| self.time("ping", "{}"));
            if number >= WARM_UP || begun.elapsed() > self.spread + PHASE {
                calls.push(call);
                pings.extend(ping);
            }
            if begun.elapsed() > self.spread + PHASE {
                return;
            }
            thread::sleep(self.spread / (WARM_UP + CALLS) as u32);
        }
    }

    /// Closes its stdin and returns its log.
    fn end(mut self) -> String {
        drop(self.stdin);
        while self.answers.recv_timeout(Duration::from_secs(30)).is_ok() {}
        self.child.wait();
        self.stderr
            .recv_timeout(Duration::from_secs(30))
            .unwrap_or_default()
    }
}

/// Passes on the id of each answer, with the time at which it was read.
fn read_answers(stdout: impl Read, answers: &Sender<(String, Instant)>) {
    const BEGINNING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":\"";
    let mut stdout = BufReader::with_capacity(256 * 1024, stdout);
    let mut line = Vec::new();
    while matches!(stdout.read_until(b'\n', &mut line), Ok(1..)) {
        if let Some(rest) = line.strip_prefix(BEGINNING) {
            let end = rest.iter().position(|byte| *byte == b'"').unwrap();
            let id = String::from_utf8(rest[..end].to_vec()).unwrap();
            if answers.send((id, Instant::now())).is_err() {
                return;
            }
        }
        line.clear();
    }
}
