"""`server.json`, the entry in the MCP registry: which packages there are, and how a client starts each."""

import hashlib
import json
import os

from . import image, npm, wheel
from .project import NAME, TITLE, fail

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
DESCRIPTION_MAX = 100  # characters, by the schema
# The host of the image, which a release names.
IMAGES = os.environ.get("SENTINEL_IMAGES") or "images.example"


def build(facts, binary, out):
    """Names every bundle that is in `out`, since the entry has their hashes."""
    if len(facts.description) > DESCRIPTION_MAX:
        fail(f"the description in Cargo.toml has more than {DESCRIPTION_MAX} characters")
    bundles = sorted(out.glob(f"{NAME}-{facts.version}-*.mcpb"))
    if not bundles:
        fail(f"there is no bundle of {facts.version} in {out}: build mcpb first")
    config = argument("--config", "Your sentinel.toml, which names the MCP servers", "filepath")
    packages = [
        package("npm", f"{npm.scope(facts)}/{NAME}", version=facts.version, runtimeHint="npx", packageArguments=[config]),
        package(
            "pypi",
            wheel.PACKAGE,
            version=facts.version,
            runtimeHint="uvx",
            packageArguments=[config],
        ),
        package(
            "oci",
            f"{IMAGES}/{facts.repository.lower()}:{facts.version}",
            runtimeHint="docker",
            runtimeArguments=[
                argument(
                    "--mount",
                    "The folder that has your sentinel.toml",
                    "filepath",
                    value=f"type=bind,src={{folder}},dst={image.CONFIG}",
                    variable="folder",
                )
            ],
        ),
    ]
    for bundle in bundles:
        packages.append(
            package(
                "mcpb",
                f"{facts.url}/releases/download/v{facts.version}/{bundle.name}",
                fileSha256=hashlib.sha256(bundle.read_bytes()).hexdigest(),
            )
        )
    entry = {
        "$schema": SCHEMA,
        "name": facts.registry_name,
        "title": TITLE,
        "description": facts.description,
        "version": facts.version,
        "repository": {"url": facts.url, "source": "github"},
        "packages": packages,
    }
    path = out / "server.json"
    path.write_text(json.dumps(entry, indent=2) + "\n")
    return [path]


def package(kind, identifier, **more):
    return {"registryType": kind, "identifier": identifier, **more, "transport": {"type": "stdio"}}


def argument(name, description, form, value=None, variable=None):
    """An argument that the user gives a value for; with `variable` as a part of `value`."""
    asked = {"description": description, "isRequired": True, "format": form}
    given = {"type": "named", "name": name}
    if variable:
        return given | {"value": value, "variables": {variable: asked}}
    return given | asked
