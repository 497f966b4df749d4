//! The words of a query, and what may stand for each in a tool.
//!
//! Owns synonyms and misspellings of a word. It must not know the index. Pure.

use super::synonyms;
use super::tokenize::terms;

/// Weight of a synonym, where the word itself has 1.
const SYNONYM: f32 = 0.7;
/// Most terms of a query that are looked up, synonyms included.
const MAX_TERMS: usize = 64;
/// Shortest term that may be a misspelling of another: short ones have many neighbours.
const MIN_MISSPELT: usize = 5;

/// A word of a query.
#[derive(Debug, PartialEq)]
pub(super) struct Forms {
    /// The term as it stands in the query.
    pub(super) term: String,
    /// Terms of the same meaning that are not in the query themselves, with their weights.
    pub(super) synonyms: Vec<(&'static str, f32)>,
}

/// The words of a query, in order. None twice.
pub(super) fn words(query: &str) -> Vec<Forms> {
    let mut words: Vec<Forms> = Vec::new();
    terms(query, |term| {
        if words.len() < MAX_TERMS && words.iter().all(|known| known.term != term) {
            words.push(Forms {
                term: term.to_owned(),
                synonyms: Vec::new(),
            });
        }
    });
    let mut left = MAX_TERMS - words.len();
    for at in 0..words.len() {
        let other = |synonym: &&String| words.iter().all(|known| known.term != **synonym);
        let synonyms = synonyms::of(&words[at].term).iter().filter(other);
        let synonyms: Vec<_> = synonyms
            .take(left)
            .map(|synonym| (synonym.as_str(), SYNONYM))
            .collect();
        left -= synonyms.len();
        words[at].synonyms = synonyms;
    }
    words
}

/// Whether one edit makes `known` of `term`: a letter more, less or another, or two in the other order.
pub(super) fn is_typo(term: &str, known: &str) -> bool {
    let (short, long) = match term.len() <= known.len() {
        true => (term.as_bytes(), known.as_bytes()),
        false => (known.as_bytes(), term.as_bytes()),
    };
    // Bytes are letters of Latin words alone.
    if !term.is_ascii() || term.len() < MIN_MISSPELT || long.len() - short.len() > 1 {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (short_rest, long_rest) = (&short[same..], &long[same..]);
    if short.len() < long.len() {
        return *short_rest == long_rest[1..];
    }
    match (short_rest, long_rest) {
        ([], []) => false,
        ([_, a @ ..], [_, b @ ..]) if a == b => true,
        ([a, b, rest @ ..], [c, d, other @ ..]) => a == d && b == c && rest == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synonyms_are_those_that_the_query_has_not() {
        let words = words("Delete, remove: the Deleted files");
        let terms: Vec<&str> = words.iter().map(|word| word.term.as_str()).collect();
        assert_eq!(terms, ["delet", "remov", "fil"]);
        for word in &words {
            assert!(!word.synonyms.is_empty(), "{word:?}");
            assert!(
                word.synonyms
                    .iter()
                    .all(|(other, _)| !terms.contains(other))
            );
        }
    }

    #[test]
    fn no_more_terms_are_looked_up_than_a_query_may_have() {
        let long = (0..200).map(|number| format!("get{number} delete"));
        let words = words(&long.collect::<Vec<_>>().join(" "));
        let synonyms: usize = words.iter().map(|word| word.synonyms.len()).sum();
        assert_eq!(words.len() + synonyms, MAX_TERMS);
    }

    #[test]
    fn one_edit_is_a_typo() {
        for (term, known, expected) in [
            ("letters", "letter", true),
            ("leters", "letters", true),
            ("lettesr", "letters", true),
            ("lettirs", "letters", true),
            ("letters", "letters", false),
            ("lttrs", "letters", false),
            ("letsret", "letters", false),
            ("form", "from", false),
            ("", "a", false),
            // A letter has more than one byte.
            ("漢字", "漢孖", false),
        ] {
            assert_eq!(is_typo(term, known), expected, "{term} {known}");
        }
    }
}
