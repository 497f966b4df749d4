//! URIs that results, prompts and reads have named, though no list has them.
//!
//! Owns which backend each is of, up to a limit for each backend. It must not know where in a message
//! a URI stands, nor how it is read.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;

use crate::call_report::BackendId;
use crate::catalog::{Around, Form, Uris, Whose, own_directory};
use crate::sync::Mutex;

/// Most URIs of one backend; the oldest make room.
const MAX_URIS: usize = 1_000;
/// Most bytes of the URIs of one backend.
const MAX_BYTES: usize = 256 * 1024;

/// The URIs that each backend has named. Shared by all snapshots.
#[derive(Debug, Default)]
pub(crate) struct NamedUris(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    /// The backend and its own URI, by what clients see.
    by_exposed: HashMap<Arc<str>, (BackendId, Arc<str>)>,
    backends: HashMap<BackendId, Named>,
}

/// The URIs of one backend.
#[derive(Debug, Default)]
struct Named {
    /// What clients see, by its own URI.
    exposed: HashMap<Arc<str>, Arc<str>>,
    /// Its own URIs, oldest first.
    order: VecDeque<Arc<str>>,
    bytes: usize,
    /// The own URIs that clients see under an alias.
    aliased: BTreeSet<Arc<str>>,
    /// The own URIs that a list of its skills has.
    listed: HashSet<Arc<str>>,
}

/// Who names a URI.
#[derive(Debug, Clone, Copy)]
pub(super) struct Namer<'a> {
    pub(super) id: BackendId,
    pub(super) name: &'a str,
    /// It can be asked for resources. Else a URI that it names is none that it could be read from.
    pub(super) has_resources: bool,
    /// It names the URI in a list of its skills, which shows whose the files beside it are, as a list of
    /// resources does (F-X-03).
    pub(super) lists_it: bool,
}

impl NamedUris {
    /// What clients see of a URI that a backend has named and doesn't list: an alias where another
    /// backend has it, or may have it, else `None`. It is remembered, so that reads reach this backend.
    /// Takes steps for what is held against templates.
    pub(super) fn name(
        &self,
        namer: Namer<'_>,
        own: &str,
        uris: &Uris,
        steps: &mut usize,
    ) -> Option<Arc<str>> {
        let shown = self.shown(namer, own, uris, steps);
        if namer.lists_it
            && let Some(named) = self.0.lock().backends.get_mut(&namer.id)
            && let Some((own, _)) = named.exposed.get_key_value(own)
        {
            named.listed.insert(Arc::clone(own));
        }
        shown
    }

    fn shown(
        &self,
        namer: Namer<'_>,
        own: &str,
        uris: &Uris,
        steps: &mut usize,
    ) -> Option<Arc<str>> {
        let whose = uris.whose(namer.id, own, steps);
        let mut tables = self.0.lock();
        let is_of_another = whose == Whose::Another || tables.is_of_another(namer.id, own);
        if let Some(exposed) = tables.exposed(namer.id, own) {
            if !is_of_another || *exposed != *own {
                return Some(exposed).filter(|exposed| **exposed != *own);
            }
            tables.remove(namer.id, own);
        }
        let own: Arc<str> = own.into();
        if let Some(alias) = tables.alias_beside(namer.id, &own) {
            let alias: Arc<str> = alias.into();
            if !uris.is_exposed(&alias) && !tables.by_exposed.contains_key(&alias) {
                tables.add(namer.id, &own, Arc::clone(&alias));
                return Some(alias);
            }
        }
        if !is_of_another && whose != Whose::Unknown {
            if namer.has_resources || namer.lists_it {
                tables.add(namer.id, &own, Arc::clone(&own));
            }
            return None;
        }
        let alias = (0..).find_map(|attempt| {
            let alias = Form::new(&own, namer.name, attempt).alias(&own)?;
            let is_free = !uris.is_exposed(&alias) && !tables.by_exposed.contains_key(&*alias);
            is_free.then(|| Arc::<str>::from(alias))
        })?;
        tables.add(namer.id, &own, Arc::clone(&alias));
        Some(alias)
    }

