//! The inverted index and its ranking, BM25F (Zaragoza et al., TREC 2004).
//!
//! Owns the weights. A term's weight in a document is the sum of its weighted frequencies in the fields,
//! each divided by what the field's length makes of it. It is computed when the index is built, so that a
//! query reads one list a term. A word of a query counts once in a document, by the best of its
//! [`Forms`](super::query::Forms).

use std::collections::HashMap;

use super::document::Document;
use super::query::{Forms, is_typo, words};
use super::tokenize::terms;

/// How soon a repeated term counts no more.
const K1: f32 = 1.2;
/// How much a long field takes from the weight of its terms.
const B: f32 = 0.6;
/// The part of a score that is in proportion to how many of the query's words a document has.
const COVERAGE: f32 = 0.4;
/// Weight of a term that is one edit from a word, where the word itself has 1.
const TYPO: f32 = 0.7;
/// Most terms that stand for a word which nothing has.
const MAX_TYPOS: usize = 8;
/// Terms that a word is held against for that: a server decides how many there are.
const MAX_ALIKE: usize = 50_000;

/// A field's text and its weight.
type Field = (fn(&Document) -> &str, f32);

const FIELDS: [Field; 7] = [
    (|document| &document.name, 3.0),
    (|document| &document.title, 1.5),
    (|document| &document.server, 1.0),
    (|document| &document.summary, 1.5),
    (|document| &document.description, 0.5),
    (|document| &document.parameters, 0.5),
    (|document| &document.texts, 0.3),
];

/// One result of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// The place of the document in what the index was built from.
    pub document: usize,
    /// Higher is better. Comparable within one search only.
    pub score: f32,
}

/// An index over documents. Never changed.
#[derive(Debug, Default)]
pub struct Index {
    documents: usize,
    /// Where the postings of each term are, in the order of the terms.
    terms: Vec<(Box<str>, (u32, u32))>,
    postings: Vec<Posting>,
}

#[derive(Debug, Clone, Copy)]
struct Posting {
    document: u32,
    /// Between 0 and 1 + [`K1`]: how much the document is about the term.
    weight: f32,
}

/// The frequencies of a term in the fields of one document.
type Frequencies = [u16; FIELDS.len()];

impl Index {
    /// Builds it from documents, which are known by their places.
    pub fn build(documents: &[Document]) -> Self {
        let mut lengths: Vec<[u32; FIELDS.len()]> = Vec::with_capacity(documents.len());
        let mut found: HashMap<Box<str>, Vec<(u32, Frequencies)>> = HashMap::new();
        for (at, document) in (0u32..).zip(documents) {
            let mut length = [0; FIELDS.len()];
            for (field, (text, _)) in FIELDS.iter().enumerate() {
                terms(text(document), |term| {
                    length[field] += 1;
                    let list = match found.get_mut(term) {
                        Some(list) => list,
                        None => found.entry(term.into()).or_default(),
                    };
                    if list.last().is_none_or(|(last, _)| *last != at) {
                        list.push((at, [0; FIELDS.len()]));
                    }
                    if let Some((_, frequencies)) = list.last_mut() {
                        frequencies[field] = frequencies[field].saturating_add(1);
                    }
                });
            }
            lengths.push(length);
        }
        Self::weighted(found, &lengths)
    }

    fn weighted(
        found: HashMap<Box<str>, Vec<(u32, Frequencies)>>,
        lengths: &[[u32; FIELDS.len()]],
    ) -> Self {
        let documents = lengths.len();
        let averages: [f32; FIELDS.len()] = std::array::from_fn(|field| {
            let total: u32 = lengths.iter().map(|length| length[field]).sum();
            (total as f32 / documents.max(1) as f32).max(1.0)
        });
        let mut postings = Vec::with_capacity(found.values().map(Vec::len).sum());
        let mut terms = Vec::with_capacity(found.len());
        for (term, list) in found {
            let start = postings.len() as u32;
            postings.extend(list.into_iter().map(|(document, frequencies)| {
                let length = &lengths[document as usize];
                let mut sum = 0.0;
                for (field, (_, weight)) in FIELDS.iter().enumerate() {
                    let norm = 1.0 - B + B * length[field] as f32 / averages[field];
                    sum += weight * f32::from(frequencies[field]) / norm;
                }
                Posting {
                    document,
                    weight: sum * (K1 + 1.0) / (K1 + sum),
                }
            }));
            terms.push((term, (start, postings.len() as u32)));
        }
        terms.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Self {
            documents,
            terms,
            postings,
        }
    }

