//! Lines in: a thread that reads, and cuts what it reads into lines.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use bytes::Bytes;
use memchr::memchr;
use tokio::sync::mpsc;

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

/// Starts reading. The channel closes at EOF or at a read error.
pub fn read_lines(reader: Box<dyn Read + Send>, max_line: usize) -> mpsc::Receiver<Intake> {
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
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
            reader.consume(length);
        }
        if let Some(rest) = splitter.rest() {
            let _ = lines.blocking_send(rest);
        }
    });
    intake
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
    fn lines<'a>(&'a mut self, mut chunk: &'a [u8]) -> impl Iterator<Item = Intake> + 'a {
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
    fn line(&mut self, end: &[u8]) -> Option<Intake> {
        let mut line = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.discarding) || line.len() + end.len() > self.max_line {
            return Some(Intake::TooLong);
        }
        if line.is_empty() {
            return Some(Intake::Line(Bytes::copy_from_slice(self.trimmed(end)?)));
        }
        line.extend_from_slice(end);
        let line = Bytes::from(line);
        Some(Intake::Line(line.slice_ref(self.trimmed(&line)?)))
    }

    /// Half a line at EOF: it may be a whole message.
    fn rest(&mut self) -> Option<Intake> {
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
    use super::*;

    fn lines(input: &[u8], max: usize, step: usize) -> Vec<Intake> {
        let mut splitter = Splitter::new(max);
        let mut found = Vec::new();
        for chunk in input.chunks(step) {
            found.extend(splitter.lines(chunk));
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
            assert_eq!(splitter.lines(&[b'x'; CHUNK]).next(), None);
            assert!(splitter.held.capacity() <= 1000);
        }
        assert_eq!(splitter.lines(b"\n").next(), Some(Intake::TooLong));
    }
}
