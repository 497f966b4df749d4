//! Event streams that a test writes to while they are open.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;
use tokio::sync::Notify;

use super::PATIENCE;

/// An open event stream. Clones are the same stream.
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

/// The next step of a stream.
pub(super) enum Piece {
    Text(String),
    /// The body ends normally.
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

    /// Sends an event with this message.
    pub fn event(&self, message: &Value) {
        self.text(&format!("event: message\ndata: {message}\n\n"));
    }

    /// Sends this text as it is.
    pub fn text(&self, text: &str) {
        self.push(Piece::Text(text.to_owned()));
    }

    /// Ends the body normally.
    pub fn end(&self) {
        self.push(Piece::End);
    }

    /// Closes the connection without ending the body.
    pub fn hang_up(&self) {
        self.push(Piece::HangUp);
    }

    /// Whether neither side has ended it.
    pub fn is_open(&self) -> bool {
        !self.inner.state.lock().unwrap().ended
    }

    /// Blocks the test until one side has ended it.
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

    /// A guard for the writer of the stream; the stream counts as ended when it is dropped.
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
