//! Content codings of response bodies (RFC 9110, section 8.4.1): compressed bytes in, the body out.
//!
//! Owns the decoders, a bound on the work of one step, and the limit on how much a few bytes may
//! become. Without I/O. It must not know what a body contains.

use std::io;

use bytes::{Buf, Bytes};
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZlibDecoder};

/// The codings that are understood, as a value of `Accept-Encoding`.
pub(super) const ACCEPTED: &str = "gzip, br, deflate";
/// Most bytes that one step puts out.
const STEP: usize = 16 * 1024;
/// Most bytes that one step takes in. They may be hundreds of empty blocks.
const STEP_INPUT: usize = 1024;
/// More than one message may become this many times what was received. Text of a tool is rarely packed
/// better than 50 times; gzip reaches 1,000 times and brotli far more only where the same bytes are
/// repeated without end.
pub(in crate::backend) const MAX_RATIO: u64 = 200;
/// So many bytes may come out whatever came in, if one message may not be larger.
const FREE: u64 = 1024 * 1024;

/// Decodes one body.
pub(super) struct Decompressor {
    codec: Box<dyn DecodeV2 + Send + Sync>,
    /// Received and not decoded yet.
    input: Bytes,
    /// The last step has filled its output: there may be more without more input.
    unfinished: bool,
    /// The compressed data has ended.
    ended: bool,
    received: u64,
    produced: u64,
    /// So many bytes may come out whatever came in.
    free: u64,
}

/// Why a body can't be decoded.
#[derive(Debug)]
pub(super) enum Undecodable {
    /// It is not what its coding says, or more follows its end.
    Malformed(String),
    /// It ends in the middle.
    Truncated,
    /// It becomes more than [`MAX_RATIO`] times what was received.
    OverRatio,
}

impl Decompressor {
    /// The decoder for this `Content-Encoding`; `None` for one that is not known, whose body is left
    /// as it is. One message may have `max_message` bytes, however well it is packed: a table may hold
    /// nothing but zeros.
    pub(super) fn of(coding: &[u8], max_message: usize) -> Option<Self> {
        let codec: Box<dyn DecodeV2 + Send + Sync> = match coding {
            coding if coding.eq_ignore_ascii_case(b"gzip") => Box::new(GzipDecoder::new()),
            coding if coding.eq_ignore_ascii_case(b"br") => Box::new(BrotliDecoder::new()),
            coding if coding.eq_ignore_ascii_case(b"deflate") => Box::new(ZlibDecoder::new()),
            _ => return None,
        };
        Some(Self {
            codec,
            input: Bytes::new(),
            unfinished: false,
            ended: false,
            received: 0,
            produced: 0,
            free: FREE.max(max_message as u64),
        })
    }

    /// Adds received bytes, when [`step`](Self::step) has returned `None`.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.received += bytes.len() as u64;
        self.input = bytes;
    }

    /// Decodes up to 16 KiB; `None` when more input is needed. The result may be empty: a step takes
    /// in a bounded number of bytes too.
    ///
    /// # Errors
    /// If the bytes can't be decoded, or become too many.
    pub(super) fn step(&mut self) -> Result<Option<Bytes>, Undecodable> {
        if self.ended {
            return match self.input.is_empty() {
                true => Ok(None),
                false => Err(Undecodable::Malformed("bytes follow its end".into())),
            };
        }
        if self.input.is_empty() && !self.unfinished {
            return Ok(None);
        }
        // Small answers get small buffers.
        let expected = self.input.len().saturating_mul(8);
        let mut bytes = vec![0; expected.clamp(1024, STEP)];
        let mut output = WriteBuffer::new_initialized(&mut bytes);
        if self.input.is_empty() {
            self.codec.flush(&mut output).map_err(malformed)?;
        } else {
            let end = self.input.len().min(STEP_INPUT);
            let mut input = PartialBuffer::new(&self.input[..end]);
            let decoded = self.codec.decode(&mut input, &mut output);
            self.ended = decoded.map_err(malformed)?;
            let taken = input.written_len();
            self.input.advance(taken);
        }
        self.unfinished = output.has_no_spare_space();
        let length = output.written_len();
        bytes.truncate(length);
        self.produced += length as u64;
        if self.produced > self.free.max(self.received.saturating_mul(MAX_RATIO)) {
            return Err(Undecodable::OverRatio);
        }
        Ok(Some(bytes.into()))
    }

    /// The body has ended. An empty body needs no coding.
    ///
    /// # Errors
    /// If compressed data is missing.
    pub(super) fn finish(&mut self) -> Result<(), Undecodable> {
        if self.ended || self.received == 0 {
            return Ok(());
        }
        // Where the last step ended with both its input and its output, it has not seen the end.
        let mut rest = [0; 1024];
        let mut output = WriteBuffer::new_initialized(&mut rest);
        match self.codec.finish(&mut output) {
            Ok(true) if output.written_len() == 0 => Ok(()),
            _ => Err(Undecodable::Truncated),
        }
    }
}

