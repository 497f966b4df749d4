//! Lines over a pair of byte streams (MCP `basic/transports/stdio`).
//!
//! Owns the reader thread, the writer thread and the queue before it. Both are plain OS threads:
//! a blocked pipe must not hold up the runtime, and a runtime's own stdin would keep the process
//! alive after everything is done. It must not know JSON-RPC, nor who asked for what.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use tokio::sync::{mpsc, oneshot};

/// The two streams a gateway talks over: stdin and stdout, or pipes in a test.
pub struct Io {
    /// Where the client's lines come from.
    pub reader: Box<dyn Read + Send>,
    /// Where answers go. Nothing else may write there.
    pub writer: Box<dyn Write + Send>,
}

impl Io {
    /// The process's own stdin and stdout, without the standard library's line buffering: it
    /// would search what is left of a large answer for a line end before each write to the pipe.
    ///
    /// # Errors
    /// When one of them is not open.
    pub fn stdio() -> std::io::Result<Self> {
        #[cfg(unix)]
        let (stdin, stdout) = {
            use std::os::fd::AsFd;
            (
                std::io::stdin().as_fd().try_clone_to_owned()?,
                std::io::stdout().as_fd().try_clone_to_owned()?,
            )
        };
        #[cfg(windows)]
        let (stdin, stdout) = {
            use std::os::windows::io::AsHandle;
            (
                std::io::stdin().as_handle().try_clone_to_owned()?,
                std::io::stdout().as_handle().try_clone_to_owned()?,
            )
        };
        Ok(Self {
            reader: Box::new(File::from(stdin)),
            writer: Box::new(File::from(stdout)),
        })
    }
}

/// What the reader hands over.
#[derive(Debug, PartialEq, Eq)]
pub enum Intake {
    /// One line without its end, never empty; not checked to be UTF-8.
    Line(Bytes),
    /// A line longer than the cap, thrown away up to its end.
    TooLong,
}

/// Lines that wait between the reader and the loop; past it the reader waits.
const READ_AHEAD: usize = 256;
const CHUNK: usize = 64 * 1024;
/// Lines up to here are copied out, so that a small call in flight doesn't hold a whole chunk.
const COPIED: usize = 16 * 1024;

/// Starts reading. The channel closes at EOF or at a read error.
pub fn read_lines(reader: Box<dyn Read + Send>, max_line: usize) -> mpsc::Receiver<Intake> {
    let (lines, intake) = mpsc::channel(READ_AHEAD);
    spawn("stdin", move || {
        let mut splitter = Splitter::new(max_line);
        let mut reader = reader;
        loop {
            match splitter.fill(&mut reader) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::warn!(%error, "stdin can't be read any more");
                    break;
                }
            }
            while let Some(line) = splitter.next_line() {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        }
        if let Some(rest) = splitter.rest() {
            let _ = lines.blocking_send(rest);
        }
    });
    intake
}

/// Cuts a byte stream into lines, holding at most one capped line.
struct Splitter {
    buffer: BytesMut,
    /// Bytes at the start of `buffer` known to hold no line end.
    searched: usize,
    max_line: usize,
    /// Inside a line that was too long: everything up to its end goes away.
    discarding: bool,
    at_start: bool,
}

impl Splitter {
    fn new(max_line: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            max_line,
            discarding: false,
            at_start: true,
        }
    }

    fn fill(&mut self, reader: &mut dyn Read) -> std::io::Result<usize> {
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let read = reader.read(&mut self.buffer[held..]);
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        read
    }

    fn next_line(&mut self) -> Option<Intake> {
        loop {
            let Some(at) = memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                if self.searched > self.max_line {
                    self.discarding = true;
                }
                if self.discarding {
                    // A fresh buffer, so that one long line doesn't keep its memory for ever.
                    self.buffer = BytesMut::new();
                    self.searched = 0;
                }
                return None;
            };
            let line = self.buffer.split_to(self.searched + at + 1);
            self.searched = 0;
            if std::mem::take(&mut self.discarding) || line.len() - 1 > self.max_line {
                return Some(Intake::TooLong);
            }
            if let Some(line) = self.trimmed(line) {
                return Some(Intake::Line(line));
            }
        }
    }

    /// Half a line at EOF: it may be a whole message.
    fn rest(&mut self) -> Option<Intake> {
        if self.discarding {
            return Some(Intake::TooLong);
        }
        let rest = self.buffer.split();
        self.trimmed(rest).map(Intake::Line)
    }

    fn trimmed(&mut self, line: BytesMut) -> Option<Bytes> {
        let mut text: &[u8] = &line;
        if std::mem::take(&mut self.at_start) {
            text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return None;
        }
        if text.len() <= COPIED {
            return Some(Bytes::copy_from_slice(text));
        }
        let start = text.as_ptr() as usize - line.as_ptr() as usize;
        let end = start + text.len();
        Some(line.freeze().slice(start..end))
    }
}

/// The way to the client: lines pushed here are written in order by a thread of its own.
#[derive(Clone)]
pub struct Outbox {
    queue: Arc<Queue>,
}

/// The writer's end, to be awaited at exit so that the last answer is never lost.
pub struct Writer {
    finished: oneshot::Receiver<()>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    ready: Condvar,
}

#[derive(Default)]
struct QueueState {
    pieces: VecDeque<Piece>,
    closed: bool,
}