    /// Remembers this alias for a URI, in the place of any other, if it is free.
    pub(super) fn set_alias(&self, backend: BackendId, own: &str, alias: Arc<str>) -> bool {
        let mut tables = self.0.lock();
        if tables.is_of_another(backend, &alias) {
            return false;
        }
        if tables.exposed(backend, own).as_ref() != Some(&alias) {
            tables.remove(backend, own);
            tables.add(backend, &own.into(), alias);
        }
        true
    }

    /// The backend whose aliases are in this directory, as clients see it, and its own directory; `None`
    /// if there are several.
    pub(super) fn beneath(&self, directory: &str) -> Option<(BackendId, String)> {
        let tables = self.0.lock();
        let all = tables.by_exposed.iter();
        let aliased = all.filter(|(exposed, (_, own))| *exposed != own);
        let mut found = aliased.filter_map(|(exposed, (backend, own))| {
            Some((*backend, own_directory(directory, exposed, own)?))
        });
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// Looks at all of them. Those that lists of skills have, or with `shows` all, show whose others are
    /// where they are their backends' own.
    pub(super) fn look_around(&self, around: &mut Around<'_>, shows: bool) {
        let tables = self.0.lock();
        let is_listed = |backend, own| {
            let named = tables.backends.get(backend);
            named.is_some_and(|named| named.listed.contains(own))
        };
        for (exposed, (backend, own)) in &tables.by_exposed {
            let shows = exposed == own && (shows || is_listed(backend, own));
            around.see(exposed, *backend, shows);
        }
    }

    /// The backends have changed: each of these takes the place of another, with its URIs, and what is
    /// not there is forgotten.
    pub(crate) fn reconfigure(
        &self,
        successors: &HashMap<BackendId, BackendId>,
        is_there: impl Fn(BackendId) -> bool,
    ) {
        let mut tables = self.0.lock();
        for (new, old) in successors {
            if let Some(named) = tables.backends.remove(old) {
                tables.backends.insert(*new, named);
            }
        }
        let new: HashMap<_, _> = successors.iter().map(|(new, old)| (*old, *new)).collect();
        for (backend, _) in tables.by_exposed.values_mut() {
            *backend = *new.get(backend).unwrap_or(backend);
        }
        tables.by_exposed.retain(|_, (id, _)| is_there(*id));
        tables.backends.retain(|id, _| is_there(*id));
    }

    /// The URIs that are their backends' own names for them.
    pub(crate) fn own(&self) -> Vec<(BackendId, Arc<str>)> {
        let tables = self.0.lock();
        let own = tables
            .by_exposed
            .iter()
            .filter(|(exposed, (_, own))| *exposed == own);
        own.map(|(uri, (backend, _))| (*backend, Arc::clone(uri)))
            .collect()
    }

    /// The backend that has named what clients see as this URI, and its own URI; `None` where another
    /// has it meanwhile.
    pub(super) fn owner(&self, exposed: &str, uris: &Uris) -> Option<(BackendId, Arc<str>)> {
        let owner = self.0.lock().by_exposed.get(exposed).cloned();
        owner.filter(|(backend, own)| **own != *exposed || !uris.is_of_another(*backend, own))
    }
}

impl Tables {
    fn exposed(&self, backend: BackendId, own: &str) -> Option<Arc<str>> {
        let named = self.backends.get(&backend)?;
        named.exposed.get(own).cloned()
    }

    fn is_of_another(&self, backend: BackendId, uri: &str) -> bool {
        let owner = self.by_exposed.get(uri);
        owner.is_some_and(|(owner, _)| *owner != backend)
    }

    /// The alias that fits those of the backend's files below it, in the same directory, or in one above it:
    /// a text refers to them by relative paths.
    fn alias_beside(&self, backend: BackendId, own: &str) -> Option<String> {
        let named = self.backends.get(&backend)?;
        if named.aliased.is_empty() {
            return None;
        }
        std::iter::once(own)
            .chain(parents(own))
            .find_map(|directory| {
                let inside = &*format!("{directory}/");
                let after = named.aliased.range::<str, _>((Included(inside), Unbounded));
                let files = after.take_while(|file| file.starts_with(inside));
                let shown = files.take(MAX_BESIDE).find_map(|file| {
                    let exposed = named.exposed.get(file)?;
                    own_directory(directory, file, exposed)
                });
                Some(format!("{}{}", shown?, &own[directory.len()..]))
            })
    }