fn malformed(error: io::Error) -> Undecodable {
    Undecodable::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    /// The body that these chunks become.
    fn decode(coding: &str, chunks: &[&[u8]]) -> Result<Vec<u8>, Undecodable> {
        let mut decompressor = Decompressor::of(coding.as_bytes(), 0).unwrap();
        let mut body = Vec::new();
        for chunk in chunks {
            decompressor.push(Bytes::copy_from_slice(chunk));
            while let Some(bytes) = decompressor.step()? {
                assert!(bytes.len() <= STEP);
                body.extend_from_slice(&bytes);
            }
        }
        decompressor.finish().map(|()| body)
    }

    fn encoded(body: &[u8]) -> [(&'static str, Vec<u8>); 3] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(body).unwrap();
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::best());
        deflate.write_all(body).unwrap();
        let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
        brotli.write_all(body).unwrap();
        [
            ("gzip", gzip.finish().unwrap()),
            ("Deflate", deflate.finish().unwrap()),
            ("br", brotli.into_inner()),
        ]
    }

    /// Text that is packed about 20 times.
    fn text(length: usize) -> Vec<u8> {
        let lines = (0..).map(|line| format!("{{\"line\":{line},\"text\":\"of a log\"}},"));
        let mut text = Vec::new();
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            if text.len() >= length {
                text.truncate(length);
                return text;
            }
        }
        text
    }

    #[test]
    fn every_coding_is_decoded_however_it_is_split() {
        for length in [0, 1, 100, STEP - 1, STEP, STEP + 1, 300_000] {
            let body = text(length);
            for (coding, packed) in encoded(&body) {
                for size in [1, 7, 1000, packed.len()] {
                    let chunks: Vec<&[u8]> = packed.chunks(size).collect();
                    let decoded = decode(coding, &chunks).unwrap();
                    assert!(decoded == body, "{coding}: {length} bytes, {size} a chunk");
                }
            }
        }
    }

    /// A server of events flushes after each: it must not wait for the next one.
    #[test]
    fn what_was_flushed_comes_out_at_once() {
        let body = text(3 * STEP);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&body).unwrap();
        gzip.flush().unwrap();
        let mut decompressor = Decompressor::of(b"gzip", 0).unwrap();
        decompressor.push(gzip.get_ref().clone().into());
        let mut decoded = Vec::new();
        while let Some(bytes) = decompressor.step().unwrap() {
            decoded.extend_from_slice(&bytes);
        }
        assert!(decoded == body);
        assert!(matches!(decompressor.finish(), Err(Undecodable::Truncated)));
    }

    #[test]
    fn fault_40_a_bomb_is_given_up_early() {
        for (coding, packed) in encoded(&vec![b'a'; 64 << 20]) {
            let mut decompressor = Decompressor::of(coding.as_bytes(), 0).unwrap();
            decompressor.push(packed.into());
            let mut produced = 0;
            let end = loop {
                match decompressor.step() {
                    Ok(Some(bytes)) => produced += bytes.len() as u64,
                    other => break other,
                }
            };
            assert!(matches!(end, Err(Undecodable::OverRatio)), "{coding}");
            let limit = FREE.max(MAX_RATIO * decompressor.received);
            assert!(produced <= limit, "{coding}: {produced} bytes");
        }
    }

    #[test]
    fn one_message_may_be_packed_as_well_as_it_can() {
        for (coding, packed) in encoded(&vec![b'0'; 4 << 20]) {
            let mut decompressor = Decompressor::of(coding.as_bytes(), 4 << 20).unwrap();
            decompressor.push(packed.into());
            let mut produced = 0;
            while let Some(bytes) = decompressor.step().unwrap() {
                produced += bytes.len();
            }
            assert_eq!(produced, 4 << 20, "{coding}");
        }
    }

    #[test]
    fn fault_40_broken_data_is_told_from_data_that_ends_early() {
        let body = text(5_000);
        for (coding, packed) in encoded(&body) {
            let half = &packed[..packed.len() / 2];
            assert!(
                matches!(decode(coding, &[half]), Err(Undecodable::Truncated)),
                "{coding}"
            );
            let more = [&packed[..], b"more"];
            assert!(
                matches!(decode(coding, &more), Err(Undecodable::Malformed(_))),
                "{coding}"
            );
        }
        assert!(matches!(
            decode("gzip", &[b"{}"]),
            Err(Undecodable::Malformed(_))
        ));
        assert!(Decompressor::of(b"identity", 0).is_none());
    }

    /// Empty blocks of deflate: nothing comes out, and yet each step ends.
    #[test]
    fn data_that_becomes_nothing_is_taken_in_in_steps() {
        let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
        packed.extend(b"\0\0\0\xff\xff".repeat(STEP_INPUT));
        let mut decompressor = Decompressor::of(b"gzip", 0).unwrap();
        decompressor.push(packed.into());
        let mut steps = 0;
        while let Some(bytes) = decompressor.step().unwrap() {
            assert!(bytes.is_empty());
            steps += 1;
        }
        assert_eq!(steps, 6);
    }
}
