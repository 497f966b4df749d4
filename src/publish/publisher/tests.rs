use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::budget::Budget;
use crate::config::{Environment, Overrides, load};
use crate::governance::Health;
use crate::protocol::{Kind, RawJson};

const ID: BackendId = BackendId::new(0);

/// A publisher with one backend that never connects.
fn publisher() -> Publisher {
    let (mut publisher, _) = new_publisher();
    publisher.cache_read(CachedListings::default());
    publisher
}

fn new_publisher() -> (Publisher, Arc<Snapshot>) {
    let url = "http://127.0.0.1:9/".to_owned();
    let flags = Overrides {
        backends: vec![("n8n".to_owned(), url)],
        ..Overrides::default()
    };
    let config = Arc::new(load(&flags, &Environment::new("no-such-folder")).unwrap());
    let backend = HttpBackend::unsupervised(Arc::clone(&config.backends[0]), ID);
    let kept = KeptResults::new(&Budget::new(usize::MAX));
    Publisher::new(config, vec![Arc::new(backend)], StateStore::none(), kept)
}

fn listed() -> BackendEvent {
    listed_as(1, Listing::default()).0
}

/// An event with this listing, and what resolves when it is in use.
fn listed_as(number: u64, listing: Listing) -> (BackendEvent, oneshot::Receiver<()>) {
    let (taken, in_use) = oneshot::channel();
    let event = BackendEvent::Listed {
        backend: ID,
        number,
        listing: Arc::new(listing),
        came: Kinds::ALL,
        coming: Kinds::default(),
        incomplete: Vec::new(),
        taken,
    };
    (event, in_use)
}

/// A listing of one tool whose definition has this many bytes.
fn one_tool(name: &str, bytes: usize) -> Listing {
    let mut listing = Listing::default();
    let tool = format!(
        r#"{{"name":"{name}","description":"{}"}}"#,
        "x".repeat(bytes)
    );
    listing.items_mut(Kind::Tool).push(RawJson::trusted(tool));
    listing
}

/// Names of the tools of a snapshot.
fn tools(publication: Option<Publication>) -> Vec<String> {
    let snapshot = publication.expect("a snapshot").snapshot;
    let entries = snapshot.catalog.entries(Kind::Tool);
    entries.map(|entry| entry.exposed.to_string()).collect()
}

fn fail_until_refused(admission: &Admission) {
    while !admission.would_refuse(ID) {
        let failure = Health::Failure("connection refused".into());
        admission.admit(ID, None).unwrap().settle(failure);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_reconnects_may_be_called_immediately() {
    let mut publisher = publisher();
    let admission = Arc::clone(&publisher.admission);
    fail_until_refused(&admission);
    publisher.absorb(BackendEvent::Down { backend: ID });
    assert!(admission.would_refuse(ID));
    publisher.absorb(listed());
    assert!(!admission.would_refuse(ID));
}

#[tokio::test(start_paused = true)]
async fn new_lists_of_a_connected_backend_do_not_reset_its_breaker() {
    let mut publisher = publisher();
    publisher.absorb(BackendEvent::Down { backend: ID });
    publisher.absorb(listed());
    let admission = Arc::clone(&publisher.admission);
    fail_until_refused(&admission);
    publisher.absorb(listed());
    assert!(admission.would_refuse(ID));
}

#[tokio::test]
async fn a_small_listing_is_published_at_once_and_a_large_one_from_another_thread() {
    let mut publisher = publisher();
    let (event, in_use) = listed_as(1, one_tool("small", 10));
    publisher.absorb(event);
    let built = publisher.start().expect("built at once");
    let (publication, taken) = publisher.finish(built);
    assert_eq!(tools(publication), ["small"]);
    drop(taken);
    assert!(in_use.await.is_err(), "it is in use");

    let (event, mut in_use) = listed_as(2, one_tool("large", 2 * SMALL));
    publisher.absorb(event);
    assert!(publisher.start().is_none());
    // Meanwhile only the newest listing is kept.
    let (skipped, skipped_use) = listed_as(3, one_tool("skipped", 2 * SMALL));
    publisher.absorb(skipped);
    publisher.absorb(listed_as(4, one_tool("newest", 2 * SMALL)).0);
    assert!(skipped_use.await.is_err());
    assert_eq!(publisher.listed.len(), 1);
    assert!(publisher.start().is_none(), "one at a time");

    let built = publisher.built().await;
    let (publication, taken) = publisher.finish(built);
    assert_eq!(
        in_use.try_recv(),
        Err(TryRecvError::Empty),
        "not published yet"
    );
    let snapshot = &publication.as_ref().unwrap().snapshot;
    assert_eq!(snapshot.listing_numbers[&ID], 2);
    assert_eq!(tools(publication), ["large"]);
    drop(taken);
    assert!(in_use.await.is_err());

    assert!(publisher.start().is_none());
    let built = publisher.built().await;
    assert_eq!(tools(publisher.finish(built).0), ["newest"]);
    assert!(publisher.start().is_none());
}

#[tokio::test]
async fn a_listing_that_changes_nothing_for_clients_notifies_nobody() {
    let mut publisher = publisher();
    let mut publish = |number, tool: &str| {
        publisher.absorb(listed_as(number, one_tool(tool, 10)).0);
        let built = publisher.start().unwrap();
        publisher.finish(built).0.unwrap().notifications.len()
    };
    publish(1, "a");
    assert_eq!(publish(2, "a"), 0);
    assert_eq!(publish(3, "b"), 1);
}
