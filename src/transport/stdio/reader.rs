//! Lines in: a thread that reads, and cuts what it reads into lines.

use std::io::{ErrorKind, Read};

use bytes::{Bytes, BytesMut};
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
/// Lines up to here are copied out, so that a small call in flight doesn't hold a whole chunk.
const COPIED: usize = 16 * 1024;

/// Starts reading. The channel closes at EOF or at a read error.
pub fn read_lines(reader: Box<dyn Read + Send>, max_line: usize) -> mpsc::Receiver<Intake> {
    let (lines, intake) = mpsc::channel(READ_AHEAD);
    super::spawn("stdin", move || {
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
}
