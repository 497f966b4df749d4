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

/// The client's end of stdout. Clones are the same.
#[derive(Clone, Default)]
pub struct Output(Arc<(Mutex<Written>, Condvar)>);

/// The gateway's end of it.
pub struct Writer(Output);

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    /// The client has stopped reading.
    broken: bool,
    /// The writer was dropped.
    ended: bool,
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
        let end = written.bytes.iter().rposition(|byte| *byte == b'\n');
        let whole: Vec<u8> = end.map_or(Vec::new(), |end| written.bytes.drain(..=end).collect());
        let lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// Stops reading for good.
    pub fn hang_up(&self) {
        self.lock().broken = true;
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.lock();
        if written.broken {
            return Err(Error::from(ErrorKind::BrokenPipe));
        }
        self.0.0.1.notify_all();
        written.bytes.write(bytes)
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
