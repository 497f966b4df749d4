//! The rules of the merged catalogue, over whole builds.

mod properties;

use globset::{Glob, GlobSetBuilder};

use std::collections::HashSet;

use super::rejected::MAX_ITEMS;
use super::*;
use crate::config::{Config, Environment, NameChars, Overrides, ToolNames, ToolRules, load};
use crate::protocol::Listing;

/// A configuration with everything at its default.
fn config(backends: &[&str]) -> Config {
    let url = |name: &&str| ((*name).to_owned(), "http://127.0.0.1/".to_owned());
    let flags = Overrides {
        backends: backends.iter().map(url).collect(),
        ..Overrides::default()
    };
    load(&flags, &Environment::new("no-such-folder")).unwrap()
}

fn raw(text: impl Into<String>) -> RawJson {
    RawJson::parse(Bytes::from(text.into())).unwrap()
}

/// A listing of tools or prompts by their names, or of resources or templates by their URIs.
fn listing(kind: Kind, own: &[&str]) -> Listing {
    let mut listing = Listing::default();
    let item = |own: &&str| raw(serde_json::json!({ kind.key(): own, "title": own }).to_string());
    *listing.items_mut(kind) = own.iter().map(item).collect();
    listing
}

/// Backends and what each lists; the builds of one gateway.
struct House {
    gateway: GatewayConfig,
    backends: Vec<(BackendConfig, Option<Listing>)>,
}

impl House {
    fn of(kind: Kind, backends: &[(&str, &[&str])]) -> Self {
        let names: Vec<&str> = backends.iter().map(|(name, _)| *name).collect();
        let config = config(&names);
        let listings = backends.iter().map(|(_, own)| Some(listing(kind, own)));
        let configs = config.backends.iter().map(|backend| (**backend).clone());
        Self {
            gateway: config.gateway,
            backends: configs.zip(listings).collect(),
        }
    }

    fn rules(mut self, backend: usize, tools: ToolRules) -> Self {
        self.backends[backend].0.tools = tools;
        self
    }

    fn build(&self, names: &Names) -> Built {
        let backend_listing = |(config, listing): &(_, Option<Listing>)| {
            let listing = listing.as_ref();
            listing.map(|listing| BackendListing::read(config, listing))
        };
        let offers: Vec<Option<BackendListing>> =
            self.backends.iter().map(backend_listing).collect();
        let parts = self.backends.iter().zip(&offers);
        let sources: Vec<Source<'_>> = (0..)
            .zip(parts)
            .map(|(number, ((config, _), backend_listing))| Source {
                id: BackendId::new(number),
                config,
                backend_listing: backend_listing.as_ref(),
                confirmed: true,
            })
            .collect();
        Catalog::build(&self.gateway, &sources, names)
    }

    fn fresh(&self) -> Catalog {
        self.build(&Names::default()).catalog
    }
}

fn exposed(catalog: &Catalog, kind: Kind) -> Vec<&str> {
    catalog.entries(kind).map(|entry| &*entry.exposed).collect()
}

fn told(built: &Built) -> Vec<(&str, &str, RejectReason)> {
    built
        .rejected
        .iter()
        .map(|item| (&*item.backend, &*item.name, item.reason.clone()))
        .collect()
}

fn pairs(table: &[(&str, &str)]) -> Vec<(String, String)> {
    table
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn globs(patterns: &[&str]) -> globset::GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).unwrap());
    }
    set.build().unwrap()
}

#[test]
fn config_order_owns_bare_names_and_later_owners_are_prefixed() {
    for kind in [Kind::Tool, Kind::Prompt] {
        let catalog = House::of(kind, &[("a", &["x", "y"]), ("b", &["y", "z"])]).fresh();
        assert_eq!(exposed(&catalog, kind), ["x", "y", "b__y", "z"]);
        let entry = catalog.resolve(kind, "b__y").unwrap();
        assert_eq!((entry.backend, &*entry.own_name), (BackendId::new(1), "y"));
        assert!(
            catalog.resolve(kind, "a__x").is_none(),
            "resolved by table, never by splitting"
        );
    }
}

