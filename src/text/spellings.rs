//! The spellings of secrets, found in a text.
//!
//! Owns what counts as a spelling: a secret as it is, in any case, escaped for JSON or a URL in any
//! mixture, in base64 at each alignment, in hexadecimal, and each long run of letters and digits
//! in it. It must not know what a secret is for.

use std::ops::Range;

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Input, MatchKind};
use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::unescape::View;
use crate::hex::hex;

/// A secret of fewer bytes is not looked for: it would be found everywhere.
const MIN_SECRET: usize = 3;
/// A secret of fewer bytes is only looked for as it is, where it stands alone.
const MIN_LONG: usize = 8;
/// Of any secret, runs of letters and digits of at least this length are looked for in messages.
const MIN_RUN: usize = 8;
/// Of any secret, runs of letters and digits of at least this length are looked for in definitions,
/// in which a shorter run may be a word.
const MIN_RUN_EVERYWHERE: usize = 16;
/// Layers of escapes that are undone.
const MAX_LAYERS: usize = 3;
/// Most bytes that one byte is written with in two layers of escapes: `%5Cu0061` in three each.
pub(super) const MAX_ESCAPED: usize = 18;

/// Where a secret is removed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Quotes in messages about its backend: it may as well be a word that others use.
    Quotes,
    /// Everything that is written, definitions included.
    Everywhere,
}

/// Finds all spellings of some secrets.
pub(super) struct Finder {
    /// `None` if there are too many: then all text counts as secret.
    spellings: Option<NFA>,
    kinds: Vec<Kind>,
    longest: usize,
}

/// What must hold for a match of a spelling to count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    reach: Reach,
    /// It is short: a letter or digit right beside it makes it a part of something else.
    alone: bool,
}

impl Finder {
    /// `None` where there is nothing to look for.
    pub(super) fn of<'a>(secrets: impl Iterator<Item = (&'a str, Reach)>) -> Option<Self> {
        let mut all: Vec<(String, Kind)> = secrets
            .flat_map(|(secret, reach)| spellings(secret, reach))
            .collect();
        // Of equal spellings the one that reaches farthest stays.
        all.sort_unstable_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
        all.dedup_by(|one, other| one.0 == other.0);
        if all.is_empty() {
            return None;
        }
        // A DFA would be faster to search, but for a long secret takes many MiB and seconds to
        // build.
        let spellings = NFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(all.iter().map(|(spelling, _)| spelling));
        Some(Self {
            spellings: spellings.ok(),
            kinds: all.iter().map(|(_, kind)| *kind).collect(),
            longest: all
                .iter()
                .map(|(spelling, _)| spelling.len())
                .max()
                .unwrap_or(0),
        })
    }

    /// Bytes of the longest spelling, without escapes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The places of a text that hold a secret of this reach: sorted, apart, never a part of an
    /// escape.
    pub(super) fn places(&self, text: &str, reach: Reach) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let mut places = Vec::new();
        self.search(bytes, reach, &mut |found| {
            places.push(whole_escapes(bytes, found))
        });
        self.places_in_layers(View::of(bytes), reach, &mut places);
        merged(places)
    }

    /// The places of a text whose first layer is undone already, as [`places`](Self::places) has
    /// them.
    pub(super) fn places_in(&self, view: View, reach: Reach) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        self.places_in_layers(Some(view), reach, &mut places);
        merged(places)
    }

    fn places_in_layers(
        &self,
        mut view: Option<View>,
        reach: Reach,
        places: &mut Vec<Range<usize>>,
    ) {
        for _ in 0..MAX_LAYERS {
            let Some(layer) = view else { return };
            self.search(&layer.bytes, reach, &mut |found| {
                places.push(layer.written_at(found));
            });
            view = layer.next();
        }
    }

    fn search(&self, text: &[u8], reach: Reach, found: &mut dyn FnMut(Range<usize>)) {
        let nfa = self.spellings.as_ref();
        let all = nfa.and_then(|nfa| nfa.try_find_overlapping_iter(Input::new(text)).ok());
        let Some(all) = all else {
            if !text.is_empty() {
                found(0..text.len());
            }
            return;
        };
        for spelling in all {
            let kind = self.kinds[spelling.pattern().as_usize()];
            let range = spelling.range();
            if kind.reach >= reach && !(kind.alone && is_part_of_a_word(text, &range)) {
                found(range);
            }
        }
    }
}

fn is_part_of_a_word(text: &[u8], range: &Range<usize>) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let before = range.start.checked_sub(1).and_then(|at| text.get(at));
    is_letter(before) || is_letter(text.get(range.end))
}

/// The range with the whole of an escape that it begins or ends in.
fn whole_escapes(text: &[u8], range: Range<usize>) -> Range<usize> {
    let backslashes = |end: usize| {
        let before = text[..end].iter().rev();
        before.take_while(|byte| **byte == b'\\').count()
    };
    let start = range.start - backslashes(range.start) % 2;
    let cut = backslashes(range.end) % 2 == 1 && text.get(range.end).is_some_and(u8::is_ascii);
    let end = range.end + usize::from(cut);
    start..end
}

fn merged(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_unstable_by_key(|place| place.start);
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(places.len());
    for place in places {
        match apart.last_mut() {
            Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
            _ => apart.push(place),
        }
    }
    apart
}

fn spellings(secret: &str, reach: Reach) -> Vec<(String, Kind)> {
    let kind = |reach| Kind {
        reach,
        alone: false,
    };
    match secret.len() {
        0..MIN_SECRET => return Vec::new(),
        MIN_SECRET..MIN_LONG => {
            let alone = Kind {
                reach: Reach::Quotes,
                alone: true,
            };
            return vec![(secret.to_owned(), alone)];
        }
        _ => {}
    }
    let mut all = vec![secret.to_owned(), hex(secret.as_bytes())];
    all.extend(
        [STANDARD_NO_PAD, URL_SAFE_NO_PAD]
            .iter()
            .flat_map(|code| base64(secret, code)),
    );
    if secret.contains(' ') {
        // As a form has it.
        all.push(secret.replace(' ', "+"));
    }
    // What it is where its own text is read as escapes.
    let undone = View::of(secret.as_bytes()).map(|view| view.bytes);
    all.extend(undone.and_then(|undone| String::from_utf8(undone).ok()));
    all.retain(|spelling| spelling.len() >= MIN_LONG);
    let all = all.into_iter().map(|spelling| (spelling, kind(reach)));
    // Letters and digits stay however a secret is escaped.
    let runs = secret.split(|c: char| !c.is_ascii_alphanumeric());
    let runs = runs.filter(|run| run.len() >= MIN_RUN).map(|run| {
        let reach = match run.len() {
            MIN_RUN_EVERYWHERE.. => reach,
            _ => Reach::Quotes,
        };
        (run.to_owned(), kind(reach))
    });
    all.chain(runs).collect()
}

/// The encoding, and its parts that are the same whatever stands before and after the secret, for
/// each of the three alignments.
fn base64<'a>(secret: &'a str, code: &'a GeneralPurpose) -> impl Iterator<Item = String> + 'a {
    let aligned = (0..3).map(move |shift| {
        let encoded = code.encode([&b"\0\0"[..shift], secret.as_bytes()].concat());
        let (first, end) = ((shift * 8).div_ceil(6), (shift + secret.len()) * 8 / 6);
        encoded[first..end].to_owned()
    });
    aligned.chain([code.encode(secret)])
}
