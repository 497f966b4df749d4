//! Whatever is listed, what clients get is what the schema of their version takes.
//!
//! `FIELD_DEFINITIONS` is the number of generated definitions, 200 unless it is set.

use sentinel_gateway::config::Schemas;
use sentinel_gateway::protocol::RawJson;

use super::schema::{VERSIONS, assert_fits};
use crate::fuzz::checks::definitions::{KINDS, Listed, definition, list, type_of, valid};
use crate::fuzz::checks::rng::Rng;

fn count() -> u64 {
    let count = std::env::var("FIELD_DEFINITIONS").ok();
    count.map_or(200, |count| count.parse().expect("a number"))
}

/// The era of the server, and `schemas`.
const SETTINGS: [(bool, Schemas); 4] = [
    (false, Schemas::AsIs),
    (true, Schemas::AsIs),
    (false, Schemas::Portable),
    (true, Schemas::Portable),
];

#[test]
fn every_listed_definition_is_one_of_the_clients_version() {
    let mut listed = 0;
    for seed in 0..count() {
        for kind in KINDS {
            for (modern_server, schemas) in SETTINGS {
                let mut rng = Rng(seed);
                let odd = definition(kind, "odd", &mut rng);
                let items = vec![RawJson::of(&odd), RawJson::of(&valid(kind, "good"))];
                let Listed { legacy, modern } = list(kind, items, modern_server, schemas);
                for (version, items) in VERSIONS
                    .into_iter()
                    .zip([&legacy, &legacy, &legacy, &legacy, &modern])
                {
                    assert_eq!(items.last(), Some(&valid(kind, "good")), "{odd}");
                    items
                        .iter()
                        .for_each(|item| assert_fits(version, type_of(kind), item));
                }
                listed += legacy.len() - 1;
            }
        }
    }
    // Few are withheld: the generator makes what can be mended, and more.
    assert!(listed as u64 > count() * 16 / 2, "{listed} are listed");
}
