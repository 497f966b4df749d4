//! Section 1: definitions that a client can't read. One malformed definition of one backend costs a
//! client of the TypeScript SDK the lists of all backends.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::schema::{VERSIONS, assert_fits};
use super::table::{Row, check, rows};
use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::{complete, result};
use crate::common::process::{self, Process};
use crate::common::reply::Reply;

pub(super) const ROWS: &[Row] = rows! {
    "1.01" "no inputSchema, or one that says nothing" => "an object without parameters", no_input_schema;
    "1.02" "an inputSchema without a type, or with more than one" => "type object, its members kept", input_types;
    "1.03" "an inputSchema of another type" => "that tool is withheld", input_of_another_type;
    "1.04" "properties or required that hold nothing" => "an empty object; left out", empty_members;
    "1.05" "properties or required that can't be read" => "that tool is withheld", unreadable_members;
    "1.06" "hints that are not true or false" => "left out, never read as true", odd_hints;
    "1.07" "optional members that are null or of another type" => "left out", odd_optionals;
    "1.08" "an outputSchema that promises nothing, or no object" => "left out", odd_output_schemas;
    "1.09" "an outputSchema that can't be compiled" => "left out", broken_output_schemas;
    "1.10" "any of these" => "said once in the log, always by check", mends_are_said;
    "1.11" "arguments of a prompt in another form" => "mended; a prompt with one that has no name is withheld", prompt_arguments;
    "1.12" "a resource or template without a name" => "named by its URI", nameless_resources;
    "1.13" "optional members of resources and templates that are null or of another type" => "left out", odd_resource_members;
    "1.14" "a resource whose uri is relative" => "that resource is withheld", relative_uris;
    "1.15" "an outputSchema and content of a modern server that are no objects" => "wrapped as the SDKs do, for legacy clients", wrapped_content;
    "1.16" "an error result whose content is not what the tool promised" => "without that content: the words arrive", errors_beside_a_promise;
    "1.17" "content of a tool without a usable outputSchema that is no object" => "wrapped or left out, for legacy clients", unpromised_content;
    "1.18" "schemas that a model's API refuses" => "with schemas = \"portable\" in the words that all take", portable_schemas;
    "1.19" "names that are too long with the server's name before them" => "cut to tool_name_max, with the hash suffix; check advises", long_names;
    "1.20" "more than 128 tools" => "a word in check and once in the log, naming tools.allow", too_many_tools;
    "1.21" "a number that no double holds" => "left out with its member; elsewhere that item is withheld", huge_numbers;
};

#[test]
fn section_1_definitions() {
    check(ROWS);
}

const KINDS: [(&str, &str, &str); 4] = [
    ("tools", "tools/list", "ListToolsResult"),
    ("prompts", "prompts/list", "ListPromptsResult"),
    ("resources", "resources/list", "ListResourcesResult"),
    (
        "resourceTemplates",
        "resources/templates/list",
        "ListResourceTemplatesResult",
    ),
];

/// An item as a client sees it, for each item of a backend; `None` for one that is withheld.
type Expected = [(Value, Option<Value>)];

fn key_of(list: &str) -> &'static str {
    match list {
        "resources" => "uri",
        "resourceTemplates" => "uriTemplate",
        _ => "name",
    }
}

/// The items that a client gets, by their keys. The list is judged by the schema of each version
/// of the client's era.
fn listed(gateway: &mut TestGateway, list: &'static str, modern: bool) -> BTreeMap<String, Value> {
    let versions = match modern {
        true => &VERSIONS[4..],
        false => &VERSIONS[..4],
    };
    let (_, method, result_type) = KINDS.into_iter().find(|(name, ..)| *name == list).unwrap();
    let answer = gateway.ask(method, json!({}));
    for version in versions {
        assert_fits(version, result_type, answer.result());
    }
    let mut items = answer.result()[list].as_array().unwrap().clone();
    let key = |item: &Value| item[key_of(list)].as_str().unwrap().to_owned();
    for item in &mut items {
        let meta = item["_meta"].as_object_mut().unwrap();
        assert!(meta.remove("sentinel-gateway/backend").is_some());
        if meta.is_empty() {
            item.as_object_mut().unwrap().remove("_meta");
        }
    }
    items.into_iter().map(|item| (key(&item), item)).collect()
}

