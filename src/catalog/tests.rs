//! The rules of the merged catalog, tested on whole builds.

mod properties;
mod recorded;

use std::collections::HashSet;

use super::rejected::MAX_ITEMS;
use super::*;
use crate::call_report::BackendId;
use crate::config::BackendConfig;
use crate::config::{
    Config, Environment, NameChars, Overrides, Schemas, ToolNames, ToolRules, load,
};
use crate::protocol::Listing;
use crate::protocol::RawJson;
use crate::text::{Glob, GlobSet};

/// A config with these backends and default settings.
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
    let item = |own: &&str| {
        let mut item = serde_json::json!({ kind.key(): own, "title": own });
        match kind {
            Kind::Tool => item["inputSchema"] = serde_json::json!({ "type": "object" }),
            Kind::Prompt => {}
            Kind::Resource | Kind::Template => item["name"] = serde_json::json!(own),
        }
        raw(item.to_string())
    };
    *listing.items_mut(kind) = own.iter().map(item).collect();
    listing
}

/// Backends and their listings, from which catalogs are built.
struct Fixture {
    gateway: GatewayConfig,
    backends: Vec<(BackendConfig, Option<Listing>)>,
}

impl Fixture {
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
        let listings: Vec<Option<BackendListing>> =
            self.backends.iter().map(backend_listing).collect();
        let parts = self.backends.iter().zip(&listings);
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

fn rejections(built: &Built) -> Vec<(&str, &str, RejectReason)> {
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

fn globs(patterns: &[&str]) -> GlobSet {
    let globs = patterns.iter().map(|pattern| Glob::new(pattern).unwrap());
    globs.collect()
}

#[test]
fn bare_names_follow_config_order_and_later_owners_are_prefixed() {
    for kind in [Kind::Tool, Kind::Prompt] {
        let catalog = Fixture::of(kind, &[("a", &["x", "y"]), ("b", &["y", "z"])]).fresh();
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
fn prefixed_names_always_include_the_backend() {
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &["x"]), ("b", &["x"])]);
    fixture.gateway.tool_names = ToolNames::Prefixed;
    assert_eq!(exposed(&fixture.fresh(), Kind::Tool), ["a__x", "b__x"]);
}

#[test]
fn prefixed_names_that_collide_get_a_hash() {
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &["b__c"]), ("a__b", &["c"])]);
    fixture.gateway.tool_names = ToolNames::Prefixed;
    // The first 8 hex digits of SHA-256("a" NUL "b__c"), which must not change: users' configs have
    // it.
    assert_eq!(
        exposed(&fixture.fresh(), Kind::Tool),
        ["a__b__c_01b8a75b", "a__b__c"]
    );
}

#[test]
fn a_name_with_another_backends_prefix_is_that_backends_alone() {
    for kind in [Kind::Tool, Kind::Prompt] {
        let fixture = Fixture::of(
            kind,
            &[("a", &["x"]), ("b", &["a__x", "a__y", "a.-_z", "c__z"])],
        );
        assert_eq!(
            exposed(&fixture.fresh(), kind),
            ["x", "b__a__x", "b__a__y", "a_-_z", "c__z"]
        );
    }
    // Also where its characters only become the prefix, and whether or not that backend lists.
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &["x"]), ("b", &["a..x", "b__y"])]);
    fixture.backends[0].1 = None;
    assert_eq!(exposed(&fixture.fresh(), Kind::Tool), ["b__a__x", "b__y"]);
    // What the user writes in the config is the user's decision.
    let rename = ToolRules {
        rename: pairs(&[("y", "a__y")]),
        ..ToolRules::default()
    };
    let fixture = Fixture::of(Kind::Tool, &[("a", &[]), ("b", &["y"])]).rules(1, rename);
    assert_eq!(exposed(&fixture.fresh(), Kind::Tool), ["a__y"]);
}

