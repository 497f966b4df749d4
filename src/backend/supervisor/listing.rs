//! Fetches what a server lists, page by page (MCP 2025-11-25, server/utilities/pagination).
//!
//! Owns the bounds on pages, items and bytes, since the server decides how many there are. It must
//! not know what becomes of the items.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

use super::event::Incomplete;
use crate::backend::backoff::jitter;
use crate::backend::error::BackendError;
use crate::backend::retry::{Attempts, Replay, RetryBudget, RetryDecision};
use crate::backend::session::{Attempt, Connection};
use crate::backend::stream::{NoopHandler, fresh_id};
use crate::call_report::CallTrace;
use crate::protocol::listing::completed;
use crate::protocol::message::first_elements;
use crate::protocol::pagination::{NextPage, Pages};
use crate::protocol::{ClientProfile, Era, Freshness, Kind, Listing, Outcome, RawJson, error};
use crate::tasks;

const MAX_PAGES: usize = 1_000;
const MAX_ITEMS: usize = 10_000;
/// Bytes of one list, all pages together.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// A page of at most this many bytes is read at once.
const SMALL_PAGE: usize = 32 * 1024;
/// After this wait for a page, those before it are reported. Each time in one list it doubles.
const SLOW_PAGE: Duration = Duration::from_millis(500);
/// Time for one page, retries included.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A list, as far as it was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) kind: Kind,
    pub(super) items: Vec<RawJson>,
    freshness: Freshness,
    pub(super) extent: Extent,
}

/// How much of a list was fetched.
#[derive(Debug)]
pub(super) enum Extent {
    Whole,
    /// The first pages; the next one is slow.
    Coming,
    /// No more than the pages before one that failed, if there are any.
    Failed(Incomplete),
}

/// Fetches one list. After an error of a later page, what was read counts. While one is slow, what was
/// read until then goes to `first_pages`.
pub(super) async fn fetch(
    connection: &Arc<Connection>,
    client: &ClientProfile,
    retries: u32,
    kind: Kind,
    first_pages: UnboundedSender<Fetched>,
) -> Fetched {
    let mut list = List::new(kind, connection.era);
    let read = pages(connection, client, retries, &mut list, &first_pages).await;
    let extent = match read {
        Ok(()) => Extent::Whole,
        Err(error) => Extent::Failed(Incomplete {
            kind,
            is_partial: list.freshness.is_some(),
            error,
        }),
    };
    list.into_fetched(extent)
}

/// Puts a list that was fetched into the listing, and says whether that is another one now. Where it
/// is not whole, the rest stays as it was. Large lists are compared on another thread.
pub(super) async fn put(listing: &mut Listing, fetched: Fetched) -> bool {
    let Fetched { kind, items, .. } = fetched;
    let before = listing.items(kind).to_vec();
    let lengths = items
        .iter()
        .chain(&before)
        .map(|item| item.as_bytes().len());
    let is_small = lengths.sum::<usize>() <= SMALL_PAGE;
    let is_whole = matches!(fetched.extent, Extent::Whole);
    let merge = move || {
        let items = match is_whole {
            true => items,
            false => completed(kind, items, &before),
        };
        let has_changed = items != before;
        (items, has_changed)
    };
    let merged = match is_small {
        true => Some(merge()),
        false => tasks::blocking(merge).await.ok(),
    };
    let Some((items, has_changed)) = merged else {
        return false;
    };
    *listing.items_mut(kind) = items;
    listing.set_freshness(kind, fetched.freshness);
    has_changed
}

/// Reads the pages into the list, which keeps those before an error.
async fn pages(
    connection: &Arc<Connection>,
    client: &ClientProfile,
    retries: u32,
    list: &mut List,
    first_pages: &UnboundedSender<Fetched>,
) -> Result<(), BackendError> {
    let mut patience = SLOW_PAGE;
    loop {
        let page = {
            let cursor = list.pages.cursor();
            let page = page_with_retries(connection, client, retries, list.kind, cursor);
            let mut page = std::pin::pin!(timeout(PAGE_TIMEOUT, page));
            tokio::select! {
                biased;
                page = &mut page => page,
                () = sleep(patience), if list.freshness.is_some() => {
                    patience *= 2;
                    // Without a receiver they are not needed.
                    let _ = first_pages.send(list.clone_fetched());
                    page.await
                }
            }
        };
        let page = page.map_err(|_| BackendError::Deadline {
            sent: true,
            limit: PAGE_TIMEOUT,
        })??;
        let Some(page) = page else { return Ok(()) };
        match read_page(list, page).await? {
            None => {}
            Some(ListEnd::Complete) => return Ok(()),
            Some(ListEnd::LeftOut(why)) => {
                tracing::warn!(
                    backend = connection.backend(),
                    list = list.kind.list_method(),
                    "{why}"
                );
                return Ok(());
            }
        }
    }
}

