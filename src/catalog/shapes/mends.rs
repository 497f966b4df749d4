//! What is changed in one definition, in words.
//!
//! Owns the list of the changes, with the path of each, and the bound on how many are named.

use std::fmt::{Display, Write as _};

use crate::catalog::rejected::label;

/// Most changes of one definition that are named.
const MAX_NAMED: usize = 4;

/// The changes so far, and the place that is being looked at.
#[derive(Debug, Default)]
pub(super) struct Mends {
    path: Vec<String>,
    text: String,
    count: usize,
}

impl Mends {
    /// Runs `work` one member deeper.
    pub(super) fn within<T>(&mut self, member: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(label(member));
        let done = work(self);
        self.path.pop();
        done
    }

    /// Adds a change of a member; an empty name is the place itself.
    pub(super) fn add(&mut self, member: &str, what: impl Display) {
        self.count += 1;
        if self.count > MAX_NAMED {
            return;
        }
        let gap = if self.text.is_empty() { "" } else { "; " };
        let place = self.place(member);
        // Writing to a String can't fail.
        let _ = write!(self.text, "{gap}`{place}` {what}");
    }

    /// Where a member is, for a message.
    pub(super) fn place(&self, member: &str) -> String {
        let mut place = self.path.join(".");
        if !member.is_empty() {
            let dot = if place.is_empty() { "" } else { "." };
            let _ = write!(place, "{dot}{}", label(member));
        }
        place
    }

    /// All of it on one line; `None` if nothing is changed.
    pub(super) fn summary(mut self) -> Option<String> {
        if self.count > MAX_NAMED {
            let _ = write!(self.text, "; and {} more", self.count - MAX_NAMED);
        }
        (self.count > 0).then_some(self.text)
    }
}