/// Backends of both eras list these items, to clients of both eras.
fn assert_listed(list: &'static str, items: &Expected) {
    for modern_backend in [false, true] {
        assert_listed_by(modern_backend, [false, true].as_slice(), list, items);
    }
}

/// A backend of this era lists these items, to clients of these eras. They cost neither its own
/// good item nor that of another backend.
fn assert_listed_by(modern: bool, clients: &[bool], list: &'static str, items: &Expected) {
    let good = |name: &str| match list {
        "tools" => json!({ "name": name, "inputSchema": { "type": "object" } }),
        "prompts" => json!({ "name": name }),
        _ => json!({ key_of(list): format!("good:{name}"), "name": name }),
    };
    let healthy = FakeBackend::start().item(list, good("healthy"));
    let mut odd = FakeBackend::start().item(list, good("beside"));
    for (item, _) in items {
        odd = odd.item(list, item.clone());
    }
    if modern {
        odd = odd.modern();
    }
    let config = healthy.entry("healthy", "") + &odd.entry("odd", "");
    let mut gateway = TestGateway::with_config(&config);
    gateway.initialize();
    for modern_client in clients.iter().copied() {
        if modern_client {
            gateway.modern(json!({}));
        }
        let to = format!("of a modern backend: {modern}, to a modern client: {modern_client}");
        let mut seen = listed(&mut gateway, list, modern_client);
        for item in ["healthy", "beside"].map(good) {
            let found = seen.remove(item[key_of(list)].as_str().unwrap());
            assert_eq!(found, Some(item), "a good item {to}");
        }
        for (item, expected) in items {
            let found = item[key_of(list)].as_str().and_then(|key| seen.remove(key));
            assert_eq!(&found, expected, "{item} {to}");
        }
        assert!(seen.is_empty(), "{seen:?}");
    }
}

/// Tools with these values of a member, and the values that are listed: `None` is a tool withheld,
/// and null a member left out.
fn assert_tools(member: &str, values: &[(Value, Option<Value>)]) {
    let tool = |at: usize, value: &Value| {
        let mut tool = json!({ "name": format!("odd{at}"), "inputSchema": { "type": "object" } });
        tool[member] = value.clone();
        tool
    };
    let items: Vec<(Value, Option<Value>)> = values
        .iter()
        .enumerate()
        .map(|(at, (value, listed))| {
            let listed = listed.as_ref().map(|listed| {
                let mut tool = tool(at, listed);
                if listed.is_null() {
                    tool.as_object_mut().unwrap().remove(member);
                }
                tool
            });
            (tool(at, value), listed)
        })
        .collect();
    assert_listed("tools", &items);
}

fn no_input_schema() {
    let empty = || json!({ "type": "object", "properties": {} });
    let values = [json!(null), json!({}), json!([]), json!(true)];
    assert_tools("inputSchema", &values.map(|value| (value, Some(empty()))));
    let missing = json!({ "name": "none", "description": "kept" });
    let mended = json!({ "name": "none", "description": "kept", "inputSchema": empty() });
    assert_listed("tools", &[(missing, Some(mended))]);
}

fn input_types() {
    let properties = json!({ "a": { "type": "string", "nested": [1.5] } });
    let of = |kind: Value| json!({ "type": kind, "properties": properties, "x-other": [null] });
    let mut without = of(json!(null));
    without.as_object_mut().unwrap().remove("type");
    let listed = || Some(of(json!("object")));
    assert_tools(
        "inputSchema",
        &[
            (without, listed()),
            (of(json!(null)), listed()),
            (of(json!("Object")), listed()),
            (of(json!(["object", "null"])), listed()),
            (of(json!(["string", "object"])), listed()),
            (
                json!({ "anyOf": [{ "required": ["a"] }] }),
                Some(json!({ "anyOf": [{ "required": ["a"] }], "type": "object" })),
            ),
            (
                json!({ "$ref": "#/$defs/A", "$defs": { "A": {} } }),
                Some(json!({ "$ref": "#/$defs/A", "$defs": { "A": {} }, "type": "object" })),
            ),
            (
                json!({ "$schema": null, "type": "object" }),
                Some(json!({ "type": "object" })),
            ),
        ],
    );
}

