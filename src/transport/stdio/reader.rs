//! The reader thread: splits the input into lines.
//!
//! Owns the limit on the length of a line, and parsing lines in the usual form: the time that takes
//! grows with the line, and must not block the gateway loop. It must not know methods.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use bytes::Bytes;
use memchr::memchr;
use tokio::sync::{mpsc, oneshot};

use crate::budget::Budget;
use crate::protocol::{Inbound, message};

/// What the reader sends to the gateway.
#[derive(Debug)]
pub(crate) enum StdinEvent {
    /// A line that is one message in the usual form.
    Message(Inbound),
    /// Any other line, without its end. Never empty; may not be UTF-8.
    Line(Bytes),
    /// A line that the budget has no room for.
    OverBudget(OverBudget),
    /// A line longer than the limit, which was discarded.
    TooLong,
}

/// A line that was read although the budget has no room for it: it may be a message that needs none
/// (a cancellation, a ping, a response). The next line is read after this is dropped.
#[derive(Debug)]
pub(crate) struct OverBudget {
    /// The line, unparsed.
    pub(crate) line: Bytes,
    _seen: oneshot::Sender<()>,
}

/// Most lines that wait for the gateway loop; past it the reader waits.
const READ_AHEAD: usize = 256;
/// Size of the read buffer, in bytes.
const CHUNK: usize = 64 * 1024;

/// Starts the reader thread. Lines of more than `max_line` bytes are discarded; others are charged
/// to the budget. The channel closes at the end of input or at a read error.
pub(crate) fn read_lines(
    reader: Box<dyn Read + Send>,
    max_line: usize,
    budget: Budget,
) -> mpsc::Receiver<StdinEvent> {
    let (lines, events) = mpsc::channel(READ_AHEAD);
    super::spawn("stdin", move || {
        let mut reader = BufReader::with_capacity(CHUNK, reader);
        let mut splitter = Splitter::new(max_line);
        loop {
            let chunk = match reader.fill_buf() {
                Ok([]) => break,
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::warn!(%error, "stdin can't be read any longer");
                    break;
                }
            };
            let length = chunk.len();
            for line in splitter.lines(chunk) {
                if deliver(line, &lines, &budget).is_err() {
                    return;
                }
            }
            reader.consume(length);
        }
        if let Some(rest) = splitter.rest() {
            let _ = deliver(rest, &lines, &budget);
        }
    });
    events
}

fn deliver(
    line: SplitLine,
    lines: &mpsc::Sender<StdinEvent>,
    budget: &Budget,
) -> Result<(), mpsc::error::SendError<StdinEvent>> {
    let SplitLine::Line(line) = line else {
        return lines.blocking_send(StdinEvent::TooLong);
    };
    if let Ok(line) = budget.charge_with_copy(line.clone()) {
        let event = match message::parse_fast(&line) {
            Some(message) => StdinEvent::Message(message),
            None => StdinEvent::Line(line),
        };
        return lines.blocking_send(event);
    }
    let (seen, dropped) = oneshot::channel();
    lines.blocking_send(StdinEvent::OverBudget(OverBudget {
        line: budget.charge_unchecked(line),
        _seen: seen,
    }))?;
    let _ = dropped.blocking_recv();
    Ok(())
}

/// One line of the input.
#[derive(Debug, PartialEq, Eq)]
enum SplitLine {
    Line(Bytes),
    TooLong,
}

/// Splits a byte stream into lines. Buffers at most one line of at most `max_line` bytes.
struct Splitter {
    /// The beginning of a line whose end has not been read yet.
    held: Vec<u8>,
    max_line: usize,
    /// Inside a line that is too long: discards everything up to its end.
    discarding: bool,
    at_start: bool,
}

impl Splitter {
    fn new(max_line: usize) -> Self {
        Self {
            held: Vec::new(),
            max_line,
            discarding: false,
            at_start: true,
        }
    }

