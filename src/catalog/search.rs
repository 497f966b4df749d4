//! Ranks tools by a few words of what is wanted.
//!
//! Owns [`Index`]: BM25F over the name, title, server, description, and the names and texts of the
//! parameters of each tool. Names are split into words, words are stemmed, and a fixed table has
//! words of one meaning. The same tools and the same query always give the same ranking. Pure; it
//! must not know clients, nor how a result is written.

mod document;
mod index;
mod synonyms;
mod tokenize;
mod tokens;
mod tools;

pub use document::Document;
pub use index::{Hit, Index};
pub use tokens::estimate_tokens;
pub(crate) use tools::{Search, ToolIndex};
