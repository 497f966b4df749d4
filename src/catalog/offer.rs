//! What one backend offers: its listing, read once.
//!
//! Owns which of its items are fit to be shown and admitted by the config, and which are withheld
//! and why. It must not know other backends.

use std::collections::HashSet;
use std::sync::Arc;

use super::item::{Item, Unfit};
use super::withheld::{MAX_ITEMS, MAX_TEMPLATES, Reason, Withheld};
use crate::config::BackendConfig;
use crate::protocol::era::Mirror;
use crate::protocol::{Freshness, Kind, Listing};

/// A listing of one backend, read.
#[derive(Debug, Default)]
pub struct Offer {
    shelves: [Shelf; Kind::ALL.len()],
    freshness: [Freshness; Kind::ALL.len()],
}

#[derive(Debug, Default)]
struct Shelf {
    items: Vec<Offered>,
    withheld: Vec<Withheld>,
}

/// An item that may be shown.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) item: Item,
    /// Its parameters that must be repeated in headers.
    pub(super) mirrors: Arc<[Mirror]>,
    /// Why it is not to be had all the same; it keeps its name meanwhile.
    pub(super) blocked: Option<Reason>,
}

impl Offer {
    /// Reads what a backend listed: each fit item that its config admits, once.
    pub fn read(config: &BackendConfig, listing: &Listing) -> Self {
        Self {
            shelves: Kind::ALL.map(|kind| Shelf::read(kind, config, listing)),
            freshness: Kind::ALL.map(|kind| listing.freshness(kind)),
        }
    }

    /// Whether it has the tool of this own name.
    pub fn has_tool(&self, own: &str) -> bool {
        let mut tools = self.items(Kind::Tool).iter();
        tools.any(|offered| &*offered.item.own == own)
    }

    pub(super) fn items(&self, kind: Kind) -> &[Offered] {
        &self.shelves[kind as usize].items
    }

    pub(super) fn tools_mut(&mut self) -> &mut [Offered] {
        &mut self.shelves[Kind::Tool as usize].items
    }

    pub(super) fn freshness(&self, kind: Kind) -> Freshness {
        self.freshness[kind as usize]
    }

    pub(super) fn withheld(&self, kind: Kind) -> &[Withheld] {
        &self.shelves[kind as usize].withheld
    }
}

impl Shelf {
    fn read(kind: Kind, config: &BackendConfig, listing: &Listing) -> Self {
        let mut shelf = Self::default();
        let mut seen = HashSet::new();
        let items = listing.items(kind);
        let limit = match kind {
            Kind::Template => MAX_TEMPLATES,
            _ => MAX_ITEMS,
        };
        let mut withhold = |name: &str, reason| {
            shelf
                .withheld
                .push(Withheld::new(config, kind, name, reason))
        };
        for (at, raw) in items.iter().take(limit).enumerate() {
            let item = match Item::read(kind, raw) {
                Ok(item) => item,
                Err(Unfit { name, reason }) => {
                    let name = name.unwrap_or_else(|| format!("item {}", at + 1));
                    withhold(&name, reason);
                    continue;
                }
            };
            if kind == Kind::Tool && !config.tools.admits(&item.own) {
                continue;
            }
            if !seen.insert(item.own.clone()) {
                withhold(&item.own, Reason::Duplicate);
                continue;
            }
            let mirrors = match kind == Kind::Tool && listing.mirrors {
                true => Mirror::of_tool(raw),
                false => Ok(Vec::new()),
            };
            match mirrors {
                Ok(mirrors) => shelf.items.push(Offered {
                    item,
                    mirrors: mirrors.into(),
                    blocked: None,
                }),
                Err(why) => withhold(&item.own, Reason::Mirror(why)),
            }
        }
        if items.len() > limit {
            let place = format!("items {} to {}", limit + 1, items.len());
            withhold(&place, Reason::TooMany(limit));
        }
        shelf
    }
}
