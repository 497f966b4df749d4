//! The tools that the legacy client has found, where these join its list (`search_exposes = "activate"`).
//!
//! Owns which they are, and whether the client has listed them. It must not know requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

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
    /// Oldest first.
    tools: Mutex<Vec<Tool>>,
    lists: watch::Sender<Lists>,
}

#[derive(Debug)]
struct Tool {
    /// The name as clients see it.
    name: Arc<str>,
    /// How many lists the client had asked for before this was in them.
    before: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Lists {
    /// How many lists the client has asked for.
    count: u64,
    /// It did not ask for another one in time after a change, nor after one since.
    is_late: bool,
    changed_at: Option<Instant>,
}

/// What a search has found that the client has not listed yet.
pub(crate) struct Unlisted {
    /// The lists that the client had asked for before.
    count: u64,
    /// The list has changed: otherwise another search has found the same, and the client was told.
    pub(crate) is_new: bool,
}

impl Activated {
    /// Adds tools to the list. Returns what is needed to wait for the client's next list, or `None` where
    /// it has listed all of them.
    pub(crate) fn add<'a>(&self, found: impl Iterator<Item = &'a Arc<str>>) -> Option<Unlisted> {
        let mut tools = self.tools.lock();
        let count = self.lists.borrow().count;
        let before = tools.len();
        let found: Vec<&Arc<str>> = found.collect();
        for name in &found {
            if !tools.iter().any(|tool| tool.name == **name) {
                let name = Arc::clone(name);
                tools.push(Tool {
                    name,
                    before: count,
                });
            }
        }
        let is_new = tools.len() > before;
        if is_new {
            let now = Instant::now();
            self.lists.send_modify(|lists| lists.changed_at = Some(now));
        }
        // What is found again stays, and what another search has just found as long as there is
        // anything else: models are told that it is in the list.
        let mut over = tools.len().saturating_sub(MAX_ACTIVATED);
        for may_be_unlisted in [false, true] {
            tools.retain(|tool| {
                let is_over = over > 0 && (may_be_unlisted || tool.before < count);
                let goes = is_over && !found.contains(&&tool.name);
                over -= usize::from(goes);
                !goes
            });
        }
        let mut ours = tools.iter().filter(|tool| found.contains(&&tool.name));
        let is_unlisted = ours.any(|tool| tool.before == count);
        is_unlisted.then_some(Unlisted { count, is_new })
    }

    /// Their exposed names, oldest first.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        names_of(&self.tools.lock())
    }

    /// The exposed names, oldest first, for a list that the client has asked for. Counts this list.
    pub(crate) fn listed(&self) -> Vec<Arc<str>> {
        // Counted together with what is in it.
        let tools = self.tools.lock();
        self.lists.send_modify(|lists| {
            lists.count += 1;
            // A list that it asks for whenever it likes is no answer to the change.
            let after = lists.changed_at.map(|at| at.elapsed());
            lists.is_late &= after.is_none_or(|after| after > RELIST_TIMEOUT);
        });
        names_of(&tools)
    }

    /// Waits until the client, told of the change, has asked for its list again: what a model is told to
    /// call is then in the list that it gets with the next turn. A client that has let one such time pass
    /// is not waited for until it has listed in time after a change.
    pub(crate) async fn relisted(&self, before: Unlisted) {
        let mut lists = self.lists.subscribe();
        let is_over = |lists: &Lists| lists.count > before.count || lists.is_late;
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
                .send_modify(|lists| lists.is_late |= lists.count == before.count),
        }
    }
}

fn names_of(tools: &[Tool]) -> Vec<Arc<str>> {
    let names = tools.iter().map(|tool| &tool.name);
    names.map(Arc::clone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(from: usize, to: usize) -> Vec<Arc<str>> {
        (from..to).map(|at| at.to_string().into()).collect()
    }

    #[test]
    fn only_the_newest_tools_stay_activated() {
        let activated = Activated::default();
        let names = names(0, MAX_ACTIVATED + 5);
        assert!(activated.add(names[..3].iter()).is_some());
        activated.listed();
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

    /// Both are answered when the client has listed what each has found.
    #[test]
    fn two_searches_at_once_lose_nothing_of_each_other() {
        let activated = Activated::default();
        let names = names(0, 2 * MAX_ACTIVATED);
        let (old, new) = names.split_at(MAX_ACTIVATED / 2);
        activated.add(old.iter()).unwrap();
        activated.listed();
        let (one, other) = new[..MAX_ACTIVATED].split_at(MAX_ACTIVATED / 2);
        assert!(activated.add(one.iter()).unwrap().is_new);
        assert!(activated.add(other.iter()).unwrap().is_new);
        // The same again, which the client has been told of and has not listed.
        let again = activated.add(one[..1].iter()).unwrap();
        assert_eq!((again.is_new, again.count), (false, 1));
        let listed = activated.listed();
        assert_eq!(listed, new[..MAX_ACTIVATED]);
        assert!(activated.add(one.iter().chain(other)).is_none());
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
        // It lists when it likes.
        tokio::time::sleep(2 * RELIST_TIMEOUT).await;
        activated.listed();
        assert_eq!(waits(add(4)).await, Duration::ZERO);
        // It lists after a change, and is waited for.
        activated.listed();
        assert_eq!(waits(add(2)).await, RELIST_TIMEOUT);
        activated.listed();
        let before = add(3);
        activated.listed();
        assert_eq!(waits(before).await, TAKE_UP);
    }
}
