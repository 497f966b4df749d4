"""The alternatives to the gateway, in pinned releases, and their command lines.

Owns the cache folder that they are installed in. It must not know the fault table or the benchmark: both get a
command line in which `{url}` stands for the server's URL.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from driver import require
from install import QUIET, NO_SCRIPTS, cache_folder, install_once, install_python, locked

HERE = Path(__file__).resolve().parent
NPM_FILES = (HERE / "package.json", HERE / "package-lock.json")
PYTHON_REQUIREMENTS = HERE / "requirements.txt"


class Alternative(NamedTuple):
    """A program that bridges stdio to a remote server."""

    name: str
    version: str
    command: str


def install_alternatives():
    """Installs mcp-remote and mcp-proxy unless they are installed, and returns both."""
    cache = cache_folder("peers")
    require(" " not in str(cache), f"{cache}: the path must not contain spaces, since command lines are split at them; choose another folder")
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        npm = install_once(cache, "npm", npm_versions(), "some seconds", install_npm)
        python = install_python(cache, "python", PYTHON_REQUIREMENTS)
    return [mcp_remote(npm), mcp_proxy(python)]


def mcp_remote(folder):
    node = shutil.which("node")
    require(node, "mcp-remote needs Node, and there is no `node` on the PATH")
    package = folder / "node_modules" / "mcp-remote"
    version = json.loads((package / "package.json").read_text())["version"]
    command = f"{node} {package / 'dist' / 'proxy.js'} {{url}} --transport http-only --silent"
    return Alternative("mcp-remote", version, command)


def mcp_proxy(folder):
    program = folder / "bin" / "mcp-proxy"
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    version = shown.stdout.split()[-1]
    command = f"{program} --transport streamablehttp --log-level ERROR {{url}}"
    return Alternative("mcp-proxy", version, command)


def environment(scratch):
    """The environment of all of them: no access to files in the user's home, and no browser."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return {**kept, "MCP_REMOTE_CONFIG_DIR": str(scratch / "mcp-auth"), "BROWSER": "true"}


def npm_versions():
    return hashlib.sha256(b"".join(file.read_bytes() for file in NPM_FILES)).hexdigest() + "\n"


def install_npm(step, folder):
    for file in NPM_FILES:
        shutil.copy(file, folder)
    step(["npm", "ci", NO_SCRIPTS, *QUIET], folder)
