//! Server-sent events: bytes in, events out.
//!
//! Owns the `text/event-stream` format (WHATWG HTML, section 9.2, "Server-sent events") as a push
//! state machine without I/O. It must not know JSON-RPC: the data of an event stays bytes, and its
//! parser checks whether it is UTF-8.

use std::mem;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::{memchr, memchr2};

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// A longer id does not fit into the `Last-Event-ID` header.
const MAX_ID: usize = 8 * 1024;
/// Most lines that one step reads.
const STEP_LINES: usize = 256;
/// The work of a step that ends with [`Step::Pause`], beside that of its bytes: as much as copying so
/// many.
pub const STEP_WORK: usize = 16 * STEP_LINES;

/// Turns the chunks of a body into events, each as soon as the blank line after it has come.
///
/// [`push`](Self::push) a chunk, then take events with [`step`](Self::step) until it needs more
/// bytes; or with [`next`](Iterator::next) until it returns `None`, which means the same, not *the
/// end*. An event that the body's end cuts off is none: only [`cut_off`](Self::cut_off) yields it.
///
/// An event with one `data` line inside one chunk shares that chunk's memory. A line that spans
/// chunks is collected in one buffer: each byte is copied and scanned once.
#[derive(Debug)]
pub struct Decoder {
    max_event_bytes: usize,
    /// Pushed and not read yet.
    chunk: Bytes,
    /// The beginning of a line that is not complete.
    partial: BytesMut,
    /// The current line is a comment; its bytes are discarded.
    in_comment: bool,
    /// No line has ended yet: the first may begin with a byte order mark.
    at_start: bool,
    /// The last line ended in CR: a following LF belongs to it.
    after_cr: bool,
    data: Data,
    event: Option<Bytes>,
    /// The id that becomes `last_event_id` at the next blank line.
    id: String,
    /// It is not that of the last blank line.
    id_is_new: bool,
    last_event_id: String,
    retry: Option<Duration>,
    broken: bool,
}

/// One event as the server sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its type, where it has one other than `message`.
    pub event: Option<Bytes>,
    /// Its `data` lines, joined with `\n`. Empty for a priming event, which carries only an id
    /// (see [`Decoder::last_event_id`]) and no message.
    pub data: Bytes,
}

/// An event is over the decoder's cap. The decoder yields nothing after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {limit} bytes")]
pub struct TooLarge {
    /// The cap, in bytes.
    pub limit: usize,
}

impl Decoder {
    /// A decoder for one body. An event may have at most `max_event_bytes`: its data, its type and
    /// the line being read, field name included. Comments are not kept and don't count.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            chunk: Bytes::new(),
            partial: BytesMut::new(),
            in_comment: false,
            at_start: true,
            after_cr: false,
            data: Data::None,
            event: None,
            id: String::new(),
            id_is_new: false,
            last_event_id: String::new(),
            retry: None,
            broken: false,
        }
    }

    /// Adds the next bytes of the body. Free when all earlier events have been taken; otherwise the
    /// rest is copied together with the new bytes.
    pub fn push(&mut self, chunk: Bytes) {
        if self.broken {
            return;
        }
        self.chunk = if self.chunk.is_empty() {
            chunk
        } else {
            [mem::take(&mut self.chunk), chunk].concat().into()
        };
    }

    /// Bytes of the unfinished event that it holds.
    pub fn held(&self) -> usize {
        self.partial.len() + self.data.len() + self.event.as_ref().map_or(0, Bytes::len)
    }

    /// The event that the body's end has cut off before its blank line, if it has data. The last line
    /// may be cut off, too: the caller must be able to tell that the data is whole.
    pub fn cut_off(&mut self) -> Option<Event> {
        let line = mem::take(&mut self.partial).freeze();
        if line.starts_with(b"data") {
            self.field(line);
        }
        let data = mem::take(&mut self.data).join()?;
        let event = self.event.take();
        Some(Event { event, data })
    }

    /// The id to resume from: that of the last complete block of lines, even of a block without
    /// data, which is no event. `None` before the first id and after an empty one.
    ///
    /// An `id` field that holds a NUL is ignored, as the standard says; so is one that isn't
    /// UTF-8 or is longer than 8 KiB, since it couldn't be sent back unchanged.
    pub fn last_event_id(&self) -> Option<&str> {
        Some(self.last_event_id.as_str()).filter(|id| !id.is_empty())
    }

    /// The last `retry` field: the wait before a reconnect. Not bounded here.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }
}

/// What one step of a [`Decoder`] has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An event is complete.
    Event(Event),
    /// So many lines were read that others should have a turn before the next step.
    Pause,
    /// More bytes are needed.
    NeedsBytes,
}

impl Iterator for Decoder {
    type Item = Result<Event, TooLarge>;

    /// The next complete event; `None` when more bytes are needed.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Step::Event(event)) => return Some(Ok(event)),
                Ok(Step::Pause) => {}
                Ok(Step::NeedsBytes) => return None,
                Err(too_large) => return Some(Err(too_large)),
            }
        }
    }
}

impl Decoder {
    /// Reads up to the end of the next event, but a bounded number of lines.
    ///
    /// # Errors
    /// If an event is over the cap.
    pub fn step(&mut self) -> Result<Step, TooLarge> {
        for _ in 0..STEP_LINES {
            let Some(line) = self.next_line()? else {
                return Ok(Step::NeedsBytes);
            };
            match line {
                Line::Comment => {}
                Line::Field(line) => self.field(line),
                Line::Blank => {
                    if let Some(event) = self.dispatch() {
                        return Ok(Step::Event(event));
                    }
                }
            }
        }
        Ok(Step::Pause)
    }

