//! Lines out: a queue, and a thread that writes what is in it.
//!
//! Owns the bound on what a client that reads slowly may make us keep: of what only the latest
//! matters the latest is kept, what may be missed goes first, and an answer never. What may be
//! missed is queued only where the budget has room, so that it takes none from an answer. Past a
//! cap, or when a write has hung for too long, the queue says that it is [stuck](WriteEnd::Stuck).

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::budget::Budget;

/// What is small is gathered up to this size and written together; what is larger goes out from
/// where it lies.
const CHUNK: usize = 64 * 1024;
/// With more than this waiting, or a quarter of what may, the client reads slowly: lines that matter
/// less are thinned out.
const SLOW: usize = 1024 * 1024;
/// Longest time one write may hang while more is to be written.
const HANGING: Duration = Duration::from_secs(60);

/// What becomes of a line that is no answer when the client reads slowly. None is kept where there
/// is no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropPolicy {
    /// It is kept.
    Keep,
    /// It takes the place of the last one of the same key that still waits.
    Coalesce(u64),
    /// It may be missed.
    BestEffort,
}

/// Why no more can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteEnd {
    /// Closed and drained, or stdout is broken.
    Done,
    /// The client does not read what we write.
    Stuck {
        /// How many bytes wait.
        waiting: usize,
    },
}

/// The way to the client: lines pushed here are written in order by a thread of its own.
#[derive(Clone)]
pub struct Outbox {
    queue: Arc<Queue>,
}

/// The writer's end, to be awaited at exit so that the last answer is never lost.
pub struct Writer {
    finished: oneshot::Receiver<()>,
    stuck: oneshot::Receiver<usize>,
}

struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    budget: Budget,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// How many pieces were ever taken out: the number of the first that waits.
    taken: usize,
    /// The number of the last line of each key.
    latest: HashMap<u64, usize>,
    /// Of all that is not written yet, what the writer has in hand included.
    bytes: usize,
    writing_since: Option<Instant>,
    /// The writer sleeps: only then it needs to be woken, which costs a system call.
    idle: bool,
    /// Where to tell how many bytes wait, once it is found that the client doesn't read.
    stuck: Option<oneshot::Sender<usize>>,
    /// Room for the next lines, once the writer has written out what was in it.
    spare: Vec<u8>,
    closed: bool,
}

/// What is written in one go.
enum Piece {
    /// Lines, and parts of such, one after the other.
    Gathered(Vec<u8>),
    /// A line that another may take the place of, or what is too large to be copied.
    Alone { text: Bytes, ends_line: bool },
}

impl Piece {
    /// In bytes.
    fn len(&self) -> usize {
        match self {
            Self::Gathered(lines) => lines.len(),
            Self::Alone { text, ends_line } => text.len() + line_end(*ends_line).len(),
        }
    }
}

fn line_end(ends_line: bool) -> &'static [u8] {
    if ends_line { b"\n" } else { b"" }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts writing. What waits takes room from the budget; more than the whole of it is not kept for
/// a client that doesn't read.
pub fn write_lines(writer: Box<dyn Write + Send>, budget: Budget) -> (Outbox, Writer) {
    let (done, finished) = oneshot::channel();
    let (tell_stuck, stuck) = oneshot::channel();
    let queue = Arc::new(Queue {
        state: Mutex::new(State {
            stuck: Some(tell_stuck),
            ..State::default()
        }),
        ready: Condvar::new(),
        budget,
    });
    let outbox = Outbox {
        queue: Arc::clone(&queue),
    };
    super::spawn("stdout", move || {
        let mut writer = writer;
        if let Err(error) = drain(&queue, &mut *writer) {
            tracing::debug!(%error, "stdout is closed");
        }
        // After an error nobody reads any more: what is still pushed goes nowhere.
        let mut state = queue.lock();
        state.closed = true;
        state.pieces.clear();
        queue.budget.set_waiting(0);
        drop(state);
        let _ = done.send(());
    });
    (outbox, Writer { finished, stuck })
}

impl Outbox {
    /// Queues one line, without its end. Never waits. It goes out by the next
    /// [`flush`](Self::flush) at the latest.
    pub fn push(&self, line: Bytes) {
        self.push_parts([line]);
    }

    /// Queues one line that lies in parts, so that a large one need not be put together.
    pub fn push_parts<const N: usize>(&self, parts: [Bytes; N]) {
        self.change(|state| {
            for (at, text) in parts.into_iter().enumerate() {
                state.add(text, at + 1 == N);
            }
        });
    }

