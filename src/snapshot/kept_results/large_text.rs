//! The text of a result, and pages of it.
//!
//! Owns where a page ends: after an element of a JSON array, else after a line, else after a word,
//! never inside a character. It must not know where the text is kept. Pure.

use std::ops::Range;

use super::array::Array;
use crate::catalog::search::TokenCount;
use crate::text::beginning;

/// All text of one result.
#[derive(Debug)]
pub(crate) struct LargeText {
    /// All blocks, one behind the other.
    text: String,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// Where it is in the text of all blocks.
    range: Range<usize>,
    array: Option<Array>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The pieces, at least one.
    pub(crate) pieces: Vec<Piece>,
    /// Where the next page begins, in bytes; `None` if this is the last one.
    pub(crate) next: Option<usize>,
}

/// What a page has of one block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The place of the block.
    pub(crate) block: usize,
    pub(crate) text: String,
    /// `None` where it is not a JSON text with a part of an array.
    pub(crate) elements: Option<Elements>,
    /// It ends within its block.
    pub(crate) is_cut: bool,
}

/// Elements of an array, the first of which has the number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elements {
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// How many the whole array has.
    pub(crate) of: usize,
}

impl LargeText {
    /// The text of these blocks; `None` if it has so many tokens, or fewer.
    pub(crate) fn over(tokens: usize, blocks: impl Iterator<Item = String>) -> Option<Self> {
        let (mut text, mut ranges) = (String::new(), Vec::new());
        for block in blocks {
            ranges.push(text.len()..text.len() + block.len());
            text += &block;
        }
        if is_within(&text, tokens) {
            return None;
        }
        let blocks = ranges.into_iter().map(|range| Block {
            array: Array::find(&text[range.clone()]),
            range,
        });
        Some(Self {
            blocks: blocks.collect(),
            text,
        })
    }

