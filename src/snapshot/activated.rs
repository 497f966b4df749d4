//! The tools that the legacy client has found, where these join its list (`search_exposes = "activate"`).
//!
//! Owns which they are, and whether the client has listed them. It must not know requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::sync::Mutex;

/// Most tools that are activated at a time; the oldest leave the list first.
const MAX_ACTIVATED: usize = 64;
/// How long a client may take to list the tools again after `list_changed`. Clients that do take milliseconds.
const RELIST_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it may then take until its model has them: Gemini CLI needs some 30 ms.
const TAKE_UP: Duration = Duration::from_millis(100);

/// What the legacy client has activated. One for the run.
#[derive(Debug, Default)]
pub(crate) struct Activated {
    /// Exposed names, oldest first.
    names: Mutex<Vec<Arc<str>>>,
    lists: watch::Sender<Lists>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Lists {
    /// How many the client has asked for.
    count: u64,
    /// It did not ask for another one in time, and has not asked since.
    is_late: bool,
}

/// The lists that a client had asked for before a change.
pub(crate) struct Before(u64);

impl Activated {
    /// Adds tools to the list. Returns what is needed to wait for the client's next list, or `None` where
    /// all are in it.
    pub(crate) fn add<'a>(&self, found: impl Iterator<Item = &'a Arc<str>>) -> Option<Before> {
        let mut names = self.names.lock();
        let before = names.len();
        let found: Vec<&Arc<str>> = found.collect();
        for name in &found {
            if !names.contains(name) {
                names.push(Arc::clone(name));
            }
        }
        let is_changed = names.len() > before;
        let mut over = names.len().saturating_sub(MAX_ACTIVATED);
        // What is found again stays: the model is told that it is in the list.
        names.retain(|name| {
            let goes = over > 0 && !found.contains(&name);
            over -= usize::from(goes);
            !goes
        });
        is_changed.then(|| Before(self.lists.borrow().count))
    }

    /// Their exposed names, oldest first.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.names.lock().clone()
    }

    /// The same for a list that the client has asked for.
    pub(crate) fn listed(&self) -> Vec<Arc<str>> {
        // Counted together with what is in it.
        let names = self.names.lock();
        self.lists.send_modify(|lists| {
            lists.count += 1;
            lists.is_late = false;
        });
        names.clone()
    }

    /// Waits until the client, told of the change, has asked for its list again: what a model is told to
    /// call is then in the list that it gets with the next turn. A client that has let one such time pass
    /// is not waited for until it lists again.
    pub(crate) async fn relisted(&self, before: Before) {
        let mut lists = self.lists.subscribe();
        let is_over = |lists: &Lists| lists.count > before.0 || lists.is_late;
        let over = async {
            lists
                .wait_for(is_over)
                .await
                .is_ok_and(|lists| !lists.is_late)
        };
        match tokio::time::timeout(RELIST_TIMEOUT, over).await {
            Ok(true) => tokio::time::sleep(TAKE_UP).await,
            Ok(false) => {}
            Err(_) => self
                .lists
                .send_modify(|lists| lists.is_late |= lists.count == before.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn names(from: usize, to: usize) -> Vec<Arc<str>> {
        (from..to).map(|at| at.to_string().into()).collect()
    }

    #[test]
    fn only_the_newest_tools_stay_activated() {
        let activated = Activated::default();
        let names = names(0, MAX_ACTIVATED + 5);
        assert!(activated.add(names[..3].iter()).is_some());
        assert!(activated.add(names[..3].iter()).is_none());
        assert!(activated.add(names[3..MAX_ACTIVATED].iter()).is_some());
        // The oldest goes, and what is found again stays.
        let found = [&names[0], &names[MAX_ACTIVATED]];
        assert!(activated.add(found.into_iter()).is_some());
        let stays = activated.names();
        assert_eq!(stays.len(), MAX_ACTIVATED);
        assert!(stays.contains(&names[0]) && !stays.contains(&names[1]));
        assert_eq!(stays.last(), Some(&names[MAX_ACTIVATED]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_list_again_is_waited_for_once() {
        let activated = Activated::default();
        let add = |number| activated.add(names(number, number + 1).iter()).unwrap();
        let waits = async |before| {
            let begun = Instant::now();
            activated.relisted(before).await;
            begun.elapsed()
        };
        activated.listed();
        assert_eq!(waits(add(0)).await, RELIST_TIMEOUT);
        assert_eq!(waits(add(1)).await, Duration::ZERO);
        // It lists again after all, and is waited for.
        activated.listed();
        assert_eq!(waits(add(2)).await, RELIST_TIMEOUT);
        activated.listed();
        let before = add(3);
        activated.listed();
        assert_eq!(waits(before).await, TAKE_UP);
    }
}