/// Reads a page into the list: a large one on another thread, since a server decides how long that
/// takes.
async fn read_page(list: &mut List, page: RawJson) -> Result<Option<ListEnd>, BackendError> {
    if page.as_bytes().len() <= SMALL_PAGE {
        return list.read(&page);
    }
    let mut taken = list.take();
    let reading = tasks::blocking(move || {
        let end = taken.read(&page);
        (taken, end)
    });
    let Ok((read, end)) = reading.await else {
        let why = "the page can't be read: please report it";
        return Err(BackendError::BadReply(why.to_owned()));
    };
    *list = read;
    end
}

/// A list, as far as it has been read.
struct List {
    kind: Kind,
    era: Era,
    items: Items,
    freshness: Option<Freshness>,
    pages: Pages,
}

/// Why no further page is read.
#[derive(Debug)]
enum ListEnd {
    Complete,
    /// The rest is left out, for this reason.
    LeftOut(String),
}

impl List {
    fn new(kind: Kind, era: Era) -> Self {
        Self {
            kind,
            era,
            items: Items::default(),
            freshness: None,
            pages: Pages::new(MAX_PAGES),
        }
    }

    fn into_fetched(self, extent: Extent) -> Fetched {
        Fetched {
            kind: self.kind,
            items: self.items.items,
            freshness: self.freshness.unwrap_or_default(),
            extent,
        }
    }

    /// What was read until now.
    fn clone_fetched(&self) -> Fetched {
        Fetched {
            kind: self.kind,
            items: self.items.items.clone(),
            freshness: self.freshness.unwrap_or_default(),
            extent: Extent::Coming,
        }
    }

    /// Leaves an empty one in its place.
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.kind, self.era))
    }

    /// Adds a page; `None` if another one follows.
    fn read(&mut self, page: &RawJson) -> Result<Option<ListEnd>, BackendError> {
        let listed = page.get(self.kind.member());
        let Some(listed) = listed.and_then(|list| first_elements(&list)) else {
            let (list, member) = (self.kind.list_method(), self.kind.member());
            let why = format!("{list} has no array {member:?}");
            return Err(BackendError::BadReply(why));
        };
        let of_page = match self.era {
            Era::Modern => Freshness::of(page),
            Era::Legacy => Freshness::default(),
        };
        let freshness = self.freshness.map_or(of_page, |before| before.and(of_page));
        self.freshness = Some(freshness);
        if !self.items.take(&listed) {
            let why = format!(
                "the server lists {MAX_ITEMS} items or {MAX_BYTES} bytes, or more: the rest is left out"
            );
            return Ok(Some(ListEnd::LeftOut(why)));
        }
        let left_out = |why: &str| Some(ListEnd::LeftOut(why.to_owned()));
        let end = match self.pages.advance(page) {
            NextPage::More => None,
            NextPage::End => Some(ListEnd::Complete),
            NextPage::Repeated => left_out("the server repeats a cursor: its list ends here"),
            NextPage::TooMany => {
                left_out("the server's list has too many pages: the rest is left out")
            }
        };
        Ok(end)
    }
}

/// The items of a list.
#[derive(Default)]
struct Items {
    items: Vec<RawJson>,
    bytes: usize,
}

impl Items {
    /// Adds one page, within the bounds; returns whether there is room for more. Items are copied, so
    /// that they don't keep their page alive; those of a page share one allocation.
    fn take(&mut self, page: &[RawJson]) -> bool {
        let mut fitting = 0;
        let room = MAX_ITEMS - self.items.len();
        for item in page.iter().take(room) {
            self.bytes += item.as_bytes().len();
            if self.bytes > MAX_BYTES {
                break;
            }
            fitting += 1;
        }
        self.items
            .extend(RawJson::detached_together(&page[..fitting]));
        self.bytes <= MAX_BYTES && self.items.len() < MAX_ITEMS
    }
}

