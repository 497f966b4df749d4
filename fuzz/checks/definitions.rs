//! Definitions in any shape: what clients get of them is what the specification's schema of their version takes,
//! and one that can't be read costs no other.

use std::sync::LazyLock;

use bytes::Bytes;
use sentinel_gateway::call_report::BackendId;
use sentinel_gateway::catalog::{BackendListing, Catalog, Names, Source};
use sentinel_gateway::config::{BackendConfig, Config, Environment, Overrides, Schemas, load};
use sentinel_gateway::protocol::{Era, Kind, Listing, RawJson};
use serde_json::{Value, json};

use super::rng::Rng;
use super::schema::{VERSIONS, assert_fits};
use super::{assert_readable, chance_of};

/// Every kind of item.
pub const KINDS: [Kind; 4] = [Kind::Tool, Kind::Prompt, Kind::Resource, Kind::Template];

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let flags = Overrides {
        backends: vec![("a".to_owned(), "http://127.0.0.1/".to_owned())],
        ..Overrides::default()
    };
    load(&flags, &Environment::new("no-such-folder")).unwrap()
});

/// What clients get of a list.
pub struct Listed {
    /// For legacy clients.
    pub legacy: Vec<Value>,
    /// For modern clients.
    pub modern: Vec<Value>,
}

/// Lists these items of one backend to clients.
pub fn list(kind: Kind, items: Vec<RawJson>, modern_server: bool, schemas: Schemas) -> Listed {
    let mut listing = Listing::new(modern_server);
    let raw: Vec<RawJson> = items.clone();
    *listing.items_mut(kind) = items;
    let mut config = BackendConfig::clone(&CONFIG.backends[0]);
    config.schemas = schemas;
    let config = &config;
    let read = BackendListing::read(config, &listing);
    let source = Source {
        id: BackendId::new(0),
        config,
        backend_listing: Some(&read),
        confirmed: true,
    };
    let built = Catalog::build(&CONFIG.gateway, &[source], &Names::default());
    let catalog = built.catalog;
    assert_eq!(
        catalog.entries(kind).count() + built.rejected.len(),
        raw.len(),
        "an item is neither listed nor withheld"
    );
    for rejected in &built.rejected {
        assert_readable(&rejected.name);
        assert_readable(&rejected.reason.to_string());
    }
    for mended in &built.mended {
        assert_readable(&mended.name);
        assert_readable(&mended.what);
    }
    let of = |era| serde_json::from_slice(catalog.list(kind, era)).expect("an array");
    Listed {
        legacy: of(Era::Legacy),
        modern: of(Era::Modern),
    }
}

/// A line that is a JSON object is a definition; any other seeds one that is made.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for kind in KINDS {
        for modern_server in [false, true] {
            let mut items = vec![RawJson::of(&valid(kind, "good"))];
            for (at, line) in text.lines().take(50).enumerate() {
                let written = line.starts_with('{').then(|| line.to_owned());
                let item = written.and_then(|text| RawJson::parse(Bytes::from(text)).ok());
                items.push(item.unwrap_or_else(|| {
                    let mut rng = chance_of(line.as_bytes());
                    RawJson::of(&definition(kind, &format!("t{at}"), &mut rng))
                }));
            }
            for schemas in [Schemas::AsIs, Schemas::Portable] {
                let listed = list(kind, items.clone(), modern_server, schemas);
                let (legacy, modern) = VERSIONS.split_at(VERSIONS.len() - 1);
                for (seen, versions) in [(&listed.legacy, legacy), (&listed.modern, modern)] {
                    assert_eq!(seen[0], valid(kind, "good"), "a good item stays as it is");
                    for item in seen {
                        for &version in versions {
                            assert_fits(version, type_of(kind), item);
                        }
                        let schema = item["inputSchema"].as_object();
                        let branches = |name: &&str| schema.is_some_and(|s| s.contains_key(*name));
                        let is_plain = !["anyOf", "oneOf", "allOf", "not", "enum"]
                            .iter()
                            .any(branches);
                        assert!(is_plain || schemas == Schemas::AsIs, "{item}");
                    }
                }
            }
        }
    }
}

/// The name of an item's type in the specification's schema.
pub fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool => "Tool",
        Kind::Prompt => "Prompt",
        Kind::Resource => "Resource",
        Kind::Template => "ResourceTemplate",
    }
}

