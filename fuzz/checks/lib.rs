//! Properties of the parsers of untrusted input.
//!
//! Each check passes bytes to one parser of the gateway and panics if a property does not hold. The
//! fuzz targets call the checks, and so does `cargo test`, with the corpus and mutations of it.
//! They must not know their caller, and use only the public API of the library.

use std::ops::Range;

use rng::Rng;

pub mod challenge;
pub mod config;
pub mod definitions;
pub mod edits;
pub mod envelope;
pub mod json_scan;
pub mod metadata;
pub mod names;
pub mod reply;
pub mod retry_after;
#[path = "../../tests/common/rng.rs"]
pub mod rng;
#[path = "../../tests/field/schema.rs"]
pub mod schema;
pub mod sse;
pub mod token_answer;
pub mod www_authenticate;

/// The function that a target calls.
pub type Check = fn(&[u8]);

/// Every check, by the name of its target and its corpus.
pub const ALL: [(&str, Check); 13] = [
    ("challenge", challenge::check),
    ("config", config::check),
    ("definitions", definitions::check),
    ("edits", edits::check),
    ("envelope", envelope::check),
    ("json_scan", json_scan::check),
    ("metadata", metadata::check),
    ("names", names::check),
    ("reply", reply::check),
    ("retry_after", retry_after::check),
    ("sse", sse::check),
    ("token_answer", token_answer::check),
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

/// Asserts that a message can be shown to the user: no control characters, and not too long.
fn assert_readable(message: &str) {
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.len() < 2_000, "too long to read: {message}");
}