/// One page, with retries: listing is safe.
async fn page_with_retries(
    connection: &Arc<Connection>,
    client: &ClientProfile,
    retries: u32,
    kind: Kind,
    cursor: Option<&RawJson>,
) -> Result<Option<RawJson>, BackendError> {
    let budget = RetryBudget::new();
    let mut attempts = Attempts::new(Replay::Safe, retries, &budget);
    loop {
        let error = match page(connection, client, kind, cursor).await {
            Ok(page) => return Ok(page),
            Err(error) => error,
        };
        let decision = attempts.after(error.retry_class(true), PAGE_TIMEOUT, &mut jitter());
        match decision {
            // The supervisor makes a new connection.
            _ if error.ends_connection() => return Err(error),
            RetryDecision::Retry { delay } => tokio::time::sleep(delay).await,
            RetryDecision::GiveUp => return Err(error),
        }
    }
}

/// One page; `None` if the server has no such list, though it declared one.
async fn page(
    connection: &Arc<Connection>,
    client: &ClientProfile,
    kind: Kind,
    cursor: Option<&RawJson>,
) -> Result<Option<RawJson>, BackendError> {
    let params =
        cursor.map(|cursor| RawJson::trusted(format!(r#"{{"cursor":{}}}"#, cursor.as_str())));
    let (id, trace) = (fresh_id(), CallTrace::start());
    let attempt = Attempt::plain(&id, kind.list_method(), params.as_ref(), client, &trace);
    match connection.request(&attempt, &NoopHandler).await?.outcome {
        Outcome::Result(result) => Ok(Some(result)),
        Outcome::Error(refused) => {
            let code = refused
                .get("code")
                .and_then(|code| code.as_str().parse::<i64>().ok());
            // Of a list that it did not declare, any refusal says that there is none.
            if code == Some(error::METHOD_NOT_FOUND) || !connection.server.declares_lists() {
                return Ok(None);
            }
            let said = connection.snippet(refused.as_bytes());
            Err(BackendError::BadReply(format!(
                "{} was refused: {said}",
                kind.list_method()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// A list of two tools with descriptions of this length, of which the first was fetched.
    fn first_of_two(length: usize) -> (Listing, Fetched) {
        let tool = |name: &str| {
            let text = "x".repeat(length);
            RawJson::trusted(format!(r#"{{"name":"{name}","description":"{text}"}}"#))
        };
        let mut listing = Listing::new(false);
        *listing.items_mut(Kind::Tool) = vec![tool("a"), tool("b")];
        let fetched = Fetched {
            kind: Kind::Tool,
            items: vec![tool("a")],
            freshness: Freshness::default(),
            extent: Extent::Coming,
        };
        (listing, fetched)
    }

    #[tokio::test]
    async fn large_lists_are_compared_on_another_thread() {
        let (mut small, fetched) = first_of_two(10);
        assert_eq!(put(&mut small, fetched).now_or_never(), Some(false));
        let (mut large, fetched) = first_of_two(SMALL_PAGE);
        let mut putting = Box::pin(put(&mut large, fetched));
        assert_eq!(putting.as_mut().now_or_never(), None);
        assert!(!putting.await);
        assert_eq!(large.items(Kind::Tool).len(), 2);
    }

    #[test]
    fn a_list_ends_at_its_bound_of_bytes_or_items() {
        let quarter = RawJson::trusted(format!("\"{}\"", "x".repeat(MAX_BYTES / 4 - 2)));
        let mut large = Items::default();
        assert!(large.take(&[quarter.clone(), quarter.clone()]));
        assert!(large.take(&[quarter.clone(), quarter]));
        assert!(!large.take(&[RawJson::trusted("1")]));
        assert_eq!(large.items.len(), 4);

        let page = vec![RawJson::trusted("1"); MAX_ITEMS / 2];
        let mut many = Items::default();
        assert!(many.take(&page));
        assert!(!many.take(&page));
        assert_eq!(many.items.len(), MAX_ITEMS);
    }
}
