//! Lists of all backends together, which are fetched for each request.
//!
//! Owns how the pages of each backend are read, and how one list is made of all: what is large on another thread,
//! and each byte charged to the backend that it is of. It must not know what is listed.

use std::sync::Arc;

use crate::backend::HttpBackend;
use crate::protocol::era::modern::{ResultStamp, stamp_result};
use crate::protocol::message::elements;
use crate::protocol::pagination::{NextPage, Pages};
use crate::protocol::{Outcome, RawJson, task};

/// The most pages of one backend that are read.
const MAX_PAGES: usize = 100;

/// What one backend has of a list.
pub(super) struct Part {
    backend: Arc<HttpBackend>,
    pages: Pages,
    pub(super) items: Vec<RawJson>,
    /// Of all pages.
    bytes: usize,
}

impl Part {
    /// Nothing is read yet.
    pub(super) fn new(backend: &Arc<HttpBackend>) -> Self {
        Self {
            backend: Arc::clone(backend),
            pages: Pages::new(MAX_PAGES),
            items: Vec::new(),
            bytes: 0,
        }
    }

    /// This part with the items of the next page, which are in this member; and the cursor of the page after it.
    pub(super) async fn with_page(
        mut self,
        member: &'static str,
        page: RawJson,
    ) -> (Self, Option<RawJson>) {
        let (backend, bytes) = (Arc::clone(&self.backend), page.as_bytes().len());
        let read = move || {
            let found = page.get(member).and_then(|items| elements(&items));
            self.items.extend(found.unwrap_or_default());
            self.bytes += bytes;
            let next = match self.pages.advance(&page) {
                NextPage::More => self.pages.cursor().cloned(),
                _ => None,
            };
            (self, next)
        };
        backend.sized(bytes, read).await
    }
}

/// The result of a list with all these parts in order, in this member. For a modern client it is stamped
/// with the gateway's `serverInfo`.
pub(super) async fn merged(
    member: &'static str,
    parts: Vec<Part>,
    gateway: Option<RawJson>,
) -> RawJson {
    let bytes: usize = parts.iter().map(|part| part.bytes).sum();
    let largest = parts.iter().max_by_key(|part| part.bytes);
    let largest = largest.map(|part| Arc::clone(&part.backend));
    let merge = move || {
        let share = |part: &Part| -> (Arc<HttpBackend>, usize) {
            let sizes = part.items.iter().map(|item| item.as_bytes().len());
            (Arc::clone(&part.backend), sizes.sum())
        };
        let shares: Vec<_> = parts.iter().map(share).collect();
        let items = task::array(parts.into_iter().flat_map(|part| part.items));
        let list = RawJson::trusted("{}").with_members(&[(member, items)], &[]);
        let list = match gateway {
            Some(gateway) => stamp_result(&list, ResultStamp::CompleteAndCacheable, &gateway),
            None => list,
        };
        let list = match Outcome::Result(list).on_one_line() {
            Outcome::Result(list) | Outcome::Error(list) => list,
        };
        let shares = shares.into_iter();
        shares.fold(list, |list, (backend, bytes)| {
            backend.charged_part(bytes, list)
        })
    };
    match largest {
        Some(backend) => backend.sized(bytes, merge).await,
        None => merge(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call_report::BackendId;
    use crate::config::{Environment, Overrides, load};

    /// Each backend pays for what is of it in the copy for the client, until that is dropped.
    #[tokio::test]
    async fn each_part_of_a_merged_list_is_charged_to_its_backend() {
        let url = |name: &str| (name.to_owned(), "http://127.0.0.1:9/".to_owned());
        let flags = Overrides {
            backends: vec![url("large"), url("small"), url("none")],
            ..Overrides::default()
        };
        let config = load(&flags, &Environment::new("no-such-folder")).unwrap();
        let backends = config.backends.iter().enumerate().map(|(at, config)| {
            let id = BackendId::new(at as u32);
            Arc::new(HttpBackend::unsupervised(Arc::clone(config), id))
        });
        let backends: Vec<Arc<HttpBackend>> = backends.collect();
        let held = || -> Vec<usize> { backends.iter().map(|backend| backend.held()).collect() };
        // More than is merged at once.
        let item = format!(r#"{{"name":"{}"}}"#, "x".repeat(200_000));
        let mut parts = Vec::new();
        for (backend, items) in backends.iter().zip([2, 1, 0]) {
            let mut part = Part::new(backend);
            let mut cursor = None;
            for page in 0..items {
                let next = if page + 1 < items {
                    r#","nextCursor":1"#
                } else {
                    ""
                };
                let page = RawJson::trusted(format!(r#"{{"things":[{item}]{next}}}"#));
                (part, cursor) = part.with_page("things", page).await;
            }
            assert!(cursor.is_none());
            assert_eq!(part.items.len(), items);
            parts.push(part);
        }
        let list = merged("things", parts, None).await;
        let expected = format!(r#"{{"things":[{item},{item},{item}]}}"#);
        assert!(list.as_str() == expected);
        assert_eq!(held(), [2 * item.len(), item.len(), 0]);
        drop(list);
        assert_eq!(held(), [0; 3]);
    }
}
