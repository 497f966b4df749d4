//! Properties that hold for any backends, names and configs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::{Fixture, config};
use crate::call_report::BackendId;
use crate::catalog::Names;
use crate::config::{GatewayConfig, NameChars, ToolNames};
use crate::protocol::{Era, Kind};

/// Backends whose tools have names that are likely to collide.
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
    let longest = prop_oneof![Just(0), Just(24), Just(60), Just(100)];
    (names, chars, longest).prop_map(
        |(tool_names, tool_name_chars, tool_name_max)| GatewayConfig {
            tool_names,
            tool_name_chars,
            tool_name_max,
            ..config(&["any"]).gateway
        },
    )
}

fn fixture(gateway: &GatewayConfig, backends: &[(&'static str, Vec<String>)]) -> Fixture {
    let own: Vec<Vec<&str>> = backends
        .iter()
        .map(|(_, own)| own.iter().map(String::as_str).collect())
        .collect();
    let named: Vec<(&str, &[&str])> = backends
        .iter()
        .zip(&own)
        .map(|((name, _), own)| (*name, &own[..]))
        .collect();
    Fixture {
        gateway: gateway.clone(),
        ..Fixture::of(Kind::Tool, &named)
    }
}

proptest! {
    #[test]
    fn every_item_has_a_unique_valid_name_that_resolves_to_it(gateway in styles(), backends in backends()) {
        let fixture = fixture(&gateway, &backends);
        let catalog = fixture.fresh();
        let (dots, max) = match gateway.tool_name_chars {
            NameChars::Strict => (false, 64),
            NameChars::Spec => (true, 128),
        };
        let max = if gateway.tool_name_max == 0 { max } else { max.min(gateway.tool_name_max) };
        let formed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c) || (dots && c == '.');
        let mut names = HashSet::new();
        for entry in catalog.entries(Kind::Tool) {
            prop_assert!((1..=max).contains(&entry.exposed.len()) && entry.exposed.chars().all(formed));
            prop_assert!(names.insert(&entry.exposed));
            let back = catalog.resolve(Kind::Tool, &entry.exposed).unwrap();
            prop_assert_eq!((back.backend, &back.own_name), (entry.backend, &entry.own_name));
            let shown: serde_json::Value = entry.definition.read().unwrap();
            prop_assert_eq!(shown["name"].as_str(), Some(&*entry.exposed));
            prop_assert_eq!(shown["title"].as_str(), Some(&*entry.own_name));
        }
        let distinct: HashSet<_> = backends.iter().flat_map(|(name, own)| own.iter().map(move |own| (name, own))).collect();
        prop_assert_eq!(names.len(), distinct.len());
        let again = fixture.fresh();
        prop_assert_eq!(again.list(Kind::Tool, Era::Legacy), catalog.list(Kind::Tool, Era::Legacy));
    }

    #[test]
    fn before_publishing_the_order_of_connecting_does_not_matter(
        gateway in styles(), backends in backends(), order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let expected = fixture(&gateway, &backends).fresh();
        let mut joining = fixture(&gateway, &backends);
        let listings: Vec<_> = joining.backends.iter_mut().map(|(_, listing)| listing.take()).collect();
        let mut last = joining.fresh();
        for at in order {
            joining.backends[at].1 = listings[at].clone();
            last = joining.fresh();
        }
        prop_assert_eq!(last.list(Kind::Tool, Era::Legacy), expected.list(Kind::Tool, Era::Legacy));
    }

    #[test]
    fn after_publishing_an_owner_always_keeps_its_name(
        gateway in styles(), rounds in prop::collection::vec(backends(), 1..5),
    ) {
        let mut published: HashMap<(BackendId, Arc<str>), Arc<str>> = HashMap::new();
        let mut owners: HashMap<Arc<str>, (BackendId, Arc<str>)> = HashMap::new();
        let mut names = Names::default();
        for backends in &rounds {
            let catalog = fixture(&gateway, backends).build(&names).catalog;
            for entry in catalog.entries(Kind::Tool) {
                let item = (entry.backend, entry.own_name.clone());
                let name = published.entry(item.clone()).or_insert_with(|| entry.exposed.clone());
                prop_assert_eq!(name, &entry.exposed);
                let owner = owners.entry(entry.exposed.clone()).or_insert_with(|| item.clone());
                prop_assert_eq!(owner, &item);
            }
            names = catalog.names().clone();
        }
    }
}