    /// The documents that fit best, best first, at most `limit` of them. Equal ones stay in the order
    /// that they were given in.
    pub fn search(&self, query: &str, limit: usize) -> Vec<Hit> {
        let scores = self.scores(&words(query));
        let hits = scores.iter().enumerate().filter(|(_, score)| **score > 0.0);
        let mut hits: Vec<Hit> = hits
            .map(|(document, &score)| Hit { document, score })
            .collect();
        let order = |a: &Hit, b: &Hit| {
            let by_score = b.score.total_cmp(&a.score);
            by_score.then(a.document.cmp(&b.document))
        };
        if hits.len() > limit && limit > 0 {
            hits.select_nth_unstable_by(limit - 1, order);
        }
        hits.truncate(limit);
        hits.sort_unstable_by(order);
        hits
    }

    /// The documents that fit best, with at most `limit_of` a group while other groups have results:
    /// those of the group that are over come last. `group` is that of a document.
    pub fn search_spread<G: PartialEq>(
        &self,
        query: &str,
        limit: usize,
        limit_of: impl Fn(&G) -> usize,
        group: impl Fn(usize) -> G,
    ) -> Vec<Hit> {
        let (mut kept, mut over): (Vec<(G, Hit)>, Vec<Hit>) = (Vec::new(), Vec::new());
        for hit in self.search(query, self.documents) {
            let own = group(hit.document);
            let same = kept.iter().filter(|(other, _)| *other == own).count();
            match same < limit_of(&own) {
                true => kept.push((own, hit)),
                false => over.push(hit),
            }
            if kept.len() == limit {
                break;
            }
        }
        let kept = kept.into_iter().map(|(_, hit)| hit);
        kept.chain(over).take(limit).collect()
    }

    /// The score of each document.
    fn scores(&self, query: &[Forms]) -> Vec<f32> {
        let mut scores = vec![0.0f32; self.documents];
        let mut covered = vec![0u8; self.documents];
        let mut best = vec![0.0f32; self.documents];
        let mut having: Vec<u32> = Vec::new();
        for word in query {
            let own = self.postings(&word.term);
            let mut add = |postings: &[Posting], weight: f32| {
                // A rare synonym says no more than the word that stands in the query.
                let rarity = self.rarity(postings).min(match own {
                    Some(own) => self.rarity(own),
                    None => f32::INFINITY,
                });
                for posting in postings {
                    let best = &mut best[posting.document as usize];
                    if *best == 0.0 {
                        having.push(posting.document);
                    }
                    *best = best.max(weight * rarity * posting.weight);
                }
            };
            match own {
                Some(own) => add(own, 1.0),
                None => self.typos(&word.term, |postings| add(postings, TYPO)),
            }
            for (synonym, weight) in &word.synonyms {
                if let Some(postings) = self.postings(synonym) {
                    add(postings, *weight);
                }
            }
            for document in having.drain(..).map(|document| document as usize) {
                scores[document] += std::mem::take(&mut best[document]);
                covered[document] += 1;
            }
        }
        let words = query.len().max(1) as f32;
        for (score, covered) in scores.iter_mut().zip(covered) {
            *score *= 1.0 - COVERAGE + COVERAGE * f32::from(covered) / words;
        }
        scores
    }

    fn postings(&self, term: &str) -> Option<&[Posting]> {
        let at = self
            .terms
            .binary_search_by(|(known, _)| (**known).cmp(term));
        Some(self.postings_at(at.ok()?))
    }