    /// The lines that end in this chunk. The rest of the chunk is buffered.
    fn lines<'a>(&'a mut self, mut chunk: &'a [u8]) -> impl Iterator<Item = SplitLine> + 'a {
        std::iter::from_fn(move || {
            loop {
                let Some(at) = memchr(b'\n', chunk) else {
                    self.hold(std::mem::take(&mut chunk));
                    return None;
                };
                let (end, rest) = (&chunk[..at], &chunk[at + 1..]);
                chunk = rest;
                if let Some(line) = self.line(end) {
                    return Some(line);
                }
            }
        })
    }

    fn hold(&mut self, part: &[u8]) {
        if self.discarding || self.held.len() + part.len() > self.max_line {
            self.discarding = true;
            // Releases the memory of the long line.
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(part);
        }
    }

    /// The line that ends with these bytes, after the buffered ones; `None` if it is blank.
    fn line(&mut self, end: &[u8]) -> Option<SplitLine> {
        let mut line = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.discarding) || line.len() + end.len() > self.max_line {
            return Some(SplitLine::TooLong);
        }
        if line.is_empty() {
            return Some(SplitLine::Line(Bytes::copy_from_slice(self.trimmed(end)?)));
        }
        line.extend_from_slice(end);
        let line = Bytes::from(line);
        Some(SplitLine::Line(line.slice_ref(self.trimmed(&line)?)))
    }

    /// The last line, without a line end: it may be a whole message.
    fn rest(&mut self) -> Option<SplitLine> {
        self.line(&[])
    }

    /// A line without surrounding white space, and without the byte order mark that may begin the
    /// input; `None` if it is blank.
    fn trimmed<'a>(&mut self, mut line: &'a [u8]) -> Option<&'a [u8]> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        let text = line.trim_ascii();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::budget;

    fn lines(input: &[u8], max: usize, step: usize) -> Vec<SplitLine> {
        let mut splitter = Splitter::new(max);
        let mut found = Vec::new();
        for chunk in input.chunks(step) {
            found.extend(splitter.lines(chunk));
        }
        found.extend(splitter.rest());
        found
    }

    fn line(text: &'static str) -> SplitLine {
        SplitLine::Line(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn crlf_blank_lines_byte_order_mark_and_an_unfinished_last_line() {
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
    fn a_line_over_the_limit_is_discarded_and_the_next_is_read() {
        for step in [1, 7, 1000] {
            let found = lines(b"0123456789A\n0123456789\nok\n", 10, step);
            assert_eq!(
                found,
                [SplitLine::TooLong, line("0123456789"), line("ok")],
                "step {step}"
            );
        }
        assert_eq!(lines(b"0123456789AB", 10, 3), [SplitLine::TooLong]);
    }

    #[test]
    fn an_endless_line_is_not_buffered() {
        let mut splitter = Splitter::new(1000);
        for _ in 0..1000 {
            assert_eq!(splitter.lines(&[b'x'; CHUNK]).next(), None);
            assert!(splitter.held.capacity() <= 1000);
        }
        assert_eq!(splitter.lines(b"\n").next(), Some(SplitLine::TooLong));
    }

    /// The budget has room for one of these lines.
    #[test]
    fn a_line_over_the_budget_is_delivered_before_the_next_is_read() {
        let length = 2 * budget::FREE_BELOW;
        let budget = Budget::new(2 * length);
        let (input, mut output) = std::io::pipe().unwrap();
        let mut events = read_lines(Box::new(input), 10 * length, budget);
        let large = vec![b'x'; length];
        for line in [&large[..], &large, b"small"] {
            output.write_all(line).unwrap();
            output.write_all(b"\n").unwrap();
        }
        drop(output);
        let Some(StdinEvent::Line(first)) = events.blocking_recv() else {
            panic!("the first has room")
        };
        let Some(StdinEvent::OverBudget(second)) = events.blocking_recv() else {
            panic!("the second has none")
        };
        assert_eq!((first.len(), second.line.len()), (length, length));
        assert!(
            events.try_recv().is_err(),
            "the next line was read before the line over the budget was dropped"
        );
        drop(second);
        assert!(
            matches!(events.blocking_recv(), Some(StdinEvent::Line(small)) if small == "small")
        );
        assert!(events.blocking_recv().is_none());
    }
}