    /// The bytes of memory that it takes: a server may send more blocks than text.
    pub(crate) fn held(&self) -> usize {
        self.text.len() + self.blocks.len() * size_of::<Block>()
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// What follows `from`, in bytes, within so many tokens; `None` if nothing does.
    pub(crate) fn page(&self, from: usize, tokens: usize) -> Option<Page> {
        let mut at = beginning(&self.text, from).len();
        let mut left = tokens;
        let mut pieces = Vec::new();
        for number in 0..self.blocks.len() {
            let end = self.blocks[number].range.end;
            if end <= at {
                continue;
            }
            let page = |pieces, at| Page {
                pieces,
                next: Some(at),
            };
            let Some((piece, used)) = self.piece(number, at, left, pieces.is_empty()) else {
                return Some(page(pieces, at));
            };
            let mut count = TokenCount::default();
            count.add(&piece.text, usize::MAX);
            left = left.saturating_sub(count.tokens().max(1));
            pieces.push(piece);
            at = used;
            if at < end {
                return Some(page(pieces, at));
            }
        }
        (!pieces.is_empty()).then_some(Page { pieces, next: None })
    }

    /// What of a block follows `at`, and where the rest begins; `None` if nothing fits, and `is_first` is
    /// not set.
    fn piece(
        &self,
        number: usize,
        at: usize,
        left: usize,
        is_first: bool,
    ) -> Option<(Piece, usize)> {
        let Block { range, array } = &self.blocks[number];
        let (block, at) = (&self.text[range.clone()], at.max(range.start) - range.start);
        let piece = |text: &str, elements, next| Piece {
            block: number,
            text: text.to_owned(),
            elements,
            is_cut: next < range.end,
        };
        if at == 0 && is_within(block, left) {
            return Some((piece(block, None, range.end), range.end));
        }
        let part = array.and_then(|array| part(&array, block, at, left));
        let cut = match part {
            Some(Part::Elements(elements, inner, next)) => {
                let array = (*array)?;
                let text = [array.before(block), &block[inner], array.after(block)].concat();
                let next = range.start + next;
                return Some((piece(&text, Some(elements), next), next));
            }
            // On a page of its own it may be whole.
            Some(Part::Element(_)) if !is_first => return None,
            Some(Part::Element(rest)) => rest,
            None => at..block.len(),
        };
        let end = cut.start + border(&block[cut.clone()], left);
        let is_last = end == cut.end && block[end..].trim() == "]";
        let next = if is_last {
            range.end
        } else {
            range.start + end
        };
        let is_empty = end == cut.start;
        (!is_empty).then(|| (piece(&block[cut.start..end], None, next), next))
    }
}

/// What follows a place in a text with an array.
enum Part {
    /// Elements, where they are, and where the rest begins.
    Elements(Elements, Range<usize>, usize),
    /// The rest of an element that is too large, or of which some has been shown.
    Element(Range<usize>),
}

/// `None` where no element follows, or what is around the array takes more than half of the tokens.
fn part(array: &Array, block: &str, at: usize, left: usize) -> Option<Part> {
    let mut around = TokenCount::default();
    around.add(array.before(block), usize::MAX);
    around.add(array.after(block), usize::MAX);
    let left = left
        .checked_sub(around.tokens())
        .filter(|left| *left >= around.tokens())?;
    let mut elements = (1..)
        .zip(array.elements(block))
        .skip_while(|(_, element)| element.end <= at);
    let (first, element) = elements.next()?;
    let mut count = TokenCount::default();
    if at > element.start || count.add(&block[element.clone()], left) < element.len() {
        // What is before the first one is shown with it.
        let from = if first == 1 {
            at
        } else {
            at.max(element.start)
        };
        return Some(Part::Element(from..element.end));
    }
    let (mut last, mut end) = (first, element.end);
    for (number, next) in elements {
        if count.add(&block[end..next.end], left) < next.end - end {
            let shown = Elements {
                first,
                last,
                of: array.count,
            };
            return Some(Part::Elements(shown, element.start..end, end));
        }
        (last, end) = (number, next.end);
    }
    let shown = Elements {
        first,
        last,
        of: array.count,
    };
    Some(Part::Elements(shown, element.start..end, block.len()))
}

/// Whether a text has so many tokens, or fewer.
fn is_within(text: &str, tokens: usize) -> bool {
    // A token has at least a byte.
    text.len() <= tokens || TokenCount::default().add(text, tokens) == text.len()
}

/// The end of what is shown of a text within so many tokens: after a line, a word or a comma, if it does
/// not become much shorter by that.
fn border(text: &str, tokens: usize) -> usize {
    let fits = TokenCount::default().add(text, tokens);
    if fits == text.len() {
        return fits;
    }
    let shown = &text[..fits];
    let line = shown.rfind('\n').map(|at| at + 1);
    let word = || shown.rfind([' ', ',', '\t']).map(|at| at + 1);
    let is_enough = |end: &usize| *end > fits / 2;
    line.filter(is_enough)
        .or_else(|| word().filter(is_enough))
        .unwrap_or(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::search::estimate_tokens;

    fn large(blocks: &[&str]) -> LargeText {
        let blocks = blocks.iter().map(|block| (*block).to_owned());
        LargeText::over(0, blocks).unwrap()
    }

    /// All pages, one after the other.
    fn pages(text: &LargeText, tokens: usize) -> Vec<Page> {
        let mut from = Some(0);
        let mut pages = Vec::new();
        while let Some(at) = from {
            let page = text.page(at, tokens).unwrap();
            assert!(page.next.is_none_or(|next| next > at), "{page:?}");
            from = page.next;
            pages.push(page);
        }
        pages
    }

    #[test]
    fn a_text_within_the_tokens_is_not_large() {
        let text = "one two three, 漢字";
        let tokens = estimate_tokens(text);
        let over = |tokens| LargeText::over(tokens, [text.to_owned()].into_iter()).is_some();
        assert!(over(tokens - 1) && !over(tokens) && !over(tokens + 1));
    }

    #[test]
    fn a_page_ends_after_a_line_or_a_word() {
        let lines: String = (0..100).map(|at| format!("line number {at}\n")).collect();
        for page in pages(&large(&[&lines]), 40) {
            assert!(page.pieces[0].text.ends_with('\n'), "{page:?}");
        }
        let words = "and another ".repeat(100);
        for page in pages(&large(&[&words]), 41) {
            assert!(page.pieces[0].text.ends_with(' '), "{page:?}");
        }
        // A line that would leave most of the page empty is no place to cut at.
        let one_long = format!("a\n{words}");
        assert!(pages(&large(&[&one_long]), 40)[0].pieces[0].text.len() > 40);
    }

    #[test]
    fn every_page_of_an_array_is_json_with_what_is_around_it() {
        let items: Vec<Value> = (0..100)
            .map(|at| json!({ "id": at, "name": format!("the item {at}") }))
            .collect();
        let text = json!({ "total": 100, "items": items, "next": null }).to_string();
        let pages = pages(&large(&[&text]), 120);
        assert!(pages.len() > 5);
        let (mut found, mut numbers) = (Vec::new(), 0);
        for page in &pages {
            let piece = &page.pieces[0];
            assert!(estimate_tokens(&piece.text) <= 120);
            let part: Value = serde_json::from_str(&piece.text).unwrap();
            assert_eq!(part["total"], 100);
            let part = part["items"].as_array().unwrap();
            let elements = piece.elements.unwrap();
            assert_eq!((elements.first, elements.of), (numbers + 1, 100));
            numbers += part.len();
            assert_eq!(elements.last, numbers);
            found.extend_from_slice(part);
        }
        assert_eq!(found, items);
    }

    #[test]
    fn an_element_that_is_too_large_is_cut() {
        let long = "word ".repeat(100);
        let text = json!(["first", long, "last"]).to_string();
        let pages = pages(&large(&[&text]), 50);
        let elements: Vec<bool> = pages
            .iter()
            .map(|page| page.pieces[0].elements.is_some())
            .collect();
        assert!(elements[0] && !elements[1] && *elements.last().unwrap());
        let inner = &pages[1..pages.len() - 1];
        let shown: String = inner.iter().map(|page| &*page.pieces[0].text).collect();
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), long);
        assert_eq!(pages.last().unwrap().pieces[0].text, "[\"last\"]");
        // The last one, too, and then nothing follows.
        let text = json!(["first", long]).to_string();
        let last = self::pages(&large(&[&text]), 50).pop().unwrap();
        assert!(last.pieces[0].text.ends_with('"'), "{last:?}");
    }

