"""The real MCP servers of the run, and a proxy that injects faults.

Each listens on a free port of 127.0.0.1, can be started and stopped at any time, and may be stopped twice.
`list_tools_of` lists a server's tools directly over HTTP, for comparison with the gateway's list.
"""

import copy
import http.client
import http.cookiejar
import http.server
import json
import os
import signal
import socket
import socketserver
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from install import n8n_environment
from processes import Failure, Process, free_port, is_listening, wait_until

WORKFLOW = Path(__file__).resolve().parent / "n8n_workflow.json"
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
JSON_AND_SSE = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class SqliteServer:
    """mcp-server-sqlite behind mcp-proxy, with its own database, which survives a restart."""

    name = "sqlite"
    settings = {}

    def __init__(self, installed, folder):
        self.programs = installed / "bin"
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.child_pid = folder / "mcp-server-sqlite.pid"
        self.process = None

    def start(self):
        note_pid = ["sh", "-c", 'echo $$ > "$0"; exec "$@"', self.child_pid]
        command = [
            self.programs / "mcp-proxy", "--host", "127.0.0.1", "--port", self.port, "--",
            *note_pid, self.programs / "mcp-server-sqlite", "--db-path", self.folder / "sqlite.db",
        ]
        self.process = Process(self.name, command, self.folder / "sqlite.log")
        wait_until_ready(self.process, self.port, 60)

    def kill(self):
        if self.process:
            self.process.kill()
            self._kill_child()

    def stop(self):
        if self.process:
            self.process.stop()
            self._kill_child()

    def _kill_child(self):
        """mcp-proxy runs mcp-server-sqlite in another session, so the signal to the group doesn't reach it."""
        try:
            os.kill(int(self.child_pid.read_text()), signal.SIGKILL)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            pass  # it never started, or ended with its input
        self.child_pid.unlink(missing_ok=True)


class N8n:
    """n8n with the published workflow of `n8n_workflow.json`: its MCP Server Trigger at `/mcp/test`.

    n8n also serves its own API as tools to a client with a key: `instance`.
    """

    name = "n8n"
    settings = {}

    def __init__(self, installed, folder):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp/test"
        self.process = None
        self.env = {
            **{name: value for name, value in n8n_environment(installed).items() if not name.startswith("N8N_")},
            "N8N_USER_FOLDER": str(folder / "n8n"),
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_PORT": str(self.port),
            "N8N_RUNNERS_BROKER_PORT": str(free_port()),
            "N8N_DIAGNOSTICS_ENABLED": "false",
            "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
            "N8N_TEMPLATES_ENABLED": "false",
            "N8N_SECURE_COOKIE": "false",
            "N8N_MCP_MANAGED_BY_ENV": "true",
            "N8N_MCP_ACCESS_ENABLED": "true",
        }
        (folder / "n8n").mkdir()

    def publish_workflow(self):
        """Imports the workflow and publishes it; n8n must not be running."""
        (workflow,) = json.loads(WORKFLOW.read_text())
        self._run("import:workflow", f"--input={WORKFLOW}")
        self._run("publish:workflow", f"--id={workflow['id']}")

    def start(self):
        """Starts n8n. `wait_until_ready` waits for it."""
        self.process = Process(self.name, ["n8n", "start"], self.folder / "n8n.log", env=self.env)

    def wait_until_ready(self):
        wait_until_ready(self.process, self.port, 180)
        wait_until("the workflow of n8n to be served", lambda: answers_initialize(self.url), 60)

    def instance(self):
        """Creates the owner of this new n8n, and returns the MCP server for the owner's key."""
        rest = f"http://127.0.0.1:{self.port}/rest"
        browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )
        owner = {"email": "ada@example.com", "firstName": "Ada", "lastName": "L", "password": "Passw0rd123"}
        setup = urllib.request.Request(
            f"{rest}/owner/setup", json.dumps(owner).encode(), {"Content-Type": "application/json"}
        )
        browser.open(setup, timeout=30).close()
        with browser.open(f"{rest}/mcp/api-key", timeout=30) as answer:
            key = json.load(answer)["data"]["apiKey"]
        instance = N8nInstance(self.port, key, self.folder / "n8n-key")
        wait_until("the tools of n8n's instance", lambda: answers_initialize(instance.url, key), 60)
        return instance

    def stop(self):
        if self.process:
            self.process.stop()

    def _run(self, *arguments):
        with Process("n8n", ["n8n", *arguments], self.folder / "n8n-setup.log", env=self.env) as setup:
            code = setup.wait(180)
        if code != 0:
            raise Failure(f"`n8n {' '.join(arguments)}` ended with {code}:\n{setup.log_tail()}")


