//! The client: the gateway's process with its pipes, requests at a steady rate, and all that comes
//! back handed to the [`Ledger`].

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Result;
use super::ledger::{FollowUp, Ledger, Wants};
use super::traffic::{self, Ask, Then};

/// How often requests go out.
const TICK: Duration = Duration::from_millis(5);
/// How long a call runs before it is cancelled.
const SECOND_THOUGHTS: Duration = Duration::from_millis(10);
/// Past so many unanswered requests no more are made: a client that waits, waits.
const MOST_OPEN: usize = 256;
/// How long the last answers may take, and the gateway to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many lines of the gateway's log are kept.
const LOG_KEPT: usize = 30;

pub(crate) struct Client {
    child: Child,
    desk: Arc<Mutex<Desk>>,
    reader: JoinHandle<()>,
    log: JoinHandle<Log>,
}

/// What is written with, and what is known; one lock, so that ids go out in order.
struct Desk {
    /// `None` after EOF.
    input: Option<ChildStdin>,
    next: u64,
    ledger: Ledger,
    cancels: VecDeque<(Instant, u64)>,
}

/// What the gateway wrote to stderr.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) lines: u64,
    pub(crate) retries: u64,
    pub(crate) panics: u64,
    /// How many tasks were alive when the gateway had nothing more to do.
    pub(crate) tasks: Option<u64>,
    pub(crate) latest: VecDeque<String>,
}

/// How the gateway ended.
pub(crate) struct Ended {
    pub(crate) status: Option<ExitStatus>,
    pub(crate) ledger: Ledger,
    pub(crate) log: Log,
}

/// Requests a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) well: f64,
    pub(crate) flaky: f64,
}

/// The two groups of backends.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) well: Vec<&'static str>,
    pub(crate) flaky: Vec<&'static str>,
}

impl Client {
    /// Its requests are numbered from `first` on.
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
        let desk = Arc::new(Mutex::new(Desk {
            input: child.stdin.take(),
            next: first,
            ledger: Ledger::default(),
            cancels: VecDeque::new(),
        }));
        let listening = Arc::clone(&desk);
        Ok(Self {
            child,
            desk,
            reader: thread::spawn(move || read(output, &listening)),
            log: thread::spawn(move || Log::read(errors)),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The handshake, the list, and one call to each backend in each era: from here on the
    /// gateway has all the sessions that it will have.
    pub(crate) fn begin(&self, names: &Names) -> Result<()> {
        self.send(traffic::initialize)?;
        self.desk().write(&json!({
            "jsonrpc": "2.0", "method": "notifications/initialized"
        }))?;
        let listed = || Wants::Tool("json__echo");
        self.send(|id| traffic::plain(id, "tools/list", false, listed()))?;
        self.settle();
        for modern in [false, true] {
            for name in names.well.iter().chain(&names.flaky) {
                self.send(|id| traffic::simple(id, name, modern))?;
            }
        }
        self.settle();
        Ok(())
    }

    fn send(&self, ask: impl FnOnce(u64) -> Ask) -> Result<()> {
        self.desk().send(ask)
    }

    /// Makes requests at this rate until then, and calls `each_tick`. Returns how many were not
    /// made because too many waited.
    pub(crate) fn drive(
        &self,
        names: &Names,
        rate: Rate,
        until: Instant,
        mut each_tick: impl FnMut(),
    ) -> Result<u64> {
        let mut withheld = 0;
        let (mut well, mut flaky) = (Due::at(rate.well), Due::at(rate.flaky));
        while Instant::now() < until {
            thread::sleep(TICK);
            let mut desk = self.desk();
            let open = [false, true].map(|flaky| desk.ledger.waiting(flaky));
            let room = open.map(|open| MOST_OPEN.saturating_sub(open));
            let due = [well.now(), flaky.now()];
            for _ in 0..due[0].min(room[0]) {
                desk.send(|id| traffic::ask(id, &names.well))?;
            }
            for _ in 0..due[1].min(room[1]) {
                desk.send(|id| traffic::ask_flaky(id, &names.flaky))?;
            }
            withheld += due[0].saturating_sub(room[0]) as u64;
            desk.cancel_due()?;
            drop(desk);
            each_tick();
        }
        Ok(withheld)
    }

    /// Waits until all is answered, for a while.
    pub(crate) fn settle(&self) {
        let begun = Instant::now();
        while !self.desk().ledger.is_settled() && begun.elapsed() < PATIENCE {
            thread::sleep(TICK);
        }
    }

    /// The times since the last look.
    pub(crate) fn times(&self) -> Vec<Duration> {
        std::mem::take(&mut self.desk().ledger.times)
    }

    /// Whether the process is there and nothing has failed so far.
    pub(crate) fn is_well(&mut self) -> bool {
        let running = matches!(self.child.try_wait(), Ok(None));
        running && self.desk().ledger.failures.is_empty()
    }

    /// Ends the gateway's input, and waits for its end.
    pub(crate) fn end(mut self) -> Result<Ended> {
        self.desk().input = None;
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break Some(status),
                None if begun.elapsed() < PATIENCE => thread::sleep(TICK),
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
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = std::mem::take(&mut desk.ledger);
        ledger.close();
        Ok(Ended {
            status,
            ledger,
            log,
        })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn send(&mut self, ask: impl FnOnce(u64) -> Ask) -> Result<()> {
        let id = self.next;
        self.next += 1;
        let Ask {
            message,
            asked,
            then,
        } = ask(id);
        let now = Instant::now();
        self.ledger.asks(id, asked, now);
        if then == Then::Cancel {
            self.cancels.push_back((now + SECOND_THOUGHTS, id));
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
            self.ledger.cancels(id);
        }
        Ok(())
    }

    fn follow_up(&mut self, what: FollowUp) -> Result<()> {
        match what {
            FollowUp::Answer(answer) => self.write(&answer),
            FollowUp::Again { call, tool, more } => {
                self.send(|id| traffic::again(id, call, &tool, &more))
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

/// Requests that are due, at a rate.
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

    /// How many since the last look.
    fn now(&mut self) -> usize {
        let all = (self.begun.elapsed().as_secs_f64() * self.rate) as u64;
        let due = all - self.made;
        self.made = all;
        due as usize
    }
}

fn read(output: impl Read, desk: &Mutex<Desk>) {
    for line in BufReader::with_capacity(1 << 16, output).split(b'\n') {
        let Ok(line) = line else { return };
        let now = Instant::now();
        let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(follow_up) = desk.ledger.takes(&line, now) {
            // A gateway that takes nothing more is found out by what it doesn't answer.
            let _ = desk.follow_up(follow_up);
        }
    }
}

impl Log {
    fn read(errors: impl Read) -> Self {
        let mut log = Self::default();
        for line in BufReader::new(errors).lines().map_while(|line| line.ok()) {
            log.lines += 1;
            log.retries += u64::from(line.contains("retrying after transient error"));
            log.panics += u64::from(line.contains("panicked at"));
            if let Some((_, tasks)) = line
                .split_once("the gateway ends")
                .and(line.split_once("tasks="))
            {
                let digits = tasks.split(|c: char| !c.is_ascii_digit()).next();
                log.tasks = digits.and_then(|digits| digits.parse().ok());
            }
            log.latest.push_back(line);
            if log.latest.len() > LOG_KEPT {
                log.latest.pop_front();
            }
        }
        log
    }
}
