//! The catalog: whatever backends list, every listed item has a unique valid name that resolves to
//! it, and a definition without characters that hide or reorder text.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use sentinel_gateway::call_report::BackendId;
use sentinel_gateway::catalog::{BackendListing, Catalog, Entry, Names, Source};
use sentinel_gateway::config::{
    BackendConfig, Config, Environment, GatewayConfig, NameChars, Overrides, ToolNames, load,
};
use sentinel_gateway::protocol::{Era, Kind, Listing, RawJson};
use serde_json::{Value, json};

use super::assert_readable;

const BACKENDS: [&str; 3] = ["a", "b", "a__b"];

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let backend = |name: &&str| ((*name).to_owned(), "http://127.0.0.1/".to_owned());
    let flags = Overrides {
        backends: BACKENDS.iter().map(backend).collect(),
        ..Overrides::default()
    };
    load(&flags, &Environment::new("no-such-folder")).unwrap()
});

/// Each line is an item: a definition if it is a JSON object, else a name. Lines `---` separate
/// backends.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parts: Vec<&str> = text.split("\n---\n").take(BACKENDS.len()).collect();
    for kind in [Kind::Tool, Kind::Resource] {
        let listings: Vec<Listing> = parts.iter().map(|part| listing(kind, part)).collect();
        for tool_names in [ToolNames::Bare, ToolNames::Prefixed] {
            for tool_name_chars in [NameChars::Strict, NameChars::Spec] {
                let gateway = GatewayConfig {
                    tool_names,
                    tool_name_chars,
                    ..CONFIG.gateway.clone()
                };
                assert_catalog(kind, &gateway, &listings);
            }
        }
    }
}

fn listing(kind: Kind, part: &str) -> Listing {
    let item = |line: &str| {
        let written = line.starts_with('{').then(|| line.to_owned());
        let definition = written.and_then(|text| RawJson::parse(Bytes::from(text)).ok());
        definition.unwrap_or_else(|| {
            let item = json!({ kind.key(): line, "title": line, "inputSchema": { "a": [line] } });
            RawJson::of(&item)
        })
    };
    let mut listing = Listing::new(true);
    *listing.items_mut(kind) = part.lines().map(item).collect();
    listing
}

fn assert_catalog(kind: Kind, gateway: &GatewayConfig, listings: &[Listing]) {
    let configs = CONFIG
        .backends
        .iter()
        .map(|config| -> &BackendConfig { config });
    let read: Vec<(&BackendConfig, BackendListing)> = configs
        .zip(listings)
        .map(|(config, listing)| (config, BackendListing::read(config, listing)))
        .collect();
    let ids: Vec<BackendId> = (0..).map(BackendId::new).take(read.len()).collect();
    let sources: Vec<Source<'_>> = read
        .iter()
        .zip(&ids)
        .map(|((config, backend_listing), &id)| Source {
            id,
            config,
            backend_listing: Some(backend_listing),
            confirmed: true,
        })
        .collect();
    let built = Catalog::build(gateway, &sources, &Names::default());
    let catalog = built.catalog;

    let listed: usize = listings
        .iter()
        .map(|listing| listing.items(kind).len())
        .sum();
    let exposed = catalog.entries(kind).count();
    assert_eq!(
        listed,
        exposed + built.rejected.len(),
        "an item is neither listed nor rejected"
    );
    for rejected in &built.rejected {
        assert_readable(&rejected.name);
        assert_readable(&rejected.reason.to_string());
    }

    let mut names = HashSet::new();
    for entry in catalog.entries(kind) {
        let name = &*entry.exposed;
        assert!(names.insert(name), "{name:?} twice");
        assert!(
            kind.is_uri() || is_well_formed(name, gateway.tool_name_chars),
            "{name:?}"
        );
        let found = catalog.resolve(kind, name).expect("an entry");
        assert_eq!(
            (found.backend, &found.own_name),
            (entry.backend, &entry.own_name)
        );
        let backend = ids.iter().position(|id| *id == entry.backend);
        assert_entry(entry, &listings[backend.expect("a backend")]);
    }
    let list: Vec<Value> =
        serde_json::from_slice(catalog.list(kind, Era::Legacy)).expect("an array");
    assert_eq!(list.len(), exposed);
    assert!(
        !catalog.list(kind, Era::Legacy).contains(&b'\n'),
        "more than one line"
    );

    let again = Catalog::build(gateway, &sources, catalog.names()).catalog;
    assert_eq!(
        again.list(kind, Era::Legacy),
        catalog.list(kind, Era::Legacy),
        "names stay with their owners"
    );
}

/// The backend has listed the entry, and its definition is clean and has the exposed name.
fn assert_entry(entry: &Entry, listing: &Listing) {
    let key = entry.kind.key();
    let own = listing.items(entry.kind).iter();
    let mut own = own.filter_map(|item| item.get(key)?.text());
    assert!(
        own.any(|own| *own == *entry.own_name),
        "no backend has listed it"
    );
    let definition: Value = entry.definition.read().expect("readable JSON");
    assert_eq!(definition[key], *entry.exposed);
    assert_clean(&definition);
}

fn is_well_formed(name: &str, chars: NameChars) -> bool {
    let (dots, longest) = match chars {
        NameChars::Strict => (false, 64),
        NameChars::Spec => (true, 128),
    };
    let formed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c) || (dots && c == '.');
    (1..=longest).contains(&name.len()) && name.chars().all(formed)
}

fn assert_clean(value: &Value) {
    let clean = |text: &str| {
        let hides = |c: char| {
            (c.is_control() && c != '\n' && c != '\t')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                    | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
        };
        assert!(!text.contains(hides), "{text:?}");
    };
    match value {
        Value::String(text) => clean(text),
        Value::Array(values) => values.iter().for_each(assert_clean),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            clean(name);
            assert_clean(value);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