#[test]
fn prefixed_names_always_carry_the_backend() {
    let mut house = House::of(Kind::Tool, &[("a", &["x"]), ("b", &["x"])]);
    house.gateway.tool_names = ToolNames::Prefixed;
    assert_eq!(exposed(&house.fresh(), Kind::Tool), ["a__x", "b__x"]);
}

#[test]
fn prefixes_that_meet_get_a_hash() {
    let mut house = House::of(Kind::Tool, &[("a", &["b__c"]), ("a__b", &["c"])]);
    house.gateway.tool_names = ToolNames::Prefixed;
    // The first 8 hex digits of SHA-256("a__b" NUL "c"): pinned, for people have it in their configs.
    assert_eq!(
        exposed(&house.fresh(), Kind::Tool),
        ["a__b__c", "a__b__c_a92700ce"]
    );
}

#[test]
fn a_good_name_wins_over_a_mapped_one_whatever_their_order() {
    for own in [["foo.bar", "foo_bar"], ["foo_bar", "foo.bar"]] {
        let catalog = House::of(Kind::Tool, &[("a", &own)]).fresh();
        assert_eq!(
            &*catalog.resolve(Kind::Tool, "foo_bar").unwrap().own_name,
            "foo_bar"
        );
        let mapped = catalog
            .entries(Kind::Tool)
            .find(|entry| &*entry.own_name == "foo.bar")
            .unwrap();
        assert!(mapped.exposed.starts_with("foo_bar_"), "{}", mapped.exposed);
    }
    let mut house = House::of(Kind::Tool, &[("a", &["foo.bar", "naïve tool"])]);
    assert_eq!(
        exposed(&house.fresh(), Kind::Tool),
        ["foo_bar", "na_ve_tool"]
    );
    house.gateway.tool_name_chars = NameChars::Spec;
    assert_eq!(
        exposed(&house.fresh(), Kind::Tool),
        ["foo.bar", "na_ve_tool"]
    );
}

#[test]
fn long_names_are_cut_and_stay_apart() {
    let long = |end: &str| format!("{}{end}", "x".repeat(100));
    let (one, two) = (long("1"), long("2"));
    let mut house = House::of(Kind::Tool, &[("a", &[&one, &two])]);
    let catalog = house.fresh();
    let names = exposed(&catalog, Kind::Tool);
    assert_eq!(
        names.iter().map(|name| name.len()).collect::<HashSet<_>>(),
        HashSet::from([64])
    );
    assert_ne!(names[0], names[1]);
    house.gateway.tool_name_chars = NameChars::Spec;
    assert_eq!(exposed(&house.fresh(), Kind::Tool), [&*one, &*two]);
}

#[test]
fn a_tool_named_after_a_hash_takes_no_place() {
    let house = |first: &[&str]| House::of(Kind::Tool, &[("a", first), ("b", &["x"])]);
    let catalog = house(&["x", "b__x"]).fresh();
    let hashed = exposed(&catalog, Kind::Tool)[2].to_owned();
    let catalog = house(&["x", "b__x", &hashed]).fresh();
    let entry = catalog.entries(Kind::Tool).last().unwrap();
    assert_eq!((entry.backend, &*entry.own_name), (BackendId::new(1), "x"));
    assert!(entry.exposed.starts_with("b__x_") && *entry.exposed != hashed);
    assert_eq!(
        catalog.resolve(Kind::Tool, &hashed).unwrap().backend,
        BackendId::new(0)
    );
}

#[test]
fn rules_filter_rename_and_describe_by_own_name() {
    let rules = ToolRules {
        allow: Some(globs(&["read_*", "drop_*"])),
        deny: globs(&["drop_*"]),
        rename: pairs(&[("read_query", "sql_read"), ("read_b", "write")]),
        describe: pairs(&[("read_query", "Reads.")]),
        ..ToolRules::default()
    };
    let tools = &["read_query", "read_b", "drop_table", "write"];
    let built = House::of(Kind::Tool, &[("db", tools)])
        .rules(0, rules.clone())
        .build(&Names::default());
    assert_eq!(exposed(&built.catalog, Kind::Tool), ["sql_read", "write"]);
    assert_eq!(built.rejected, [], "what the user left out is no news");
    let entry = built.catalog.resolve(Kind::Tool, "sql_read").unwrap();
    assert_eq!(&*entry.own_name, "read_query");
    assert_eq!(
        entry.definition.as_str(),
        r#"{"name":"sql_read","title":"read_query","description":"Reads."}"#
    );
    let prompts = House::of(Kind::Prompt, &[("db", tools)])
        .rules(0, rules)
        .fresh();
    assert_eq!(
        exposed(&prompts, Kind::Prompt),
        tools,
        "tools.* is of tools"
    );
}