#[test]
fn a_valid_name_wins_over_a_mapped_one_in_any_order() {
    for own in [["foo.bar", "foo_bar"], ["foo_bar", "foo.bar"]] {
        let catalog = Fixture::of(Kind::Tool, &[("a", &own)]).fresh();
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
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &["foo.bar", "naïve tool"])]);
    assert_eq!(
        exposed(&fixture.fresh(), Kind::Tool),
        ["foo_bar", "na_ve_tool"]
    );
    fixture.gateway.tool_name_chars = NameChars::Spec;
    assert_eq!(
        exposed(&fixture.fresh(), Kind::Tool),
        ["foo.bar", "na_ve_tool"]
    );
}

#[test]
fn long_names_are_cut_and_stay_distinct() {
    let long = |end: &str| format!("{}{end}", "x".repeat(100));
    let (one, two) = (long("1"), long("2"));
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &[&one, &two])]);
    let catalog = fixture.fresh();
    let names = exposed(&catalog, Kind::Tool);
    assert_eq!(
        names.iter().map(|name| name.len()).collect::<HashSet<_>>(),
        HashSet::from([64])
    );
    assert_ne!(names[0], names[1]);
    fixture.gateway.tool_name_chars = NameChars::Spec;
    assert_eq!(exposed(&fixture.fresh(), Kind::Tool), [&*one, &*two]);
}

#[test]
fn a_tool_named_like_a_hash_causes_no_collision() {
    let fixture = |own: &[&str]| Fixture::of(Kind::Tool, &[("a", own)]);
    let catalog = fixture(&["x_y", "x.y"]).fresh();
    let hashed = exposed(&catalog, Kind::Tool)[1].to_owned();
    let catalog = fixture(&["x_y", "x.y", &hashed]).fresh();
    let named = |own: &str| {
        let mut entries = catalog.entries(Kind::Tool);
        let found = entries.find(|entry| &*entry.own_name == own).unwrap();
        found.exposed.to_string()
    };
    assert_eq!(named(&hashed), hashed);
    assert!(named("x.y").starts_with("x_y_") && named("x.y") != hashed);
}

#[test]
fn rules_filter_rename_and_describe_by_the_backends_own_name() {
    let rules = ToolRules {
        allow: Some(globs(&["read_*", "drop_*"])),
        deny: globs(&["drop_*"]),
        rename: pairs(&[("read_query", "sql_read"), ("read_b", "write")]),
        describe: pairs(&[("read_query", "Reads.")]),
        ..ToolRules::default()
    };
    let tools = &["read_query", "read_b", "drop_table", "write"];
    let built = Fixture::of(Kind::Tool, &[("db", tools)])
        .rules(0, rules.clone())
        .build(&Names::default());
    assert_eq!(exposed(&built.catalog, Kind::Tool), ["sql_read", "write"]);
    assert_eq!(built.rejected, [], "excluded tools are not reported");
    let entry = built.catalog.resolve(Kind::Tool, "sql_read").unwrap();
    assert_eq!(&*entry.own_name, "read_query");
    assert_eq!(
        entry.definition.as_str(),
        r#"{"inputSchema":{"type":"object"},"name":"sql_read","title":"read_query","description":"Reads."}"#
    );
    let prompts = Fixture::of(Kind::Prompt, &[("db", tools)])
        .rules(0, rules)
        .fresh();
    assert_eq!(
        exposed(&prompts, Kind::Prompt),
        tools,
        "tools.* applies to tools only"
    );
}

#[test]
fn a_configured_name_wins_within_a_backend() {
    let rules = ToolRules {
        rename: pairs(&[("read", "run")]),
        ..ToolRules::default()
    };
    let catalog = Fixture::of(Kind::Tool, &[("a", &["run", "read"])])
        .rules(0, rules)
        .fresh();
    assert_eq!(
        &*catalog.resolve(Kind::Tool, "run").unwrap().own_name,
        "read"
    );
}