/// A definition that every client can read.
pub fn valid(kind: Kind, name: &str) -> Value {
    match kind {
        Kind::Tool => json!({
            "name": name, "description": "d",
            "inputSchema": { "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] },
        }),
        Kind::Prompt => json!({ "name": name, "arguments": [{ "name": "a", "required": true }] }),
        Kind::Resource => json!({ "uri": format!("x:{name}"), "name": name, "size": 1 }),
        Kind::Template => json!({ "uriTemplate": format!("x:{name}/{{a}}"), "name": name }),
    }
}

/// A definition with up to four odd members, at any depth.
pub fn definition(kind: Kind, name: &str, rng: &mut Rng) -> Value {
    let mut item = valid(kind, name);
    let members: &[&str] = match kind {
        Kind::Tool => &[
            "inputSchema",
            "inputSchema",
            "inputSchema",
            "outputSchema",
            "outputSchema",
            "annotations",
            "title",
            "description",
            "_meta",
            "icons",
            "execution",
            "x-other",
        ],
        Kind::Prompt => &[
            "arguments",
            "arguments",
            "title",
            "description",
            "_meta",
            "icons",
        ],
        Kind::Resource | Kind::Template => &[
            "name",
            "title",
            "description",
            "mimeType",
            "size",
            "annotations",
            "_meta",
            "icons",
        ],
    };
    for _ in 0..=rng.below(4) {
        let member = *rng.pick(members);
        if rng.one_in(6) {
            item.as_object_mut().expect("an object").remove(member);
        } else {
            item[member] = member_value(member, rng);
        }
    }
    item
}

fn member_value(member: &str, rng: &mut Rng) -> Value {
    if rng.one_in(4) {
        return odd(rng);
    }
    match member {
        "inputSchema" | "outputSchema" => schema(rng, 3),
        "annotations" => object(
            rng,
            &[
                "title",
                "readOnlyHint",
                "destructiveHint",
                "idempotentHint",
                "openWorldHint",
                "audience",
                "priority",
                "lastModified",
            ],
        ),
        "icons" => json!([object(rng, &["src", "src", "mimeType", "sizes", "theme"])]),
        "execution" => object(rng, &["taskSupport"]),
        "arguments" => {
            let count = rng.below(3);
            (0..count)
                .map(|_| {
                    let mut argument = object(rng, &["title", "description", "required", "name"]);
                    if argument.is_object() && !rng.one_in(5) {
                        argument["name"] = json!("a");
                    }
                    argument
                })
                .collect()
        }
        _ => odd(rng),
    }
}

fn object(rng: &mut Rng, members: &[&str]) -> Value {
    let mut object = json!({});
    for _ in 0..rng.below(4) {
        object[*rng.pick(members)] = odd(rng);
    }
    object
}

/// A value that is right in few places.
fn odd(rng: &mut Rng) -> Value {
    match rng.below(22) {
        0..=2 => Value::Null,
        3 => json!(true),
        4 => json!(false),
        5 => json!([]),
        6 => json!({}),
        7 => json!(""),
        8 => json!("text"),
        9 => json!("object"),
        10 => json!("true"),
        11 => json!(0),
        12 => json!(-1),
        13 => json!(0.5),
        14 => json!(1e300),
        15 => json!(["a"]),
        16 => json!([null]),
        17 => json!({ "a": null }),
        18 => json!(["user", "assistant"]),
        19 => json!(rng.pick(&[
            "2025-01-12T15:00:58Z",
            "2025-02-30T00:00:00Z",
            "2025-01-12",
            "dark",
            "optional"
        ])),
        20 => json!("\u{1f600}\u{202e}\n"),
        _ => json!([{ "name": "a" }]),
    }
}

/// A schema with some keywords, few of which are right.
fn schema(rng: &mut Rng, depth: usize) -> Value {
    let mut schema = json!({});
    if !rng.one_in(4) {
        schema["type"] = json!(rng.pick(&[
            "object", "object", "object", "array", "string", "Object", "odd"
        ]));
    }
    for _ in 0..rng.below(5) {
        let inner = |rng: &mut Rng| match depth {
            0 => odd(rng),
            _ if rng.one_in(5) => odd(rng),
            _ => self::schema(rng, depth - 1),
        };
        match rng.below(14) {
            0..=3 => {
                let (one, other) = (inner(rng), inner(rng));
                schema["properties"] = json!({ "a": one, "b": other });
            }
            4 => schema["properties"] = odd(rng),
            5 => schema["required"] = odd(rng),
            6 => schema["required"] = json!(["a"]),
            7 => schema[*rng.pick(&["items", "not", "additionalProperties"])] = inner(rng),
            8 => schema[*rng.pick(&["anyOf", "oneOf", "allOf"])] = json!([inner(rng), inner(rng)]),
            9 => schema["$defs"] = json!({ "A": inner(rng) }),
            10 => {
                schema["$ref"] =
                    json!(rng.pick(&["#", "#/$defs/A", "#/properties/a", "#x", "https://e.x/y"]))
            }
            11 => {
                schema["pattern"] = json!(rng.pick(&["^a+$", "[", "(?P<x>a)", "\\d{2,1}", "a|b"]))
            }
            12 => {
                schema[*rng.pick(&[
                    "$schema", "$id", "id", "nullable", "minimum", "enum", "const",
                ])] = odd(rng)
            }
            _ => schema["type"] = odd(rng),
        }
    }
    schema
}
