//! The rules of the merged catalogue, over whole builds.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use globset::{Glob, GlobSetBuilder};
use proptest::prelude::*;

use super::*;
use crate::config::{NameChars, Protocol, RetryTools, TlsConfig, ToolErrors, ToolNames, ToolRules};

fn gateway(tool_names: ToolNames, tool_name_chars: NameChars) -> GatewayConfig {
    GatewayConfig {
        name: "sentinel".into(),
        instructions: None,
        startup_wait: Duration::ZERO,
        max_in_flight: 1,
        max_message_bytes: 1,
        max_buffered_bytes: 1,
        drain: Duration::ZERO,
        tool_names,
        tool_name_chars,
        tool_errors: ToolErrors::Jsonrpc,
    }
}

fn backend(name: &str, tools: ToolRules) -> BackendConfig {
    BackendConfig {
        name: name.into(),
        url: Err("not needed".into()),
        protocol: Protocol::Auto,
        timeout: Duration::ZERO,
        connect_timeout: Duration::ZERO,
        idle_timeout: None,
        retries: 0,
        retry_tools: RetryTools::Safe,
        max_in_flight: 1,
        bearer: None,
        headers: Vec::new(),
        tls: TlsConfig::default(),
        allow_insecure: false,
        tools,
    }
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
        let backends = backends
            .iter()
            .map(|(name, own)| {
                (
                    backend(name, ToolRules::default()),
                    Some(listing(kind, own)),
                )
            })
            .collect();
        Self {
            gateway: gateway(ToolNames::Bare, NameChars::Strict),
            backends,
        }
    }

    fn rules(mut self, backend: usize, tools: ToolRules) -> Self {
        self.backends[backend].0.tools = tools;
        self
    }

    fn build(&self, names: &Names) -> Built {
        let sources: Vec<Source<'_>> = self
            .backends
            .iter()
            .map(|(config, listing)| Source {
                config,
                listing: listing.as_ref(),
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
        assert_eq!((entry.backend, &*entry.own_name), (1, "y"));
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
    assert_eq!((entry.backend, &*entry.own_name), (1, "x"));
    assert!(entry.exposed.starts_with("b__x_") && *entry.exposed != hashed);
    assert_eq!(catalog.resolve(Kind::Tool, &hashed).unwrap().backend, 0);
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
    assert_eq!(built.withheld, [], "what the user left out is no news");
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
    assert_eq!(
        built.withheld,
        [Withheld::named(
            &"a".into(),
            Kind::Tool,
            "x",
            Reason::Duplicate
        )]
    );

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
        0
    );
    let taken = Reason::Taken("a".into());
    assert_eq!(
        built.withheld,
        [Withheld::named(&"b".into(), Kind::Resource, "f://1", taken)]
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
    let told: Vec<_> = built
        .withheld
        .iter()
        .map(|withheld| (&*withheld.name, &withheld.reason))
        .collect();
    assert_eq!(
        told,
        [
            (r"\u{1b}[31m\u{202e}y\n", &Reason::HostileName("name")),
            ("item 4", &Reason::NotAnObject),
        ]
    );
}

#[test]
fn a_flood_of_items_is_cut() {
    let many: Vec<String> = (0..MAX_ITEMS + 5).map(|n| format!("t{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let built = House::of(Kind::Tool, &[("a", &many), ("b", &["x"])]).build(&Names::default());
    assert_eq!(built.catalog.entries(Kind::Tool).count(), MAX_ITEMS + 1);
    assert_eq!(built.withheld.len(), 1);
    assert_eq!(built.withheld[0].name, "items 10001 to 10005");
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
    assert_eq!(second.resolve(Kind::Resource, "f://1").unwrap().backend, 1);
    house.backends[1].1 = Some(listing(Kind::Resource, &[]));
    let third = house.build(second.names()).catalog;
    assert_eq!(
        third.resolve(Kind::Resource, "f://1").unwrap().backend,
        0,
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
    assert_eq!(catalog.resolve(Kind::Tool, "b__gone").unwrap().backend, 1);
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
    assert_eq!(catalog.resolve_template("note://1").unwrap().backend, 0);
    assert_eq!(catalog.resolve_template("note://1/2").unwrap().backend, 1);
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

/// Backends with names that are likely to meet.
fn backends() -> impl Strategy<Value = Vec<(&'static str, Vec<String>)>> {
    let own = prop_oneof![
        4 => "(a|b|c|_){1,2}((__|_|\\.|-| )(a|b|c)){0,2}",
        1 => Just("x".repeat(64)),
        1 => Just("x".repeat(65)),
        1 => Just(format!("{}é", "x".repeat(64))),
        1 => "[a-zé.]{60,128}",
    ];
    let all = prop::collection::vec(prop::collection::vec(own, 0..8), 4);
    all.prop_map(|all| ["a", "b", "a__b", "b__a"].into_iter().zip(all).collect())
}

fn styles() -> impl Strategy<Value = GatewayConfig> {
    let names = prop_oneof![Just(ToolNames::Bare), Just(ToolNames::Prefixed)];
    let chars = prop_oneof![Just(NameChars::Strict), Just(NameChars::Spec)];
    (names, chars).prop_map(|(names, chars)| gateway(names, chars))
}

fn house(gateway: &GatewayConfig, backends: &[(&'static str, Vec<String>)]) -> House {
    let own: Vec<Vec<&str>> = backends
        .iter()
        .map(|(_, own)| own.iter().map(String::as_str).collect())
        .collect();
    let named: Vec<(&str, &[&str])> = backends
        .iter()
        .zip(&own)
        .map(|((name, _), own)| (*name, &own[..]))
        .collect();
    House {
        gateway: gateway.clone(),
        ..House::of(Kind::Tool, &named)
    }
}

proptest! {
    #[test]
    fn every_item_has_its_own_well_formed_name_and_resolves_back(gateway in styles(), backends in backends()) {
        let house = house(&gateway, &backends);
        let catalog = house.fresh();
        let (dots, max) = match gateway.tool_name_chars {
            NameChars::Strict => (false, 64),
            NameChars::Spec => (true, 128),
        };
        let formed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c) || (dots && c == '.');
        let mut names = HashSet::new();
        for entry in catalog.entries(Kind::Tool) {
            prop_assert!((1..=max).contains(&entry.exposed.len()) && entry.exposed.chars().all(formed));
            prop_assert!(names.insert(&entry.exposed));
            let back = catalog.resolve(Kind::Tool, &entry.exposed).unwrap();
            prop_assert_eq!((back.backend, &back.own_name), (entry.backend, &entry.own_name));
            let shown: HashMap<String, String> = entry.definition.read().unwrap();
            prop_assert_eq!(shown["name"].as_str(), &*entry.exposed);
            prop_assert_eq!(shown["title"].as_str(), &*entry.own_name);
        }
        let distinct: HashSet<_> = backends.iter().flat_map(|(name, own)| own.iter().map(move |own| (name, own))).collect();
        prop_assert_eq!(names.len(), distinct.len());
        let again = house.fresh();
        prop_assert_eq!(again.list(Kind::Tool), catalog.list(Kind::Tool));
    }

    #[test]
    fn before_publishing_the_order_of_connecting_does_not_matter(
        gateway in styles(), backends in backends(), order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let expected = house(&gateway, &backends).fresh();
        let mut joining = house(&gateway, &backends);
        let listings: Vec<_> = joining.backends.iter_mut().map(|(_, listing)| listing.take()).collect();
        let mut last = joining.fresh();
        for at in order {
            joining.backends[at].1 = listings[at].clone();
            last = joining.fresh();
        }
        prop_assert_eq!(last.list(Kind::Tool), expected.list(Kind::Tool));
    }

    #[test]
    fn after_publishing_an_owner_keeps_its_name_whatever_happens(
        gateway in styles(), rounds in prop::collection::vec(backends(), 1..5),
    ) {
        let mut published: HashMap<(usize, Arc<str>), Arc<str>> = HashMap::new();
        let mut owners: HashMap<Arc<str>, (usize, Arc<str>)> = HashMap::new();
        let mut names = Names::default();
        for backends in &rounds {
            let catalog = house(&gateway, backends).build(&names).catalog;
            for entry in catalog.entries(Kind::Tool) {
                let who = (entry.backend, entry.own_name.clone());
                let name = published.entry(who.clone()).or_insert_with(|| entry.exposed.clone());
                prop_assert_eq!(name, &entry.exposed);
                let owner = owners.entry(entry.exposed.clone()).or_insert_with(|| who.clone());
                prop_assert_eq!(owner, &who);
            }
            names = catalog.names().clone();
        }
    }
}