#[test]
fn the_users_own_name_wins_within_a_backend() {
    let rules = ToolRules {
        rename: pairs(&[("read", "run")]),
        ..ToolRules::default()
    };
    let catalog = House::of(Kind::Tool, &[("a", &["run", "read"])])
        .rules(0, rules)
        .fresh();
    assert_eq!(
        &*catalog.resolve(Kind::Tool, "run").unwrap().own_name,
        "read"
    );
}

#[test]
fn row_71_duplicates_are_kept_once_and_told() {
    let built = House::of(Kind::Tool, &[("a", &["x", "y", "x"])]).build(&Names::default());
    assert_eq!(exposed(&built.catalog, Kind::Tool), ["x", "y"]);
    assert_eq!(told(&built), [("a", "x", RejectReason::Duplicate)]);

    let house = House::of(
        Kind::Resource,
        &[("a", &["f://1"]), ("b", &["f://1", "f://2"])],
    );
    let built = house.build(&Names::default());
    assert_eq!(exposed(&built.catalog, Kind::Resource), ["f://1", "f://2"]);
    assert_eq!(
        built
            .catalog
            .resolve(Kind::Resource, "f://1")
            .unwrap()
            .backend,
        BackendId::new(0)
    );
    assert_eq!(
        told(&built),
        [("b", "f://1", RejectReason::Taken("a".into()))]
    );
}

#[test]
fn row_72_one_hostile_item_costs_only_itself_and_prints_safely() {
    let mut house = House::of(Kind::Tool, &[("a", &["x", "\u{1b}[31m\u{202e}y\n", "z"])]);
    house.backends[0]
        .1
        .as_mut()
        .unwrap()
        .items_mut(Kind::Tool)
        .push(raw("[1]"));
    let built = house.build(&Names::default());
    assert_eq!(exposed(&built.catalog, Kind::Tool), ["x", "z"]);
    assert_eq!(
        told(&built),
        [
            (
                "a",
                r"\u{1b}[31m\u{202e}y\n",
                RejectReason::HostileName("name")
            ),
            ("a", "item 4", RejectReason::NotAnObject),
        ]
    );
}

