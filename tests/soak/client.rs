//! The client: starts the gateway process, sends requests at a set rate, and passes every line of its
//! output to the [`Tracker`].

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Result;
use super::common::gateway_log::GatewayLog;
use super::tracker::{Expected, FollowUp, Tracker};
use super::traffic::{self, Outgoing, Then};

/// The interval at which requests are sent.
const TICK: Duration = Duration::from_millis(5);
/// How long a call runs before it is cancelled.
const CANCEL_AFTER: Duration = Duration::from_millis(10);
/// The maximum of unanswered requests. At the maximum, no more are sent.
const MAX_PENDING: usize = 256;
/// The timeout for the last answers, and for the end of the gateway.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    child: Child,
    connection: Arc<Mutex<Connection>>,
    reader: JoinHandle<()>,
    log: JoinHandle<GatewayLog>,
}

/// The gateway's stdin and the pending requests, under one lock so that ids are sent in order.
struct Connection {
    /// `None` after EOF.
    input: Option<ChildStdin>,
    next: u64,
    tracker: Tracker,
    cancels: VecDeque<(Instant, u64)>,
}

/// How the gateway ended.
pub(crate) struct Ended {
    pub(crate) status: Option<ExitStatus>,
    pub(crate) tracker: Tracker,
    pub(crate) log: GatewayLog,
}

/// Requests a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) good: f64,
    pub(crate) flaky: f64,
}

/// The two groups of backends.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) good: Vec<&'static str>,
    pub(crate) flaky: Vec<&'static str>,
}