    /// The next complete line without its line end.
    fn next_line(&mut self) -> Result<Option<Line>, TooLarge> {
        if self.at_start && !self.skip_bom() {
            return Ok(None);
        }
        self.skip_lf_after_cr();
        let Some(end) = memchr2(b'\r', b'\n', &self.chunk) else {
            return self.keep_rest().map(|()| None);
        };
        let mut line = self.chunk.split_to(end);
        self.after_cr = self.chunk[0] == b'\r';
        self.chunk.advance(1);
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(&line);
            line = mem::take(&mut self.partial).freeze();
        }
        if mem::take(&mut self.in_comment) || line.first() == Some(&b':') {
            return Ok(Some(Line::Comment));
        }
        self.check_size(line.len())?;
        Ok(Some(match line.is_empty() {
            true => Line::Blank,
            false => Line::Field(line),
        }))
    }

    /// Returns whether there are enough bytes to decide; until then they stay in the chunk.
    fn skip_bom(&mut self) -> bool {
        if self.chunk.starts_with(BOM) {
            self.chunk.advance(BOM.len());
        } else if BOM.starts_with(&self.chunk) {
            return false;
        }
        self.at_start = false;
        true
    }

    fn skip_lf_after_cr(&mut self) {
        if self.after_cr && !self.chunk.is_empty() {
            self.after_cr = false;
            if self.chunk[0] == b'\n' {
                self.chunk.advance(1);
            }
        }
    }

    /// Keeps the chunk's last, incomplete line for the next chunk.
    fn keep_rest(&mut self) -> Result<(), TooLarge> {
        let rest = mem::take(&mut self.chunk);
        if self.in_comment {
            return Ok(());
        }
        if self.partial.is_empty() && rest.first() == Some(&b':') {
            self.in_comment = true;
            return Ok(());
        }
        self.partial.extend_from_slice(&rest);
        self.check_size(self.partial.len())
    }

    /// Checks the cap for the event so far and a line of this length.
    fn check_size(&mut self, line_len: usize) -> Result<(), TooLarge> {
        let event_len = self.data.len() + self.event.as_ref().map_or(0, Bytes::len);
        if event_len + line_len <= self.max_event_bytes {
            return Ok(());
        }
        let limit = self.max_event_bytes;
        *self = Self {
            broken: true,
            ..Self::new(limit)
        };
        Err(TooLarge { limit })
    }

    /// Processes one line of the form `name`, `name:value` or `name: value`.
    fn field(&mut self, mut line: Bytes) {
        let colon = memchr(b':', &line);
        let value_at = match colon {
            Some(colon) if line.get(colon + 1) == Some(&b' ') => colon + 2,
            Some(colon) => colon + 1,
            None => line.len(),
        };
        match &line[..colon.unwrap_or(line.len())] {
            b"data" => {
                line.advance(value_at);
                self.data.push_line(line);
            }
            b"event" => {
                line.advance(value_at);
                self.event = Some(line).filter(|kind| !matches!(&kind[..], b"" | b"message"));
            }
            b"id" => self.set_id(&line[value_at..]),
            b"retry" => self.set_retry(&line[value_at..]),
            _ => {}
        }
    }

    fn set_id(&mut self, value: &[u8]) {
        if let Ok(id) = std::str::from_utf8(value)
            && id.len() <= MAX_ID
            && !id.contains('\0')
        {
            self.id.clear();
            self.id.push_str(id);
            self.id_is_new = true;
        }
    }

    fn set_retry(&mut self, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        let millis = value.iter().try_fold(0u64, |millis, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            Some(millis.saturating_mul(10).saturating_add(digit))
        });
        if let Some(millis) = millis {
            self.retry = Some(Duration::from_millis(millis));
        }
    }

    /// Processes a blank line: the block before it is an event if it had a `data` field.
    fn dispatch(&mut self) -> Option<Event> {
        // A blank line costs no copy of an id that was sent once.
        if mem::take(&mut self.id_is_new) {
            self.last_event_id.clone_from(&self.id);
        }
        let event = self.event.take();
        let data = mem::take(&mut self.data).join()?;
        Some(Event { event, data })
    }
}

enum Line {
    Comment,
    Blank,
    Field(Bytes),
}

/// The `data` lines of the current event. Nearly all events have one line, which is not copied.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    Line(Bytes),
    Lines(BytesMut),
}

impl Data {
    fn push_line(&mut self, line: Bytes) {
        match self {
            Self::None => *self = Self::Line(line),
            Self::Line(first) => {
                let mut lines = BytesMut::with_capacity(2 * (first.len() + 1 + line.len()));
                lines.extend_from_slice(first);
                *self = Self::Lines(lines);
                self.push_line(line);
            }
            Self::Lines(lines) => {
                lines.put_u8(b'\n');
                lines.extend_from_slice(&line);
            }
        }
    }

    fn join(self) -> Option<Bytes> {
        match self {
            Self::None => None,
            Self::Line(line) => Some(line),
            Self::Lines(lines) => Some(lines.freeze()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Line(line) => line.len(),
            Self::Lines(lines) => lines.len(),
        }
    }
}

#[cfg(test)]
mod tests;
