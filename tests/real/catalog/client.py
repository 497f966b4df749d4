"""Clients that read all that the gateway lists, and print it as one JSON object.

`apps` is a client on the official Python SDK: for each tool with a page, its URI, a digest of what is read
there, and whether the tool answers. `skills` is FastMCP's: for each skill, its description and its files, whose
digests FastMCP checks.

Usage: client.py apps legacy|modern COMMAND ARGUMENT…
       client.py skills COMMAND ARGUMENT…
"""

import hashlib
import json
import os
import sys

import anyio
from fastmcp import Client as FastMcpClient
from fastmcp.client.transports import StdioTransport
from fastmcp.skills.client import SkillsClientExtension
from mcp import Client, StdioServerParameters

MODES = {"legacy": "legacy", "modern": "2026-07-28"}


async def apps(mode, command, *arguments):
    server = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with Client(server, mode=MODES[mode]) as client:
        found = {}
        for tool in (await client.list_tools()).tools:
            uri = tool.meta["ui"]["resourceUri"]
            page = (await client.read_resource(uri)).contents[0]
            answer = await client.call_tool(tool.name, {})
            found[tool.name] = {
                "uri": uri,
                "read": str(page.uri),
                "page": hashlib.sha256(page.text.encode()).hexdigest(),
                "answers": not answer.is_error,
            }
        return found


async def skills(command, *arguments):
    transport = StdioTransport(command, list(arguments), env=dict(os.environ))
    async with FastMcpClient(transport, extensions=[SkillsClientExtension()]) as client:
        found = {}
        for entry in await client.list_skills():
            skill = await client.read_skill(entry.uri)
            found[str(entry.uri)] = {
                "description": skill.description,
                "files": {path: content.decode() for path, content in skill.files.items()},
            }
        return found


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    print(json.dumps(anyio.run({"apps": apps, "skills": skills}[kind], *rest)))
