//! Names that the lock has: what they are kept for, and until when.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{BackendListing, Built, Catalog, Source, config, listing, pairs};
use crate::call_report::BackendId;
use crate::catalog::Names;
use crate::config::{Config, Form, Lock, Pin, PinMode, Subject, ToolNames};
use crate::protocol::Kind;

/// A tool in a lock: backend, own name, the name it had, the name it lost.
type Row<'a> = (&'a str, &'a str, Option<&'a str>, Option<&'a str>);

fn lock(rows: &[Row<'_>]) -> Arc<Lock> {
    let mut lock = Lock::default();
    for (backend, own, name, lost) in rows {
        let added = lock.add(Pin {
            backend: (*backend).into(),
            subject: Subject::Tool((*own).into()),
            sha256: "0".repeat(64).into(),
            form: Form::Exact,
            earlier: Vec::new(),
            definition: None,
            name: name.map(Into::into),
            lost: lost.map(Into::into),
        });
        assert!(added);
    }
    // As it is read by the next run.
    Arc::new(Lock::parse(lock.text().into()).unwrap())
}

fn with_lock(backends: &[&str], rows: &[Row<'_>]) -> Config {
    let mut config = config(backends);
    config.lock.lock = lock(rows);
    config
}

/// The catalog of a run. Of each backend: what it lists, if it has listed.
fn run(config: &Config, listed: &[Option<&[&str]>]) -> Built {
    let read = config.backends.iter().zip(listed).map(|(backend, own)| {
        own.map(|own| BackendListing::read(backend, &listing(Kind::Tool, own)))
    });
    let read: Vec<_> = read.collect();
    let sources: Vec<Source<'_>> = (0..)
        .zip(config.backends.iter().zip(&read))
        .map(|(number, (config, read))| Source {
            id: BackendId::new(number),
            config,
            backend_listing: read.as_ref(),
            confirmed: read.is_some(),
        })
        .collect();
    Catalog::build(&config.gateway, &sources, &Names::recorded(config))
}

fn names(built: &Built) -> Vec<&str> {
    super::exposed(&built.catalog, Kind::Tool)
}

/// Name, the backend that has it, the one that had it.
fn takeovers(built: &Built) -> Vec<(&str, &str, &str)> {
    let takeovers = built.takeovers.iter();
    takeovers
        .map(|taken| (&*taken.name, &*taken.backend, &*taken.before))
        .collect()
}

#[test]
fn a_name_is_kept_for_a_backend_that_is_down_until_it_lists_without_the_tool() {
    let config = with_lock(&["a", "b"], &[("b", "x", Some("x"), None)]);
    let down = run(&config, &[Some(&["x"]), None]);
    assert_eq!(names(&down), ["a__x"]);
    let up = run(&config, &[Some(&["x"]), Some(&["x", "y"])]);
    assert_eq!(names(&up), ["a__x", "x", "y"]);
    assert!(takeovers(&down).is_empty() && takeovers(&up).is_empty());

    let without = run(&config, &[Some(&["x"]), Some(&["y"])]);
    assert_eq!(names(&without), ["x", "y"]);
    assert_eq!(takeovers(&without), [("x", "a", "b")]);
}

#[test]
fn a_name_is_kept_for_a_backend_until_it_leaves_the_config() {
    let rows = [("b", "x", Some("x"), None)];
    let gone = with_lock(&["a"], &rows);
    let built = run(&gone, &[Some(&["x"])]);
    assert_eq!(
        (names(&built), takeovers(&built)),
        (vec!["x"], vec![("x", "a", "b")])
    );

    // Configured, but not used in this run: kept if it is disabled; no concern of a run that leaves
    // it out.
    for (left_out, expected) in [(false, "a__x"), (true, "x")] {
        let mut config = with_lock(&["a", "b"], &rows);
        config.backends.pop();
        config.configured[1].left_out = left_out;
        let built = run(&config, &[Some(&["x"])]);
        assert_eq!(names(&built), [expected]);
        assert!(takeovers(&built).is_empty());
    }
}

#[test]
fn a_tool_that_the_lock_has_without_a_name_goes_before_a_new_one() {
    // As version 1 has them: config order among themselves.
    let rows = [
        ("a", "y", None, None),
        ("b", "x", None, None),
        ("b", "y", None, None),
    ];
    let config = with_lock(&["a", "b"], &rows);
    let both: [Option<&[&str]>; 2] = [Some(&["x", "y"]), Some(&["x", "y"])];
    assert_eq!(names(&run(&config, &both)), ["a__x", "y", "x", "b__y"]);
    let down: [Option<&[&str]>; 2] = [Some(&["x", "y"]), None];
    assert_eq!(names(&run(&config, &down)), ["a__x", "y"]);
    // Without a lock, config order alone.
    let config = with_lock(&["a", "b"], &[]);
    assert_eq!(names(&run(&config, &both)), ["x", "y", "b__x", "b__y"]);
}

#[test]
fn a_backend_without_pins_loses_no_name_to_one_with_pins() {
    let mut config = with_lock(&["a", "b"], &[("b", "x", None, None)]);
    let a = Arc::make_mut(&mut config.backends[0]);
    a.tools.pin = PinMode::Off;
    let built = run(&config, &[Some(&["x"]), Some(&["x"])]);
    assert_eq!(names(&built), ["x", "b__x"]);
}

#[test]
fn what_the_config_says_counts_more_than_a_name_in_the_lock() {
    let rows = [("a", "x", Some("x"), None), ("b", "y", Some("y"), None)];
    let both: [Option<&[&str]>; 2] = [Some(&["x", "z"]), Some(&["y"])];
    let mut config = with_lock(&["a", "b"], &rows);
    config.gateway.tool_names = ToolNames::Prefixed;
    assert_eq!(names(&run(&config, &both)), ["a__x", "a__z", "b__y"]);

    // A rename of an earlier or the same backend wins, one of a later backend doesn't.
    for (backend, own, exposed, expected) in [
        (0, "z", "y", vec!["x", "y", "b__y"]),
        (0, "z", "x", vec!["x_8b86bced", "x", "y"]),
        (1, "y", "x", vec!["x", "z", "b__x"]),
    ] {
        let mut config = with_lock(&["a", "b"], &rows);
        let renaming = Arc::make_mut(&mut config.backends[backend]);
        renaming.tools.rename = pairs(&[(own, exposed)]);
        assert_eq!(names(&run(&config, &both)), expected);
    }
    // A name that the tool can't have.
    let config = with_lock(&["a", "b"], &[("a", "x", Some("send_mail"), None)]);
    assert_eq!(names(&run(&config, &[Some(&["x"]), None])), ["x"]);
    // One with the prefix of a backend that was added to the config.
    let config = with_lock(&["a", "b"], &[("b", "a__x", Some("a__x"), None)]);
    assert_eq!(
        names(&run(&config, &[Some(&[]), Some(&["a__x"])])),
        ["b__a__x"]
    );
}

#[test]
fn a_name_that_two_tools_have_in_a_lock_goes_by_config_order() {
    let rows = [("a", "x", Some("x"), None), ("b", "x", Some("x"), None)];
    let both: [Option<&[&str]>; 2] = [Some(&["x"]), Some(&["x"])];
    let config = with_lock(&["b", "a"], &rows);
    assert_eq!(names(&run(&config, &both)), ["x", "a__x"]);
}

#[test]
fn a_takeover_stays_reported_until_it_is_accepted() {
    let config = with_lock(&["a", "b"], &[("b", "x", Some("x"), None)]);
    let listed: [Option<&[&str]>; 2] = [Some(&["x"]), Some(&["y"])];
    let first = run(&config, &listed);
    let mut written = (*config.lock.lock).clone();
    for (backend, own) in [("a", "x"), ("b", "y")] {
        let pin = lock(&[(backend, own, None, None)]);
        written.add(pin.pins().next().unwrap().clone());
    }
    let tools: Vec<_> = first.catalog.names().tools().collect();
    written.write_names(&tools);
    let name = |lock: &Lock, backend, own: &str| {
        let pin = lock.get(backend, &Subject::Tool(own.into())).unwrap();
        (pin.name.clone(), pin.lost.clone())
    };
    let x: Option<Arc<str>> = Some("x".into());
    assert_eq!(name(&written, "a", "x"), (x.clone(), None));
    assert_eq!(name(&written, "b", "x"), (None, x.clone()));

    // It comes back: the name stays where it is, and the takeover is still reported.
    let mut next = with_lock(&["a", "b"], &[]);
    next.lock.lock = Arc::new(Lock::parse(written.text().into()).unwrap());
    let again = run(&next, &[Some(&["x"]), Some(&["x"])]);
    assert_eq!(names(&again), ["x", "b__x"]);
    assert_eq!(takeovers(&again), [("x", "a", "b")]);
    let tools: Vec<_> = again.catalog.names().tools().collect();
    written.write_names(&tools);
    assert_eq!(name(&written, "b", "x"), (Some("b__x".into()), x));

    written.accept_names(|name| name == "x");
    next.lock.lock = Arc::new(written);
    let accepted = run(&next, &[Some(&["x"]), Some(&["x"])]);
    assert_eq!(names(&accepted), ["x", "b__x"]);
    assert!(takeovers(&accepted).is_empty());
}

#[test]
fn a_gateway_that_serves_a_part_of_the_config_takes_no_name_in_the_lock() {
    let mut config = with_lock(
        &["a", "b"],
        &[("b", "x", Some("x"), None), ("a", "x", None, None)],
    );
    config.backends.pop();
    config.configured[1].left_out = true;
    let built = run(&config, &[Some(&["x"])]);
    assert_eq!(names(&built), ["x"]);
    let mut written = (*config.lock.lock).clone();
    let tools: Vec<_> = built.catalog.names().tools().collect();
    written.write_names(&tools);
    assert_eq!(written, *config.lock.lock);
}

/// What each of four backends lists.
fn listed() -> impl Strategy<Value = Vec<Vec<String>>> {
    let own = "(a|b|x|y)((__|\\.)(a|b|x)){0,1}";
    prop::collection::vec(prop::collection::btree_set(own, 0..6), 4).prop_map(|all| {
        all.into_iter()
            .map(|own| own.into_iter().collect())
            .collect()
    })
}

const BACKENDS: [&str; 4] = ["a", "b", "a__b", "c"];

fn run_of(config: &Config, listed: &[Vec<String>], is_up: &[bool]) -> Built {
    let own: Vec<Vec<&str>> = listed
        .iter()
        .map(|own| own.iter().map(String::as_str).collect())
        .collect();
    let own = own.iter().zip(is_up);
    let own: Vec<_> = own.map(|(own, up)| up.then_some(&own[..])).collect();
    run(config, &own)
}

/// The exposed name of each tool, by backend and own name.
fn by_tool(built: &Built) -> HashMap<(BackendId, Arc<str>), Arc<str>> {
    let entries = built.catalog.entries(Kind::Tool);
    entries
        .map(|entry| {
            (
                (entry.backend, entry.own_name.clone()),
                entry.exposed.clone(),
            )
        })
        .collect()
}

proptest! {
    #[test]
    fn names_don_t_depend_on_who_is_up(
        listed in listed(),
        is_up in prop::collection::vec(any::<bool>(), 4),
        keeps_names in any::<bool>(),
        more in listed(),
    ) {
        let rows = BACKENDS.iter().zip(&listed);
        let rows = rows.flat_map(|(backend, own)| own.iter().map(|own| (*backend, own.as_str(), None, None)));
        let rows: Vec<Row<'_>> = rows.collect();
        let mut config = with_lock(&BACKENDS, &rows);
        let all = run_of(&config, &listed, &[true; 4]);
        if keeps_names {
            let mut named = (*config.lock.lock).clone();
            let tools: Vec<_> = all.catalog.names().tools().collect();
            named.write_names(&tools);
            config.lock.lock = Arc::new(named);
        }
        let all = by_tool(&all);
        let some = run_of(&config, &listed, &is_up);
        prop_assert!(some.takeovers.is_empty());
        for (tool, name) in by_tool(&some) {
            prop_assert_eq!(&all[&tool], &name);
        }
        // Whatever is new takes no name of what the lock has.
        let more: Vec<Vec<String>> = listed
            .iter()
            .zip(more)
            .map(|(own, more)| {
                let new = more.into_iter().filter(|new| !own.contains(new));
                new.chain(own.iter().cloned()).collect()
            })
            .collect();
        let later = run_of(&config, &more, &is_up);
        prop_assert!(later.takeovers.is_empty());
        for (tool, name) in by_tool(&later) {
            match all.get(&tool) {
                Some(before) => prop_assert_eq!(before, &name),
                None => prop_assert!(!all.values().any(|taken| *taken == name), "{}", name),
            }
        }
    }
}
