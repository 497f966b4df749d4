//! One HTTP response, whose body is read in turns.
//!
//! Owns decoding the body and the [`Turn`] in which it is worked on: a chunk is handed out only when
//! its backend may go on. It must not know what a body contains.

use std::fmt;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::decompress::{Decompressor, MAX_RATIO, Undecodable};
use super::transport_error::classify;
use super::turns::{CLOCK_EVERY, Turn};
use crate::backend::error::BackendError;

/// Bytes that are read of a body that is not passed on.
const ERROR_BODY: usize = 64 * 1024;

/// The beginning of a body.
#[derive(Debug)]
pub(in crate::backend) struct Beginning {
    /// What was read of it, at most 64 KiB.
    pub(in crate::backend) bytes: Bytes,
    /// Whether there is no more of it. A body that breaks off is not whole.
    pub(in crate::backend) is_whole: bool,
}

/// A response of any status. Its body is decoded.
pub struct Response {
    inner: reqwest::Response,
    decompressor: Option<Decompressor>,
    /// A chunk that waits for the next turn.
    ready: Option<Bytes>,
    turn: Turn,
}

impl Response {
    /// `max_message` is the cap on one message, in bytes.
    pub(super) fn new(inner: reqwest::Response, turn: Turn, max_message: usize) -> Self {
        let coding = inner.headers().get(CONTENT_ENCODING);
        Self {
            decompressor: coding
                .and_then(|coding| Decompressor::of(coding.as_bytes(), max_message)),
            inner,
            ready: None,
            turn,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The length of the body in bytes, where it is known before the body is read.
    pub(in crate::backend) fn content_length(&self) -> Option<u64> {
        match self.decompressor {
            Some(_) => None,
            None => self.inner.content_length(),
        }
    }

    /// The address that answered.
    pub(in crate::backend) fn url(&self) -> &reqwest::Url {
        self.inner.url()
    }

    /// The next part of the body; `None` at its end. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// When the rest can't be received or decoded.
    pub(in crate::backend) async fn chunk(&mut self) -> Result<Option<Bytes>, BackendError> {
        let chunk = self.next_chunk().await;
        if !matches!(chunk, Ok(Some(_))) {
            self.turn.end();
        }
        chunk
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, BackendError> {
        loop {
            self.turn.go_on().await;
            if let Some(chunk) = self.ready.take() {
                return Ok(Some(chunk));
            }
            if let Some(decompressor) = &mut self.decompressor
                && let Some(decoded) = decompressor.step().map_err(undecodable)?
            {
                // What comes out says little about the work, so that the clock is read each time.
                self.turn.count(CLOCK_EVERY.max(decoded.len()));
                self.ready = Some(decoded).filter(|decoded| !decoded.is_empty());
                continue;
            }
            let received = self.turn.wait(self.inner.chunk()).await;
            let Some(received) = received.map_err(classify)? else {
                let decoded = self.decompressor.as_mut().map(Decompressor::finish);
                return decoded.transpose().map(|_| None).map_err(undecodable);
            };
            match &mut self.decompressor {
                Some(decompressor) => decompressor.push(received),
                None => {
                    self.turn.count(received.len());
                    self.ready = Some(received);
                }
            }
        }
    }

    /// Reads at most 64 KiB of a body that is not passed on.
    pub(in crate::backend) async fn beginning(&mut self) -> Beginning {
        let mut body = Vec::new();
        let is_whole = loop {
            match self.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break body.len() <= ERROR_BODY,
                Err(_) => break false,
            }
            if body.len() > ERROR_BODY {
                break false;
            }
        };
        body.truncate(ERROR_BODY);
        Beginning {
            bytes: body.into(),
            is_whole,
        }
    }

    /// The turn in which this response is worked on.
    pub(in crate::backend) fn turn(&mut self) -> &mut Turn {
        &mut self.turn
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Response").field(&self.status()).finish()
    }
}

fn undecodable(error: Undecodable) -> BackendError {
    match error {
        Undecodable::Malformed(why) => {
            BackendError::BadReply(format!("invalid HTTP response: {why}"))
        }
        Undecodable::Truncated => {
            BackendError::connection_lost("the compressed answer ended too early")
        }
        Undecodable::OverRatio => BackendError::OverRatio { ratio: MAX_RATIO },
    }
}
