"""The servers and clients of the official SDKs (`peers/`), and further servers that are installed with them.

Each server listens on a free port of 127.0.0.1 and may be stopped twice. The Python server speaks both eras, and its
entry in the gateway's config pins one; each TypeScript server speaks one era.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from driver import clean_environment
from processes import Process, free_port
from servers import wait_until_ready

PEERS = Path(__file__).resolve().parent / "peers"


class Server:
    """A server process; `{port}` in its command and environment stands for its port."""

    settings = {}

    def __init__(self, name, path, log, command, env=None):
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{path}"
        port = {"port": self.port}
        self._command = [str(part).format_map(port) for part in command]
        self._env = {**os.environ, **{name: value.format_map(port) for name, value in (env or {}).items()}}
        self._log = log
        self.start()

    def start(self):
        self.process = Process(self.name, self._command, self._log, env=self._env)

    def wait_until_ready(self):
        wait_until_ready(self.process, self.port, 60)

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.stop()


class Era:
    """One era of a server, as a backend of the gateway.

    A server with `uses_get_stream` sends server requests on the session's GET stream, not on the stream of the call:
    the TypeScript SDK does so in the legacy era.
    """

    def __init__(self, server, era, pinned, uses_get_stream=False):
        self.name = f"{server.name}-{era}"
        self.server = server
        self.era = era
        self.uses_get_stream = uses_get_stream
        self.url = server.url
        self.settings = {"protocol": f'"{era}"'} if pinned else {}


class Client:
    """A client program: its command without arguments."""

    def __init__(self, name, command, env):
        self.name = name
        self.command = command
        self.env = {**clean_environment(), **env}


def start_peers(installed, logs, running):
    """Starts the SDKs' servers; returns the eras of each as backends."""
    program = [installed.sdk / "bin" / "python", "-B", PEERS / "server.py", "{port}"]
    python = Server("python", "/mcp", logs / "python-peer.log", program)
    running.callback(python.stop)
    typescript = {}
    for era in ("legacy", "modern"):
        program = [installed.node, PEERS / "server.cjs", era, "{port}"]
        log = logs / f"typescript-{era}-peer.log"
        typescript[era] = Server("typescript", "/mcp", log, program, node_path(installed))
        running.callback(typescript[era].stop)
    for server in (python, *typescript.values()):
        server.wait_until_ready()
    return [
        Era(python, "legacy", pinned=True),
        Era(python, "modern", pinned=True),
        Era(typescript["legacy"], "legacy", pinned=False, uses_get_stream=True),
        Era(typescript["modern"], "modern", pinned=False),
    ]


def clients(installed):
    return [
        Client("python", [installed.sdk / "bin" / "python", "-B", PEERS / "client.py"], {}),
        Client("typescript", [installed.node, PEERS / "client.cjs"], node_path(installed)),
    ]


def everything_server(installed, logs):
    """server-everything, which `loopback.cjs` keeps from binding every interface."""
    package = installed.typescript / "node_modules" / "@modelcontextprotocol" / "server-everything"
    command = [installed.node, "--require", PEERS / "loopback.cjs", package / "dist" / "index.js", "streamableHttp"]
    return Server("everything", "/mcp", logs / "everything.log", command, {"PORT": "{port}"})


def datasette_server(installed, logs):
    """Datasette with its MCP plugin, with a small database."""
    database = logs / "fruit.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE fruit (name TEXT, pieces INTEGER)")
        connection.executemany("INSERT INTO fruit VALUES (?, ?)", [("apple", 3), ("fig", 5)])
    program = installed.sdk / "bin" / "datasette"
    command = [program, "serve", database, "--host", "127.0.0.1", "--port", "{port}"]
    return Server("datasette", "/-/mcp", logs / "datasette.log", command)


def node_path(installed):
    return {"NODE_PATH": str(installed.typescript / "node_modules")}