class N8nInstance:
    """The MCP server of n8n's own API, which needs a bearer key, here read from a file."""

    name = "n8n-instance"

    def __init__(self, port, key, key_file):
        self.url = f"http://127.0.0.1:{port}/mcp-server/http"
        key_file.touch(0o600)
        key_file.write_text(key)
        self.key = key
        self.settings = {"bearer": f'{{ file = "{key_file}" }}'}

    def without_key(self):
        """The same server, configured without the key."""
        keyless = copy.copy(self)
        keyless.settings = {}
        return keyless


class FaultProxy:
    """An HTTP proxy for one server. It forwards everything, unless it sheds requests or is closed."""

    def __init__(self, server):
        self.name = server.name
        self.settings = server.settings
        self.target_port = server.port
        self.port = free_port()
        self.url = server.url.replace(f":{server.port}/", f":{self.port}/")
        self.methods_seen = []
        self._to_shed = 0
        self._lock = threading.Lock()
        self._listener = None

    @contextmanager
    def shedding(self, count):
        """In the block, the next `count` calls of a tool are answered 503 with `Retry-After: 1`, and don't reach the server."""
        self._to_shed = count
        try:
            yield
        finally:
            self._to_shed = 0

    def open(self):
        self.close()
        self._listener = _ProxyListener(("127.0.0.1", self.port), _ProxyRequest)
        self._listener.proxy = self
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        """Closes every connection and refuses new ones, until `open`."""
        if self._listener:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener.cut_connections()
            self._listener = None

    def take(self, method, is_call):
        """Records a request; returns whether to shed it. Pings and lists are never shed."""
        with self._lock:
            self.methods_seen.append(method)
            if not is_call or self._to_shed == 0:
                return False
            self._to_shed -= 1
            return True


class _ProxyListener(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments):
        self._connections = set()
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut_connections(self):
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # already closed by the peer

    def handle_error(self, *_):
        pass  # a closed connection


class _ProxyRequest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.proxy.take(self.command, is_call=b'"tools/call"' in body):
            self.answer_busy()
        else:
            self.pass_through(body)

    do_GET = do_POST = do_DELETE = handle_any

    def answer_busy(self):
        self.send_response(503)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def pass_through(self, body):
        server = http.client.HTTPConnection("127.0.0.1", self.server.proxy.target_port)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            server.request(self.command, self.path, body, headers)
            self.relay(server.getresponse())
        finally:
            server.close()

    def relay(self, answer):
        """Forwards the answer in pieces as it arrives: an event stream has no length and may stay open."""
        has_length = answer.length is not None
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "keep-alive", "transfer-encoding"):
                self.send_header(name, value)
        if not has_length:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := answer.read1(65536):
            self.wfile.write(piece if has_length else b"%x\r\n%s\r\n" % (len(piece), piece))
        if not has_length:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


def list_tools_of(url, key=None):
    """The tools of the server, listed without the gateway."""
    initialize = {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "real-test", "version": "1"},
    }
    bearer = {"Authorization": f"Bearer {key}"} if key else {}
    answer, session = post(url, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize}, bearer)
    headers = {**bearer, "MCP-Protocol-Version": answer["result"]["protocolVersion"]}
    if session:
        headers["Mcp-Session-Id"] = session
    post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
    listed, _ = post(url, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, headers)
    if session:
        NO_PROXY.open(urllib.request.Request(url, headers=headers, method="DELETE"), timeout=30).close()
    return listed["result"]["tools"]


def answers_initialize(url, key=None):
    try:
        return bool(list_tools_of(url, key))
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False


def post(url, message, headers=()):
    """Posts one message; returns its answer, from JSON or an event stream, and the session id."""
    request = urllib.request.Request(url, json.dumps(message).encode(), {**JSON_AND_SSE, **dict(headers)})
    with NO_PROXY.open(request, timeout=30) as answer:
        text = answer.read().decode()
        session = answer.headers.get("Mcp-Session-Id")
        if answer.headers.get_content_type() == "text/event-stream":
            events = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
            text = next(event for event in events if event.strip())
    return (json.loads(text) if text.strip() else None), session


def wait_until_ready(process, port, seconds):
    """Waits for the port; fails with the end of the log if the process exits first."""

    def ready():
        if not process.is_running():
            raise Failure(f"{process.name} ended with {process.popen.returncode}:\n{process.log_tail()}")
        return is_listening(port)

    wait_until(f"{process.name} to listen on port {port}", ready, seconds)
