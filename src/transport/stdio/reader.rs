//! Lines in: a thread that reads, and cuts what it reads into lines.
//!
//! A line that is a message of the usual form is read as one right here: that takes as long as the
//! line, and the loop is not held up by a large one.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use bytes::Bytes;
use memchr::memchr;
use tokio::sync::{mpsc, oneshot};

use crate::budget::Budget;
use crate::protocol::{Inbound, message};

/// What the reader hands over.
#[derive(Debug)]
pub enum StdinEvent {
    /// One line that is one message.
    Message(Inbound),
    /// Any other without its end, never empty; not checked to be UTF-8.
    Line(Bytes),
    /// The same where there is no room for what it may ask for.
    OverBudget(OverBudget),
    /// A line longer than the cap, thrown away up to its end.
    TooLong,
}

/// A line that was read though there is no room for it, so that what needs none (a cancellation, a
/// ping, an answer) is heard all the same. No other is read until this is dropped.
#[derive(Debug)]
pub struct OverBudget {
    /// Whatever it is.
    pub line: Bytes,
    _seen: oneshot::Sender<()>,
}

/// Lines that wait between the reader and the loop; past it the reader waits.
const READ_AHEAD: usize = 256;
const CHUNK: usize = 64 * 1024;

/// Starts reading: lines take their room from the budget along. The channel closes at EOF or at a read error.
pub fn read_lines(
    reader: Box<dyn Read + Send>,
    max_line: usize,
    budget: Budget,
) -> mpsc::Receiver<StdinEvent> {
    let (lines, intake) = mpsc::channel(READ_AHEAD);
    super::spawn("stdin", move || {
        let mut reader = BufReader::with_capacity(CHUNK, reader);
        let mut splitter = Splitter::new(max_line);
        loop {
            let chunk = match reader.fill_buf() {
                Ok([]) => break,
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::warn!(%error, "stdin can't be read any more");
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
    intake
}

fn deliver(
    cut: SplitLine,
    lines: &mpsc::Sender<StdinEvent>,
    budget: &Budget,
) -> Result<(), mpsc::error::SendError<StdinEvent>> {
    let SplitLine::Line(line) = cut else {
        return lines.blocking_send(StdinEvent::TooLong);
    };
    if let Ok(line) = budget.charge_with_copy(line.clone()) {
        let intake = match message::parse_fast(&line) {
            Some(message) => StdinEvent::Message(message),
            None => StdinEvent::Line(line),
        };
        return lines.blocking_send(intake);
    }
    let (seen, dropped) = oneshot::channel();
    lines.blocking_send(StdinEvent::OverBudget(OverBudget {
        line: budget.charge_unchecked(line),
        _seen: seen,
    }))?;
    let _ = dropped.blocking_recv();
    Ok(())
}

/// What a byte stream is cut into.
#[derive(Debug, PartialEq, Eq)]
enum SplitLine {
    Line(Bytes),
    TooLong,
}

/// Cuts a byte stream into lines, holding at most one capped line.
struct Splitter {
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    max_line: usize,
    /// Inside a line that was too long: everything up to its end goes away.
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

    /// The lines that end in this chunk; what is left of it is held.
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
            // Its memory goes too, so that one long line doesn't keep it for ever.
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(part);
        }
    }

    /// The line that ends with these bytes, behind those that are held.
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

    /// Half a line at EOF: it may be a whole message.
    fn rest(&mut self) -> Option<SplitLine> {
        self.line(&[])
    }

    /// A line without white space around it, and without the mark that a stream may begin with;
    /// nothing of a blank one.
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
                [SplitLine::TooLong, line("0123456789"), line("ok")],
                "step {step}"
            );
        }
        assert_eq!(lines(b"0123456789AB", 10, 3), [SplitLine::TooLong]);
    }

    #[test]
    fn endless_bytes_are_not_kept() {
        let mut splitter = Splitter::new(1000);
        for _ in 0..1000 {
            assert_eq!(splitter.lines(&[b'x'; CHUNK]).next(), None);
            assert!(splitter.held.capacity() <= 1000);
        }
        assert_eq!(splitter.lines(b"\n").next(), Some(SplitLine::TooLong));
    }

    /// Room for one of these lines, and a loop that takes its time.
    #[test]
    fn a_line_without_room_is_handed_over_alone() {
        let length = 2 * budget::FREE_BELOW;
        let budget = Budget::new(2 * length);
        let (input, mut output) = std::io::pipe().unwrap();
        let mut intake = read_lines(Box::new(input), 10 * length, budget);
        let large = vec![b'x'; length];
        for line in [&large[..], &large, b"small"] {
            output.write_all(line).unwrap();
            output.write_all(b"\n").unwrap();
        }
        drop(output);
        let Some(StdinEvent::Line(first)) = intake.blocking_recv() else {
            panic!("the first has room")
        };
        let Some(StdinEvent::OverBudget(second)) = intake.blocking_recv() else {
            panic!("the second has none")
        };
        assert_eq!((first.len(), second.line.len()), (length, length));
        assert!(
            intake.try_recv().is_err(),
            "read on beside a line without room"
        );
        drop(second);
        assert!(
            matches!(intake.blocking_recv(), Some(StdinEvent::Line(small)) if small == "small")
        );
        assert!(intake.blocking_recv().is_none());
    }
}
