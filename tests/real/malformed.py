"""One malformed definition at a time, beside healthy ones, for the official SDKs' clients of two major versions.

For each definition, each client starts a gateway over a healthy server and one whose list has the definition and a healthy
neighbour. Whatever is malformed, the client must list the neighbour and the healthy server's items, and call its tool. The
definitions are those of `definitions.py`: a table of known ones, then generated ones by number.
"""

import json
import subprocess
import tempfile
import threading
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from definitions import LISTED, WITHHELD, generated, known
from driver import clean_environment, require
from odd_server import HEALTHY, NEIGHBOUR, OddServer
from peers import PEERS, node_path
from processes import Failure, Process

SHOWN = 20


class Setting(NamedTuple):
    """The eras on both sides of the gateway (a client of a first major version is always legacy), and its `schemas`."""

    client: str
    server: str
    schemas: str


SETTINGS = [
    Setting(client, server, schemas)
    for schemas in ("as_is", "portable")
    for client in ("legacy", "modern")
    for server in ("legacy", "modern")
]


class Lister:
    """A client program, which starts the gateways itself, one after the other."""

    def __init__(self, name, command, env, log):
        self.name = name
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = Process(name, command, log, env={**clean_environment(), **env}, **pipes)

    def ask(self, request):
        self.process.popen.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.popen.stdin.flush()
        line = self.process.popen.stdout.readline()
        if not line:
            raise Failure(f"{self.name} ended:\n{self.process.log_tail()}")
        return json.loads(line)


def run(report, gateways, installed, count, only=None):
    """Checks the known definitions and `count` generated ones; or one, by its name or number, in all settings."""
    with ExitStack() as running:
        server = OddServer()
        running.callback(server.stop)
        listers = start_listers(gateways, installed, running)
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-malformed-")))
        checks = Checks(gateways, server, listers, folder)
        if only is None:
            checks.run(report, "known malformed definitions", known())
            checks.run(report, "generated definitions", [generated(number) for number in range(count)])
        else:
            one = [generated(int(only))] if only.isdecimal() else [each for each in known() if each.name == only]
            checks.run(report, f"definitions called {only!r}", one, lambda _: SETTINGS)


def start_listers(gateways, installed, running):
    """Both major versions of both SDKs."""
    listers = []
    for name, command, env in (
        ("typescript-1", [installed.node, PEERS / "lister.cjs", "1"], node_path(installed)),
        ("typescript-2", [installed.node, PEERS / "lister.cjs", "2"], node_path(installed)),
        ("python-1", [installed.python / "bin" / "python", "-B", PEERS / "lister.py"], {}),
        ("python-2", [installed.sdk / "bin" / "python", "-B", PEERS / "lister.py"], {}),
    ):
        lister = Lister(name, command, env, gateways.logs / f"malformed-{name}.log")
        running.callback(lister.process.stop)
        listers.append(lister)
    return listers


def one_setting(definition):
    """Each definition has one of the settings, always the same."""
    return [SETTINGS[zlib.crc32(definition.name.encode()) % len(SETTINGS)]]


class Checks:
    """Checks definitions, with all clients side by side."""

    def __init__(self, gateways, server, listers, folder):
        self.binary = gateways.binary
        self.server = server
        self.listers = listers
        self.folder = folder
        self.failures = []

    def run(self, report, what, definitions, settings_of=one_setting):
        with report.check(f"{len(definitions)} {what}: all else is listed, with {len(self.listers)} clients"):
            require(definitions, "there are none")
            for key, definition in enumerate(definitions):
                self.server.define(str(key), definition)
            self.failures = []
            threads = [
                threading.Thread(target=self.follow, args=(lister, definitions, settings_of)) for lister in self.listers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            more = f"\n  and {len(self.failures) - SHOWN} more" if len(self.failures) > SHOWN else ""
            require(not self.failures, "".join(f"\n  {line}" for line in self.failures[:SHOWN]) + more)

    def follow(self, lister, definitions, settings_of):
        """All definitions with one client."""
        try:
            for key, definition in enumerate(definitions):
                for setting in settings_of(definition):
                    why = self.check_one(lister, key, definition, setting)
                    if why:
                        told = f"definition {definition.name}, {lister.name}, {' '.join(setting)}: {why}"
                        self.failures.append(f"{told}\n    {definition.kind}: {definition.text[:300]}")
        except Exception as error:
            self.failures.append(f"{lister.name}: {error}")

    def check_one(self, lister, key, definition, setting):
        """What is wrong with what the client sees, or `None`."""
        config = self.folder / f"{lister.name}-{key}.toml"
        config.write_text(
            f'[gateway]\nschemas = "{setting.schemas}"\n'
            + f'[[backends]]\nname = "a"\nurl = "{self.server.url(f"{setting.server}/{key}")}"\n'
            + f'[[backends]]\nname = "b"\nurl = "{self.server.url(HEALTHY)}"\n'
        )
        command = [str(self.binary), "--config", str(config), "--log-level", "error"]
        lists = list(dict.fromkeys([definition.kind, "tools"]))
        seen = lister.ask({"command": command, "era": setting.client, "lists": lists})
        for path in self.folder.glob(f"{config.stem}.*"):
            path.unlink()
        return wrong(definition, seen)


def wrong(definition, seen):
    if "failed" in seen:
        return f"{' '.join(seen['failed'].split())[:300]}, after {seen['names']}"
    if seen["text"] != "well":
        return f"the healthy tool answered {seen['text']!r}"
    for kind, names in seen["names"].items():
        healthy = [HEALTHY, NEIGHBOUR] if kind == definition.kind else [HEALTHY]
        others = [name for name in names if name not in healthy]
        if missing := [name for name in healthy if name not in names]:
            return f"{missing} are missing from {kind}: {names}"
        most = 1 if kind == definition.kind and definition.expected != WITHHELD else 0
        least = 1 if kind == definition.kind and definition.expected == LISTED else 0
        if not least <= len(others) <= most:
            return f"expected to be {definition.expected}, but {kind} are {names}"
    return None
