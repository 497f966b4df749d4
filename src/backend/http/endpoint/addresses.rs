//! Where requests begin after the redirects of a handshake, and how many repeats it has left.
//!
//! Owns what is learned while a handshake runs: a session stays where its handshake was answered, so
//! that each redirect is paid for once. It must not know which redirects may be followed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use reqwest::{Method, Url};

use crate::backend::http::media::Media;
use crate::backend::http::response::Response;
use crate::sync::Mutex;

/// Most addresses that are learned: those of GET and POST, of the URL and of the HTTP with SSE transport.
const MAX_LEARNED: usize = 4;

/// What the handshake of one connection has learned, and may still send.
#[derive(Debug)]
pub(in crate::backend) struct Addresses {
    /// Redirects and repeats that may be followed. `usize::MAX` outside of a handshake: no limit.
    repeats: AtomicUsize,
    has_any: AtomicBool,
    learned: Mutex<Vec<Learned>>,
}

#[derive(Debug)]
struct Learned {
    method: Method,
    asked: Url,
    led_to: Url,
}

impl Learned {
    fn is_of(&self, method: &Method, asked: &Url) -> bool {
        self.method == *method && self.asked == *asked
    }
}

impl Addresses {
    pub(super) fn new() -> Self {
        Self {
            repeats: AtomicUsize::new(usize::MAX),
            has_any: AtomicBool::new(false),
            learned: Mutex::default(),
        }
    }

    /// Where a request to `asked` begins. In a handshake another method asks for itself; afterwards
    /// it goes where the session is, unless it has [left](Self::leave) that.
    pub(super) fn of(&self, method: &Method, asked: &Url) -> Url {
        if !self.has_any.load(Relaxed) {
            return asked.clone();
        }
        let in_handshake = self.in_handshake();
        let learned = self.learned.lock();
        let of_url = || learned.iter().filter(|known| known.asked == *asked);
        let known = learned.iter().find(|known| known.is_of(method, asked));
        let known = known.or_else(|| of_url().next().filter(|_| !in_handshake));
        known.map_or_else(|| asked.clone(), |known| known.led_to.clone())
    }

    /// Redirects have led from `asked` to what answers so. Only a handshake learns: a later redirect may
    /// be about that request alone, and a page for people is no place of the server.
    pub(super) fn learn(&self, method: &Method, asked: &Url, answer: &Response) {
        if !self.in_handshake() || is_page(answer) {
            return;
        }
        let mut learned = self.learned.lock();
        learned.retain(|known| !known.is_of(method, asked));
        if learned.len() < MAX_LEARNED {
            learned.push(Learned {
                method: method.clone(),
                asked: asked.clone(),
                led_to: answer.url().clone(),
            });
            self.has_any.store(true, Relaxed);
        }
    }

    /// Forgets an address where nothing is any more, or whose server fails: the next request of the method
    /// asks for the way again. In a handshake such an answer says something about the request.
    pub(super) fn check(&self, method: &Method, asked: &Url, answer: &Response) {
        let is_gone = matches!(answer.status().as_u16(), 404 | 410 | 500..);
        if is_gone && self.has_any.load(Relaxed) && !self.in_handshake() {
            let mut learned = self.learned.lock();
            let is_left =
                |known: &Learned| known.is_of(method, asked) && known.led_to == *answer.url();
            learned.retain(|known| !is_left(known));
        }
    }

    /// A stream that is not served where another method was led may be at `asked` itself, as behind a front
    /// that redirects POST alone. Returns whether to ask there; from now on GET does.
    pub(super) fn leave(&self, asked: &Url, answer: &Response) -> bool {
        let is_unserved =
            matches!(answer.status().as_u16(), 404 | 405 | 410 | 501) || is_page(answer);
        if !is_unserved || !self.has_any.load(Relaxed) || self.in_handshake() {
            return false;
        }
        let mut learned = self.learned.lock();
        let is_led = learned.iter().any(|known| known.asked == *asked);
        let is_asked = learned.iter().any(|known| known.is_of(&Method::GET, asked));
        let leaves = is_led && !is_asked && learned.len() < MAX_LEARNED;
        if leaves {
            learned.push(Learned {
                method: Method::GET,
                asked: asked.clone(),
                led_to: asked.clone(),
            });
        }
        leaves
    }

    /// From now on at most so many redirects and repeats are sent, in all, and where redirects lead is
    /// learned; neither at first, and with `usize::MAX`. Returns how many were left until now.
    pub(in crate::backend) fn limit_repeats(&self, most: usize) -> usize {
        self.repeats.swap(most, Relaxed)
    }

    /// Whether a request may be sent once more; counts it.
    pub(in crate::backend) fn may_repeat(&self) -> bool {
        let less = |left: usize| match left {
            usize::MAX => Some(left),
            left => left.checked_sub(1),
        };
        self.repeats.fetch_update(Relaxed, Relaxed, less).is_ok()
    }

    fn in_handshake(&self) -> bool {
        self.repeats.load(Relaxed) != usize::MAX
    }
}

fn is_page(answer: &Response) -> bool {
    matches!(Media::of(answer), Media::Other(media) if media.eq_ignore_ascii_case("text/html"))
}
