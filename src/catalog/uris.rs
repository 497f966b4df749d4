//! The resource URIs of all backends as clients see them.
//!
//! Owns [`Uris`], the mapping between the URIs of backends and those of clients, which is by table:
//! an alias is never taken apart. Whose a URI is, is decided in [`assign`], what an alias looks like
//! in [`form`], where URIs stand in messages in [`places`], and what the files around a URI say in
//! [`around`]. It must not know definitions.

mod around;
mod assign;
mod form;
mod places;
mod template;

use std::collections::HashMap;
use std::sync::Arc;

use crate::call_report::BackendId;
use crate::protocol::{Kind, Kinds};
pub(crate) use around::{Around, in_directory, own_directory};
pub(super) use assign::having_more;
use assign::{UriClaim, UriNames};
pub(crate) use form::Form;
pub(crate) use places::{
    Pages, may_have_uris, named_by_tool, with_skill_uris, with_tool_uris, with_uris, without_pages,
};
use template::Template;

/// Most steps of matching URIs against templates in one build. Past it, no template counts as having
/// a URI.
const MAX_STEPS: usize = 20_000_000;
/// How many of the last separators of a URI may be where a resource ends that it is a part of.
const MAX_PARTS_DEEP: usize = 64;

/// Whose a URI is that a backend has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Another backend has it: it lists it, a tool of it names it, or it has a template for it.
    Another,
    /// No other backend has it.
    NoOther,
    /// There were not enough steps to find out.
    Unknown,
}

/// The URIs of one backend, each once.
#[derive(Debug)]
pub(super) struct BackendUris<'a> {
    pub(super) id: BackendId,
    pub(super) name: &'a Arc<str>,
    pub(super) resources: Vec<&'a Arc<str>>,
    pub(super) templates: Vec<&'a Arc<str>>,
    /// Named by its tools, and not listed.
    pub(super) named: Vec<&'a Arc<str>>,
}

/// Whose URIs and templates are whose, up to now.
#[derive(Debug, Clone, Default)]
pub(super) struct UriRecords {
    resources: UriNames,
    templates: UriNames,
}

impl UriRecords {
    /// Takes over those of these kinds.
    pub(super) fn keep(&mut self, newer: &Self, kinds: Kinds) {
        if kinds.has(Kind::Resource) {
            self.resources.clone_from(&newer.resources);
        }
        if kinds.has(Kind::Template) {
            self.templates.clone_from(&newer.templates);
        }
    }

    /// A result of this backend has named the URI.
    pub(super) fn reserve(&mut self, backend: &Arc<str>, uri: &Arc<str>) {
        self.resources.reserve(backend, uri);
    }

    #[cfg(test)]
    pub(super) fn remembered(&self, kind: Kind) -> usize {
        match kind {
            Kind::Template => self.templates.remembered(),
            _ => self.resources.remembered(),
        }
    }
}

/// The mapping between the URIs of backends and those of clients.
#[derive(Debug, Default)]
pub(crate) struct Uris {
    /// Whose each URI is that clients see in a list or a tool.
    owners: HashMap<Arc<str>, Owner>,
    /// The unlisted ones among them, with the backend's own URI.
    named: HashMap<Arc<str>, (BackendId, Arc<str>)>,
    aliases: HashMap<BackendId, Aliases>,
    /// One for each template, in list order.
    templates: Vec<ListedTemplate>,
    /// There are several backends: with one, no URI can be taken.
    are_several: bool,
    pub(super) pages: Pages,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    backend: BackendId,
    /// A list of it has the URI, under its own name.
    lists_it: bool,
}

/// The aliases of one backend.
#[derive(Debug, Default)]
struct Aliases {
    by_own: HashMap<Arc<str>, Arc<str>>,
    templates: Vec<(Template, Form)>,
}

#[derive(Debug)]
struct ListedTemplate {
    backend: BackendId,
    /// The template as clients see it; `None` matches nothing.
    exposed: Option<Template>,
    /// How it is changed, if it is.
    form: Option<Form>,
}

/// What clients see of URIs and templates, in the order of the backends and their lists.
#[derive(Debug)]
pub(super) struct AssignedUris {
    pub(super) resources: Vec<Arc<str>>,
    pub(super) templates: Vec<Arc<str>>,
    pub(super) uris: Uris,
}

/// An unlisted URI that a listed template expands to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expansion {
    /// The place of the template in its list.
    pub(super) template: usize,
    /// The backend's own URI, where clients see another.
    pub(super) own: Option<String>,
}

