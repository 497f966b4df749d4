//! Ranks tools by a few words of what is wanted.
//!
//! Owns [`Index`]: BM25F over the name, title, server, description, and the names and texts of the
//! parameters of each tool. Names are split into words, words are stemmed, a fixed table has
//! words of one meaning, and a misspelt word finds the one that it is an edit from. The same tools and the same query always give the same ranking. It owns the
//! form of results for models, too, and the definitions of the gateway's own tools. Pure; it must not
//! know clients.

mod document;
mod index;
mod own_tools;
mod query;
mod results;
mod signature;
mod synonyms;
mod tokenize;
mod tokens;
mod tools;

pub use document::Document;
pub use index::{Hit, Index};
pub use own_tools::own_tools;
pub(crate) use own_tools::{gateway_status, read_more};
pub use results::{Found, results};
pub use signature::signature;
pub(crate) use signature::{parameters, required};
pub(crate) use tokens::TokenCount;
pub use tokens::estimate_tokens;
pub(crate) use tools::{Search, ToolIndex};
