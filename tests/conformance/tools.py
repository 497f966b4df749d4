"""The tools of a run: the pinned suite, SDK and Node, installed outside the source tree.

Owns the cache folder, and starts the programs in it. It must not know the runs.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "real"))

from install import NODE, cache_folder, install_once, locked  # noqa: E402
from processes import Failure, Process, free_port, is_listening, wait_until  # noqa: E402
from suite import Suite  # noqa: E402


class Tools:
    """The installed tools, and the folder of this run."""

    def __init__(self, installed, folder):
        self.folder = folder
        packages = installed / "suite" / "node_modules"
        self._node = installed / "node" / "node_modules" / "node" / "bin" / "node"
        self.suite = Suite(self._node, packages / "@modelcontextprotocol" / "conformance", folder)
        # Node looks for packages beside a program, and the source tree contains none.
        for part in ("bridge", "example", "shared"):
            shutil.copytree(HERE / part, folder / part)
        (folder / "node_modules").symlink_to(packages)

    def example(self, eras):
        return self._server(f"example-{eras}", "example/server.mjs", eras)

    def bridge(self, era, *gateway):
        return self._server(f"bridge-{era}", "bridge/main.mjs", era, *gateway)

    def _server(self, name, program, *arguments):
        port = free_port()
        command = [self._node, self.folder / program, port, *arguments]
        return HttpServer(port, Process(name, command, self.folder / f"{name}.log"))


class HttpServer:
    """A server on a port of 127.0.0.1, as a context manager."""

    def __init__(self, port, process):
        self.url = f"http://127.0.0.1:{port}/mcp"
        self._port = port
        self._process = process

    def __enter__(self):
        wait_until(f"{self._process.name} to listen", self._listens, 30)
        return self

    def __exit__(self, *_):
        self._process.stop()

    def _listens(self):
        if not self._process.is_running():
            raise Failure(f"{self._process.name} ended unexpectedly:\n{self._process.log_tail()}")
        return is_listening(self._port)


def installed_tools(folder):
    """Installs what is missing, and returns the tools of a run with its logs in `folder`."""
    cache = cache_folder("conformance")
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        return Tools(install_once(cache, "tools", versions(), "half a minute, 250 MB", install), folder)


def versions():
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    return f"node {NODE}\npackages {digest}\nplatform {sys.platform} {os.uname().machine}\n"


def install(step, folder):
    """The suite needs a newer Node than most machines have, so Node is installed too, in a folder of its own."""
    quiet = ["--no-audit", "--no-fund"]
    node, suite = folder / "node", folder / "suite"
    for project in (node, suite):
        project.mkdir()
    (node / "package.json").write_text('{"private": true}\n')
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, suite)
    step(["npm", "install", f"node@{NODE}", *quiet], node)
    step(["npm", "ci", "--ignore-scripts", *quiet], suite)