fn input_of_another_type() {
    let values = [
        json!({ "type": "string" }),
        json!({ "type": "array", "items": {} }),
        json!({ "type": ["string", "null"] }),
        json!({ "type": [] }),
        json!({ "type": 7 }),
        json!("object"),
        json!(7),
        json!(false),
        json!([{ "type": "object" }]),
    ];
    assert_tools("inputSchema", &values.map(|value| (value, None)));
}

fn empty_members() {
    let with =
        |member: &str, value: Value| json!({ "type": "object", "title": "kept", member: value });
    let bare = || Some(json!({ "type": "object", "title": "kept" }));
    let none = || Some(with("properties", json!({})));
    assert_tools(
        "inputSchema",
        &[
            (with("properties", json!([])), none()),
            (with("properties", json!(null)), none()),
            (with("required", json!(null)), bare()),
            (with("required", json!({})), bare()),
            (with("required", json!(false)), bare()),
            (
                with("properties", json!({ "a": null, "b": [], "c": true })),
                Some(with("properties", json!({ "a": {}, "b": {}, "c": {} }))),
            ),
            (
                with("properties", json!({ "a": false })),
                Some(with("properties", json!({ "a": { "not": {} } }))),
            ),
            (
                json!({ "type": "object", "properties": { "a": {} }, "required": "a" }),
                Some(json!({ "type": "object", "properties": { "a": {} }, "required": ["a"] })),
            ),
        ],
    );
}

fn unreadable_members() {
    let with = |member: &str, value: Value| (json!({ "type": "object", member: value }), None);
    assert_tools(
        "inputSchema",
        &[
            with("properties", json!(["a"])),
            with("properties", json!("a")),
            with("properties", json!({ "a": "string" })),
            with("properties", json!({ "a": 7 })),
            with("required", json!("a")),
            with("required", json!(true)),
            with("required", json!([1])),
            with("required", json!([null])),
        ],
    );
}

fn odd_hints() {
    let none = || Some(json!({}));
    assert_tools(
        "annotations",
        &[
            (json!({ "readOnlyHint": null }), none()),
            (
                json!({ "readOnlyHint": "true", "idempotentHint": 1 }),
                none(),
            ),
            (
                json!({ "destructiveHint": null, "openWorldHint": "no", "title": "kept" }),
                Some(json!({ "title": "kept" })),
            ),
            (
                json!({ "title": 7, "readOnlyHint": true }),
                Some(json!({ "readOnlyHint": true })),
            ),
            (json!(null), Some(json!(null))),
            (json!([]), Some(json!(null))),
            (json!("readOnly"), Some(json!(null))),
        ],
    );
    // A hint that is left out, beside one that is not, makes no tool safe to repeat.
    for annotations in [
        json!({ "readOnlyHint": "true" }),
        json!({ "readOnlyHint": 1 }),
        json!({ "readOnlyHint": ["true"] }),
    ] {
        let fake = FakeBackend::start().tool_with("once", json!({ "annotations": annotations }));
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize();
        fake.on_tool("once", Reply::hang_up());
        gateway.call("once", json!({})).error();
        assert_eq!(fake.runs("once"), 1, "{annotations}");
    }
}

