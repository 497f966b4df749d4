//! Keeps the lists of one connected server.
//!
//! Owns when each kind of list is fetched: all of them at first and after a change, one that is not
//! whole again after a wait, and less and less often where nothing changes. Each is reported when it
//! has come, whatever the others do. It must not know how a list is fetched, nor how it is used.

mod fetching;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::connection_handler::ConnectionHandler;
use super::event::{BackendEvent, Incomplete};
use super::listing::{self, Extent, Fetched};
use crate::backend::backoff::{Backoff, Series, jitter};
use crate::backend::error::BackendError;
use crate::backend::session::{Connection, ListsWaiting};
use crate::protocol::{ClientProfile, Era, Kind, Kinds, Listing};
use fetching::{FetchedLists, Fetching};

/// The lists of a server, over all of its connections.
#[derive(Debug)]
pub(super) struct Lists {
    /// As of last contact.
    listing: Arc<Listing>,
    /// How many were reported.
    reports: u64,
    /// Between fetches of lists that are not whole.
    failures: Backoff,
    /// Between fetches of lists that change.
    changes: Backoff,
    /// Consecutive fetches after a change that found none.
    unchanged: Backoff,
    /// Those whose failure was logged, until they are whole again.
    logged: Kinds,
}

impl Lists {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        Self {
            listing: Arc::default(),
            reports: 0,
            failures: Backoff::new(Series::RECONNECT),
            changes: Backoff::new(Series::LISTS),
            unchanged: Backoff::new(Series::UNCHANGED_LISTS),
            logged: Kinds::default(),
        }
    }

    /// Fetches the lists, and again when they change, for as long as the connection lasts.
    pub(super) async fn keep(
        &mut self,
        connection: &Arc<Connection>,
        client: &ClientProfile,
        handler: &ConnectionHandler,
    ) {
        let declared = Kinds::that(|kind| connection.server.lists(kind));
        self.begin(connection, declared);
        let retries = handler.session.config.retries;
        let mut fetching = Fetching::new(connection, client, retries);
        let session = &handler.session;
        let mut waiting = Some(session.list_refresh.take());
        let mut plan = Plan::default();
        fetching.start(declared);
        // A kind that it doesn't have is known with the first that it has.
        let mut known = Kinds::ALL.without(declared);
        loop {
            let used = fetching.credentials;
            tokio::select! {
                () = fetching.came(), if !fetching.is_idle() => {
                    let FetchedLists { lists, over, coming, again } = fetching.take();
                    known = known.or(over);
                    let incomplete = self.put(lists, &mut plan).await;
                    if incomplete.iter().any(|list| is_lost(&list.error)) {
                        session.disconnected(connection);
                        return std::future::pending().await;
                    }
                    self.plan_retry(&mut plan, &incomplete, &fetching);
                    // A client may call as soon as it sees the list.
                    session.wait_ready().await;
                    let in_use = self.report(handler, mem::take(&mut known), coming, incomplete);
                    if !again.has(Kind::Tool) && !fetching.running.has(Kind::Tool) {
                        self.done(&mut waiting);
                    }
                    // No more than one is fetched while another is not in use: no more than these two
                    // are kept.
                    let _ = in_use.await;
                    fetching.start(again);
                    plan.fetched_at = Instant::now();
                }
                () = sleep_if(plan.retry_at) => {
                    plan.retry_at = None;
                    fetching.start(mem::take(&mut plan.retried));
                }
                () = connection.credentials().changed(used), if !plan.signed_out.is_empty() => {
                    // If they can't be read, the fetch says so.
                    let _ = connection.credentials().resolve().await;
                    fetching.start(mem::take(&mut plan.signed_out));
                }
                () = sleep_if(plan.refetch_at) => {
                    plan = Plan::default();
                    // The fetch that begins covers changes that came until now.
                    let _ = session.lists_changed.notified().now_or_never();
                    drop(waiting.take());
                    waiting = Some(session.list_refresh.take());
                    fetching.start(declared);
                }
                () = session.list_refresh.needed() => self.plan_refresh(&mut plan),
                () = session.lists_changed.notified() => self.plan_change(&mut plan),
            }
        }
    }

    /// What a new connection says of the server.
    fn begin(&mut self, connection: &Connection, declared: Kinds) {
        let listing = Arc::make_mut(&mut self.listing);
        listing.param_headers = connection.era == Era::Modern;
        listing
            .instructions
            .clone_from(&connection.server.instructions);
        listing.declared = connection.server.declared();
        listing.contact.clone_from(&connection.contact);
        for kind in Kinds::ALL.without(declared).iter() {
            listing.items_mut(kind).clear();
        }
    }

    /// Puts what came into the listing. Returns what is not whole.
    async fn put(&mut self, came: Vec<Fetched>, plan: &mut Plan) -> Vec<Incomplete> {
        let listing = Arc::make_mut(&mut self.listing);
        let mut incomplete = Vec::new();
        let mut has_changed = false;
        for list in came {
            if let Extent::Failed(why) = &list.extent {
                incomplete.push(why.clone());
            }
            has_changed |= listing::put(listing, list).await;
        }
        if has_changed {
            self.unchanged.reset();
        } else if !plan.is_counted {
            self.unchanged.count();
        }
        plan.is_counted = true;
        incomplete
    }

    /// Lists that are not whole are fetched again after a wait, or once a person has signed in.
    fn plan_retry(&mut self, plan: &mut Plan, incomplete: &[Incomplete], fetching: &Fetching<'_>) {
        let mut is_timed = false;
        for list in incomplete {
            match list.error.awaits_sign_in() {
                true => plan.signed_out.add(list.kind),
                false => {
                    plan.retried.add(list.kind);
                    is_timed = true;
                }
            }
        }
        if is_timed {
            let delay = self.failures.next_delay(&mut jitter());
            plan.retry_at = Some(Instant::now() + delay);
        } else if incomplete.is_empty() && plan.retried.is_empty() && fetching.is_idle() {
            self.failures.reset();
        }
    }

    /// A call needs the lists: the first fetch is immediate.
    fn plan_refresh(&mut self, plan: &mut Plan) {
        self.changes.lasted(plan.fetched_at.elapsed());
        let delay = match self.changes.waits() {
            0 => {
                self.changes.count();
                Duration::ZERO
            }
            _ => self.changes.next_delay(&mut jitter()),
        };
        let at = Instant::now() + delay;
        plan.refetch_at = Some(plan.refetch_at.map_or(at, |planned| planned.min(at)));
    }

    /// Changes that come together are fetched once; while they go on, less and less often; and while
    /// fetches find nothing new, such as where fetching itself makes the server say so, hardly at all.
    fn plan_change(&mut self, plan: &mut Plan) {
        if plan.refetch_at.is_some() {
            return;
        }
        let life = plan.fetched_at.elapsed();
        self.changes.lasted(life);
        self.unchanged.lasted(life);
        let delay = self.changes.next_delay(&mut jitter());
        let quiet = match self.unchanged.waits() {
            0 => Duration::ZERO,
            fetches => Series::UNCHANGED_LISTS.delay(fetches - 1, &mut jitter()),
        };
        plan.refetch_at = Some(Instant::now() + delay.max(quiet));
    }

    /// Reports the listing; what is returned resolves when it is in use.
    fn report(
        &mut self,
        handler: &ConnectionHandler,
        came: Kinds,
        coming: Kinds,
        incomplete: Vec<Incomplete>,
    ) -> oneshot::Receiver<()> {
        let session = &handler.session;
        for list in &incomplete {
            if !self.logged.has(list.kind) {
                let why = list.explain(&session.config.shown_url);
                tracing::warn!(
                    backend = session.name(),
                    list = list.kind.list_method(),
                    error = why,
                    "a list could not be fetched whole: what is missing is kept as it was"
                );
            }
        }
        let failed = Kinds::that(|kind| incomplete.iter().any(|list| list.kind == kind));
        for kind in came.iter() {
            let list = incomplete.iter().find(|list| list.kind == kind);
            session.set_list_error(
                kind,
                list.map(|list| list.explain(&session.config.shown_url)),
            );
        }
        self.logged = self.logged.without(came).or(failed);
        self.reports += 1;
        let (taken, in_use) = oneshot::channel();
        let _ = handler.context.events.send(BackendEvent::Listed {
            backend: handler.context.id,
            number: self.reports,
            listing: Arc::clone(&self.listing),
            came,
            coming,
            incomplete,
            taken,
        });
        in_use
    }

    fn done(&self, waiting: &mut Option<ListsWaiting<'_>>) {
        if let Some(waiting) = waiting.take() {
            waiting.done(self.reports);
        }
    }
}

