use super::*;
use crate::config::{Environment, Overrides, load};
use crate::governance::breaker::Health;

/// One backend that nobody connects.
fn refresh() -> Refresh {
    let url = "http://127.0.0.1:9/".to_owned();
    let flags = Overrides {
        backends: vec![("n8n".to_owned(), url)],
        ..Overrides::default()
    };
    let config = Arc::new(load(&flags, &Environment::new("no-such-folder")).unwrap());
    let backend = HttpBackend::unsupervised(Arc::clone(&config.backends[0]), 0);
    Refresh::new(config, vec![Arc::new(backend)], StateStore::none())
}

fn listed() -> BackendEvent {
    BackendEvent::Listed {
        backend: 0,
        listing: Arc::default(),
        stale: Vec::new(),
    }
}

fn open(breaker: &Arc<Breaker>) {
    while !breaker.turns_away() {
        let reason = "connection refused".into();
        breaker.admit().unwrap().settle(Health::Failure(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_was_down_and_is_back_may_be_called_at_once() {
    let mut refresh = refresh();
    let breaker = Arc::clone(&refresh.snapshot().breakers[0]);
    open(&breaker);
    refresh.absorb(BackendEvent::Down { backend: 0 });
    assert!(breaker.turns_away());
    refresh.absorb(listed());
    assert!(!breaker.turns_away());
}

#[tokio::test(start_paused = true)]
async fn new_lists_of_a_backend_that_was_there_say_nothing_of_its_calls() {
    let mut refresh = refresh();
    refresh.absorb(BackendEvent::Down { backend: 0 });
    refresh.absorb(listed());
    let breaker = Arc::clone(&refresh.snapshot().breakers[0]);
    open(&breaker);
    refresh.absorb(listed());
    assert!(breaker.turns_away());
}
