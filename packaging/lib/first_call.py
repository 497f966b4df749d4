"""A first call through an installed gateway, as a client makes it: stdin and stdout, to a small MCP server.

Knows nothing of packages: it is given the command that starts the gateway.
"""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .project import fail

PROTOCOL = "2025-11-25"
TOOL = {"name": "greet", "description": "Greet somebody", "inputSchema": {"type": "object"}}


class Server(BaseHTTPRequestHandler):
    """An MCP server with one tool."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        result = self.result(message.get("method"), message.get("params") or {})
        if "id" not in message:
            return self.answer(202, b"")
        body = {"jsonrpc": "2.0", "id": message["id"]}
        body |= {"error": {"code": -32601, "message": "unknown method"}} if result is None else {"result": result}
        self.answer(200, json.dumps(body).encode())

    def result(self, method, params):
        if method == "initialize":
            information = {"name": "greeter", "version": "1"}
            return {"protocolVersion": PROTOCOL, "capabilities": {"tools": {}}, "serverInfo": information}
        if method == "tools/list":
            return {"tools": [TOOL]}
        if method == "tools/call":
            return {"content": [{"type": "text", "text": f"hello {params['arguments']['name']}"}]}
        return {} if method == "ping" else None

    def do_GET(self):
        self.answer(405, b"")

    do_DELETE = do_GET

    def answer(self, status, body):
        self.send_response(status)
        if body:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def environment(home, path=None):
    """What a new user's shell has: no variables of this one, no config, no cache. `path` goes before PATH."""
    home.mkdir(parents=True, exist_ok=True)
    folders = [path] if path else []
    folders += ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    return {"PATH": os.pathsep.join(folders), "HOME": str(home), "LANG": "C.UTF-8"}


def check(command, version, home, *, config=None, path=None, attempts=1):
    """Runs the gateway as `command`, and fails unless its version is `version` and a call gets its result.

    `config` is the path at which the config is written; the caller then passes the same file as an argument
    in `command`. Without it the server is named by a flag. `path` goes before PATH. `attempts` is for a runner that
    may lose what a program prints: so often it is started until it prints anything.
    """
    variables = environment(home, path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/mcp"
    command = [str(part) for part in command]
    if config:
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(f'[[backends]]\nname = "greeter"\nurl = "{url}"\n')
    else:
        command += ["--backend", f"greeter={url}"]

    shown = talk(command + ["--version"], "", variables, attempts)
    if f" {version} " not in shown.splitlines()[0]:
        fail(f"--version says {shown!r}, not {version}")
    if "greeter" not in talk(command + ["check"], "", variables, attempts):
        fail("check doesn't name the backend")
    answers = {}
    for line in talk(command, conversation(), variables, attempts).splitlines():
        message = json.loads(line)
        if "id" in message and "method" not in message:
            answers[message["id"]] = message
    try:
        text = answers[2]["result"]["content"][0]["text"]
    except (KeyError, IndexError):
        text = None
    if text != "hello packages":
        fail(f"the call through the gateway was answered by {answers}")
    server.shutdown()


def conversation():
    client = {"name": "packaging", "version": "1"}
    start = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client}
    messages = [
        {"id": 1, "method": "initialize", "params": start},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "greet", "arguments": {"name": "packages"}}},
    ]
    return "".join(json.dumps({"jsonrpc": "2.0"} | message) + "\n" for message in messages)


def talk(command, lines, variables, attempts, cwd=None):
    """What the command prints to stdout; it must succeed. `cwd` is the home, unless the home is one in a chroot."""
    # A sentinel.toml in this folder would be read.
    place = {"cwd": cwd or variables["HOME"], "env": variables}
    done = subprocess.run(command, input=lines, **place, capture_output=True, text=True, timeout=60)
    if not done.stdout and attempts > 1:
        return talk(command, lines, variables, attempts - 1, cwd)
    if done.returncode != 0:
        fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
