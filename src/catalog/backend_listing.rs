//! The listing of one backend, read once.
//!
//! Owns which of its items are valid and admitted by the config, why others are rejected, and which
//! rules of the config match nothing of it. It must not know other backends.

mod guarded_args;
mod item;
mod schema_walk;
mod unmatched;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use guarded_args::with_guarded_args;
pub(super) use item::exposed_definition;
use item::{Item, RejectedItem};
pub(crate) use unmatched::UnmatchedRule;
use unmatched::unmatched_rules;

use super::portable::{Portable, SchemaBudget, portable};
use super::rejected::{MAX_ITEMS, MAX_TEMPLATES, Mended, RejectReason, Rejected};
use super::shapes::{Shaped, shape};
use super::uris::named_by_tool;
use crate::config::{BackendConfig, Schemas};
use crate::protocol::era::ParamHeader;
use crate::protocol::{Era, Freshness, Kind, Listing, RawJson};
use crate::text::{clean_json, visible};

/// Most extensions, and most experimental capabilities, of one backend.
const MAX_DECLARED: usize = 64;
/// Most bytes of one of them.
const MAX_DECLARED_BYTES: usize = 4 * 1024;

/// A listing of one backend, read.
#[derive(Debug, Default)]
pub struct BackendListing {
    sections: [Section; Kind::ALL.len()],
    freshness: [Freshness; Kind::ALL.len()],
    instructions: Option<Arc<str>>,
    declared: Option<RawJson>,
    cleaned: Listing,
    unmatched: Vec<UnmatchedRule>,
}

#[derive(Debug, Default)]
struct Section {
    items: Vec<Candidate>,
    rejected: Vec<Rejected>,
    mended: Vec<Mended>,
}

/// An item that may be listed to clients.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) item: Item,
    /// The definition as the backend wrote it.
    pub(super) written: RawJson,
    /// Its definition as clients can read it.
    pub(super) shaped: Shaped,
    /// Its parameters that must also be sent as headers.
    pub(super) param_headers: Arc<[ParamHeader]>,
    /// The URIs of resources that it names, as a tool with a user interface does.
    pub(super) named: Box<[Arc<str>]>,
    /// Why it is neither listed nor called, if it is blocked. It keeps its name.
    pub(super) blocked: Option<RejectReason>,
    /// The chosen profile has not this tool: it is neither listed nor called, and keeps its name.
    pub(super) is_hidden: bool,
}

impl BackendListing {
    /// Reads what a backend listed. Keeps each valid item that the config admits, once.
    pub fn read(config: &BackendConfig, listing: &Listing) -> Self {
        let mut cleaned = Listing::new(listing.param_headers);
        let instructions = listing.instructions.as_deref();
        let instructions = instructions.map(|text| instructions_in(text, config));
        let instructions = instructions.filter(|text| !text.is_empty());
        cleaned.instructions.clone_from(&instructions);
        let declared = listing.declared.as_ref();
        let declared = declared.and_then(|declared| cleaned_declared(declared, config));
        cleaned.declared.clone_from(&declared);
        cleaned.contact.clone_from(&listing.contact);
        Self {
            sections: Kind::ALL.map(|kind| {
                let valid = cleaned.items_mut(kind);
                Section::read(kind, config, listing, valid)
            }),
            freshness: Kind::ALL.map(|kind| listing.freshness(kind)),
            instructions,
            declared,
            cleaned,
            unmatched: unmatched_rules(config, listing),
        }
    }

    /// The rules of the config that match none of its tools.
    pub(crate) fn unmatched_rules(&self) -> &[UnmatchedRule] {
        &self.unmatched
    }

    /// What the backend listed, as it may be kept in a file: the valid items, cleaned, also those
    /// that the config doesn't admit now. Empty when it was taken before.
    pub(crate) fn take_cleaned(&mut self) -> Listing {
        std::mem::take(&mut self.cleaned)
    }

    /// Whether it has a tool with this name, as the backend calls it.
    pub(crate) fn has_tool(&self, own: &str) -> bool {
        let mut tools = self.items(Kind::Tool).iter();
        tools.any(|candidate| &*candidate.item.own == own)
    }

    /// What the backend says in its handshake on how to use it, unless that is withheld.
    pub(crate) fn instructions(&self) -> Option<&Arc<str>> {
        self.instructions.as_ref()
    }

    /// The extensions and experimental capabilities that it declares.
    pub(crate) fn declared(&self) -> Option<&RawJson> {
        self.declared.as_ref()
    }

    pub(super) fn withhold_instructions(&mut self) {
        self.instructions = None;
    }

    pub(super) fn items(&self, kind: Kind) -> &[Candidate] {
        &self.sections[kind as usize].items
    }

    pub(super) fn tools_mut(&mut self) -> &mut [Candidate] {
        &mut self.sections[Kind::Tool as usize].items
    }

    pub(super) fn freshness(&self, kind: Kind) -> Freshness {
        self.freshness[kind as usize]
    }

    pub(super) fn rejected(&self, kind: Kind) -> &[Rejected] {
        &self.sections[kind as usize].rejected
    }

    pub(super) fn mended(&self, kind: Kind) -> &[Mended] {
        &self.sections[kind as usize].mended
    }
}

