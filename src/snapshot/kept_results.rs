//! Results whose text was too large for the client's model.
//!
//! Owns the whole text of each, under a handle, for as long as there is room: within a quarter of the
//! byte budget, the least recently read goes first. Where no result is limited any more, all go. It owns pages
//! of a text ([`large_text`]), too, and the limits of tasks, whose results come later. There is one client in a process, so nobody
//! else reads them. It must not know requests.

mod array;
mod large_text;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::{Budget, Charge};
use crate::sync::Mutex;
pub(crate) use large_text::{LargeText, Page, Piece};

/// Most results.
const MAX_RESULTS: usize = 64;
/// They may take one part in so many of the budget.
const SHARE: usize = 4;
/// Most tasks whose limit is remembered.
const MAX_TASKS: usize = 1_000;
/// Longest id of such a task, in bytes.
const MAX_TASK_ID: usize = 256;

/// Results with their handles, the least recently read first.
type Results = VecDeque<(String, Arc<KeptResult>)>;

/// The results that are kept. One for the run, shared by all snapshots.
#[derive(Debug)]
pub(crate) struct KeptResults {
    budget: Budget,
    /// `None` since the config limits no result any more.
    results: Mutex<Option<Results>>,
    /// The limit of each task, by its id as clients know it, oldest first.
    task_limits: Mutex<VecDeque<(String, Option<usize>)>>,
}

/// A result that is kept.
#[derive(Debug)]
pub(crate) struct KeptResult {
    /// All of its text.
    pub(crate) text: LargeText,
    /// Most tokens of a page.
    pub(crate) page_tokens: usize,
    _charge: Charge,
}

impl KeptResults {
    /// They are charged to the client's share.
    pub(crate) fn new(budget: &Budget) -> Self {
        Self {
            budget: budget.clone(),
            results: Mutex::new(Some(VecDeque::new())),
            task_limits: Mutex::default(),
        }
    }

    /// The config limits results from now on, or no longer: then nothing is kept, since nothing newer would
    /// ever take its place.
    pub(crate) fn set_limited(&self, is_limited: bool) {
        let mut results = self.results.lock();
        if is_limited {
            results.get_or_insert_default();
        } else {
            *results = None;
            self.task_limits.lock().clear();
        }
    }

    /// Whether results were limited in this run, and are not any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.results.lock().is_none()
    }

    /// Makes room for a text that takes so many bytes; `None` if there can't be enough.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<Charge> {
        let limit = self.budget.limit() / SHARE;
        if bytes > limit {
            return None;
        }
        let mut results = self.results.lock();
        let results = results.as_mut()?;
        let mut held: usize = results.iter().map(|(_, kept)| kept.text.held()).sum();
        // Where other messages fill the budget, those that are kept go for nothing.
        if !self.budget.fits(bytes.saturating_sub(held)) {
            return None;
        }
        let mut charge = self.budget.charge();
        while held.saturating_add(bytes) > limit
            || results.len() >= MAX_RESULTS
            || charge.cover(bytes).is_err()
        {
            let (_, oldest) = results.pop_front()?;
            held -= oldest.text.held();
        }
        Some(charge)
    }

    /// Keeps a text in the room that was made for it. Returns the handle; `None` if results are limited no
    /// longer.
    pub(crate) fn keep(
        &self,
        text: LargeText,
        page_tokens: usize,
        mut charge: Charge,
    ) -> Option<String> {
        // It is no larger than what was reserved.
        let _ = charge.cover(text.held());
        let kept = KeptResult {
            text,
            page_tokens,
            _charge: charge,
        };
        let mut results = self.results.lock();
        let results = results.as_mut()?;
        let handle = loop {
            // Not a number that counts: a handle of an earlier run must not name another result.
            let handle = format!("{:08x}", rand::random::<u32>());
            if results.iter().all(|(known, _)| *known != handle) {
                break handle;
            }
        };
        results.push_back((handle.clone(), Arc::new(kept)));
        Some(handle)
    }

    /// The result with this handle, if it is still kept.
    pub(crate) fn get(&self, handle: &str) -> Option<Arc<KeptResult>> {
        let mut results = self.results.lock();
        let results = results.as_mut()?;
        let at = results.iter().position(|(known, _)| known == handle)?;
        let entry = results.remove(at)?;
        let kept = Arc::clone(&entry.1);
        results.push_back(entry);
        Some(kept)
    }

    /// Remembers the limit on the result of a task; `None` is no limit.
    pub(crate) fn limit_task(&self, task: String, tokens: Option<usize>) {
        if task.len() > MAX_TASK_ID {
            return;
        }
        let mut limits = self.task_limits.lock();
        limits.retain(|(known, _)| *known != task);
        limits.push_back((task, tokens));
        if limits.len() > MAX_TASKS {
            limits.pop_front();
        }
    }

    /// The limit on the result of a task; `None` if it is not known.
    pub(crate) fn task_limit(&self, task: &str) -> Option<Option<usize>> {
        let limits = self.task_limits.lock();
        let known = limits.iter().find(|(known, _)| known == task);
        known.map(|(_, tokens)| *tokens)
    }
}

#[cfg(test)]
mod tests;
