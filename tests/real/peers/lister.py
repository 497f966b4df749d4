"""A client on the official Python SDK, of its first or its second major version, that lists when it is told to.

Reads and writes the lines of `lister.cjs`, which says what they are.

Usage: lister.py
"""

import json
import os
import sys
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio
import mcp
from mcp.client.stdio import stdio_client

REQUEST_SECONDS = 20
IS_FIRST = version("mcp").startswith("1.")
MODES = {"legacy": "legacy", "modern": "2026-07-28"}
LISTS = {
    "tools": ("list_tools", "tools"),
    "prompts": ("list_prompts", "prompts"),
    "resources": ("list_resources", "resources"),
    "resourceTemplates": ("list_resource_templates", "resourceTemplates" if IS_FIRST else "resource_templates"),
}


@asynccontextmanager
async def connected(command, era):
    """A client of the installed major version."""
    server = mcp.StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    if IS_FIRST:
        async with stdio_client(server) as streams, mcp.ClientSession(*streams) as client:
            await client.initialize()
            yield client
    else:
        async with mcp.Client(server, mode=MODES[era]) as client:
            yield client


async def use(client, lists, seen):
    for kind in lists:
        method, member = LISTS[kind]
        with anyio.fail_after(REQUEST_SECONDS):
            result = await getattr(client, method)()
        seen["names"][kind] = [item.name for item in getattr(result, member)]
    result = await client.call_tool("healthy", {"a": "a"})
    seen["text"] = "".join(block.text for block in result.content)


async def session(command, era, lists):
    seen = {"names": {}}
    try:
        async with connected(command, era) as client:
            try:
                await use(client, lists, seen)
            except Exception as error:
                seen["failed"] = f"{type(error).__name__}: {error}"
    except Exception as error:
        seen.setdefault("failed", f"{type(error).__name__}: {error}")
    return seen


async def run():
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        print(json.dumps(await session(**json.loads(line))), flush=True)


if __name__ == "__main__":
    anyio.run(run)
