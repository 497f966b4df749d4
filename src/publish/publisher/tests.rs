use super::*;
use crate::config::{Environment, Overrides, load};
use crate::governance::Health;

const ID: BackendId = BackendId::new(0);

/// A publisher with one backend that never connects.
fn publisher() -> Publisher {
    let url = "http://127.0.0.1:9/".to_owned();
    let flags = Overrides {
        backends: vec![("n8n".to_owned(), url)],
        ..Overrides::default()
    };
    let config = Arc::new(load(&flags, &Environment::new("no-such-folder")).unwrap());
    let backend = HttpBackend::unsupervised(Arc::clone(&config.backends[0]), ID);
    let mut publisher = Publisher::new(config, vec![Arc::new(backend)], StateStore::none());
    publisher.cache_read(CachedListings::default());
    publisher
}

fn listed() -> BackendEvent {
    BackendEvent::Listed {
        backend: ID,
        listing: Arc::default(),
        stale: Vec::new(),
    }
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
    let admission = Arc::clone(&publisher.snapshot().admission);
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
    let admission = Arc::clone(&publisher.snapshot().admission);
    fail_until_refused(&admission);
    publisher.absorb(listed());
    assert!(admission.would_refuse(ID));
}
