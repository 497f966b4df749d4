"""The MCP bundle: a client such as Claude Desktop installs it by a double click, and asks for the config file."""

import json

from . import project
from .project import NAME, TITLE, File, copy

PLATFORMS = {"linux": "linux", "macos": "darwin", "windows": "win32"}


def build(facts, binary, out):
    files = [File("manifest.json", json.dumps(manifest(facts, binary), indent=2).encode() + b"\n")]
    files += [copy(f"server/{binary.file_name}", binary.path, run=True), *project.licences(binary)]
    path = out / f"{NAME}-{facts.version}-{binary.target}.mcpb"
    project.write_zip(path, files)
    return [path]


def manifest(facts, binary):
    server = f"server/{binary.file_name}"
    return {
        "manifest_version": "0.3",
        "name": NAME,
        "display_name": TITLE,
        "version": facts.version,
        "description": facts.description,
        "author": {"name": facts.owner, "url": f"https://github.com/{facts.owner}"},
        "repository": {"type": "git", "url": facts.url},
        "license": "MIT OR Apache-2.0",
        "server": {
            "type": "binary",
            "entry_point": server,
            "mcp_config": {
                "command": f"${{__dirname}}/{server}",
                "args": ["--config", "${user_config.config}"],
            },
        },
        "tools_generated": True,
        "prompts_generated": True,
        "user_config": {
            "config": {
                "type": "file",
                "title": "Config file",
                "description": "Your sentinel.toml. Three lines are enough: "
                '[[backends]], name = "notes", url = "https://example.com/mcp"',
                "required": True,
            }
        },
        "compatibility": {"platforms": [PLATFORMS[binary.os]]},
    }