impl UriRecords {
    /// Decides what clients see; `backends` are in config order.
    pub(super) fn assign(&mut self, backends: &[BackendUris<'_>]) -> AssignedUris {
        let templates = self.assign_templates(backends);
        let mut uris = Uris {
            are_several: backends.len() > 1,
            ..Uris::default()
        };
        let mut shown = templates.iter();
        for backend in backends {
            for (own, exposed) in backend.templates.iter().zip(shown.by_ref()) {
                uris.add_template(backend, own, exposed);
            }
        }
        let claims = resource_claims(backends, &uris);
        let exposed = self.resources.assign(&claims);
        let by_name: HashMap<&Arc<str>, BackendId> =
            backends.iter().map(|of| (of.name, of.id)).collect();
        let mut resources = Vec::with_capacity(exposed.len());
        for (claim, exposed) in claims.iter().zip(exposed) {
            if let Some(id) = by_name.get(claim.backend).filter(|_| uris.are_several) {
                uris.add(*id, claim, &exposed);
            }
            if claim.is_listed {
                resources.push(exposed);
            }
        }
        AssignedUris {
            resources,
            templates,
            uris,
        }
    }

    fn assign_templates(&mut self, backends: &[BackendUris<'_>]) -> Vec<Arc<str>> {
        let claims = backends.iter().flat_map(|of| {
            of.templates.iter().map(|own| UriClaim {
                backend: of.name,
                own,
                is_listed: true,
                is_of_template: false,
            })
        });
        self.templates.assign(&claims.collect::<Vec<_>>())
    }
}

/// The claims of all backends: those of each that are listed, then those that its tools name.
fn resource_claims<'a>(backends: &'a [BackendUris<'a>], uris: &Uris) -> Vec<UriClaim<'a>> {
    let mut steps = MAX_STEPS;
    let mut claims = Vec::new();
    for (place, of) in backends.iter().enumerate() {
        // Who lists a URI is asked after those before it, who only names it after all.
        let before: Vec<BackendId> = backends[..place].iter().map(|of| of.id).collect();
        for own in &of.resources {
            let is_of = |other: BackendId| before.contains(&other);
            claims.push(UriClaim {
                backend: of.name,
                own,
                is_listed: true,
                is_of_template: uris.has_template(own, is_of, &mut steps),
            });
        }
        for own in &of.named {
            let is_of = |other: BackendId| other != of.id;
            claims.push(UriClaim {
                backend: of.name,
                own,
                is_listed: false,
                is_of_template: uris.has_template(own, is_of, &mut steps),
            });
        }
    }
    claims
}

impl Uris {
    fn add_template(&mut self, of: &BackendUris<'_>, own: &str, exposed: &str) {
        let is_alias = own != exposed;
        let form = is_alias
            .then(|| Form::between(own, exposed, of.name))
            .flatten();
        if let (Some(form), Some(own)) = (&form, Template::parse(own)) {
            let aliases = self.aliases.entry(of.id).or_default();
            aliases.templates.push((own, form.clone()));
        }
        self.templates.push(ListedTemplate {
            backend: of.id,
            exposed: Template::parse(exposed),
            form,
        });
    }

    fn add(&mut self, backend: BackendId, claim: &UriClaim<'_>, exposed: &Arc<str>) {
        let lists_it = claim.is_listed && exposed == claim.own;
        let owner = Owner { backend, lists_it };
        self.owners.insert(Arc::clone(exposed), owner);
        if !claim.is_listed {
            let own = Arc::clone(claim.own);
            self.named.insert(Arc::clone(exposed), (backend, own));
        }
        if exposed != claim.own {
            let aliases = self.aliases.entry(backend).or_default();
            aliases
                .by_own
                .insert(Arc::clone(claim.own), Arc::clone(exposed));
        }
    }

    /// Whether a backend of these has a template, under its own URI, that can have expanded to this.
    fn has_template(
        &self,
        uri: &str,
        is_of: impl Fn(BackendId) -> bool,
        steps: &mut usize,
    ) -> bool {
        let mut plain = self.templates.iter().filter(|of| of.form.is_none());
        plain.any(|of| {
            let template = of.exposed.as_ref().filter(|_| is_of(of.backend));
            template.is_some_and(|template| template.matches_within(uri, steps))
        })
    }

    /// Whether there are several backends, so that URIs may have to be mapped.
    pub(crate) fn are_several(&self) -> bool {
        self.are_several
    }

    /// The backend that a tool's URI is of, and its own URI, where no list has it.
    pub(crate) fn named(&self, exposed: &str) -> Option<(BackendId, &Arc<str>)> {
        self.named
            .get(exposed)
            .map(|(backend, own)| (*backend, own))
    }

    /// The aliases of the unlisted URIs that a backend's tools name, each after its own URI.
    pub(crate) fn named_aliases(&self, backend: BackendId) -> Vec<(&str, &str)> {
        let of_backend = self
            .named
            .iter()
            .filter(|(exposed, (id, own))| *id == backend && exposed != &own);
        let mut named: Vec<_> = of_backend
            .map(|(exposed, (_, own))| (&**own, &**exposed))
            .collect();
        named.sort_unstable();
        named
    }

    /// The alias of a backend's URI, if it has one by its lists or tools. Takes steps for what is
    /// held against templates; past them no template has it.
    pub(crate) fn alias(
        &self,
        backend: BackendId,
        own: &str,
        steps: &mut usize,
    ) -> Option<Arc<str>> {
        let aliases = self.aliases.get(&backend)?;
        if let Some(alias) = aliases.by_own.get(own) {
            return Some(Arc::clone(alias));
        }
        if self.is_own(backend, own) || !take(steps, aliases.templates.len()) {
            return None;
        }
        let mut templates = aliases.templates.iter();
        let (_, form) = templates.find(|(template, _)| template.matches_within(own, steps))?;
        form.alias(own).map(Arc::from)
    }

    /// The alias that a tool's definition has for a URI.
    pub(super) fn alias_of_tool(&self, backend: BackendId, own: &str) -> Option<Arc<str>> {
        self.alias(backend, own, &mut { MAX_STEPS })
    }

    /// The alias of the resource that this is a part of, with the part (MCP 2025-11-25,
    /// server/resources: a server may report a part of what was subscribed to).
    pub(crate) fn alias_of_part(&self, backend: BackendId, own: &str) -> Option<String> {
        let aliases = &self.aliases.get(&backend)?.by_own;
        if aliases.is_empty() {
            return None;
        }
        // The longest first. A slash is of the whole, or of the part.
        let ends = own.rmatch_indices(['/', '#', '?']).take(MAX_PARTS_DEEP);
        let ends = ends.flat_map(|(at, end)| [(end == "/").then_some(at + 1), Some(at)]);
        ends.flatten().find_map(|end| {
            let alias = aliases.get(&own[..end])?;
            Some(format!("{alias}{}", &own[end..]))
        })
    }

    /// The backend whose aliases are in this directory, as clients see it, and its own directory; `None`
    /// if there are several.
    pub(crate) fn beneath(&self, directory: &str) -> Option<(BackendId, String)> {
        let all = self.aliases.iter().flat_map(|(backend, aliases)| {
            aliases
                .by_own
                .iter()
                .map(move |(own, alias)| (alias, *backend, own))
        });
        let mut found = all.filter_map(|(alias, backend, own)| {
            Some((backend, own_directory(directory, alias, own)?))
        });
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// Looks at the URIs of lists and tools. Those in lists, under their own names, show whose others are.
    pub(crate) fn look_around(&self, around: &mut Around<'_>) {
        for (exposed, owner) in &self.owners {
            around.see(exposed, owner.backend, owner.lists_it);
        }
    }

    /// Whether the backend has this URI under its own name, by its list or a tool.
    pub(crate) fn is_own(&self, backend: BackendId, uri: &str) -> bool {
        let owner = self.owners.get(uri);
        owner.is_some_and(|owner| owner.backend == backend)
    }

    /// Whose this URI is, which the backend has named. Takes steps for what is held against templates.
    pub(crate) fn whose(&self, backend: BackendId, uri: &str, steps: &mut usize) -> Whose {
        let owner = self.owners.get(uri);
        if owner.is_some_and(|owner| owner.backend != backend) {
            return Whose::Another;
        }
        let has_left = take(steps, self.templates.len());
        match has_left && self.has_template(uri, |other| other != backend, steps) {
            true => Whose::Another,
            false if !has_left || *steps == 0 => Whose::Unknown,
            false => Whose::NoOther,
        }
    }

    /// Whether another backend has this URI.
    pub(crate) fn is_of_another(&self, backend: BackendId, uri: &str) -> bool {
        self.whose(backend, uri, &mut { MAX_STEPS }) == Whose::Another
    }

    /// Whether clients see this URI in a list or a tool.
    pub(crate) fn is_exposed(&self, uri: &str) -> bool {
        self.owners.contains_key(uri)
    }

    /// The first template that can have expanded to this unlisted URI: aliases first, since they name
    /// their backend, then in list order.
    pub(super) fn expansion(&self, uri: &str) -> Option<Expansion> {
        let matches = |of: &&ListedTemplate| {
            let template = of.exposed.as_ref();
            template.is_some_and(|template| template.matches(uri))
        };
        let all = || self.templates.iter().enumerate();
        let aliased = all().filter(|(_, of)| of.form.is_some());
        let plain = all().filter(|(_, of)| of.form.is_none());
        let (template, of) = aliased.chain(plain).find(|(_, of)| matches(of))?;
        let own = of.form.as_ref().and_then(|form| form.own(uri));
        Some(Expansion { template, own })
    }
}

/// Takes so many steps. Where they are not left, none are any more.
fn take(steps: &mut usize, count: usize) -> bool {
    let left = steps.checked_sub(count);
    *steps = left.unwrap_or(0);
    left.is_some()
}