    fn add(&mut self, backend: BackendId, own: &Arc<str>, exposed: Arc<str>) {
        let named = self.backends.entry(backend).or_default();
        let bytes = own.len() + exposed.len();
        while !named.order.is_empty()
            && (named.order.len() >= MAX_URIS || named.bytes + bytes > MAX_BYTES)
        {
            if let Some(exposed) = named.forget_oldest() {
                self.by_exposed.remove(&exposed);
            }
        }
        if bytes > MAX_BYTES {
            return;
        }
        named.bytes += bytes;
        if *own != exposed {
            named.aliased.insert(Arc::clone(own));
        }
        named.order.push_back(Arc::clone(own));
        named.exposed.insert(Arc::clone(own), Arc::clone(&exposed));
        let owner = (backend, Arc::clone(own));
        self.by_exposed.insert(exposed, owner);
    }

    fn remove(&mut self, backend: BackendId, own: &str) {
        let Some(named) = self.backends.get_mut(&backend) else {
            return;
        };
        if let Some(exposed) = named.exposed.remove(own) {
            named.order.retain(|known| **known != *own);
            named.bytes -= own.len() + exposed.len();
            named.aliased.remove(own);
            named.listed.remove(own);
            self.by_exposed.remove(&exposed);
        }
    }
}

impl Named {
    /// Returns what clients see of the URI that is forgotten.
    fn forget_oldest(&mut self) -> Option<Arc<str>> {
        let own = self.order.pop_front()?;
        let exposed = self.exposed.remove(&own)?;
        self.bytes -= own.len() + exposed.len();
        self.aliased.remove(&own);
        self.listed.remove(&own);
        Some(exposed)
    }
}

/// How many files of a directory are asked for its alias.
const MAX_BESIDE: usize = 16;
/// How many directories up a file is looked for.
const MAX_PARENTS: usize = 8;

/// The directories that a URI is in, nearest first.
pub(super) fn parents(uri: &str) -> impl Iterator<Item = &str> {
    fn up(directory: &str) -> Option<&str> {
        directory.rfind('/').map(|end| &directory[..end])
    }
    let all = std::iter::successors(up(uri), |directory| up(directory));
    all.take_while(|directory| !directory.ends_with([':', '/']))
        .take(MAX_PARENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BackendId = BackendId::new(0);
    const B: BackendId = BackendId::new(1);

    fn name(table: &NamedUris, id: BackendId, own: &str) -> Option<String> {
        let namer = Namer {
            id,
            name: if id == A { "a" } else { "b" },
            has_resources: true,
            lists_it: false,
        };
        let shown = table.name(namer, own, &Uris::default(), &mut { 1_000 });
        shown.map(|alias| (*alias).to_owned())
    }

    /// A list of the backend's skills has it. It declares no resources.
    fn list(table: &NamedUris, id: BackendId, own: &str) {
        let namer = Namer {
            id,
            name: "a",
            has_resources: false,
            lists_it: true,
        };
        table.name(namer, own, &Uris::default(), &mut { 1_000 });
    }

    fn owner(table: &NamedUris, exposed: &str) -> Option<(BackendId, String)> {
        let owner = table.owner(exposed, &Uris::default());
        owner.map(|(backend, own)| (backend, (*own).to_owned()))
    }

    #[test]
    fn who_names_a_uri_first_has_it_and_the_other_gets_an_alias() {
        let table = NamedUris::default();
        assert_eq!(name(&table, A, "x:1"), None);
        for _ in 0..2 {
            assert_eq!(name(&table, B, "x:1").as_deref(), Some("x:b/1"));
            assert_eq!(name(&table, A, "x:1"), None);
        }
        assert_eq!(owner(&table, "x:1"), Some((A, "x:1".into())));
        assert_eq!(owner(&table, "x:b/1"), Some((B, "x:1".into())));
        // A backend can't take another's alias.
        let taken = name(&table, A, "x:b/1").unwrap();
        assert_eq!(owner(&table, &taken), Some((A, "x:b/1".into())));
        assert_eq!(owner(&table, "x:b/1"), Some((B, "x:1".into())));
    }

    /// Where it can't be found out in the steps that are left, a URI is never taken for the backend's own,
    /// so that no backend catches the reads of another.
    #[test]
    fn what_may_be_of_another_gets_an_alias() {
        let table = NamedUris::default();
        assert_eq!(name(&table, A, "x:1"), None);
        let namer = Namer {
            id: A,
            name: "a",
            has_resources: true,
            lists_it: false,
        };
        let shown = |own| table.name(namer, own, &Uris::default(), &mut { 0 });
        assert_eq!(shown("x:1"), None, "it is remembered");
        assert_eq!(shown("x:2").as_deref(), Some("x:a/2"));
        assert_eq!(owner(&table, "x:2"), None);
        assert_eq!(owner(&table, "x:a/2"), Some((A, "x:2".into())));
    }

    #[test]
    fn files_beside_an_aliased_one_are_aliased_likewise() {
        let table = NamedUris::default();
        assert_eq!(name(&table, A, "s://git/SKILL.md"), None);
        let alias = name(&table, B, "s://git/SKILL.md");
        assert_eq!(alias.as_deref(), Some("s://b/git/SKILL.md"));
        let beside = name(&table, B, "s://git/a/b.md");
        assert_eq!(beside.as_deref(), Some("s://b/git/a/b.md"));
        assert_eq!(name(&table, B, "s://git").as_deref(), Some("s://b/git"));
        assert_eq!(name(&table, B, "s://other/a"), None);
        let found = table.beneath("s://b/git");
        assert_eq!(found, Some((B, "s://git".into())));
        assert_eq!(table.beneath("s://git"), None);
        for (shows, owner) in [(true, Some(A)), (false, None)] {
            let mut around = Around::new("s://git");
            table.look_around(&mut around, shows);
            assert_eq!(around.owner(), owner);
        }
        assert_eq!(
            parents("s://git/a/b.md").collect::<Vec<_>>(),
            ["s://git/a", "s://git"]
        );
        assert_eq!(parents("m://1").count() + parents("x:1").count(), 0);
    }

    /// As a list of resources does. What results name shows nothing.
    #[test]
    fn a_list_of_skills_shows_whose_the_files_beside_its_own_are() {
        let table = NamedUris::default();
        let owner_of = |uri| {
            let mut around = Around::new(uri);
            table.look_around(&mut around, false);
            around.owner()
        };
        name(&table, A, "s://git/SKILL.md");
        assert_eq!(owner_of("s://git/a.md"), None);
        list(&table, A, "s://git/SKILL.md");
        list(&table, A, "s://db/SKILL.md");
        for uri in ["s://git/a.md", "s://git/a/b.md", "s://db/a.md"] {
            assert_eq!(owner_of(uri), Some(A), "{uri}");
        }
        assert_eq!(owner_of("s://other/a.md"), None);
        name(&table, B, "s://git/c.md");
        assert_eq!(owner_of("s://git/a.md"), None, "it may be of both");
    }

    #[test]
    fn a_backend_in_the_place_of_another_has_its_uris_and_one_that_is_gone_has_none() {
        let (table, c) = (NamedUris::default(), BackendId::new(2));
        name(&table, A, "x:1");
        name(&table, A, "x:2");
        name(&table, B, "x:1");
        table.reconfigure(&HashMap::from([(c, A)]), |id| id == c);
        assert_eq!(owner(&table, "x:1"), Some((c, "x:1".into())));
        assert_eq!(owner(&table, "x:2"), Some((c, "x:2".into())));
        assert_eq!(owner(&table, "x:b/1"), None);
        let tables = table.0.lock();
        assert_eq!((tables.by_exposed.len(), tables.backends.len()), (2, 1));
    }

    #[test]
    fn what_one_backend_names_is_bounded_and_costs_no_other() {
        let table = NamedUris::default();
        name(&table, B, "x:b");
        for number in 0..3 * MAX_URIS {
            name(&table, A, &format!("x:{number}"));
        }
        assert_eq!(owner(&table, "x:0"), None);
        assert!(owner(&table, &format!("x:{}", 3 * MAX_URIS - 1)).is_some());
        assert!(owner(&table, "x:b").is_some());
        let long = "y".repeat(8 * 1024);
        for number in 0..MAX_URIS {
            name(&table, A, &format!("x:{number}{long}"));
        }
        let tables = table.0.lock();
        let named = &tables.backends[&A];
        assert!(named.bytes <= MAX_BYTES && named.order.len() == named.exposed.len());
        assert_eq!(tables.by_exposed.len(), named.exposed.len() + 1);
    }
}
