//! Request ids, in both directions.
//!
//! Owns two tables: the client's requests that wait for a response, and the gateway's requests to
//! the client. Only the code that removes an entry may act on it. Pure; it must not know methods.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::message::Id;

/// Key of a client request in [`Incoming`]. Never reused, so a response that arrives after a
/// cancellation can't match a later request with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestKey(u64);

impl RequestKey {
    /// Its number, unique in this process.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// The client's requests that wait for a response.
#[derive(Debug)]
pub(crate) struct Incoming<T> {
    keys: HashMap<Id, RequestKey>,
    entries: BTreeMap<RequestKey, (Id, T)>,
    issued: u64,
}

impl<T> Default for Incoming<T> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            entries: BTreeMap::new(),
            issued: 0,
        }
    }
}

impl<T> Incoming<T> {
    /// Adds a request; `None` if its id is already in flight.
    pub(crate) fn begin(&mut self, id: Id, entry: T) -> Option<RequestKey> {
        let Entry::Vacant(free) = self.keys.entry(id.clone()) else {
            return None;
        };
        self.issued += 1;
        let key = RequestKey(self.issued);
        free.insert(key);
        self.entries.insert(key, (id, entry));
        Some(key)
    }

    /// Removes a request. Only the caller that gets `Some` answers or cancels it.
    pub(crate) fn finish(&mut self, key: RequestKey) -> Option<(Id, T)> {
        let (id, entry) = self.entries.remove(&key)?;
        self.keys.remove(&id);
        Some((id, entry))
    }

    /// The key of an id in flight.
    pub(crate) fn key(&self, id: &Id) -> Option<RequestKey> {
        self.keys.get(id).copied()
    }

    /// The id of a request in flight, as the client wrote it.
    pub(crate) fn id(&self, key: RequestKey) -> Option<&Id> {
        self.entries.get(&key).map(|(id, _)| id)
    }

    /// The entry of a request in flight.
    pub(crate) fn get(&self, key: RequestKey) -> Option<&T> {
        self.entries.get(&key).map(|(_, entry)| entry)
    }

    /// The entry of a request in flight, mutable.
    pub(crate) fn get_mut(&mut self, key: RequestKey) -> Option<&mut T> {
        self.entries.get_mut(&key).map(|(_, entry)| entry)
    }

    /// All keys in flight, in the order they were issued.
    pub(crate) fn keys(&self) -> Vec<RequestKey> {
        self.entries.keys().copied().collect()
    }

    /// How many are in flight.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The gateway's requests to the client, under the gateway's own ids.
#[derive(Debug)]
pub(crate) struct Outgoing<T> {
    entries: HashMap<Id, T>,
    issued: u64,
}

impl<T> Default for Outgoing<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            issued: 0,
        }
    }
}

impl<T> Outgoing<T> {
    /// A new id for a request to the client.
    pub(crate) fn issue(&mut self, entry: T) -> Id {
        self.issued += 1;
        let id = Id::number(self.issued);
        self.entries.insert(id.clone(), entry);
        id
    }

    /// Removes one; `None` for an id that was not issued or was settled before.
    pub(crate) fn settle(&mut self, id: &Id) -> Option<T> {
        self.entries.remove(id)
    }

    /// Removes all entries for which `which` is true, with their ids.
    pub(crate) fn take_where(&mut self, which: impl Fn(&T) -> bool) -> Vec<(Id, T)> {
        let ids: Vec<Id> = self
            .entries
            .iter()
            .filter(|(_, entry)| which(entry))
            .map(|(id, _)| id.clone())
            .collect();
        ids.into_iter()
            .filter_map(|id| self.entries.remove(&id).map(|entry| (id, entry)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_response_never_matches_a_later_request_with_the_same_id() {
        let mut in_flight = Incoming::default();
        let first = in_flight.begin(Id::number(1), "first").unwrap();
        assert!(in_flight.begin(Id::number(1), "duplicate").is_none());
        assert!(in_flight.finish(first).is_some());
        let second = in_flight.begin(Id::number(1), "second").unwrap();
        assert!(in_flight.finish(first).is_none());
        assert_eq!(in_flight.finish(second).unwrap().1, "second");
    }
}