fn odd_optionals() {
    let left_out = |values: Vec<Value>| -> Vec<(Value, Option<Value>)> {
        values
            .into_iter()
            .map(|value| (value, Some(json!(null))))
            .collect()
    };
    for member in ["title", "description"] {
        assert_tools(
            member,
            &left_out(vec![json!(null), json!(7), json!(["words"]), json!({})]),
        );
    }
    assert_tools("_meta", &left_out(vec![json!(null), json!([]), json!("x")]));
    assert_tools(
        "icons",
        &left_out(vec![
            json!(null),
            json!({}),
            json!([null]),
            json!([{ "src": 7 }]),
            json!([{}]),
        ]),
    );
    let icon = |more: Value| {
        let mut icon = json!([{ "src": "data:image/png;base64,AA==" }]);
        icon[0]
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        icon
    };
    assert_tools(
        "icons",
        &[
            (icon(json!({ "sizes": "48x48" })), Some(icon(json!({})))),
            (
                icon(json!({ "theme": "blue", "mimeType": null })),
                Some(icon(json!({}))),
            ),
            (
                icon(json!({ "theme": "dark", "sizes": ["any"] })),
                Some(icon(json!({ "theme": "dark", "sizes": ["any"] }))),
            ),
        ],
    );
    assert_tools(
        "execution",
        &[
            (json!(null), Some(json!(null))),
            (json!({ "taskSupport": "maybe" }), Some(json!({}))),
            (
                json!({ "taskSupport": "optional" }),
                Some(json!({ "taskSupport": "optional" })),
            ),
        ],
    );
}

fn odd_output_schemas() {
    let left_out = [
        json!(null),
        json!([]),
        json!(true),
        json!("object"),
        json!(7),
    ];
    assert_tools(
        "outputSchema",
        &left_out.map(|value| (value, Some(json!(null)))),
    );
    // Of a legacy server, whose structured content is always an object.
    let of_legacy = |value: Value, listed: Value| {
        let tool = |schema: &Value| json!({ "name": "odd", "inputSchema": { "type": "object" }, "outputSchema": schema });
        let mut expected = tool(&listed);
        if listed.is_null() {
            expected.as_object_mut().unwrap().remove("outputSchema");
        }
        assert_listed_by(
            false,
            &[false, true],
            "tools",
            &[(tool(&value), Some(expected))],
        );
    };
    of_legacy(json!({}), json!(null));
    of_legacy(json!({ "type": "array", "items": {} }), json!(null));
    of_legacy(json!({ "type": "string" }), json!(null));
    of_legacy(
        json!({ "properties": { "a": {} } }),
        json!({ "properties": { "a": {} }, "type": "object" }),
    );
    of_legacy(
        json!({ "type": ["object", "null"] }),
        json!({ "type": "object" }),
    );
    of_legacy(
        json!({ "type": "object", "properties": [] }),
        json!({ "type": "object", "properties": {} }),
    );
    of_legacy(
        json!({ "type": "object", "required": null }),
        json!({ "type": "object" }),
    );
}

fn prompt_arguments() {
    let prompt =
        |at: usize, arguments: &Value| json!({ "name": format!("p{at}"), "arguments": arguments });
    let name = json!({ "name": "a" });
    let values = [
        (json!(null), Some(json!([]))),
        (json!({}), Some(json!([]))),
        (json!(["a", "b"]), Some(json!([name, { "name": "b" }]))),
        (
            json!([{ "name": "a", "required": null, "description": null, "title": 7 }]),
            Some(json!([name])),
        ),
        (
            json!([{ "name": "a", "required": "true" }, { "name": "b", "required": 1 }]),
            Some(json!([{ "name": "a", "required": true }, { "name": "b" }])),
        ),
        (json!([{ "description": "no name" }]), None),
        (json!([null]), None),
        (json!([{ "name": 7 }]), None),
        (json!({ "a": {} }), None),
        (json!("a"), None),
    ];
    let items = values.iter().enumerate();
    let items = items.map(|(at, (value, listed))| {
        (
            prompt(at, value),
            listed.as_ref().map(|listed| prompt(at, listed)),
        )
    });
    let items: Vec<_> = items.collect();
    assert_listed("prompts", &items);
    let odd = json!({ "name": "p", "title": 7, "description": null, "_meta": null, "icons": [{}] });
    assert_listed("prompts", &[(odd, Some(json!({ "name": "p" })))]);
}

