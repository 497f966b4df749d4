//! A server as it stands in a text, and the replaced ranges that an edit is made of.
//!
//! Owns [`Entry`] and [`Splice`], which the edits of all formats share. Ranges are bytes of the text before the
//! edit.

use std::ops::Range;

use super::entry::{Layout, Node};

/// One server of a client's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: String,
    /// What it says.
    pub(crate) value: serde_json::Value,
    /// What it says, its members in the order of the file.
    pub(crate) node: Node,
    /// Its text in the file, without the name where the format is JSON. May hold secrets.
    pub(crate) raw: String,
    /// Where it begins: a byte of the text after any mark at the beginning.
    pub(crate) start: usize,
}

/// What is written as an entry.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// An entry of ours.
    Node(&'a Node),
    /// Text that stood in the file before, an [`Entry::raw`].
    Raw(&'a str),
}

impl Content<'_> {
    /// The content as a value of JSON.
    pub(super) fn json(&self, layout: &Layout) -> String {
        match self {
            Self::Node(node) => node.json(layout),
            Self::Raw(raw) => (*raw).to_owned(),
        }
    }
}

/// A part of a text that is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    /// Bytes of the text.
    pub(super) range: Range<usize>,
    /// What stands there afterwards.
    pub(super) text: String,
}

impl Splice {
    pub(super) fn insert(at: usize, text: String) -> Self {
        Self {
            range: at..at,
            text,
        }
    }

    pub(super) fn remove(range: Range<usize>) -> Self {
        Self {
            range,
            text: String::new(),
        }
    }
}

/// The line end of a text: that of its first line.
pub(super) fn newline_of(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}