/// A line or, of a large one, a part.
struct Piece {
    text: Bytes,
    ends_line: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts writing.
pub fn write_lines(writer: Box<dyn Write + Send>) -> (Outbox, Writer) {
    let queue = Arc::new(Queue::default());
    let (done, finished) = oneshot::channel();
    let outbox = Outbox {
        queue: Arc::clone(&queue),
    };
    spawn("stdout", move || {
        let mut writer = writer;
        if let Err(error) = drain(&queue, &mut *writer) {
            tracing::debug!(%error, "stdout is closed");
        }
        // After an error nobody reads any more: what is still pushed goes nowhere.
        let mut state = queue.lock();
        state.closed = true;
        state.pieces.clear();
        drop(state);
        let _ = done.send(());
    });
    (outbox, Writer { finished })
}

impl Outbox {
    /// Queues one line, without its end. Never waits.
    pub fn push(&self, line: Bytes) {
        self.push_parts([line]);
    }

    /// Queues one line that lies in parts, so that a large one need not be put together.
    pub fn push_parts<const N: usize>(&self, parts: [Bytes; N]) {
        let mut state = self.queue.lock();
        if !state.closed {
            let pieces = parts.into_iter().enumerate();
            state.pieces.extend(pieces.map(|(at, text)| Piece {
                text,
                ends_line: at + 1 == N,
            }));
            drop(state);
            self.queue.ready.notify_one();
        }
    }

    /// No more lines: the writer ends when it has written what is queued.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.ready.notify_one();
    }
}

impl Writer {
    /// Resolves when the writer has ended: closed and drained, or stdout broken.
    pub async fn ended(&mut self) {
        // May be asked again after the end; the channel itself may not.
        if !self.finished.is_terminated() {
            let _ = (&mut self.finished).await;
        }
    }

    /// Waits for the last line, but not for ever: a client may have stopped reading.
    pub async fn join(mut self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.ended()).await;
    }
}

/// Writes batches of what is ready: small lines in one write, large ones from where they lie.
fn drain(queue: &Queue, writer: &mut dyn Write) -> std::io::Result<()> {
    let mut batch = VecDeque::new();
    let mut gathered = Vec::with_capacity(CHUNK);
    loop {
        {
            let mut state = queue.lock();
            while state.pieces.is_empty() {
                if state.closed {
                    return Ok(());
                }
                state = queue
                    .ready
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut state.pieces, &mut batch);
        }
        for Piece {
            text: line,
            ends_line,
        } in batch.drain(..)
        {
            if line.len() > CHUNK {
                writer.write_all(&gathered)?;
                gathered.clear();
                writer.write_all(&line)?;
            } else {
                gathered.extend_from_slice(&line);
            }
            if ends_line {
                gathered.push(b'\n');
            }
            if gathered.len() >= CHUNK {
                writer.write_all(&gathered)?;
                gathered.clear();
            }
        }
        writer.write_all(&gathered)?;
        gathered.clear();
        writer.flush()?;
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(body) {
        tracing::error!(%error, "no thread for {name} can be started");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], max: usize, step: usize) -> Vec<Intake> {
        struct Stepwise<'a>(&'a [u8], usize);
        impl Read for Stepwise<'_> {
            fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
                let count = self.1.min(self.0.len()).min(out.len());
                out[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let mut reader = Stepwise(input, step);
        let mut splitter = Splitter::new(max);
        let mut found = Vec::new();
        while splitter.fill(&mut reader).unwrap() > 0 {
            found.extend(std::iter::from_fn(|| splitter.next_line()));
        }
        found.extend(splitter.rest());
        found
    }

    fn line(text: &'static str) -> Intake {
        Intake::Line(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn crlf_blank_lines_bom_and_half_a_line_at_eof() {
        for step in 1..12 {
            let found = lines(b"\xEF\xBB\xBF{}\r\n\n  \n[1]\nhalf", 100, step);
            assert_eq!(
                found,
                [line("{}"), line("[1]"), line("half")],
                "step {step}"
            );
        }
    }

    #[test]
    fn a_line_over_the_cap_is_thrown_away_and_the_next_is_served() {
        for step in [1, 7, 1000] {
            let found = lines(b"0123456789A\n0123456789\nok\n", 10, step);
            assert_eq!(
                found,
                [Intake::TooLong, line("0123456789"), line("ok")],
                "step {step}"
            );
        }
        assert_eq!(lines(b"0123456789AB", 10, 3), [Intake::TooLong]);
    }

    #[test]
    fn endless_bytes_are_not_kept() {
        let mut splitter = Splitter::new(1000);
        for _ in 0..1000 {
            splitter.fill(&mut std::io::repeat(b'x')).unwrap();
            assert_eq!(splitter.next_line(), None);
            assert!(splitter.buffer.capacity() <= 4 * CHUNK);
        }
    }

    #[tokio::test]
    async fn the_writer_writes_everything_before_it_ends() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (outbox, writer) = write_lines(Box::new(writer));
        let large = "x".repeat(3 * CHUNK);
        let reading = thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).unwrap();
            all
        });
        outbox.push(Bytes::from_static(b"one"));
        outbox.push(Bytes::from(large.clone()));
        outbox.push(Bytes::from_static(b"two"));
        outbox.close();
        writer.join(Duration::from_secs(10)).await;
        assert_eq!(reading.join().unwrap(), format!("one\n{large}\ntwo\n"));
    }
}