    /// Queues one line that may give way to others; says whether it is on its way.
    pub fn push_with_policy(&self, line: Bytes, policy: DropPolicy) -> bool {
        let budget = &self.queue.budget;
        let slow = SLOW.min(budget.limit() / 4);
        let mut kept = true;
        self.change(|state| match policy {
            _ if !budget.fits(line.len()) => kept = false,
            DropPolicy::BestEffort if state.bytes > slow => kept = false,
            DropPolicy::BestEffort | DropPolicy::Keep => state.add(line, true),
            DropPolicy::Coalesce(key) => state.put(key, line, slow),
        });
        kept
    }

    /// Wakes the writer, if it sleeps: once for all lines that were queued together, since each time
    /// costs system calls here, there and at the client.
    pub fn flush(&self) {
        let mut state = self.queue.lock();
        if !state.pieces.is_empty() && std::mem::take(&mut state.idle) {
            drop(state);
            self.queue.ready.notify_one();
        }
    }

    /// No more lines: the writer ends when it has written what is queued.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.ready.notify_one();
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.queue.lock();
        if state.closed {
            return;
        }
        change(&mut state);
        self.queue.budget.set_waiting(state.bytes);
        let hangs = |since: Instant| since.elapsed() > HANGING;
        let stuck =
            state.bytes > self.queue.budget.limit() || state.writing_since.is_some_and(hangs);
        if stuck && let Some(tell) = state.stuck.take() {
            let _ = tell.send(state.bytes);
        }
    }
}

impl State {
    fn add(&mut self, text: Bytes, ends_line: bool) {
        if text.len() >= CHUNK {
            return self.add_alone(text, ends_line);
        }
        let mut lines = match self.pieces.pop_back() {
            Some(Piece::Gathered(lines)) if lines.len() + text.len() < CHUNK => lines,
            last => {
                let mut lines = std::mem::take(&mut self.spare);
                // Behind a large part comes little but the end of its line.
                if !matches!(last, Some(Piece::Alone { .. })) {
                    lines.reserve_exact(CHUNK);
                }
                self.pieces.extend(last);
                lines
            }
        };
        let before = lines.len();
        lines.extend_from_slice(&text);
        lines.extend_from_slice(line_end(ends_line));
        self.bytes += lines.len() - before;
        self.pieces.push_back(Piece::Gathered(lines));
    }

    fn add_alone(&mut self, text: Bytes, ends_line: bool) {
        let piece = Piece::Alone { text, ends_line };
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// Adds a line in place of the last one of its key; with no more than `slow` waiting, both stay.
    fn put(&mut self, key: u64, line: Bytes, slow: usize) {
        if let Some(waiting) = self.waiting(key) {
            let length = line.len();
            let before = std::mem::replace(waiting, line);
            self.bytes = self.bytes + length - before.len();
        } else if self.bytes + line.len() > slow {
            let number = self.taken + self.pieces.len();
            self.latest.insert(key, number);
            self.add_alone(line, true);
        } else {
            self.add(line, true);
        }
    }

    /// The last line of this key, if it still waits.
    fn waiting(&mut self, key: u64) -> Option<&mut Bytes> {
        let number = self.latest.get(&key)?;
        match self.pieces.get_mut(number.checked_sub(self.taken)?)? {
            Piece::Alone { text, .. } => Some(text),
            Piece::Gathered(_) => None,
        }
    }
}

impl Writer {
    /// Resolves when no more can be written. May be asked again; that it is stuck is said once.
    pub async fn ended(&mut self) -> WriteEnd {
        // The channel may not be asked again.
        if self.finished.is_terminated() {
            return WriteEnd::Done;
        }
        tokio::select! {
            biased;
            _ = &mut self.finished => WriteEnd::Done,
            Ok(waiting) = &mut self.stuck, if !self.stuck.is_terminated() => {
                WriteEnd::Stuck { waiting }
            }
        }
    }