    fn postings_at(&self, at: usize) -> &[Posting] {
        let (start, end) = self.terms[at].1;
        &self.postings[start as usize..end as usize]
    }

    /// Calls `each` with the postings of terms that this one is probably a misspelling of: those with
    /// the same first letter and one edit between them.
    fn typos<'a>(&'a self, term: &str, each: impl FnMut(&'a [Posting])) {
        let Some(first) = term.chars().next() else {
            return;
        };
        let start = self
            .terms
            .partition_point(|(known, _)| **known < *term.get(..first.len_utf8()).unwrap_or(term));
        let alike = self.terms[start..].iter().zip(start..);
        let alike = alike.take_while(|((known, _), _)| known.starts_with(first));
        let alike = alike.take(MAX_ALIKE);
        let typos = alike.filter(|((known, _), _)| is_typo(term, known));
        let postings = typos.map(|(_, at)| self.postings_at(at));
        postings.take(MAX_TYPOS).for_each(each);
    }

    /// How much it says that a document has a term, by how many have it: the inverse document frequency.
    fn rarity(&self, postings: &[Posting]) -> f32 {
        let having = postings.len() as f32;
        (1.0 + (self.documents as f32 - having + 0.5) / (having + 0.5)).ln()
    }

    /// How many documents it has.
    pub fn len(&self) -> usize {
        self.documents
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.documents == 0
    }

