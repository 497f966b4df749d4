//! Server-sent events: bytes in, events out.
//!
//! Owns the `text/event-stream` format of the WHATWG HTML standard (section 9.2, "Server-sent
//! events"), as a push state machine without I/O. Knows nothing of JSON-RPC: the data of an
//! event stays bytes, and whether it is UTF-8 is for its parser to say.

use std::mem;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::{memchr, memchr2};

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// An id that is longer fits into no header, in which it would have to be sent back.
const MAX_ID: usize = 8 * 1024;

/// Turns the chunks of a body into events, the moment the blank line after an event is there.
///
/// [`push`](Self::push) a chunk, then take events with [`next`](Iterator::next) until it says
/// `None`, which means *more bytes are needed*, not *the end*. An event that the body's end cuts
/// off is never yielded: drop the decoder.
///
/// An event with one `data` line inside one chunk shares that chunk's memory. A line cut by the
/// chunks' ends is gathered in one buffer, each byte copied and looked at once.
#[derive(Debug)]
pub struct Decoder {
    max_event_bytes: usize,
    /// What was pushed and is not read yet.
    chunk: Bytes,
    /// The beginning of a line whose end has not come.
    partial: BytesMut,
    /// The line in hand is a comment, and thrown away as it comes.
    in_comment: bool,
    /// No line has ended yet: the next one may begin with a byte order mark.
    at_start: bool,
    /// The last line ended in CR: a LF that follows belongs to it.
    after_cr: bool,
    data: Data,
    event: Option<Bytes>,
    /// The id that the next dispatch makes the last one.
    id: String,
    last_event_id: String,
    retry: Option<Duration>,
    broken: bool,
}

/// One event as the server sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its type, where it has one other than `message`.
    pub event: Option<Bytes>,
    /// Its `data` lines, joined with `\n`. Empty for a priming event, which carries but an id
    /// (see [`Decoder::last_event_id`]) and is no message.
    pub data: Bytes,
}

/// An event outgrew the decoder's cap. The decoder yields nothing after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {limit} bytes")]
pub struct TooLarge {
    /// The cap, in bytes.
    pub limit: usize,
}

impl Decoder {
    /// A decoder for one body. An event may hold `max_event_bytes`: its data and type so far and
    /// the line being read, field name included. Comments count nothing and are not kept.
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
            last_event_id: String::new(),
            retry: None,
            broken: false,
        }
    }

    /// Hands over the next bytes of the body. Costs nothing where all events before them have
    /// been taken; else what is left is copied together with them.
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

    /// How many bytes of an unfinished event it keeps.
    pub fn held(&self) -> usize {
        self.partial.len() + self.data.len() + self.event.as_ref().map_or(0, Bytes::len)
    }

    /// The id to resume from: that of the last finished block of lines, also where that block had
    /// no data and so was no event. `None` before the first id, and after an empty one.
    ///
    /// An `id` field that holds a NUL is ignored, as the standard says; so is one that isn't
    /// UTF-8 or is longer than 8 KiB, since it couldn't be sent back as it was.
    pub fn last_event_id(&self) -> Option<&str> {
        Some(self.last_event_id.as_str()).filter(|id| !id.is_empty())
    }

    /// How long the server last asked to wait before a reconnect, if it did. Not bounded here.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }
}

impl Iterator for Decoder {
    type Item = Result<Event, TooLarge>;

    /// The next whole event; `None` when more bytes are needed.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line()? {
                Err(too_large) => return Some(Err(too_large)),
                Ok(line) if !line.is_empty() => self.field(line),
                Ok(_) => {
                    if let Some(event) = self.dispatch() {
                        return Some(Ok(event));
                    }
                }
            }
        }
    }
}

impl Decoder {
    /// The next whole line without its end; comments are passed over.
    fn next_line(&mut self) -> Option<Result<Bytes, TooLarge>> {
        if self.at_start && !self.skip_bom() {
            return None;
        }
        loop {
            self.skip_lf_after_cr();
            let Some(end) = memchr2(b'\r', b'\n', &self.chunk) else {
                return self.keep_rest().err().map(Err);
            };
            let mut line = self.chunk.split_to(end);
            self.after_cr = self.chunk[0] == b'\r';
            self.chunk.advance(1);
            if !self.partial.is_empty() {
                self.partial.extend_from_slice(&line);
                line = mem::take(&mut self.partial).freeze();
            }
            if mem::take(&mut self.in_comment) || line.first() == Some(&b':') {
                continue;
            }
            return Some(self.check_size(line.len()).map(|()| line));
        }
    }

    /// Says whether enough bytes are there to know; they stay in the chunk until then.
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

    /// Keeps the chunk's last, unfinished line for the chunks to come.
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

    /// Holds the cap over the event so far and a line of this length.
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

    /// Takes in one line of the form `name`, `name:value` or `name: value`.
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

    /// What a blank line does: the block of lines before it is an event if it had a `data` field.
    fn dispatch(&mut self) -> Option<Event> {
        self.last_event_id.clone_from(&self.id);
        let event = self.event.take();
        let data = mem::take(&mut self.data).join()?;
        Some(Event { event, data })
    }
}

/// The `data` lines of the event in hand. Nearly all events have one line, and one line is
/// carried as it is.
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
