"""Malformed definitions of tools, prompts, resources and templates: a table of known kinds, and a generator with a seed.

Pure. A definition is JSON text, since some faults (a member twice, half of a surrogate pair) are in the text alone.
The same number always gives the same definition.
"""

import json
import random
from typing import NamedTuple

KINDS = ("tools", "prompts", "resources", "resourceTemplates")
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
LISTED, WITHHELD, EITHER = "listed", "withheld", "either"
DEEP = 400


class Definition(NamedTuple):
    """One malformed definition, and what must come of it; `name` repeats it."""

    kind: str
    text: str
    expected: str = EITHER
    name: str = ""


def valid(kind, name):
    """A definition that every client can read."""
    match kind:
        case "tools":
            schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
            return {"name": name, "description": "d", "inputSchema": schema}
        case "prompts":
            return {"name": name, "arguments": [{"name": "a", "required": True}]}
        case "resources":
            return {"uri": f"note://{name}", "name": name, "size": 1}
        case _:
            return {"uriTemplate": f"note://{name}/{{a}}", "name": name}


def generated(number):
    """The definition of this number."""
    chance = random.Random(number)
    kind = chance.choice(("tools", *KINDS))
    item = valid(kind, f"odd_{number}")
    members = MEMBERS[kind]
    for _ in range(chance.randint(1, 4)):
        member = chance.choice(members)
        if chance.randrange(6) == 0:
            item.pop(member, None)
        else:
            item[member] = member_value(member, chance)
    text = json.dumps(item)
    if chance.randrange(8) == 0:
        text = with_member(text, chance.choice(members), chance.choice(RAW_VALUES))
    return Definition(kind, text, name=str(number))


def known():
    """The table: each kind of malformed definition that was seen on servers, with its neighbours; named `k0` and so on."""
    return [each._replace(name=f"k{number}") for number, each in enumerate(table())]


def table():
    return [
        *changed("tools", "inputSchema", LISTED, EMPTY_SCHEMAS),
        *changed("tools", "inputSchema", WITHHELD, FOREIGN_SCHEMAS),
        *changed("tools", "outputSchema", EITHER, [*EMPTY_SCHEMAS, *FOREIGN_SCHEMAS, *OUTPUT_SCHEMAS]),
        *changed("tools", "annotations", LISTED, [None, [], "", 1, *({hint: None} for hint in HINTS), {"title": 1}]),
        *changed("tools", "execution", LISTED, [None, [], {"taskSupport": None}, {"taskSupport": "often"}]),
        *(
            each
            for kind in KINDS
            for member, values in (("title", [None, 1]), ("description", [None, {}]), ("_meta", [None, [], 1]), ("icons", ICONS))
            for each in changed(kind, member, LISTED, values)
        ),
        *changed("prompts", "arguments", LISTED, [None, {}, [], ["a"], [{"name": "a", "required": "true"}]]),
        *changed("prompts", "arguments", EITHER, [[{}], [None], [{"name": None}], "a", 1, [{"name": "a", "title": 1}]]),
        *(
            each
            for kind in ("resources", "resourceTemplates")
            for member, values in (
                ("name", [ABSENT, None, 5, "", []]),
                ("mimeType", [None, 5, []]),
                ("annotations", [None, [], {"audience": "user"}, {"audience": ["all"]}, {"priority": 2}, {"lastModified": 1}]),
            )
            for each in changed(kind, member, EITHER if member == "name" else LISTED, values)
        ),
        *changed("resources", "size", LISTED, [None, "1", -1, 0.5, 1e300]),
        *changed("resources", "uri", EITHER, [ABSENT, None, 5, "", "notes/today", "http://", "file:notes", "note:// a"]),
        *changed("resourceTemplates", "uriTemplate", EITHER, [ABSENT, None, 5, "", "notes/{", "http://{"]),
        *(each for kind in ("tools", "prompts") for each in changed(kind, "name", WITHHELD, [ABSENT, None, 5, "", []])),
        *(
            Definition(kind, value, WITHHELD)
            for kind in KINDS
            for value in ("null", '"odd"', "{}")
        ),
        *(
            Definition(kind, with_member(named(kind), "description", value))
            for kind in KINDS
            for value in RAW_VALUES
        ),
        *(
            Definition("tools", with_member(named("tools"), member, value))
            for member in ("inputSchema", "outputSchema", "annotations", "_meta")
            for value in RAW_OBJECTS
        ),
    ]