/// What a backend declares, each capability cleaned. One that can't be, or is too large, costs only
/// itself.
fn cleaned_declared(declared: &RawJson, config: &BackendConfig) -> Option<RawJson> {
    let mut kept = Vec::new();
    for key in ["extensions", "experimental"] {
        let members = declared.get(key);
        let members = members.as_ref().and_then(RawJson::members);
        let members = members.unwrap_or_default().into_iter().take(MAX_DECLARED);
        let clean = members.filter_map(|(name, value)| {
            let alone = RawJson::trusted("{}");
            let value = Bytes::copy_from_slice(value.get().as_bytes());
            let alone = alone.with_members(&[(&name, value)], &[]);
            let fits = alone.as_bytes().len() <= MAX_DECLARED_BYTES;
            let clean = fits.then(|| clean_json(&alone, &config.scrubber).ok())?;
            clean?.read::<Map<String, Value>>().ok()
        });
        let clean: Map<String, Value> = clean.flatten().collect();
        if !clean.is_empty() {
            kept.push((key, RawJson::of(&clean).into_bytes()));
        }
    }
    (!kept.is_empty()).then(|| RawJson::trusted("{}").with_members(&kept, &[]))
}

/// Instructions without hidden characters and secrets.
fn instructions_in(text: &str, config: &BackendConfig) -> Arc<str> {
    visible(&config.scrubber.message(text)).into()
}

impl Section {
    /// Adds the definition of every valid item to `valid`.
    fn read(
        kind: Kind,
        config: &BackendConfig,
        listing: &Listing,
        valid: &mut Vec<RawJson>,
    ) -> Self {
        let mut section = Self::default();
        let mut seen = HashSet::new();
        let items = listing.items(kind);
        let limit = match kind {
            Kind::Template => MAX_TEMPLATES,
            _ => MAX_ITEMS,
        };
        // As many as there will be: the last step of a vector that grows is half empty.
        section.items.reserve_exact(items.len().min(limit));
        valid.reserve_exact(items.len().min(limit));
        let is_portable = config.schemas == Schemas::Portable;
        let mut portable = is_portable.then(SchemaBudget::default);
        for (at, raw) in items.iter().take(limit).enumerate() {
            let item = match Item::read(kind, raw, &config.scrubber) {
                Ok(item) => item,
                Err(RejectedItem { name, reason }) => {
                    let name = name.unwrap_or_else(|| format!("item {}", at + 1));
                    section.reject(config, kind, &name, reason);
                    continue;
                }
            };
            valid.push(item.definition.clone());
            if kind == Kind::Tool && !config.tools.admits(&item.own) {
                continue;
            }
            let own = Arc::clone(&item.own);
            let candidate = match seen.insert(Arc::clone(&own)) {
                true => Candidate::of(kind, item, raw, listing),
                false => Err(RejectReason::Duplicate),
            };
            match candidate.and_then(|it| it.under(kind, config, portable.as_mut())) {
                Ok(candidate) => {
                    if let Some(what) = &candidate.shaped.mends {
                        let mended = Mended::new(config, kind, &own, what.clone());
                        section.mended.push(mended);
                    }
                    section.items.push(candidate);
                }
                Err(reason) => section.reject(config, kind, &own, reason),
            }
        }
        section.items.shrink_to_fit();
        if items.len() > limit {
            let place = format!("items {} to {}", limit + 1, items.len());
            section.reject(config, kind, &place, RejectReason::TooMany(limit));
        }
        section
    }

    fn reject(&mut self, config: &BackendConfig, kind: Kind, name: &str, reason: RejectReason) {
        let rejected = Rejected::new(config, kind, name, reason);
        self.rejected.push(rejected);
    }
}

impl Candidate {
    /// The candidate with what the config says of a tool; items of other kinds stay. With a budget,
    /// its schema is made portable.
    ///
    /// # Errors
    /// Why the tool can't be listed so.
    fn under(
        self,
        kind: Kind,
        config: &BackendConfig,
        portable: Option<&mut SchemaBudget>,
    ) -> Result<Self, RejectReason> {
        if kind != Kind::Tool {
            return Ok(self);
        }
        let (own, mut shaped) = (&self.item.own, self.shaped);
        if let Some(rules) = config.tools.args_of(own) {
            shaped = with_guarded_args(shaped, rules)?;
        }
        if let Some(budget) = portable {
            shaped = made_portable(shaped, budget);
        }
        Ok(Self {
            is_hidden: config.tools.hidden_by(own).is_some(),
            shaped,
            ..self
        })
    }

    /// The candidate that an item becomes; `raw` is how the backend wrote it.
    fn of(kind: Kind, item: Item, raw: &RawJson, listing: &Listing) -> Result<Self, RejectReason> {
        // Parameters are repeated in headers in the modern era alone.
        let server = match listing.param_headers {
            true => Era::Modern,
            false => Era::Legacy,
        };
        let param_headers = match kind == Kind::Tool && listing.param_headers {
            true => ParamHeader::of_tool(&item.definition).map_err(RejectReason::ParamHeader)?,
            false => Vec::new(),
        };
        Ok(Self {
            shaped: shape(kind, &item.definition, server)?,
            written: raw.clone(),
            named: match kind {
                Kind::Tool => named_by_tool(&item.definition),
                _ => Box::default(),
            },
            item,
            param_headers: param_headers.into(),
            blocked: None,
            is_hidden: false,
        })
    }
}

/// A tool with the schema of its arguments as every model's API takes it.
fn made_portable(shaped: Shaped, budget: &mut SchemaBudget) -> Shaped {
    let schema = shaped.legacy.get("inputSchema");
    let made = schema.and_then(|schema| portable(&schema, budget));
    let Some(Portable { schema, rules }) = made else {
        let what = "`inputSchema` is listed as it is, with schemas = \"portable\" too: there is too much of it";
        let mends = shaped.mends.iter().map(String::as_str).chain([what]);
        let mends = mends.collect::<Vec<_>>().join("; ");
        return Shaped {
            mends: Some(mends),
            ..shaped
        };
    };
    let set = [("inputSchema", schema.into_bytes())];
    Shaped {
        legacy: shaped.legacy.with_members(&set, &[]),
        modern: shaped.modern.with_members(&set, &[]),
        rules,
        ..shaped
    }
}