#[test]
fn row_71_duplicates_are_kept_once_and_reported() {
    let built = Fixture::of(Kind::Tool, &[("a", &["x", "y", "x"])]).build(&Names::default());
    assert_eq!(exposed(&built.catalog, Kind::Tool), ["x", "y"]);
    assert_eq!(rejections(&built), [("a", "x", RejectReason::Duplicate)]);

    let fixture = Fixture::of(
        Kind::Resource,
        &[("a", &["f://1"]), ("b", &["f://1", "f://2"])],
    );
    let built = fixture.build(&Names::default());
    let listed = ["f://1", "f://b/1", "f://2"];
    assert_eq!(exposed(&built.catalog, Kind::Resource), listed);
    let owners = listed.map(|uri| {
        let entry = built.catalog.resolve(Kind::Resource, uri).unwrap();
        (entry.backend, &*entry.own_name)
    });
    let [a, b] = [0, 1].map(BackendId::new);
    assert_eq!(owners, [(a, "f://1"), (b, "f://1"), (b, "f://2")]);
    assert_eq!(rejections(&built), []);
}

#[test]
fn row_72_a_hostile_item_is_rejected_alone_and_printed_safely() {
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &["x", "\u{1b}[31m\u{202e}y\n", "z"])]);
    fixture.backends[0]
        .1
        .as_mut()
        .unwrap()
        .items_mut(Kind::Tool)
        .push(raw("[1]"));
    let built = fixture.build(&Names::default());
    assert_eq!(exposed(&built.catalog, Kind::Tool), ["x", "z"]);
    assert_eq!(
        rejections(&built),
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
fn items_past_the_limit_are_rejected() {
    for (kind, limit) in [(Kind::Tool, 10_000), (Kind::Template, 1_000)] {
        let many: Vec<String> = (0..limit + 5).map(|n| format!("t{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let built = Fixture::of(kind, &[("a", &many), ("b", &["x"])]).build(&Names::default());
        assert_eq!(built.catalog.entries(kind).count(), limit + 1);
        let place = format!("items {} to {}", limit + 1, limit + 5);
        assert_eq!(
            rejections(&built),
            [("a", &*place, RejectReason::TooMany(limit))]
        );
    }
}

#[test]
fn an_owner_keeps_its_name_while_disconnected_and_when_others_connect() {
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &[]), ("b", &["x"])]);
    fixture.backends[0].1 = None;
    let first = fixture.fresh();
    assert_eq!(exposed(&first, Kind::Tool), ["x"]);
    fixture.backends[0].1 = Some(listing(Kind::Tool, &["x"]));
    fixture.backends[1].1 = Some(listing(Kind::Tool, &[]));
    let second = fixture.build(first.names()).catalog;
    assert_eq!(exposed(&second, Kind::Tool), ["a__x"], "x is b's");
    fixture.backends[1].1 = Some(listing(Kind::Tool, &["x"]));
    let third = fixture.build(second.names()).catalog;
    assert_eq!(exposed(&third, Kind::Tool), ["a__x", "x"]);
    assert_eq!(
        exposed(&fixture.fresh(), Kind::Tool),
        ["x", "b__x"],
        "before publishing, config order decides"
    );
}

#[test]
fn a_changed_config_may_change_names() {
    let rename = |to: &[(&str, &str)]| ToolRules {
        rename: pairs(to),
        ..ToolRules::default()
    };
    let fixture = Fixture::of(Kind::Tool, &[("a", &["x", "y"])])
        .rules(0, rename(&[("x", "one"), ("y", "two")]));
    let before = fixture.fresh();
    let mut fixture = fixture.rules(0, rename(&[("x", "two"), ("y", "one")]));
    let swapped = fixture.build(before.names()).catalog;
    assert_eq!(exposed(&swapped, Kind::Tool), ["two", "one"]);
    fixture.gateway.tool_names = ToolNames::Prefixed;
    assert_eq!(
        exposed(&fixture.build(swapped.names()).catalog, Kind::Tool),
        ["a__two", "a__one"]
    );
}

