"""From an empty home, in which Claude Desktop has six servers, to a first call through the gateway: what a person
types, and how long it takes.

Knows nothing of packages: it is given what installs one, and runs everything in the root folder that it is given.
"""

import json
import threading
import time
from http.server import ThreadingHTTPServer

from . import first_call, project
from .project import NAME, fail

STEPS, SECONDS = 3, 60
FILE = ".config/Claude/claude_desktop_config.json"


def six_servers(url):
    """Three servers over HTTP, as people add them to Claude Desktop; two programs, and one that is switched off."""
    return {
        "mcpServers": {
            "greeter": {"command": "npx", "args": ["-y", "mcp-remote", f"{url}/mcp"]},
            "Greeter Docs": {
                "command": "npx",
                "args": ["mcp-remote@latest", f"{url}/docs", "--header", "Authorization:${AUTH}"],
                "env": {"AUTH": "Bearer a-token"},
            },
            "tasks": {"command": "mcp-proxy", "args": ["-H", "X-Api-Key", "a-key", f"{url}/tasks"]},
            "files": {"command": "npx", "args": ["-y", "server-files", "/"]},
            "memory": {"command": "uvx", "args": ["memory"]},
            "old": {"command": "old-server", "disabled": True},
        }
    }


def check(root, install):
    """Fails unless a call gets its result after at most so many steps and seconds. `install` installs the package."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), first_call.Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = root / "home/ada"
    variables = first_call.environment(home) | {"HOME": "/home/ada"}
    file = home / FILE
    file.parent.mkdir(parents=True)
    before = json.dumps(six_servers(f"http://127.0.0.1:{server.server_port}"), indent=2)
    file.write_text(before)

    # A program knows its own path from there.
    (root / "proc").mkdir()
    project.run("mount", "--bind", "/proc", root / "proc")
    try:
        walk(root, home, file, variables, install)
    finally:
        project.run("umount", "--lazy", root / "proc")
    if file.read_text() != before:
        fail("uninstall doesn't give the file back as it was")
    server.shutdown()


def walk(root, home, file, variables, install):
    """The steps, one after the other."""
    began = time.monotonic()
    took = {}

    def step(name, do):
        result = do()
        took[name] = time.monotonic() - began - sum(took.values())
        return result

    def run(*command, lines=""):
        return first_call.talk(["chroot", str(root), *command], lines, variables, 1, cwd=home)

    def start_client():
        """The client starts what its file says."""
        entry = json.loads(file.read_text())["mcpServers"]["sentinel"]
        variables.update(entry.get("env", {}))
        return run(entry["command"], *entry["args"], lines=first_call.conversation())

    step("install the package", install)
    typed = ("install", "claude-desktop", "--import", "--yes")
    step(" ".join((NAME, *typed)), lambda: run(NAME, *typed))
    answered = step("start Claude Desktop anew", start_client)
    if '"hello packages"' not in answered:
        fail(f"the first call was answered by {answered}")
    left = list(json.loads(file.read_text())["mcpServers"])
    if left != ["files", "memory", "old", "sentinel"]:
        fail(f"Claude Desktop has {left}")
    seconds = sum(took.values())
    for name, each in took.items():
        print(f"   {each:5.1f} s  {name}")
    if len(took) > STEPS or seconds > SECONDS:
        fail(f"{len(took)} steps, {seconds:.1f} s")
    print(f"first call after {len(took)} steps, {seconds:.1f} s", flush=True)
    run(NAME, "uninstall", "claude-desktop", "--yes")