ABSENT = object()
EMPTY_SCHEMAS = [
    ABSENT, None, {}, [], True, {"properties": {"a": {"type": "string"}}}, {"type": None}, {"type": "Object"},
    {"type": ["object", "null"]}, {"type": "object", "properties": []}, {"type": "object", "properties": None},
    {"type": "object", "required": None}, {"type": "object", "required": {}},
    {"type": "object", "properties": {"a": {}}, "required": "a"},
    {"type": "object", "properties": {"a": None, "b": True, "c": [], "d": False}},
    {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"type": "object", "oneOf": [], "allOf": None},
    {"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}, {"type": "object", "$schema": 7},
    {"type": "object", "properties": {"a": {"type": "array"}, "b": {"type": ["string", "null"], "format": 5}}},
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}},
]
FOREIGN_SCHEMAS = [
    False, "object", 5, {"type": "string"}, {"type": "array", "items": {}}, {"type": 5}, {"type": ["string"]},
    {"type": "object", "properties": "a"}, {"type": "object", "properties": {"a": "string"}},
    {"type": "object", "required": [None]}, {"type": "object", "required": 5}, {"type": "object", "required": "a"},
]
OUTPUT_SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "odd"}}}, {"type": "object", "properties": {"a": {"$ref": "#/none"}}},
    {"type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}}, {"type": "object", "$id": "a", "id": 5},
    {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?P<x>a)["}}},
    {"type": "object", "$schema": "https://example.com/draft"}, {"type": "object", "minimum": "1", "enum": {}},
    {"type": "object", "$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": True},
    {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}]}}}, {"type": "object", "$ref": "#"},
    {"type": "object", "$async": True}, {"type": "object", "nullable": True, "discriminator": 5},
    {"type": "object", "properties": {"a": {"$dynamicRef": "#x"}, "b": {"$recursiveRef": "#"}}},
    {"type": "object", "properties": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}},
    {"type": "object", "$defs": {"A": {"$id": "https://e.x/a"}, "B": {"$id": "https://e.x/a"}}},
]
ICONS = [None, {}, [None], [{"src": None}], [{"src": "https://e.x/i.png", "theme": "blue", "sizes": "any"}]]
NESTED = "[" * DEEP + "]" * DEEP
NESTED_SCHEMA = '{"type": "object", "properties": {"a": ' * DEEP + "{}" + "}}" * DEEP
# Values that json.dumps doesn't write; parsers differ about all of them.
RAW_VALUES = [
    '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\u2028\\u202e\\ufeff"', "1e999", "-0", "1" * 5000, "0." + "1" * 5000,
    NESTED,
]
RAW_OBJECTS = [
    '{"type": "object", "type": "string"}', '{"type": "object", "properties": {"a": {}, "a": null}}',
    '{"type": "object", "properties": {"__proto__": {"type": "string"}, "constructor": {}, "toString": {}}}',
    '{"type": "object", "required": ["__proto__", "constructor"]}', '{"__proto__": null}', '{"": ""}',
    '{"type": "object", "properties": {"\\ud800": {}}}', '{"type": "object", "title": "\\udfff"}',
    '{"type": "object", "maximum": 1e999}', '{"type": "object", "multipleOf": 0.' + "1" * 5000 + "}", '{"type": "object", "maximum": ' + "9" * 5000 + "}",
    '{"type": "object", "default": ' + NESTED + "}", NESTED_SCHEMA,
]
MEMBERS = {
    "tools": (
        "inputSchema", "inputSchema", "inputSchema", "outputSchema", "outputSchema", "annotations", "title", "description",
        "_meta", "icons", "execution", "x-other",
    ),
    "prompts": ("arguments", "arguments", "title", "description", "_meta", "icons"),
    "resources": ("name", "title", "description", "mimeType", "size", "annotations", "_meta", "icons"),
    "resourceTemplates": ("name", "title", "description", "mimeType", "annotations", "_meta", "icons"),
}


