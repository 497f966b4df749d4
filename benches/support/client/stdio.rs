//! The client of a process with MCP over stdio: the gateway or the relay.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use memchr::memchr;

use crate::support::Result;
use crate::support::call::{Call, Era, FIRST_CALL, Incoming};
use crate::support::client::driver::{CallDriver, ConcurrentRun, Expected};
use crate::support::process::usage::Usage;
use crate::support::process::{Process, Program};

pub(crate) struct StdioClient {
    process: Process,
    era: Era,
    /// Name of the process and its log, for an error.
    name: String,
    line: Vec<u8>,
    next_id: u64,
}

impl StdioClient {
    /// Starts the process and sends the first request. Also returns the time from before exec to the response.
    pub(crate) fn launch(program: &Program, era: Era) -> Result<(Self, Duration)> {
        let started = Instant::now();
        let mut client = Self {
            process: program.start()?,
            era,
            name: format!("{} (its log: {})", program.name, program.log.display()),
            line: Vec::new(),
            next_id: FIRST_CALL,
        };
        client.send(&era.first_request()?)?;
        client.read_response_to(1)?;
        Ok((client, started.elapsed()))
    }

    /// Starts the process and completes the handshake, so that calls of this tool can begin.
    pub(crate) fn open(program: &Program, call: Call) -> Result<Self> {
        let (mut client, _) = Self::launch(program, call.era)?;
        client.begin()?;
        client.list_tools()?;
        let listed = String::from_utf8_lossy(&client.line);
        let tool = call.listed();
        if !listed.contains(&format!("\"{tool}\"")) {
            return Err(format!("{}: doesn't list the tool {tool}", client.name).into());
        }
        Ok(client)
    }

    /// Completes the handshake, if the era has one.
    pub(crate) fn begin(&mut self) -> Result<()> {
        let message = self.era.after_first_request();
        message.map_or(Ok(()), |message| self.send(message.as_bytes()))
    }

    /// Lists the tools, which also waits for the backends of a gateway. Returns the time to the end of the response, and the number of tools.
    pub(crate) fn list_tools(&mut self) -> Result<(Duration, usize)> {
        self.list("tools/list", "\"inputSchema\"")
    }

    /// The same of another list, whose items have this member once each.
    pub(crate) fn list(&mut self, method: &str, member: &str) -> Result<(Duration, usize)> {
        let id = self.take_ids(1);
        let request = self.era.request(id, method)?;
        let sent = Instant::now();
        self.send(&request)?;
        let time = self.read_response_to(id)?.duration_since(sent);
        let items = memchr::memmem::find_iter(&self.line, member.as_bytes()).count();
        Ok((time, items))
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.write(&[message, b"\n"].concat())
    }

    fn write(&mut self, lines: &[u8]) -> Result<()> {
        let written = self.process.input()?.write_all(lines);
        written.map_err(|e| format!("{}: can't be written to: {e}", self.name).into())
    }

    /// Reads the next line into `self.line`.
    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        self.process.output.read_until(b'\n', &mut self.line)?;
        if self.line.last() != Some(&b'\n') {
            return Err(format!("{}: ended before it had responded", self.name).into());
        }
        Ok(())
    }

    /// Reads up to the response to this id. Returns when its end was read.
    fn read_response_to(&mut self, id: u64) -> Result<Instant> {
        loop {
            self.read_line()?;
            let read = Instant::now();
            let message = Incoming::read(&self.line).map_err(|e| format!("{}: {e}", self.name))?;
            if matches!(message, Incoming::Answer(answered) if answered == id) {
                return Ok(read);
            }
        }
    }

    fn has_buffered_line(&self) -> bool {
        memchr(b'\n', self.process.output.buffer()).is_some()
    }

    /// Reserves `count` ids; returns the first.
    fn take_ids(&mut self, count: usize) -> u64 {
        let first = self.next_id;
        self.next_id += count as u64;
        first
    }
}

impl CallDriver for StdioClient {
    fn sequential(&mut self, call: Call, count: usize) -> Result<Vec<Duration>> {
        let first = self.take_ids(count);
        let mut expected = Expected::new(call, first, count);
        let mut request = Vec::new();
        let mut times = Vec::with_capacity(count);
        for id in (first..).take(count) {
            request.clear();
            call.write(id, &mut request)?;
            request.push(b'\n');
            let sent = Instant::now();
            self.write(&request)?;
            loop {
                self.read_line()?;
                // Excludes the check, which takes long for a large response.
                let time = sent.elapsed();
                if expected.take(&self.line)? {
                    times.push(time);
                    break;
                }
            }
        }
        Ok(times)
    }

    fn concurrent(&mut self, call: Call, width: usize, count: usize) -> Result<ConcurrentRun> {
        let first = self.take_ids(count);
        let mut expected = Expected::new(call, first, count);
        let mut to_send = (first..).take(count);
        let mut open = 0;
        let mut requests = Vec::new();
        let started = Instant::now();
        loop {
            requests.clear();
            for id in to_send.by_ref().take(width - open) {
                call.write(id, &mut requests)?;
                requests.push(b'\n');
                open += 1;
            }
            if open == 0 {
                break;
            }
            self.write(&requests)?;
            // Takes all responses that have arrived before it writes the next calls together, as a busy client does.
            loop {
                self.read_line()?;
                if expected.take(&self.line)? {
                    open -= 1;
                }
                if !self.has_buffered_line() {
                    break;
                }
            }
        }
        Ok(ConcurrentRun {
            wall: started.elapsed(),
            progress: expected.progress,
        })
    }

    fn usage(&self) -> Option<Usage> {
        self.process.usage()
    }
}
