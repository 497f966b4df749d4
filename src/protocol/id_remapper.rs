//! Who asked what under which id, in both directions.
//!
//! Owns the two tables that keep ids apart: requests of the client that wait for an answer, and
//! requests that we sent to the client. Removal from a table is the right to act on it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::message::Id;

/// A client request's place in [`Incoming`]. Never used twice, so that an answer that comes
/// after a cancellation can't meet a later request of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(u64);

impl RequestKey {
    /// Its number, which no other ticket of this process has.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Requests of the client that wait for an answer.
#[derive(Debug)]
pub struct Incoming<T> {
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
    /// Takes a request in; `None` if its id is in flight already.
    pub fn begin(&mut self, id: Id, entry: T) -> Option<RequestKey> {
        let Entry::Vacant(free) = self.keys.entry(id.clone()) else {
            return None;
        };
        self.issued += 1;
        let key = RequestKey(self.issued);
        free.insert(key);
        self.entries.insert(key, (id, entry));
        Some(key)
    }

    /// Ends a request: who gets `Some` answers it (or has cancelled it), nobody else.
    pub fn finish(&mut self, key: RequestKey) -> Option<(Id, T)> {
        let (id, entry) = self.entries.remove(&key)?;
        self.keys.remove(&id);
        Some((id, entry))
    }

    /// The ticket of an id in flight.
    pub fn key(&self, id: &Id) -> Option<RequestKey> {
        self.keys.get(id).copied()
    }

    /// The id of a request in flight, as the client wrote it.
    pub fn id(&self, key: RequestKey) -> Option<&Id> {
        self.entries.get(&key).map(|(id, _)| id)
    }

    /// What was noted with a request in flight.
    pub fn get(&self, key: RequestKey) -> Option<&T> {
        self.entries.get(&key).map(|(_, entry)| entry)
    }

    /// The same, to note more.
    pub fn get_mut(&mut self, key: RequestKey) -> Option<&mut T> {
        self.entries.get_mut(&key).map(|(_, entry)| entry)
    }

    /// All tickets in flight, in the order they were issued.
    pub fn keys(&self) -> Vec<RequestKey> {
        self.entries.keys().copied().collect()
    }

    /// How many are in flight.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Requests that we sent to the client, under ids of our own.
#[derive(Debug)]
pub struct Outgoing<T> {
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
    /// A fresh id for a request to the client.
    pub fn issue(&mut self, entry: T) -> Id {
        self.issued += 1;
        let id = Id::number(self.issued);
        self.entries.insert(id.clone(), entry);
        id
    }

    /// Ends one; `None` for an id that is not ours or was settled before.
    pub fn settle(&mut self, id: &Id) -> Option<T> {
        self.entries.remove(id)
    }

    /// Takes out all that `which` picks, with their ids.
    pub fn take_where(&mut self, which: impl Fn(&T) -> bool) -> Vec<(Id, T)> {
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
    fn a_late_answer_never_meets_a_later_request_of_the_same_id() {
        let mut in_flight = Incoming::default();
        let first = in_flight.begin(Id::number(1), "first").unwrap();
        assert!(in_flight.begin(Id::number(1), "duplicate").is_none());
        assert!(in_flight.finish(first).is_some());
        let second = in_flight.begin(Id::number(1), "second").unwrap();
        assert!(in_flight.finish(first).is_none());
        assert_eq!(in_flight.finish(second).unwrap().1, "second");
    }
}
