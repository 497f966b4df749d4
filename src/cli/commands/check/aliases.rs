//! The URIs of a backend that clients see under an alias.
//!
//! Owns how a report lists them, and the note with one example.

use serde::Serialize;

use crate::call_report::BackendId;
use crate::catalog::Catalog;
use crate::cli::terminal::one_line;
use crate::protocol::Kind;

/// A URI or template that another backend has too.
#[derive(Debug, Serialize)]
pub(super) struct Alias {
    list: &'static str,
    own: String,
    alias: String,
}

/// All of one backend, those of its tools' user interfaces included, in the order of its lists.
pub(super) fn aliases(catalog: &Catalog, backend: BackendId) -> Vec<Alias> {
    let alias = |kind: Kind, own: &str, alias: &str| Alias {
        list: kind.list_method(),
        own: own.to_owned(),
        alias: alias.to_owned(),
    };
    let listed = [Kind::Resource, Kind::Template]
        .into_iter()
        .flat_map(|kind| {
            let entries = catalog.entries(kind);
            let renamed = entries
                .filter(move |entry| entry.backend == backend && entry.own_name != entry.exposed);
            renamed.map(move |entry| alias(kind, &entry.own_name, &entry.exposed))
        });
    let named = catalog.uris().named_aliases(backend).into_iter();
    let named = named.map(|(own, exposed)| alias(Kind::Tool, own, exposed));
    listed.chain(named).collect()
}

/// The aliases in words, with one example.
pub(super) fn note(aliases: &[Alias]) -> Option<String> {
    let Alias { own, alias, .. } = aliases.first()?;
    let (own, alias) = (one_line(own), one_line(alias));
    Some(match aliases.len() {
        1 => format!("another backend has {own} too: clients see it as {alias}"),
        count => format!(
            "other backends have {count} of its URIs too: clients see {own} as {alias}, and the others likewise"
        ),
    })
}