fn nameless_resources() {
    for (list, uri) in [("resources", "x:a/b.txt"), ("resourceTemplates", "x:{a}/b")] {
        let with = |at: usize, name: Option<Value>| {
            let mut item = json!({ key_of(list): format!("{uri}{at}"), "title": "kept" });
            if let Some(name) = name {
                item["name"] = name;
            }
            item
        };
        let names = [None, Some(json!(null)), Some(json!(7)), Some(json!(["n"]))];
        let items = names.into_iter().enumerate().map(|(at, name)| {
            let own = json!(format!("{uri}{at}"));
            (with(at, name), Some(with(at, Some(own))))
        });
        let items: Vec<_> = items.collect();
        assert_listed(list, &items);
    }
}

fn odd_resource_members() {
    for list in ["resources", "resourceTemplates"] {
        let with = |at: usize, more: &Value| {
            let uri = format!("x:{at}");
            let mut item = json!({ key_of(list): uri, "name": uri });
            item.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            item
        };
        let mut values = vec![
            (
                json!({ "title": null, "description": 7, "mimeType": [], "_meta": "x", "icons": null }),
                json!({}),
            ),
            (json!({ "annotations": null }), json!({})),
            (json!({ "annotations": [] }), json!({})),
            (
                json!({ "annotations": { "audience": ["user", "admin"], "priority": 0.5 } }),
                json!({ "annotations": { "priority": 0.5 } }),
            ),
            (
                json!({ "annotations": { "audience": "user", "priority": 7, "lastModified": "yesterday" } }),
                json!({ "annotations": {} }),
            ),
            (
                json!({ "annotations": { "lastModified": "2025-02-30T00:00:00Z" } }),
                json!({ "annotations": {} }),
            ),
            (
                json!({ "annotations": { "lastModified": "2025-01-12" } }),
                json!({ "annotations": {} }),
            ),
        ];
        for kept in [
            json!({ "annotations": { "audience": ["user", "assistant"], "priority": 1, "lastModified": "2025-01-12T15:00:58Z" } }),
            json!({ "annotations": { "lastModified": "2024-02-29T15:00:58.123+05:30" } }),
            json!({ "x-other": null, "mimeType": "text/plain" }),
        ] {
            values.push((kept.clone(), kept));
        }
        if list == "resources" {
            for size in [json!(null), json!("12"), json!(1.5), json!(1e300)] {
                values.push((json!({ "size": size }), json!({})));
            }
            values.push((json!({ "size": 12 }), json!({ "size": 12 })));
        }
        let items = values.iter().enumerate();
        let items: Vec<_> = items
            .map(|(at, (seen, listed))| (with(at, seen), Some(with(at, listed))))
            .collect();
        assert_listed(list, &items);
    }
}

fn relative_uris() {
    let uris = [
        "readme",
        "/etc/hosts",
        "http://",
        "a b:c",
        "custom://a:99999/",
    ];
    let item = |uri: &str| json!({ "uri": uri, "name": "n" });
    assert_listed("resources", &uris.map(|uri| (item(uri), None)));
    let uris = ["file:///a b", "x:y", "data:,x", "custom://host/{a}", "x:é"];
    assert_listed("resources", &uris.map(|uri| (item(uri), Some(item(uri)))));
}