    #[test]
    fn what_follows_an_array_of_large_elements_is_shown() {
        let long = "word ".repeat(100);
        let text = format!(r#"{{"results":["{long}"],"next":"abc"}}"#);
        let pages = pages(&large(&[&text]), 50);
        let shown: String = pages.iter().map(|page| &*page.pieces[0].text).collect();
        assert_eq!(shown, text);
    }

    #[test]
    fn a_page_has_as_many_blocks_as_fit() {
        let (long, array) = ("word ".repeat(30), json!(vec!["a word"; 40]).to_string());
        let text = large(&["", "short", &long, &array, "end"]);
        let first = text.page(0, 60).unwrap();
        let blocks: Vec<usize> = first.pieces.iter().map(|piece| piece.block).collect();
        // Of the array no element fits on what is left.
        assert_eq!(blocks, [1, 2, 3]);
        assert_eq!(first.pieces[1].text, long);
        assert!(first.pieces[2].elements.is_some());
        let last = pages(&text, 60).pop().unwrap();
        assert_eq!(last.pieces.last().unwrap().text, "end");
        assert_eq!(text.page(text.len(), 60), None);
        assert_eq!(text.page(usize::MAX, 60), None);
    }

    #[test]
    fn any_place_may_be_asked_for() {
        let text = json!({ "items": ["äöü漢字".repeat(9), "second", "third"] }).to_string();
        let text = large(&[&text, "漢字"]);
        for from in 0..text.len() {
            let page = text.page(from, 30).unwrap();
            assert!(page.next.is_none_or(|next| next > from), "{from}: {page:?}");
        }
    }

    proptest! {
        #[test]
        fn pages_have_all_of_a_text(
            blocks in prop::collection::vec("[a-c ,\n0-9äß漢\\[{}\"]{0,200}", 1..4),
            tokens in 8_usize..100,
        ) {
            let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
            let whole = blocks.concat();
            // Line ends alone are no tokens: such a text is never large.
            prop_assume!(estimate_tokens(&whole) > 0);
            let pages = pages(&large(&blocks), tokens);
            let pieces = || pages.iter().flat_map(|page| &page.pieces);
            prop_assume!(pieces().all(|piece| piece.elements.is_none()));
            prop_assert_eq!(pieces().map(|piece| &*piece.text).collect::<String>(), whole);
            for page in &pages {
                let tokens_of = |piece: &Piece| estimate_tokens(&piece.text);
                prop_assert!(page.pieces.iter().map(tokens_of).sum::<usize>() <= tokens);
            }
        }

        #[test]
        fn pages_have_all_elements_of_an_array(
            items in prop::collection::vec("[a-c \\[\\]{},\"\\\\ä]{0,60}", 1..60),
            tokens in 20_usize..200,
        ) {
            let text = serde_json::to_string_pretty(&items).unwrap();
            let mut found = Vec::new();
            let mut partial = String::new();
            for page in pages(&large(&[&text]), tokens) {
                for piece in page.pieces {
                    match piece.elements {
                        Some(_) => found.extend(serde_json::from_str::<Vec<String>>(&piece.text).unwrap()),
                        None => {
                            partial += &piece.text;
                            let inner = partial.trim_start_matches("[\n  ");
                            let one = serde_json::from_str::<Vec<String>>(&partial);
                            let one = one.or_else(|_| serde_json::from_str(inner).map(|one| vec![one]));
                            if let Ok(one) = one {
                                found.extend(one);
                                partial.clear();
                            }
                        }
                    }
                }
            }
            prop_assert_eq!(partial, "");
            prop_assert_eq!(found, items);
        }
    }
}