impl Client {
    /// Starts the gateway. Request ids begin with `first`.
    pub(crate) fn start(gateway: &Path, config: &Path, first: u64) -> Result<Self> {
        let mut child = Command::new(gateway)
            .arg("--config")
            .arg(config)
            .env("RUST_LOG", "warn,sentinel_gateway::run=debug")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("can't start {}: {error}", gateway.display()))?;
        let output = child.stdout.take().ok_or("a child without stdout")?;
        let errors = child.stderr.take().ok_or("a child without stderr")?;
        let connection = Arc::new(Mutex::new(Connection {
            input: child.stdin.take(),
            next: first,
            tracker: Tracker::default(),
            cancels: VecDeque::new(),
        }));
        let reader_connection = Arc::clone(&connection);
        Ok(Self {
            child,
            connection,
            reader: thread::spawn(move || read(output, &reader_connection)),
            log: thread::spawn(move || GatewayLog::read(errors)),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes the handshake, lists tools, and calls each backend in each era. Then the gateway has all
    /// its sessions.
    pub(crate) fn begin(&self, names: &Names) -> Result<()> {
        self.send(traffic::initialize)?;
        self.connection().write(&json!({
            "jsonrpc": "2.0", "method": "notifications/initialized"
        }))?;
        let listed = Expected::Tool("json__echo");
        self.send(|id| traffic::plain(id, "tools/list", false, listed))?;
        self.settle();
        for modern in [false, true] {
            for name in names.good.iter().chain(&names.flaky) {
                self.send(|id| traffic::echo(id, name, modern))?;
            }
        }
        self.settle();
        Ok(())
    }

    fn send(&self, request: impl FnOnce(u64) -> Outgoing) -> Result<()> {
        self.connection().send(request)
    }

    /// Sends requests at this rate until `until`, and calls `each_tick`. Returns how many requests to
    /// good backends were not sent because too many were pending.
    pub(crate) fn drive(
        &self,
        names: &Names,
        rate: Rate,
        until: Instant,
        mut each_tick: impl FnMut(),
    ) -> Result<u64> {
        let mut unsent = 0;
        let (mut good, mut flaky) = (Due::at(rate.good), Due::at(rate.flaky));
        while Instant::now() < until {
            thread::sleep(TICK);
            let mut connection = self.connection();
            let open = [false, true].map(|flaky| connection.tracker.waiting(flaky));
            let free = open.map(|open| MAX_PENDING.saturating_sub(open));
            let due = [good.now(), flaky.now()];
            for _ in 0..due[0].min(free[0]) {
                connection.send(|id| traffic::good_request(id, &names.good))?;
            }
            for _ in 0..due[1].min(free[1]) {
                connection.send(|id| traffic::flaky_request(id, &names.flaky))?;
            }
            unsent += due[0].saturating_sub(free[0]) as u64;
            connection.cancel_due()?;
            drop(connection);
            each_tick();
        }
        Ok(unsent)
    }

    /// Sends as many requests at once as may ever be pending, good and flaky ones.
    pub(crate) fn burst(&self, names: &Names) -> Result<()> {
        let mut connection = self.connection();
        for _ in 0..MAX_PENDING {
            connection.send(|id| traffic::good_request(id, &names.good))?;
            connection.send(|id| traffic::flaky_request(id, &names.flaky))?;
        }
        Ok(())
    }

    /// Waits until everything is answered, or [`TIMEOUT`] is over.
    pub(crate) fn settle(&self) {
        let begun = Instant::now();
        while !self.connection().tracker.is_settled() && begun.elapsed() < TIMEOUT {
            thread::sleep(TICK);
        }
    }

    /// The durations of timed calls since the last call of this.
    pub(crate) fn times(&self) -> Vec<Duration> {
        std::mem::take(&mut self.connection().tracker.times)
    }

    /// Whether the process runs and no check has failed so far.
    pub(crate) fn is_healthy(&mut self) -> bool {
        let running = matches!(self.child.try_wait(), Ok(None));
        running && self.connection().tracker.failures.is_empty()
    }

    /// Closes the gateway's stdin, and waits for its end.
    pub(crate) fn end(mut self) -> Result<Ended> {
        self.connection().input = None;
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break Some(status),
                None if begun.elapsed() < TIMEOUT => thread::sleep(TICK),
                None => {
                    self.child.kill()?;
                    self.child.wait()?;
                    break None;
                }
            }
        };
        self.reader.join().map_err(|_| "the reader panicked")?;
        let log = self
            .log
            .join()
            .map_err(|_| "the reader of the log panicked")?;
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut tracker = std::mem::take(&mut connection.tracker);
        tracker.close();
        Ok(Ended {
            status,
            tracker,
            log,
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn send(&mut self, request: impl FnOnce(u64) -> Outgoing) -> Result<()> {
        let id = self.next;
        self.next += 1;
        let Outgoing {
            message,
            info,
            then,
        } = request(id);
        let now = Instant::now();
        self.tracker.sent(id, info, now);
        if then == Then::Cancel {
            self.cancels.push_back((now + CANCEL_AFTER, id));
        }
        let mut line = message.to_string() + "\n";
        if then == Then::Copy {
            line = line.repeat(2);
        }
        self.write_text(&line)
    }

    fn cancel_due(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some((when, id)) = self.cancels.front().copied()
            && when <= now
        {
            self.cancels.pop_front();
            self.write(&json!({
                "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": { "requestId": id },
            }))?;
            self.tracker.sent_cancellation(id);
        }
        Ok(())
    }

    fn follow_up(&mut self, what: FollowUp) -> Result<()> {
        match what {
            FollowUp::Answer(answer) => self.write(&answer),
            FollowUp::Retry { call, tool, more } => {
                self.send(|id| traffic::retry(id, call, &tool, &more))
            }
        }
    }

    fn write(&mut self, message: &Value) -> Result<()> {
        self.write_text(&(message.to_string() + "\n"))
    }

    fn write_text(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().ok_or("the input has ended already")?;
        Ok(input.write_all(line.as_bytes())?)
    }
}

/// Requests due at a rate.
struct Due {
    rate: f64,
    begun: Instant,
    made: u64,
}

impl Due {
    fn at(rate: f64) -> Self {
        Self {
            rate,
            begun: Instant::now(),
            made: 0,
        }
    }

    /// The number of requests due since the last call.
    fn now(&mut self) -> usize {
        let all = (self.begun.elapsed().as_secs_f64() * self.rate) as u64;
        let due = all - self.made;
        self.made = all;
        due as usize
    }
}

fn read(output: impl Read, connection: &Mutex<Connection>) {
    for line in BufReader::with_capacity(1 << 16, output).split(b'\n') {
        let Ok(line) = line else { return };
        let now = Instant::now();
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(follow_up) = connection.tracker.received(&line, now) {
            // If the gateway reads no more, the check of lost answers fails.
            let _ = connection.follow_up(follow_up);
        }
    }
}