#[test]
fn a_uri_and_an_alias_stay_with_their_owners_and_are_the_same_after_a_restart() {
    let all: &[(&str, &[&str])] = &[
        ("a", &["f://1"]),
        ("b", &["f://1", "f://a/1"]),
        ("c", &["f://1"]),
    ];
    let shown = ["f://1", "f://b/1", "f://a/1", "f://c/1"];
    let mut fixture = Fixture::of(Kind::Resource, all);
    let first = fixture.fresh();
    assert_eq!(exposed(&first, Kind::Resource), shown);
    assert_eq!(exposed(&fixture.fresh(), Kind::Resource), shown);
    // The owner goes: nobody gets what it had, since a client may still read it.
    fixture.backends[0].1 = Some(listing(Kind::Resource, &[]));
    let built = fixture.build(first.names());
    assert_eq!(exposed(&built.catalog, Kind::Resource), shown[1..]);
    assert!(built.takeovers.is_empty());
    assert!(built.catalog.resolve(Kind::Resource, "f://1").is_none());
    fixture.backends[0].1 = Some(listing(Kind::Resource, &["f://1"]));
    let again = fixture.build(built.catalog.names());
    assert_eq!(exposed(&again.catalog, Kind::Resource), shown);
}

#[test]
fn who_comes_later_gets_the_alias_though_it_is_first_in_the_config() {
    let mut fixture = Fixture::of(Kind::Resource, &[("a", &[]), ("b", &["f://1"])]);
    let first = fixture.fresh();
    fixture.backends[0].1 = Some(listing(Kind::Resource, &["f://1"]));
    let second = fixture.build(first.names()).catalog;
    assert_eq!(exposed(&second, Kind::Resource), ["f://a/1", "f://1"]);
    let entry = second.resolve(Kind::Resource, "f://a/1").unwrap();
    assert_eq!(
        (entry.backend, &*entry.own_name),
        (BackendId::new(0), "f://1")
    );
    let shown: serde_json::Value = entry.definition.read().unwrap();
    assert_eq!(
        (&shown["uri"], &shown["name"]),
        (&"f://a/1".into(), &"f://1".into())
    );
}

#[test]
fn a_uri_that_looks_like_an_alias_is_not_taken_for_one() {
    let fixture = Fixture::of(
        Kind::Resource,
        &[("a", &["f://1", "f://b/1"]), ("b", &["f://1", "f:///1"])],
    );
    let catalog = fixture.fresh();
    let uris = exposed(&catalog, Kind::Resource);
    assert_eq!(uris[..2], ["f://1", "f://b/1"]);
    assert!(
        uris[2].starts_with("f://b-") && uris[3] == "f:///1",
        "{uris:?}"
    );
    assert_eq!(
        &*catalog.resolve(Kind::Resource, uris[2]).unwrap().own_name,
        "f://1"
    );
}

#[test]
fn a_uri_that_an_earlier_backend_has_a_template_for_is_taken() {
    let mut fixture = Fixture::of(
        Kind::Resource,
        &[("a", &["n://0"]), ("b", &["n://1", "m://1"]), ("c", &[])],
    );
    let add = |fixture: &mut Fixture, at: usize, template: &str| {
        let templates = listing(Kind::Template, &[template])
            .items(Kind::Template)
            .to_vec();
        let own = fixture.backends[at].1.as_mut().unwrap();
        *own.items_mut(Kind::Template) = templates;
    };
    add(&mut fixture, 0, "n://{id}");
    add(&mut fixture, 2, "m://{id}");
    let catalog = fixture.fresh();
    assert_eq!(
        exposed(&catalog, Kind::Resource),
        ["n://0", "n://b/1", "m://1"]
    );
}

