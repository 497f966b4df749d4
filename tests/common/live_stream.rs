//! Streams that stay open, written to while they are.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;
use tokio::sync::Notify;

use super::PATIENCE;

/// An event stream that a test writes to after it has begun. Clones are the same stream.
///
/// Text is a template like that of a [`Reply`](super::reply::Reply).
#[derive(Clone)]
pub struct LiveStream {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    more: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Piece>,
    ended: bool,
}

/// What comes next.
pub(super) enum Piece {
    Text(String),
    /// The body ends in good order.
    End,
    /// The connection closes.
    HangUp,
}

impl LiveStream {
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                changed: Condvar::new(),
                more: Notify::new(),
            }),
        }
    }

    /// Sends a message.
    pub fn event(&self, message: &Value) {
        self.text(&format!("event: message\ndata: {message}\n\n"));
    }

    /// Sends these characters.
    pub fn text(&self, text: &str) {
        self.push(Piece::Text(text.to_owned()));
    }

    /// Ends the stream in good order.
    pub fn end(&self) {
        self.push(Piece::End);
    }

    /// Breaks the connection.
    pub fn hang_up(&self) {
        self.push(Piece::HangUp);
    }

    /// Neither side has ended it.
    pub fn is_open(&self) -> bool {
        !self.inner.state.lock().unwrap().ended
    }

    /// Blocks the test until one of the sides has ended it.
    pub fn wait_until_closed(&self) {
        let state = self.inner.state.lock().unwrap();
        let (state, _) = self
            .inner
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.ended)
            .unwrap();
        assert!(state.ended, "a stream stays open");
    }

    fn push(&self, piece: Piece) {
        self.inner.state.lock().unwrap().queue.push_back(piece);
        self.inner.more.notify_one();
    }

    pub(super) async fn next(&self) -> Piece {
        loop {
            let piece = self.inner.state.lock().unwrap().queue.pop_front();
            match piece {
                Some(piece) => return piece,
                None => self.inner.more.notified().await,
            }
        }
    }

    /// Whoever writes the stream holds this; it ends with it, however that comes about.
    pub(super) fn opened(&self) -> Opened {
        Opened(self.clone())
    }
}

pub(super) struct Opened(LiveStream);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.inner.state.lock().unwrap().ended = true;
        self.0.inner.changed.notify_all();
    }
}
