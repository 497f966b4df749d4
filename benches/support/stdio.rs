//! The client of a process that speaks MCP over stdio: the gateway and the relay look the same from here.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use memchr::memchr;

use super::Result;
use super::call::{Call, Era, FIRST_CALL, Incoming};
use super::drive::{Drive, Expected, Flood};
use super::process::{Process, Program};
use super::usage::Usage;

pub(crate) struct StdioClient {
    process: Process,
    era: Era,
    /// Names the process, and where to look, in an error.
    name: String,
    line: Vec<u8>,
    next_id: u64,
}

impl StdioClient {
    /// Starts the process and has it answer the client's greeting, nothing more: the time from before exec to the answer.
    pub(crate) fn launch(program: &Program, era: Era) -> Result<(Self, Duration)> {
        let started = Instant::now();
        let mut client = Self {
            process: program.start()?,
            era,
            name: format!("{} (its log: {})", program.name, program.log.display()),
            line: Vec::new(),
            next_id: FIRST_CALL,
        };
        client.send(&era.greeting()?)?;
        client.answer_to(1)?;
        Ok((client, started.elapsed()))
    }

    /// Starts the process and brings it to where calls of this tool can begin.
    pub(crate) fn open(program: &Program, call: Call) -> Result<Self> {
        let (mut client, _) = Self::launch(program, call.era)?;
        client.begin()?;
        client.list_tools()?;
        let listed = String::from_utf8_lossy(&client.line);
        let tool = call.tool;
        if !listed.contains(&format!("\"{tool}\"")) {
            return Err(format!("{}: doesn't list the tool {tool}", client.name).into());
        }
        Ok(client)
    }

    /// Ends the handshake, where the era has one.
    pub(crate) fn begin(&mut self) -> Result<()> {
        let message = self.era.after_greeting();
        message.map_or(Ok(()), |message| self.send(message.as_bytes()))
    }

    /// Asks for the list of tools, which also waits for the backends behind a gateway: the time to the end of the answer, and how many
    /// there are.
    pub(crate) fn list_tools(&mut self) -> Result<(Duration, usize)> {
        let id = self.take_ids(1);
        let request = self.era.request(id, "tools/list")?;
        let sent = Instant::now();
        self.send(&request)?;
        let time = self.answer_to(id)?.duration_since(sent);
        let tools = memchr::memmem::find_iter(&self.line, br#""inputSchema""#).count();
        Ok((time, tools))
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.write(&[message, b"\n"].concat())
    }

    fn write(&mut self, lines: &[u8]) -> Result<()> {
        let written = self.process.input()?.write_all(lines);
        written.map_err(|e| format!("{}: takes no more: {e}", self.name).into())
    }

    /// Reads the next line into `self.line`.
    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        self.process.output.read_until(b'\n', &mut self.line)?;
        if self.line.last() != Some(&b'\n') {
            return Err(format!("{}: ended before it had answered", self.name).into());
        }
        Ok(())
    }

    /// Reads up to the answer to this id: when its end was there.
    fn answer_to(&mut self, id: u64) -> Result<Instant> {
        loop {
            self.read_line()?;
            let read = Instant::now();
            let message = Incoming::read(&self.line).map_err(|e| format!("{}: {e}", self.name))?;
            if matches!(message, Incoming::Answer(answered) if answered == id) {
                return Ok(read);
            }
        }
    }

    fn a_line_is_ready(&self) -> bool {
        memchr(b'\n', self.process.output.buffer()).is_some()
    }

    /// Sets `count` ids aside, and the first of them.
    fn take_ids(&mut self, count: usize) -> u64 {
        let first = self.next_id;
        self.next_id += count as u64;
        first
    }
}

impl Drive for StdioClient {
    fn one_by_one(&mut self, call: Call, count: usize) -> Result<Vec<Duration>> {
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
                // The clock stops before the check, which takes its time on a large answer.
                let time = sent.elapsed();
                if expected.take(&self.line)? {
                    times.push(time);
                    break;
                }
            }
        }
        Ok(times)
    }

    fn side_by_side(&mut self, call: Call, width: usize, count: usize) -> Result<Flood> {
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
            // Whatever has come is taken before the next calls go out together: a busy client reads and writes in such gulps.
            loop {
                self.read_line()?;
                if expected.take(&self.line)? {
                    open -= 1;
                }
                if !self.a_line_is_ready() {
                    break;
                }
            }
        }
        Ok(Flood {
            wall: started.elapsed(),
            progress: expected.progress,
        })
    }

    fn usage(&self) -> Option<Usage> {
        self.process.usage()
    }
}