    /// The memory that it takes, in bytes, about.
    pub fn bytes(&self) -> usize {
        let term = size_of::<(Box<str>, (u32, u32))>();
        let terms: usize = self.terms.iter().map(|(text, _)| text.len()).sum();
        self.terms.capacity() * term + terms + self.postings.capacity() * size_of::<Posting>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    fn index(tools: &[(&str, &'static str)]) -> Index {
        let documents: Vec<Document> = tools
            .iter()
            .map(|(server, definition)| {
                let definition = RawJson::trusted(*definition);
                let own = definition.get("name").unwrap().text().unwrap();
                Document::of_tool(server, &own, &definition)
            })
            .collect();
        Index::build(&documents)
    }

    fn found(index: &Index, query: &str) -> Vec<usize> {
        let hits = index.search(query, 10);
        hits.iter().map(|hit| hit.document).collect()
    }

    #[test]
    fn a_word_in_the_name_counts_more_than_one_in_the_description() {
        let index = index(&[
            (
                "a",
                r#"{"name":"copy","description":"Copies a file to where invoices are kept."}"#,
            ),
            (
                "a",
                r#"{"name":"send_invoice","description":"Sends it to the customer."}"#,
            ),
            (
                "a",
                r#"{"name":"pay","inputSchema":{"properties":{"invoice":{"type":"string"}}}}"#,
            ),
        ]);
        assert_eq!(found(&index, "invoice"), [1, 0, 2]);
    }

    #[test]
    fn server_title_and_nested_parameters_are_searched() {
        let index = index(&[
            ("github", r#"{"name":"a","title":"Pull requests"}"#),
            (
                "b",
                r#"{"name":"b","inputSchema":{"properties":{"filter":{"type":"object","properties":{"colour":{"enum":["magenta"]}}}}}}"#,
            ),
            ("c", r#"{"name":"c","annotations":{"title":"Zebras"}}"#),
        ]);
        assert_eq!(found(&index, "github"), [0]);
        assert_eq!(found(&index, "pulls"), [0]);
        assert_eq!(found(&index, "colours"), [1]);
        assert_eq!(found(&index, "magenta"), [1]);
        assert_eq!(found(&index, "zebra"), [2]);
    }

    #[test]
    fn the_word_itself_counts_more_than_its_synonym() {
        let index = index(&[
            ("a", r#"{"name":"remove_user"}"#),
            ("a", r#"{"name":"delete_user"}"#),
        ]);
        assert_eq!(found(&index, "delete"), [1, 0]);
        assert_eq!(found(&index, "removing"), [0, 1]);
    }

    #[test]
    fn a_word_counts_once_however_many_of_its_synonyms_a_tool_has() {
        let index = index(&[
            (
                "a",
                r#"{"name":"a","description":"Get, fetch, retrieve, read, show, view it."}"#,
            ),
            (
                "a",
                r#"{"name":"b","description":"Get the invoice as it was."}"#,
            ),
            (
                "a",
                r#"{"name":"c","description":"Fetch, retrieve, read, show, view it."}"#,
            ),
        ]);
        assert_eq!(found(&index, "get invoice"), [1, 0, 2]);
    }

    #[test]
    fn a_rare_synonym_says_no_more_than_the_word_itself() {
        let mut tools = vec![("a", r#"{"name":"delete_it"}"#); 20];
        tools.push(("a", r#"{"name":"purge_it"}"#));
        let index = index(&tools);
        assert_eq!(index.search("delete", 1)[0].document, 0);
    }

    #[test]
    fn of_two_tools_the_one_with_more_words_of_the_query_is_first() {
        let index = index(&[
            ("a", r#"{"name":"gamma_gamma_gamma"}"#),
            ("a", r#"{"name":"x","description":"alpha and beta"}"#),
            ("a", r#"{"name":"gamma"}"#),
            ("a", r#"{"name":"alpha"}"#),
        ]);
        assert_eq!(found(&index, "alpha beta gamma")[0], 1);
    }

    #[test]
    fn a_misspelt_word_finds_what_was_meant_and_a_known_one_only_itself() {
        let index = index(&[
            ("a", r#"{"name":"calculate"}"#),
            ("a", r#"{"name":"trending"}"#),
            ("a", r#"{"name":"invoice"}"#),
            ("a", r#"{"name":"invoke"}"#),
        ]);
        for (query, expected) in [
            ("caculate", &[0][..]),
            ("claculate", &[0]),
            ("calculatee", &[0]),
            ("treendings", &[1]),
            ("invoise", &[2]),
            ("nvoice", &[]),
            ("cat", &[]),
        ] {
            assert_eq!(found(&index, query), expected, "{query}");
        }
        assert_eq!(found(&index, "invoke")[0], 3);
        assert!(!found(&index, "invoke").contains(&2));
    }

    #[test]
    fn one_group_does_not_crowd_out_the_others() {
        let same = r#"{"name":"same"}"#;
        let groups = ["a", "a", "a", "a", "b", "c"];
        let index = index(&groups.map(|server| (server, same)));
        let spread = |limit, each| {
            let hits = index.search_spread("same", limit, |_| each, |at| groups[at]);
            hits.iter().map(|hit| hit.document).collect::<Vec<_>>()
        };
        assert_eq!(spread(5, 3), [0, 1, 2, 4, 5]);
        assert_eq!(spread(6, 3), [0, 1, 2, 4, 5, 3]);
        assert_eq!(spread(2, 1), [0, 4]);
        assert_eq!(spread(5, 5), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn equal_results_keep_the_order_of_the_tools() {
        let same = r#"{"name":"same"}"#;
        let index = index(&[("a", same); 5]);
        assert_eq!(found(&index, "same"), [0, 1, 2, 3, 4]);
        assert_eq!(index.search("same", 2).len(), 2);
    }

    #[test]
    fn odd_tools_and_queries_are_no_error() {
        let odd = index(&[
            ("a", r#"{"name":"x","description":7,"inputSchema":[1]}"#),
            (
                "a",
                r#"{"name":"y","inputSchema":{"properties":[],"items":{"properties":3}}}"#,
            ),
        ]);
        assert_eq!(found(&odd, "x"), [0]);
        let long = "word ".repeat(100_000);
        for query in ["", " \u{0}\u{202e}", "the of", "🦀", long.as_str()] {
            assert!(found(&odd, query).is_empty(), "{}", query.len());
        }
        assert!(found(&Index::build(&[]), "x").is_empty());
    }
}