/// A client of each era after its handshake, with the version whose schema judges its results.
fn clients(fake: &FakeBackend) -> [(TestGateway, &'static str); 2] {
    let mut legacy = TestGateway::over(fake);
    legacy.initialize();
    let mut modern = TestGateway::over(fake);
    modern.modern(json!({}));
    [(legacy, "2025-11-25"), (modern, "2026-07-28")]
}

/// The result of the tool `odd`, judged by the schema of the client's version.
fn called(client: &mut (TestGateway, &'static str)) -> Value {
    let (gateway, version) = client;
    let result = gateway.call("odd", json!({})).result().clone();
    assert_fits(version, "CallToolResult", &result);
    result
}

/// A backend of one era whose tool `odd` has this `outputSchema`, if it isn't null.
fn promising(schema: &Value, modern: bool) -> FakeBackend {
    let mut tool = json!({ "name": "odd", "inputSchema": { "type": "object" } });
    if !schema.is_null() {
        tool["outputSchema"] = schema.clone();
    }
    let fake = FakeBackend::start().item("tools", tool);
    if modern { fake.modern() } else { fake }
}

/// The tool answers every call with this content.
fn answer(fake: &FakeBackend, modern: bool, mut members: Value) {
    let text = json!([{ "type": "text", "text": "the words" }]);
    members["content"] = text;
    let result = if modern {
        complete(members)
    } else {
        result(members)
    };
    fake.always_tool("odd", Reply::json(&result));
}

fn wrapped_content() {
    let string = json!({ "type": "array", "items": { "$ref": "#/$defs/A" }, "$defs": { "A": { "type": "string" } } });
    for (schema, content) in [
        (string, json!(["a"])),
        (json!({ "type": "integer" }), json!(7)),
        (json!({ "type": ["object", "null"] }), json!({ "a": 1 })),
        (
            json!({ "anyOf": [{ "type": "string" }, { "type": "object" }] }),
            json!("a"),
        ),
        (json!({}), json!(null)),
    ] {
        let fake = promising(&schema, true);
        answer(&fake, true, json!({ "structuredContent": content }));
        let [mut legacy, mut modern] = clients(&fake);
        let listed = &legacy.0.list_tools()[0]["outputSchema"];
        let inner = listed["properties"]["result"].clone();
        let around =
            json!({ "type": "object", "properties": { "result": inner }, "required": ["result"] });
        assert_eq!(*listed, around, "{schema}");
        let result = called(&mut legacy)["structuredContent"].clone();
        assert_eq!(result, json!({ "result": content }));
        let validator = jsonschema::validator_for(listed).unwrap();
        assert!(validator.is_valid(&result), "{result} by {listed}");
        assert!(!validator.is_valid(&content), "{content} by {listed}");

        assert_eq!(modern.0.list_tools()[0]["outputSchema"], schema);
        assert_eq!(called(&mut modern)["structuredContent"], content);
    }
}

fn errors_beside_a_promise() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    for modern in [false, true] {
        let fake = promising(&schema, modern);
        for mut client in clients(&fake) {
            for (content, fits) in [
                (json!({ "error": "no such n" }), false),
                (json!({ "n": "one" }), false),
                (json!({ "n": 1 }), true),
            ] {
                answer(
                    &fake,
                    modern,
                    json!({ "structuredContent": content, "isError": true }),
                );
                let result = called(&mut client);
                assert_eq!(result["content"][0]["text"], "the words");
                assert_eq!(result["isError"], true);
                let expected = if fits { content } else { json!(null) };
                assert_eq!(result["structuredContent"], expected);
            }
            // Where the call was no error, the promise is the tool's.
            answer(
                &fake,
                modern,
                json!({ "structuredContent": { "n": "one" } }),
            );
            assert_eq!(
                called(&mut client)["structuredContent"],
                json!({ "n": "one" })
            );
            answer(&fake, modern, json!({ "isError": true }));
            assert_eq!(called(&mut client)["content"][0]["text"], "the words");
        }
    }
}

fn unpromised_content() {
    // A tool of a legacy server that declares nothing is not looked at.
    for (schema, modern) in [
        (json!(null), true),
        (json!({ "type": "str" }), true),
        (json!({ "type": "array" }), false),
    ] {
        let fake = promising(&schema, modern);
        let [mut legacy, _] = clients(&fake);
        assert_eq!(legacy.0.list_tools()[0].get("outputSchema"), None);
        for (content, seen) in [
            (json!([1]), json!({ "result": [1] })),
            (json!("a"), json!({ "result": "a" })),
            (json!({ "a": 1 }), json!({ "a": 1 })),
        ] {
            answer(&fake, modern, json!({ "structuredContent": content }));
            assert_eq!(called(&mut legacy)["structuredContent"], seen);
        }
        answer(&fake, modern, json!({ "structuredContent": null }));
        assert_eq!(called(&mut legacy).get("structuredContent"), None);
    }
}

fn portable_schemas() {
    let schema = json!({
        "type": "object", "properties": { "q": { "type": ["string", "null"] } },
        "anyOf": [{ "required": ["q"] }, { "properties": { "id": { "type": "integer" } }, "required": ["id"] }],
    });
    let tool = json!({ "name": "odd", "description": "Finds.", "inputSchema": schema });
    let annotated = json!({ "name": "other", "inputSchema": { "type": "object", "additionalProperties": false } });
    let start = || {
        FakeBackend::start()
            .item("tools", tool.clone())
            .item("tools", annotated.clone())
    };

    let fake = start();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    assert_eq!(
        gateway.list_tools(),
        [tool.clone(), annotated.clone()],
        "as_is is the default"
    );

    let fake = start();
    let toml = "[gateway]\nschemas = \"portable\"\n".to_owned();
    let describe = "tools.describe = { other = \"Own words.\" }";
    let mut gateway = TestGateway::with_config(&(toml + &fake.entry("fake", describe)));
    gateway.initialize();
    let listed = gateway.list_tools();
    assert_eq!(
        listed[0]["inputSchema"],
        json!({
            "type": "object",
            "properties": {
                "q": { "type": "string", "description": "Rules: may be null", "nullable": true },
                "id": { "type": "integer" },
            },
        })
    );
    let description = listed[0]["description"].as_str().unwrap();
    assert!(
        description.starts_with("Finds.\n\nRules: one of these holds: {\"required\":[\"q\"]} or "),
        "{description}"
    );
    assert_eq!(
        listed[1]["description"],
        "Own words.\n\nRules: no other properties"
    );

    // A call goes out as it comes.
    let arguments = json!({ "q": null, "x": 1.5 });
    gateway.call("odd", arguments.clone()).result();
    assert_eq!(
        fake.next_request("tools/call").params()["arguments"],
        arguments
    );
}

fn long_names() {
    let long = "a".repeat(63);
    let other = "a".repeat(62) + "b";
    let start = || FakeBackend::start().tool(&long).tool(&other).tool("short");
    let fake = start();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), [&*long, &*other, "short"]);

    let fake = start();
    let toml = "[gateway]\ntool_name_max = 48\n".to_owned() + &fake.entry("fake", "");
    let folder = tempfile::tempdir().unwrap();
    let named = || {
        let mut gateway = TestGateway::in_folder(folder.path(), &toml);
        gateway.initialize();
        (gateway.tool_names(), gateway)
    };
    let (names, mut gateway) = named();
    assert_eq!(names[2], "short");
    assert!(
        names.iter().all(|name| name.len() <= 48) && names[0] != names[1],
        "{names:?}"
    );
    assert_eq!(
        gateway.call(&names[1], json!({})).text(),
        format!("{other} {{}}")
    );
    assert_eq!(named().0, names, "the same after a restart");

    let folder = tempfile::tempdir().unwrap();
    let mut check = process::gateway(&folder, &fake.entry("fake", ""));
    let out = String::from_utf8(check.arg("check").output().unwrap().stdout).unwrap();
    assert!(out.contains("tool_name_max = 49"), "{out}");
}

