//! Edits of raw JSON change what they name, and leave every other byte alone.

use bytes::Bytes;
use sentinel_gateway::protocol::RawJson;
use serde_json::value::RawValue;

use super::chance_of;
use super::rng::Rng;

const NEW: &str = r#"{"new":[1.10]}"#;

pub fn check(data: &[u8]) {
    let Ok(object) = RawJson::parse(Bytes::copy_from_slice(data)) else {
        return;
    };
    let Some(members) = object.members() else {
        // No object, or one whose names are no text to serde_json: still JSON afterwards.
        let edited = object.with_members(&[("new", NEW.into())], &["old"]);
        serde_json::from_slice::<&RawValue>(edited.as_bytes()).expect("JSON");
        return;
    };
    let members: Vec<(&str, &str)> = members
        .iter()
        .map(|(name, value)| (name.as_str(), value.get()))
        .collect();
    for (name, _) in &members {
        let twice = members.iter().filter(|(other, _)| other == name).count() > 1;
        match object.locate_members([*name]) {
            Ok([place]) => {
                let place = place.expect("a member that is there");
                assert_eq!(Some(object.slice(place)), object.get(name));
                assert!(!twice);
            }
            Err(_) => assert!(twice, "{name} is there once"),
        }
        let last = members.iter().rfind(|(other, _)| other == name);
        let found = object.get(name);
        assert_eq!(
            found.as_ref().map(RawJson::as_str),
            last.map(|(_, value)| *value)
        );
    }
    members_are_set_and_left_out(&object, &members, &mut chance_of(data));
    places_are_replaced(&object);
}

fn members_are_set_and_left_out(object: &RawJson, members: &[(&str, &str)], rng: &mut Rng) {
    let mut some = |extra: &'static str| -> Vec<&str> {
        let picked = members.iter().map(|(name, _)| *name);
        let picked: Vec<_> = picked.filter(|_| rng.one_in(3)).collect();
        picked.into_iter().chain([extra]).collect()
    };
    let (mut set, mut without) = (some("added"), some("left out"));
    set.sort_unstable();
    set.dedup();
    without.retain(|name| !set.contains(name));
    let edits: Vec<(&str, Bytes)> = set.iter().map(|name| (*name, NEW.into())).collect();
    let edited = object.with_members(&edits, &without);

    let mut expected: Vec<(&str, &str)> = Vec::new();
    for (name, value) in members {
        if !without.contains(name) {
            expected.push((name, if set.contains(name) { NEW } else { value }));
        }
    }
    let named = |name: &str| members.iter().any(|(other, _)| *other == name);
    expected.extend(
        set.iter()
            .filter(|name| !named(name))
            .map(|name| (*name, NEW)),
    );
    let found = edited.members().expect("an object");
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(name, value)| (name.as_str(), value.get()))
        .collect();
    assert_eq!(found, expected, "{edited:?} out of {object:?}");
    assert_eq!(
        object.with_members(&[], &["no such member"]).as_str(),
        object.as_str()
    );
}

/// Each value put in its own place is the same text; each replaced by another of the same length
/// leaves the rest.
fn places_are_replaced(object: &RawJson) {
    let members = object.members().expect("an object");
    let edits = |text: fn(&RawValue) -> String| {
        members
            .iter()
            .map(|(_, value)| (object.range_of(value), Bytes::from(text(value))))
            .collect()
    };
    let same = object.with_edits(edits(|value| value.get().to_owned()));
    assert_eq!(same.as_str(), object.as_str());
    let blank = object.with_edits(edits(|value| {
        format!("0{}", " ".repeat(value.get().len() - 1))
    }));
    assert_eq!(blank.as_bytes().len(), object.as_bytes().len());
    let blank = blank.members().expect("an object");
    assert_eq!(blank.len(), members.len());
    for ((name, value), (before, _)) in blank.iter().zip(&members) {
        assert_eq!((name, value.get()), (before, "0"));
    }
}
