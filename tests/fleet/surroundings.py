"""What stands around the fleet: an MCP server, and the collector of the whole company.

Both remember what they got. It must not know the gateway.
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOOLS = [
    {"name": name, "inputSchema": {"type": "object"}} for name in ("read_ticket", "create_ticket", "delete_ticket")
]


class Server:
    """Serves on a port of 127.0.0.1 in a thread. `requests` has `(path, headers, body)` of each POST."""

    def __init__(self, answer):
        self.requests = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                owner.requests.append((self.path, dict(self.headers), body))
                status, answer_body = answer(body)
                self.send_response(status)
                self.send_header("content-type", self.headers.get("content-type", "application/json"))
                self.send_header("content-length", str(len(answer_body)))
                self.end_headers()
                self.wfile.write(answer_body)

            def do_GET(self):
                self.send_response(405)
                self.send_header("content-length", "0")
                self.end_headers()

            do_DELETE = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def bodies(self, path):
        return [body for at, _, body in list(self.requests) if at == path]


def tickets():
    """An MCP server of the legacy era."""

    def answer(body):
        message = json.loads(body)
        if "id" not in message:
            return 202, b""
        method = message["method"]
        if method == "initialize":
            result = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "tickets", "version": "1"},
            }
        elif method == "tools/list":
            result = {"tools": TOOLS}
        elif method == "tools/call":
            result = {"content": [{"type": "text", "text": message["params"]["name"]}]}
        elif method == "ping":
            result = {}
        else:
            error = {"code": -32601, "message": "no such method"}
            return 200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode()
        return 200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()

    return Server(answer)


def company_collector():
    """Takes all OTLP: an empty body is an empty answer in protobuf."""
    return Server(lambda _: (200, b""))
