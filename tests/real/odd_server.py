"""A server of each era for every malformed definition, and a healthy server, on one port of 127.0.0.1.

`/legacy/KEY` and `/modern/KEY` list the definition of that key, `/healthy` only what is healthy. It must not know the gateway.
"""

import http.server
import json
import threading

from definitions import valid
from processes import free_port

MODERN = "2026-07-28"
NEIGHBOUR, HEALTHY = "neighbour", "healthy"
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
CAPABILITIES = {"tools": {}, "prompts": {}, "resources": {}}


class OddServer:
    """All servers. A definition is listed with a healthy neighbour."""

    def __init__(self):
        self.port = free_port()
        self._definitions = {}
        self._listener = _Listener(("127.0.0.1", self.port), _Request)
        self._listener.odd = self
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"

    def define(self, key, definition):
        """The URLs of both eras' servers are `url(f"legacy/{key}")` and `url(f"modern/{key}")`."""
        self._definitions[key] = definition

    def items(self, path, kind):
        """The list, as JSON text."""
        server, _, key = path[1:].partition("/")
        if server == HEALTHY:
            return f"[{json.dumps(valid(kind, HEALTHY))}]"
        definition = self._definitions[key]
        if definition.kind != kind:
            return "[]"
        return f"[{definition.text}, {json.dumps(valid(kind, NEIGHBOUR))}]"

    def stop(self):
        self._listener.shutdown()
        self._listener.server_close()


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that has ended


class _Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(405)

    def do_DELETE(self):
        self.answer(200)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        id = message.get("id")
        if id is None:
            return self.answer(202)
        is_modern = self.path.startswith("/modern")
        result = self.modern_result(message) if is_modern else self.legacy_result(message)
        if result is None:
            error = {"code": -32601, "message": f"Method not found: {message['method']}"}
            body = json.dumps({"jsonrpc": "2.0", "id": id, "error": error})
            return self.answer(404 if is_modern else 200, body)
        self.answer(200, f'{{"jsonrpc": "2.0", "id": {json.dumps(id)}, "result": {result}}}')

    def legacy_result(self, message):
        match message["method"]:
            case "initialize":
                version = message["params"]["protocolVersion"]
                return self.describe({"protocolVersion": version, "capabilities": CAPABILITIES})
            case "ping":
                return "{}"
            case "tools/call":
                return json.dumps({"content": [{"type": "text", "text": "well"}]})
            case method if method in LISTS:
                return f'{{"{LISTS[method]}": {self.items(method)}}}'

    def modern_result(self, message):
        cached = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        match message["method"]:
            case "server/discover":
                return self.describe({**cached, "supportedVersions": [MODERN], "capabilities": CAPABILITIES})
            case method if method in LISTS:
                return f'{json.dumps(cached)[:-1]}, "{LISTS[method]}": {self.items(method)}}}'

    def describe(self, result):
        return json.dumps({**result, "serverInfo": {"name": "odd", "version": "1"}})

    def items(self, method):
        return self.server.odd.items(self.path, LISTS[method])

    def answer(self, status, body=""):
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body.encode())))
        if body:
            self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())