/// A page that a tool names is its own server's, and a backend can't take another's by naming it.
#[test]
fn what_a_tool_names_is_its_backends_unless_another_has_it() {
    let tool = |uri: &str| {
        let meta = serde_json::json!({ "ui": { "resourceUri": uri } });
        raw(
            serde_json::json!({ "name": "t", "inputSchema": { "type": "object" }, "_meta": meta })
                .to_string(),
        )
    };
    let mut fixture = Fixture::of(
        Kind::Resource,
        &[
            ("a", &[]),
            ("b", &["ui://x"]),
            ("c", &["ui://y"]),
            ("d", &[]),
        ],
    );
    for (at, uri) in [(0, "ui://x"), (1, "ui://x"), (2, "ui://z"), (3, "ui://z")] {
        let own = fixture.backends[at].1.as_mut().unwrap();
        own.items_mut(Kind::Tool).push(tool(uri));
    }
    let catalog = fixture.fresh();
    let named: Vec<String> = catalog
        .entries(Kind::Tool)
        .map(|tool| {
            tool.definition
                .at(&["_meta", "ui", "resourceUri"])
                .unwrap()
                .text()
                .unwrap()
        })
        .collect();
    assert_eq!(named, ["ui://a/x", "ui://x", "ui://z", "ui://d/z"]);
    assert_eq!(exposed(&catalog, Kind::Resource), ["ui://x", "ui://y"]);
    let owner = |uri| catalog.uris().named(uri).map(|(id, own)| (id, &**own));
    assert_eq!(owner("ui://a/x"), Some((BackendId::new(0), "ui://x")));
    assert_eq!(owner("ui://z"), Some((BackendId::new(2), "ui://z")));
    assert_eq!(owner("ui://d/z"), Some((BackendId::new(3), "ui://z")));
    // Named first, listed later: a client may already have it from who named it.
    fixture.backends[0].1 = Some(listing(Kind::Resource, &["ui://z"]));
    let later = fixture.build(catalog.names()).catalog;
    assert_eq!(
        exposed(&later, Kind::Resource),
        ["ui://a/z", "ui://x", "ui://y"]
    );
    let owner = later.uris().named("ui://z").map(|(id, own)| (id, &**own));
    assert_eq!(owner, Some((BackendId::new(2), "ui://z")));
}

/// What lists and tools say of an unlisted file. Who lists the files around it has it, unless another
/// has one there, too: named by a tool, or under an alias.
#[test]
fn a_file_beside_the_listed_ones_of_one_backend_is_its_own() {
    let mut fixture = Fixture::of(
        Kind::Resource,
        &[
            (
                "a",
                &[
                    "s://git/SKILL.md",
                    "s://pdf/SKILL.md",
                    "https://x.example/a/1",
                ],
            ),
            ("b", &["s://git/SKILL.md", "https://x.example/a/1"]),
        ],
    );
    let of_tool = r#"{"name":"t","inputSchema":{"type":"object"},"_meta":{"ui":{"resourceUri":"s://pdf/c.md"}}}"#;
    let tools = fixture.backends[1].1.as_mut().unwrap();
    tools.items_mut(Kind::Tool).push(raw(of_tool));
    let catalog = fixture.fresh();
    assert_eq!(
        exposed(&catalog, Kind::Resource)[3..],
        ["s://b/git/SKILL.md", "https://x.example/a/1#b"]
    );
    for (uri, owner) in [
        ("s://git/b.md", Some(BackendId::new(0))),
        ("s://git", Some(BackendId::new(0))),
        ("s://pdf/b.md", None),
        ("https://x.example/a/2", None),
        ("s://other/b.md", None),
    ] {
        let mut around = Around::new(uri);
        catalog.uris().look_around(&mut around);
        assert_eq!(around.owner(), owner, "{uri}");
    }
}