    /// Waits for the last line, but not for ever: a client may have stopped reading.
    pub async fn join(mut self, at_most: Duration) {
        if !self.finished.is_terminated() {
            let _ = tokio::time::timeout(at_most, &mut self.finished).await;
        }
    }
}

/// Writes what is ready, in the order it came.
fn drain(queue: &Queue, writer: &mut dyn Write) -> std::io::Result<()> {
    let mut batch = VecDeque::new();
    let mut gathered = Vec::new();
    let mut written = 0;
    loop {
        {
            let mut state = queue.lock();
            state.bytes -= std::mem::take(&mut written);
            queue.budget.set_waiting(state.bytes);
            state.writing_since = None;
            while state.pieces.is_empty() {
                if state.closed {
                    return Ok(());
                }
                state.idle = true;
                state = queue
                    .ready
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.taken += state.pieces.len();
            state.latest.clear();
            state.writing_since = Some(Instant::now());
            std::mem::swap(&mut state.pieces, &mut batch);
            if state.spare.capacity() == 0 {
                state.spare = std::mem::take(&mut gathered);
            }
        }
        for piece in batch.drain(..) {
            written += piece.len();
            match piece {
                Piece::Gathered(lines) if gathered.capacity() == 0 => gathered = lines,
                Piece::Gathered(lines) => {
                    if gathered.len() + lines.len() > CHUNK {
                        write_out(&mut gathered, writer)?;
                    }
                    gathered.extend_from_slice(&lines);
                }
                Piece::Alone { text, ends_line } => {
                    if text.len() >= CHUNK {
                        write_out(&mut gathered, writer)?;
                        writer.write_all(&text)?;
                    } else {
                        gathered.extend_from_slice(&text);
                    }
                    gathered.extend_from_slice(line_end(ends_line));
                }
            }
            if gathered.len() >= CHUNK {
                write_out(&mut gathered, writer)?;
            }
        }
        write_out(&mut gathered, writer)?;
        writer.flush()?;
    }
}

fn write_out(gathered: &mut Vec<u8>, writer: &mut dyn Write) -> std::io::Result<()> {
    writer.write_all(gathered)?;
    gathered.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::thread;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_writer_writes_everything_before_it_ends() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (outbox, writer) = write_lines(Box::new(writer), Budget::new(usize::MAX));
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

    #[tokio::test]
    async fn lines_of_any_size_come_out_whole_and_in_order() {
        let sizes = [
            1,
            CHUNK / 2,
            CHUNK - 2,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            3 * CHUNK,
        ];
        let (reader, writer) = std::io::pipe().unwrap();
        let (outbox, writer) = write_lines(Box::new(writer), Budget::new(usize::MAX));
        let reading = thread::spawn(move || {
            let lines = BufReader::new(reader).lines().map(Result::unwrap);
            lines.collect::<Vec<String>>()
        });
        let mut due = Vec::new();
        for first in sizes {
            for second in sizes {
                for (digit, size) in [("1", first), ("2", second)] {
                    let text = digit.repeat(size);
                    let parts = [line("<"), line(&text), line(">")];
                    outbox.push_parts(parts);
                    due.push(format!("<{text}>"));
                }
                outbox.flush();
            }
        }
        outbox.close();
        writer.join(Duration::from_secs(10)).await;
        assert!(reading.join().unwrap() == due, "not what was pushed");
        assert_eq!(outbox.queue.lock().bytes, 0);
    }

    fn line(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[tokio::test]
    async fn fault_14_a_slow_client_misses_what_matters_little_and_never_an_answer() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (outbox, writer) = write_lines(Box::new(writer), Budget::new(usize::MAX));
        outbox.push(line(&"f".repeat(2 * SLOW)));
        outbox.flush();
        // The first byte is there: the writer has the line in hand, and hangs.
        reader.read_exact(&mut [0]).unwrap();
        for step in 0..1000 {
            outbox.push_with_policy(line(&format!("p1 {step}")), DropPolicy::Coalesce(1));
            outbox.push_with_policy(line(&format!("p2 {step}")), DropPolicy::Coalesce(2));
            outbox.push_with_policy(line("log"), DropPolicy::BestEffort);
        }
        outbox.push(line("answer"));
        outbox.close();
        let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        assert_eq!(lines[1..], ["p1 999", "p2 999", "answer"]);
        writer.join(Duration::from_secs(10)).await;
    }

    #[tokio::test]
    async fn what_is_no_answer_leaves_room_for_answers() {
        const ROOM: usize = 64 * 1024;
        let (mut reader, writer) = std::io::pipe().unwrap();
        let budget = Budget::new(ROOM);
        let (outbox, mut writer) = write_lines(Box::new(writer), budget.clone());
        let line = |what: u64| Bytes::from(what.to_string().repeat(ROOM / 8));
        let answer = budget.hold(line(0)).unwrap();
        let kept: Vec<bool> = (1..=30)
            .map(|what| match what % 3 {
                0 => outbox.push_with_policy(line(1), DropPolicy::Keep),
                1 => outbox.push_with_policy(line(1), DropPolicy::BestEffort),
                _ => outbox.push_with_policy(line(1), DropPolicy::Coalesce(what)),
            })
            .collect();
        assert!(kept[0] && !kept[29], "{kept:?}");
        outbox.push(answer);
        assert!(writer.ended().now_or_never().is_none(), "it is stuck");
        outbox.close();
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        let lines = all.lines().count();
        assert_eq!(lines, kept.into_iter().filter(|kept| *kept).count() + 1);
        assert!(all.ends_with("00\n"), "the answer is the last");
    }

    #[tokio::test]
    async fn fault_14_past_the_cap_the_queue_says_that_it_is_stuck() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let (outbox, mut writer) = write_lines(Box::new(writer), Budget::new(SLOW));
        outbox.push(line(&"f".repeat(2 * SLOW)));
        let WriteEnd::Stuck { waiting } = writer.ended().await else {
            panic!("nobody has closed it")
        };
        assert!(waiting > SLOW);
    }
}