#[test]
fn a_flood_of_items_is_cut() {
    for (kind, limit) in [(Kind::Tool, 10_000), (Kind::Template, 1_000)] {
        let many: Vec<String> = (0..limit + 5).map(|n| format!("t{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let built = House::of(kind, &[("a", &many), ("b", &["x"])]).build(&Names::default());
        assert_eq!(built.catalog.entries(kind).count(), limit + 1);
        let place = format!("items {} to {}", limit + 1, limit + 5);
        assert_eq!(told(&built), [("a", &*place, RejectReason::TooMany(limit))]);
    }
}

#[test]
fn an_owner_keeps_its_name_while_away_and_when_others_come() {
    let mut house = House::of(Kind::Tool, &[("a", &[]), ("b", &["x"])]);
    house.backends[0].1 = None;
    let first = house.fresh();
    assert_eq!(exposed(&first, Kind::Tool), ["x"]);
    house.backends[0].1 = Some(listing(Kind::Tool, &["x"]));
    house.backends[1].1 = Some(listing(Kind::Tool, &[]));
    let second = house.build(first.names()).catalog;
    assert_eq!(exposed(&second, Kind::Tool), ["a__x"], "x is b's");
    house.backends[1].1 = Some(listing(Kind::Tool, &["x"]));
    let third = house.build(second.names()).catalog;
    assert_eq!(exposed(&third, Kind::Tool), ["a__x", "x"]);
    assert_eq!(
        exposed(&house.fresh(), Kind::Tool),
        ["x", "b__x"],
        "unpublished, config order owns"
    );
}

#[test]
fn a_changed_config_may_change_names() {
    let rename = |to: &[(&str, &str)]| ToolRules {
        rename: pairs(to),
        ..ToolRules::default()
    };
    let house = House::of(Kind::Tool, &[("a", &["x", "y"])])
        .rules(0, rename(&[("x", "one"), ("y", "two")]));
    let before = house.fresh();
    let mut house = house.rules(0, rename(&[("x", "two"), ("y", "one")]));
    let swapped = house.build(before.names()).catalog;
    assert_eq!(exposed(&swapped, Kind::Tool), ["two", "one"]);
    house.gateway.tool_names = ToolNames::Prefixed;
    assert_eq!(
        exposed(&house.build(swapped.names()).catalog, Kind::Tool),
        ["a__two", "a__one"]
    );
}

#[test]
fn a_uri_stays_with_its_owner_while_it_is_listed_and_is_never_lost() {
    let mut house = House::of(Kind::Resource, &[("a", &[]), ("b", &["f://1"])]);
    let first = house.fresh();
    house.backends[0].1 = Some(listing(Kind::Resource, &["f://1"]));
    let second = house.build(first.names()).catalog;
    assert_eq!(
        second.resolve(Kind::Resource, "f://1").unwrap().backend,
        BackendId::new(1)
    );
    house.backends[1].1 = Some(listing(Kind::Resource, &[]));
    let third = house.build(second.names()).catalog;
    assert_eq!(
        third.resolve(Kind::Resource, "f://1").unwrap().backend,
        BackendId::new(0),
        "nobody else serves it"
    );
}

#[test]
fn a_backend_that_invents_names_for_ever_fills_no_memory_and_takes_nothing() {
    let mut house = House::of(Kind::Tool, &[("a", &["x", "gone"]), ("b", &[])]);
    let mut catalog = house.fresh();
    house.backends[0].1 = Some(listing(Kind::Tool, &["x"]));
    for round in 0..4 {
        let own: Vec<String> = (0..MAX_ITEMS).map(|n| format!("t{round}_{n}")).collect();
        let mut own: Vec<&str> = own.iter().map(String::as_str).collect();
        own[0] = "gone";
        house.backends[1].1 = Some(listing(Kind::Tool, &own));
        catalog = house.build(catalog.names()).catalog;
        assert!(catalog.names().remembered(Kind::Tool) <= 2 * MAX_ITEMS + 2);
    }
    assert_eq!(
        catalog.resolve(Kind::Tool, "b__gone").unwrap().backend,
        BackendId::new(1)
    );
    assert!(catalog.resolve(Kind::Tool, "gone").is_none(), "still a's");
}

#[test]
fn a_uri_nobody_lists_goes_to_the_first_template_that_fits() {
    let house = House::of(
        Kind::Template,
        &[
            ("a", &["note://{id}", "bad://{"]),
            ("b", &["note://{+any}"]),
        ],
    );
    let catalog = house.fresh();
    assert_eq!(exposed(&catalog, Kind::Template).len(), 3);
    assert_eq!(
        catalog.resolve_template("note://1").unwrap().backend,
        BackendId::new(0)
    );
    assert_eq!(
        catalog.resolve_template("note://1/2").unwrap().backend,
        BackendId::new(1)
    );
    assert!(catalog.resolve_template("bad://x").is_none());
}

#[test]
fn lists_are_the_definitions_in_order_and_shared() {
    let catalog = House::of(Kind::Tool, &[("a", &["x"]), ("b", &["x"])]).fresh();
    let list = catalog.list(Kind::Tool);
    assert_eq!(
        list,
        r#"[{"name":"x","title":"x"},{"name":"b__x","title":"x"}]"#
    );
    assert_eq!(list.clone().as_ptr(), catalog.list(Kind::Tool).as_ptr());
    assert_eq!(catalog.list(Kind::Prompt), "[]");
}