#[test]
fn a_backend_that_always_lists_new_names_is_bounded_and_takes_no_names() {
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &["x", "gone"]), ("b", &[])]);
    let mut catalog = fixture.fresh();
    fixture.backends[0].1 = Some(listing(Kind::Tool, &["x"]));
    for round in 0..4 {
        let own: Vec<String> = (0..MAX_ITEMS).map(|n| format!("t{round}_{n}")).collect();
        let mut own: Vec<&str> = own.iter().map(String::as_str).collect();
        own[0] = "gone";
        fixture.backends[1].1 = Some(listing(Kind::Tool, &own));
        catalog = fixture.build(catalog.names()).catalog;
        assert!(catalog.names().remembered(Kind::Tool) <= 2 * MAX_ITEMS + 2);
    }
    assert_eq!(
        catalog.resolve(Kind::Tool, "b__gone").unwrap().backend,
        BackendId::new(1)
    );
    assert!(catalog.resolve(Kind::Tool, "gone").is_none(), "still a's");
}

#[test]
fn an_unlisted_uri_goes_to_the_first_matching_template() {
    let fixture = Fixture::of(
        Kind::Template,
        &[
            ("a", &["note://{id}", "bad://{"]),
            ("b", &["note://{+any}"]),
        ],
    );
    let catalog = fixture.fresh();
    assert_eq!(exposed(&catalog, Kind::Template).len(), 3);
    let backend = |uri| catalog.resolve_template(uri).unwrap().0.backend;
    assert_eq!(backend("note://1"), BackendId::new(0));
    assert_eq!(backend("note://1/2"), BackendId::new(1));
    assert!(catalog.resolve_template("bad://x").is_none());
}

#[test]
fn lists_are_the_definitions_in_order_and_are_shared() {
    let catalog = Fixture::of(Kind::Tool, &[("a", &["x"]), ("b", &["x"])]).fresh();
    let list = catalog.list(Kind::Tool, Era::Legacy);
    assert_eq!(
        list,
        r#"[{"inputSchema":{"type":"object"},"name":"x","title":"x","_meta":{"sentinel-gateway/backend":"a"}},{"inputSchema":{"type":"object"},"name":"b__x","title":"x","_meta":{"sentinel-gateway/backend":"b"}}]"#
    );
    assert_eq!(
        list.clone().as_ptr(),
        catalog.list(Kind::Tool, Era::Legacy).as_ptr()
    );
    assert_eq!(catalog.list(Kind::Prompt, Era::Legacy), "[]");
}

/// What clients see of a tool is mended or made portable; what is pinned is what the backend wrote.
#[test]
fn pins_hold_the_backends_own_definition() {
    let odd = r#"{"name":"t","title":null,"inputSchema":{"anyOf":[{"required":["a"]},{"required":["b"]}]},"annotations":{"idempotentHint":"true"}}"#;
    let mut fixture = Fixture::of(Kind::Tool, &[("a", &[])]);
    let (config, own) = &mut fixture.backends[0];
    config.schemas = Schemas::Portable;
    config.tools.pin = crate::config::PinMode::Block;
    own.as_mut().unwrap().items_mut(Kind::Tool).push(raw(odd));
    let mut read = BackendListing::read(config, own.as_ref().unwrap());
    let new = Pins::default().compare(config, &mut read).new;
    let pinned = new[0].definition.as_ref().unwrap();
    assert_eq!(
        pinned.as_str(),
        r#"{"name":"t","inputSchema":{"anyOf":[{"required":["a"]},{"required":["b"]}]},"annotations":{"idempotentHint":"true"}}"#
    );
    let built = fixture.build(&Names::default());
    let entry = built.catalog.resolve(Kind::Tool, "t").unwrap();
    assert!(!entry.safe_to_repeat, "a word is no hint");
    let listed = entry.definition.as_str();
    assert!(
        listed.contains("Rules: one of these holds") && !listed.contains("\"anyOf\":"),
        "{listed}"
    );
    assert_eq!(built.mended.len(), 1);
}