fn too_many_tools() {
    let mut fake = FakeBackend::start().with_get();
    for at in 0..129 {
        fake = fake.tool(&format!("t{at}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut check = process::gateway(&folder, &fake.entry("fake", ""));
    let out = String::from_utf8(check.args(["check", "--json"]).output().unwrap().stdout).unwrap();
    let out: Value = serde_json::from_str(&out).unwrap();
    let warning = out["notes"][0].as_str().unwrap();
    assert!(
        warning.contains("129 tools") && warning.contains("tools.allow"),
        "{warning}"
    );

    let command = process::gateway(&folder, &fake.entry("fake", ""));
    let mut process = Process::start(command, folder, PATIENCE);
    process.client.initialize();
    assert_eq!(process.client.tool_names().len(), 129);
    fake.next_request("GET");
    fake.put_tool("later", json!({}));
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    process.client.wait_for_tool("later");
    let log = process.end().log;
    assert_eq!(log.matches("tools are listed").count(), 1, "{log}");
}

fn mends_are_said() {
    let fake = FakeBackend::start()
        .with_get()
        .item("tools", json!({ "name": "mended" }))
        .item("tools", json!({ "name": "withheld", "inputSchema": 7 }));
    let folder = tempfile::tempdir().unwrap();
    let mut check = process::gateway(&folder, &fake.entry("odd", ""));
    let output = check.arg("check").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let note = "tools/list: mended is mended for clients: `inputSchema` is missing";
    assert!(out.contains(note), "{out}");
    let note = "tools/list: withheld is withheld: its `inputSchema` is not";
    assert!(out.contains(note), "{out}");

    let command = process::gateway(&folder, &fake.entry("odd", ""));
    let mut process = Process::start(command, folder, PATIENCE);
    process.client.initialize();
    assert_eq!(process.client.tool_names(), ["mended"]);
    fake.next_request("GET");
    fake.put_tool("later", json!({}));
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    process.client.wait_for_tool("later");
    let log = process.end().log;
    assert_eq!(log.matches("item=\"mended\"").count(), 1, "{log}");
    assert_eq!(log.matches("item=\"withheld\"").count(), 1, "{log}");
}

fn broken_output_schemas() {
    let with = |property: Value| {
        let schema = json!({ "type": "object", "properties": { "a": property } });
        (schema, Some(json!(null)))
    };
    assert_tools(
        "outputSchema",
        &[
            with(json!({ "type": "str" })),
            with(json!({ "type": ["string", 7] })),
            with(json!({ "$ref": "#/$defs/Missing" })),
            with(json!({ "$ref": "https://example.com/schema.json" })),
            with(json!({ "pattern": "(?P<year>" })),
            with(json!({ "pattern": "[" })),
            with(json!({ "enum": [] })),
            with(json!({ "items": null })),
            with(json!({ "anyOf": "x" })),
            with(json!({ "properties": null })),
            with(json!({ "nullable": true })),
            with(json!({ "id": "draft-04" })),
            // Circles, which Ajv follows without end.
            with(json!({ "$ref": "#/properties/a" })),
            with(
                json!({ "anyOf": [{ "type": "string" }, { "not": { "$ref": "#/properties/a" } }] }),
            ),
            with(json!({ "dependentSchemas": { "b": { "if": { "$ref": "#/properties/a" } } } })),
        ],
    );
    let kept = json!({
        "type": "object", "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {
            "a": { "$ref": "#/definitions/A" }, "b": { "pattern": "^[a-z0-9_-]{1,3}$" },
            "c": { "allOf": [{ "$ref": "#/definitions/A" }, { "$ref": "#/definitions/A" }] },
        },
        "definitions": { "A": { "type": ["string", "null"], "properties": { "a": { "$ref": "#" } } } },
    });
    assert_tools("outputSchema", &[(kept.clone(), Some(kept))]);
}

fn huge_numbers() {
    let long = "7".repeat(5000);
    for huge in ["1e999", &long] {
        let tools = format!(
            r#"[{{"name":"mended","inputSchema":{{"type":"object"}},"_meta":{{"at":{huge}}}}},
            {{"name":"withheld","inputSchema":{{"type":"object","maximum":{huge}}}}},
            {{"name":"good","inputSchema":{{"type":"object"}}}}]"#
        );
        let list = format!(r#"{{"jsonrpc":"2.0","id":"$id","result":{{"tools":{tools}}}}}"#);
        let fake = FakeBackend::start();
        let answer = Reply::status(200).header("content-type", "application/json");
        fake.always("tools/list", answer.body(list));
        let other = FakeBackend::start().tool("healthy");
        let config = fake.entry("odd", "") + &other.entry("other", "");
        let mut gateway = TestGateway::with_config(&config);
        gateway.initialize();
        for modern_client in [false, true] {
            if modern_client {
                gateway.modern(json!({}));
            }
            let listed = listed(&mut gateway, "tools", modern_client);
            let names: Vec<&String> = listed.keys().collect();
            assert_eq!(names, ["good", "healthy", "mended"]);
            let mended = json!({ "name": "mended", "inputSchema": { "type": "object" } });
            assert_eq!(listed["mended"], mended);
        }
    }
}
