//! Where redirects of a backend may not lead, while it is connected.
//!
//! Owns that a change of it reaches connections that there are. It must not know whose servers these are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::Place;
use crate::sync::Mutex;

/// The places that are closed to redirects of a backend: as its entry has them, and as they are in force for its
/// connections, which entries of the same connection share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closed {
    places: Arc<[Place]>,
    in_force: Arc<InForce>,
}

#[derive(Debug, Default)]
struct InForce {
    places: Mutex<Arc<[Place]>>,
    /// A redirect was followed to another place.
    is_elsewhere: AtomicBool,
}

impl Closed {
    /// These places, in force for a new connection.
    pub(crate) fn new(places: Arc<[Place]>) -> Self {
        let in_force = Arc::default();
        let closed = Self { places, in_force };
        closed.enforce();
        closed
    }

    /// The places of the entry.
    #[cfg(test)]
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether both entries have the same places, in any order.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.adds_nothing_to(other) && other.adds_nothing_to(self)
    }

    /// Whether connections under the other one may stay under this: none of them is at a place that is closed
    /// only now.
    pub(crate) fn fits_connections_of(&self, other: &Self) -> bool {
        self.adds_nothing_to(other) || !other.in_force.is_elsewhere.load(Relaxed)
    }

    fn adds_nothing_to(&self, other: &Self) -> bool {
        self.places.iter().all(|place| other.places.contains(place))
    }

    /// The same places for the connections of the other one, once they are [enforced](Self::enforce).
    pub(crate) fn for_connections_of(&self, other: &Self) -> Self {
        Self {
            places: Arc::clone(&self.places),
            in_force: Arc::clone(&other.in_force),
        }
    }

    /// Puts the places of this entry in force for its connections.
    pub(crate) fn enforce(&self) {
        *self.in_force.places.lock() = Arc::clone(&self.places);
    }

    /// Whether no redirect may lead there now.
    pub(crate) fn has(&self, place: &Place) -> bool {
        self.in_force.places.lock().contains(place)
    }

    /// A redirect has led to another place, which may be closed later.
    pub(crate) fn note_elsewhere(&self) {
        self.in_force.is_elsewhere.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;

    fn place(path: &str) -> Place {
        Place::of(&Url::parse(&format!("http://127.0.0.1:9/{path}")).unwrap())
    }

    fn closed(paths: &[&str]) -> Closed {
        Closed::new(paths.iter().map(|path| place(path)).collect())
    }

    #[test]
    fn the_order_of_places_means_nothing() {
        assert!(closed(&["a", "b"]).is_same(&closed(&["b", "a"])));
        assert!(!closed(&["a"]).is_same(&closed(&["a", "b"])));
        assert!(!closed(&["a", "b"]).is_same(&closed(&["a"])));
    }

    #[test]
    fn a_change_reaches_connections_once_it_is_in_force() {
        let old = closed(&["a"]);
        let connection = old.clone();
        let new = closed(&["b"]).for_connections_of(&old);
        assert!(connection.has(&place("a")) && !connection.has(&place("b")));
        new.enforce();
        assert!(!connection.has(&place("a")) && connection.has(&place("b")));
        assert!(closed(&["b", "c"]).fits_connections_of(&new));
        connection.note_elsewhere();
        assert!(!closed(&["b", "c"]).fits_connections_of(&new));
        assert!(closed(&[]).fits_connections_of(&new));
    }
}
