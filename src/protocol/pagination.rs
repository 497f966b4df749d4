//! Pages of a list (MCP 2025-11-25, server/utilities/pagination).
//!
//! Owns which page comes next, and that a server which repeats a cursor or never ends its list is
//! not followed forever. It must not know what is listed.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::raw::RawJson;

/// The pages of one list, in order.
#[derive(Debug)]
pub(crate) struct Pages {
    left: usize,
    cursor: Option<RawJson>,
    /// Hashes, since a cursor may be as long as a response.
    seen: HashSet<u64>,
    hasher: RandomState,
}

/// Whether there is another page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    /// Yes; [`Pages::cursor`] is its cursor.
    More,
    /// No: the list is complete.
    End,
    /// No: the server repeats a cursor.
    Repeated,
    /// No: the list has as many pages as are read.
    TooMany,
}

impl Pages {
    /// The pages before the first one is read; at most `max_pages` are read.
    pub(crate) fn new(max_pages: usize) -> Self {
        Self {
            left: max_pages,
            cursor: None,
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// The cursor of the next page; `None` for the first. It is the server's JSON value.
    pub(crate) fn cursor(&self) -> Option<&RawJson> {
        self.cursor.as_ref()
    }

    /// Reads `nextCursor` of a result. Any value is a cursor, an empty string too; null, false and
    /// absence end the list.
    pub(crate) fn advance(&mut self, result: &RawJson) -> NextPage {
        let next = result.get("nextCursor");
        let Some(next) = next.filter(|cursor| !matches!(cursor.as_str(), "null" | "false")) else {
            return NextPage::End;
        };
        if !self.seen.insert(self.hasher.hash_one(next.as_bytes())) {
            return NextPage::Repeated;
        }
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return NextPage::TooMany;
        }
        self.cursor = Some(next);
        NextPage::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(cursor: &str) -> RawJson {
        RawJson::trusted(format!(r#"{{"tools":[],"nextCursor":{cursor}}}"#))
    }

    #[test]
    fn a_list_ends_without_a_cursor_with_a_repeated_one_or_after_the_last_page_read() {
        let mut pages = Pages::new(4);
        assert_eq!(pages.advance(&result(r#""""#)), NextPage::More);
        assert_eq!(pages.cursor().map(RawJson::as_str), Some(r#""""#));
        assert_eq!(pages.advance(&result("null")), NextPage::End);
        assert_eq!(pages.advance(&result("false")), NextPage::End);
        assert_eq!(pages.advance(&RawJson::trusted("{}")), NextPage::End);
        assert_eq!(pages.advance(&result(r#""a""#)), NextPage::More);
        assert_eq!(pages.advance(&result(r#""""#)), NextPage::Repeated);
        assert_eq!(pages.advance(&result("7")), NextPage::More);
        assert_eq!(pages.advance(&result("8")), NextPage::TooMany);
    }
}
