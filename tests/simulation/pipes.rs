//! stdin and stdout in memory. A sent message is read before the client continues.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The client's end of stdin.
pub struct Input(Arc<Pipe>);

/// The gateway's end of it.
pub struct Reader(Arc<Pipe>);

#[derive(Default)]
struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    ended: bool,
    /// All bytes have been read, and the reader unread for more.
    waiting: bool,
    /// The reader was dropped.
    closed: bool,
}

pub fn stdin() -> (Reader, Input) {
    let pipe = Arc::new(Pipe::default());
    (Reader(Arc::clone(&pipe)), Input(pipe))
}

impl Input {
    /// Sends bytes, and unread until the gateway's reader has passed them on.
    pub fn send(&self, bytes: &[u8]) {
        let mut state = self.0.state.lock().unwrap();
        state.bytes.extend(bytes);
        state.waiting = false;
        self.0.changed.notify_all();
        let unread = |state: &mut State| !state.waiting && !state.closed;
        drop(self.0.changed.wait_while(state, unread).unwrap());
    }

    pub fn end(&self) {
        self.0.state.lock().unwrap().ended = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.end();
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut state = self.0.state.lock().unwrap();
        if state.bytes.is_empty() {
            state.waiting = true;
            self.0.changed.notify_all();
            let nothing = |state: &mut State| state.bytes.is_empty() && !state.ended;
            state = self.0.changed.wait_while(state, nothing).unwrap();
        }
        state.bytes.read(into)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().closed = true;
        self.0.changed.notify_all();
    }
}

/// The client's end of stdout. Clones are the same. It may read slowly: see [`Reading`].
#[derive(Clone, Default)]
pub struct Output(Arc<(Mutex<Written>, Condvar)>);

/// The gateway's end of it.
pub struct Writer(Output);

#[derive(Default)]
struct Written {
    /// Not read yet.
    bytes: Vec<u8>,
    /// Read: the beginning of a line.
    partial: Vec<u8>,
    reading: Reading,
    /// The client has stopped reading for good.
    broken: bool,
    /// The writer was dropped.
    ended: bool,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// All that is written.
    #[default]
    Everything,
    /// At most this many bytes at a time: the gateway's writer waits in between.
    Slowly(usize),
    /// Nothing: the gateway's writer waits.
    Nothing,
}

impl Written {
    /// How many bytes the pipe takes now.
    fn room(&self) -> usize {
        match self.reading {
            Reading::Everything => usize::MAX,
            Reading::Slowly(most) => most.saturating_sub(self.bytes.len()),
            Reading::Nothing => 0,
        }
    }
}

pub fn stdout() -> (Writer, Output) {
    let output = Output::default();
    (Writer(output.clone()), output)
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.0.lock().unwrap()
    }

    /// Waits for output or its end. Returns whether one came in time.
    pub fn wait(&self, at_most: Duration) -> bool {
        let nothing = |written: &mut Written| written.bytes.is_empty() && !written.ended;
        let waited = self.0.1.wait_timeout_while(self.lock(), at_most, nothing);
        !waited.unwrap().1.timed_out()
    }

    /// The complete lines since the last call.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let mut written = self.lock();
        let bytes = std::mem::take(&mut written.bytes);
        written.partial.extend(bytes);
        self.0.1.notify_all();
        let end = written.partial.iter().rposition(|byte| *byte == b'\n');
        let whole: Vec<u8> = end.map_or(Vec::new(), |end| written.partial.drain(..=end).collect());
        let lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// Reads so from now on.
    pub fn set_reading(&self, reading: Reading) {
        self.lock().reading = reading;
        self.0.1.notify_all();
    }

    /// Stops reading for good.
    pub fn hang_up(&self) {
        self.lock().broken = true;
        self.0.1.notify_all();
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let full = |written: &mut Written| !written.broken && written.room() == 0;
        let waited = self.0.0.1.wait_while(self.0.lock(), full);
        let mut written = waited.unwrap();
        if written.broken {
            return Err(Error::from(ErrorKind::BrokenPipe));
        }
        self.0.0.1.notify_all();
        let room = written.room().min(bytes.len());
        written.bytes.write(&bytes[..room])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.0.1.notify_all();
    }
}