/// When lists are fetched next.
#[derive(Debug)]
struct Plan {
    /// All of them.
    refetch_at: Option<Instant>,
    /// Those that are not whole.
    retry_at: Option<Instant>,
    retried: Kinds,
    /// Those that a person must sign in for.
    signed_out: Kinds,
    /// When one came last.
    fetched_at: Instant,
    /// Whether this fetch of all has found a change is counted.
    is_counted: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            refetch_at: None,
            retry_at: None,
            retried: Kinds::default(),
            signed_out: Kinds::default(),
            fetched_at: Instant::now(),
            is_counted: false,
        }
    }
}

/// Whether the connection can't be used any more, though the server can be reached.
fn is_lost(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::SessionLost { .. } | BackendError::EraChanged { .. }
    )
}

async fn sleep_if(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lists_that_do_not_change_are_fetched_ten_times_a_minute_at_most() {
        let mut lists = Lists::new();
        let (mut fetches, begun) = (vec![Instant::now()], Instant::now());
        // The server says at each fetch that they have changed.
        while begun.elapsed() < Duration::from_secs(600) {
            let mut plan = Plan::default();
            lists.plan_change(&mut plan);
            sleep_until(plan.refetch_at.unwrap()).await;
            fetches.push(Instant::now());
            lists.put(Vec::new(), &mut Plan::default()).await;
        }
        for (at, first) in fetches.iter().enumerate() {
            let minute = fetches[at..]
                .iter()
                .take_while(|next| **next - *first < Duration::from_secs(60));
            let count = minute.count();
            assert!(count <= 10, "{count} in a minute");
        }
        // A change that was found makes the next one count at once.
        lists.unchanged.reset();
        tokio::time::advance(Duration::from_secs(60)).await;
        let mut plan = Plan {
            fetched_at: *fetches.last().unwrap(),
            ..Plan::default()
        };
        lists.plan_change(&mut plan);
        assert!(plan.refetch_at.unwrap() - Instant::now() < Duration::from_millis(200));
    }
}
