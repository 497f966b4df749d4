//! What holds for whatever bytes come from outside.
//!
//! Each check takes bytes, hands them to one reader of the gateway and panics if something is not
//! as it must be, which is always more than that it returns. They stand here once: the fuzz
//! targets call them, and so does `cargo test`, with the corpus and with mutations of it. They must
//! not know who calls, and use only what the library shows to everybody.

use std::ops::Range;

use rng::Rng;

pub mod config;
pub mod edits;
pub mod envelope;
pub mod json_scan;
pub mod names;
pub mod reply;
pub mod retry_after;
#[path = "../../tests/common/rng.rs"]
pub mod rng;
pub mod sse;
pub mod www_authenticate;

/// What a target calls.
pub type Check = fn(&[u8]);

/// Every check, under the name of its target and of its corpus.
pub const ALL: [(&str, Check); 9] = [
    ("config", config::check),
    ("edits", edits::check),
    ("envelope", envelope::check),
    ("json_scan", json_scan::check),
    ("names", names::check),
    ("reply", reply::check),
    ("retry_after", retry_after::check),
    ("sse", sse::check),
    ("www_authenticate", www_authenticate::check),
];

/// A generator seeded by the FNV-1a hash of these bytes and nothing else. So a corpus
/// stays readable, and a finding can be repeated.
fn chance_of(data: &[u8]) -> Rng {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    Rng(data.iter().fold(0xcbf2_9ce4_8422_2325, hash))
}

/// A text of this length in up to eight pieces, some of which may be empty.
fn pieces(rng: &mut Rng, length: usize) -> Vec<Range<usize>> {
    let mut cuts: Vec<usize> = (0..rng.below(8)).map(|_| rng.below(length + 1)).collect();
    cuts.sort_unstable();
    cuts.push(length);
    let mut from = 0;
    cuts.into_iter()
        .map(|to| std::mem::replace(&mut from, to)..to)
        .collect()
}

/// Whether a person can be shown this: one line without control characters, and not too long.
fn assert_readable(message: &str) {
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.len() < 2_000, "too long to read: {message}");
}