def named(kind):
    return json.dumps(valid(kind, "odd"))


def changed(kind, member, expected, values):
    """Definitions with one member changed to each of these values."""
    for value in values:
        item = valid(kind, "odd")
        item.pop(member, None)
        if value is not ABSENT:
            item[member] = value
        yield Definition(kind, json.dumps(item), expected)


def with_member(text, member, value):
    """The object with one more member at its end, also if it has that one already."""
    return f'{text[:-1]}, "{member}": {value}}}'


def member_value(member, chance):
    if chance.randrange(4) == 0:
        return odd(chance)
    match member:
        case "inputSchema" | "outputSchema":
            return schema(chance, 3)
        case "annotations":
            return some_members(chance, ("title", *HINTS, "audience", "priority", "lastModified"))
        case "icons":
            return [some_members(chance, ("src", "src", "mimeType", "sizes", "theme"))]
        case "execution":
            return some_members(chance, ("taskSupport",))
        case "arguments":
            return [argument(chance) for _ in range(chance.randrange(3))]
        case _:
            return odd(chance)


def argument(chance):
    made = some_members(chance, ("title", "description", "required", "name"))
    return made if chance.randrange(5) == 0 else {**made, "name": "a"}


def some_members(chance, members):
    return {chance.choice(members): odd(chance) for _ in range(chance.randrange(4))}


def odd(chance):
    """A value that is right in few places."""
    return chance.choice((
        None, None, None, True, False, [], {}, "", "text", "object", "true", 0, -1, 0.5, 1e300, ["a"], [None], {"a": None},
        ["user", "assistant"], "2025-01-12T15:00:58Z", "2025-02-30T00:00:00Z", "2025-01-12", "dark", "optional", "\U0001f600\u202e\n",
        [{"name": "a"}], 2**53 + 1, {"__proto__": 1}, "https://e.x/i.png", "x" * 10_000,
    ))


def schema(chance, depth):
    """A schema with some keywords, few of which are right."""
    made = {}
    if chance.randrange(4):
        made["type"] = chance.choice(("object", "object", "object", "array", "string", "Object", "odd"))
    for _ in range(chance.randrange(5)):
        name, value = keyword(chance, depth)
        made[name] = value
    return made


def keyword(chance, depth):
    """A keyword and its value."""
    match chance.randrange(14):
        case 0 | 1 | 2 | 3:
            return "properties", {"a": inner(chance, depth), "b": inner(chance, depth)}
        case 4:
            return "properties", odd(chance)
        case 5:
            return "required", odd(chance)
        case 6:
            return "required", ["a"]
        case 7:
            return chance.choice(("items", "not", "additionalProperties", "prefixItems", "if")), inner(chance, depth)
        case 8:
            return chance.choice(("anyOf", "oneOf", "allOf")), [inner(chance, depth), inner(chance, depth)]
        case 9:
            return chance.choice(("$defs", "definitions")), {"A": inner(chance, depth)}
        case 10:
            return "$ref", chance.choice(("#", "#/$defs/A", "#/properties/a", "#x", "https://e.x/y", "a%ZZ", "#/%"))
        case 11:
            return "pattern", chance.choice(("^a+$", "[", "(?P<x>a)", "\\d{2,1}", "a|b", "(?i)a", "\\p{L}", "(?<=a)b", "\\u{1F600}"))
        case 12:
            return chance.choice(OTHER_KEYWORDS), odd(chance)
        case _:
            return "type", odd(chance)


OTHER_KEYWORDS = (
    "$schema", "$id", "id", "$anchor", "nullable", "minimum", "multipleOf", "minLength", "uniqueItems", "enum", "const",
    "format", "patternProperties", "dependencies", "dependentRequired", "discriminator", "default", "$comment", "$vocabulary",
)


def inner(chance, depth):
    return odd(chance) if depth == 0 or chance.randrange(5) == 0 else schema(chance, depth - 1)
