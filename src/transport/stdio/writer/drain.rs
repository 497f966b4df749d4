//! The work of the writer thread.
//!
//! Owns how much is written at once, and the progress that the client makes. It must not know what is
//! queued next.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::mem::take;
use std::time::Duration;

use tokio::time::Instant;

use super::queued::{CHUNK, Piece, Queue, SMALL_WRITE, line_end};

/// A write that takes longer goes to such a client.
const QUICK: Duration = Duration::from_millis(100);

/// Writes the queue in order, until it is closed and empty.
pub(super) fn drain(queue: &Queue, writer: Box<dyn Write + Send>) -> std::io::Result<()> {
    let mut pipe = Pipe {
        writer,
        queue,
        at_once: SMALL_WRITE,
    };
    let mut batch = VecDeque::new();
    let mut gathered = Vec::new();
    let mut written = 0;
    loop {
        {
            let mut state = queue.lock();
            state.bytes -= take(&mut written);
            queue.budget.set_waiting(state.bytes);
            state.is_writing = false;
            while state.is_empty() {
                if state.closed {
                    return Ok(());
                }
                state.idle = true;
                state = queue.ready.wait(state);
            }
            state.take_next(&mut batch);
            state.is_writing = true;
            queue.progress.lock().at = Instant::now();
            if state.spare.capacity() == 0 {
                state.spare = take(&mut gathered);
            }
        }
        for piece in batch.drain(..) {
            written += piece.len();
            match piece {
                Piece::Gathered(lines) if gathered.capacity() == 0 => gathered = lines,
                Piece::Gathered(lines) => {
                    if gathered.len() + lines.len() > CHUNK {
                        pipe.write_out(&mut gathered)?;
                    }
                    gathered.extend_from_slice(&lines);
                }
                Piece::Alone { text, ends_line } => {
                    if text.len() >= CHUNK {
                        pipe.write_out(&mut gathered)?;
                        pipe.write(&text)?;
                    } else {
                        gathered.extend_from_slice(&text);
                    }
                    gathered.extend_from_slice(line_end(ends_line));
                }
            }
            if gathered.len() >= CHUNK {
                pipe.write_out(&mut gathered)?;
            }
        }
        pipe.write_out(&mut gathered)?;
        pipe.writer.flush()?;
    }
}

/// The way to the client. It says how much the client has taken.
struct Pipe<'a> {
    writer: Box<dyn Write + Send>,
    queue: &'a Queue,
    /// Most bytes of the next write: few while the client reads slowly, so that each is noticed.
    at_once: usize,
}

impl Pipe<'_> {
    fn write_out(&mut self, gathered: &mut Vec<u8>) -> std::io::Result<()> {
        self.write(gathered)?;
        gathered.clear();
        Ok(())
    }

    fn write(&mut self, mut text: &[u8]) -> std::io::Result<()> {
        while !text.is_empty() {
            let part = &text[..text.len().min(self.at_once)];
            let taken = match self.writer.write(part) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            text = &text[taken..];
            let now = Instant::now();
            let mut progress = self.queue.progress.lock();
            self.at_once = match now - progress.at < QUICK {
                true => (2 * self.at_once).min(CHUNK),
                false => SMALL_WRITE,
            };
            progress.taken += taken as u64;
            progress.at = now;
        }
        Ok(())
    }
}
