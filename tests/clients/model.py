"""A stand-in for a model on loopback: it asks for the calls of a script, one a turn, and keeps what it was sent.

It must not know a client: the API gives it the form of requests and answers.
"""

import http.server
import json
import threading
from collections.abc import Callable
from typing import NamedTuple

from apis import JSON
from listener import Listener

# What a client may ask beside the conversation: how many tokens a text has.
TOKEN_COUNTS = {"count_tokens": {"input_tokens": 10}, ":countTokens": {"totalTokens": 10}}


class Call(NamedTuple):
    """A call that the model asks for, by the name that the client gave the tool. `before` runs first."""

    name: str
    arguments: dict
    before: Callable | None = None


class Model:
    """A running stand-in. `offered` has the names of the tools in each request of the conversation, in its order;
    `results` the results that the last of them had."""

    def __init__(self, api, script):
        self.api = api
        self.script = script
        self.offered = []
        self.results = []
        self._lock = threading.Lock()
        self._server = Listener(_Request, self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path, body):
        """The next call of the script. A request without tools (for a title, say) is none of the conversation."""
        tools, results = self.api.tools(body), self.api.results(body)
        call = None
        with self._lock:
            if tools:
                self.offered.append(tools)
                self.results = max(self.results, results, key=len)
                if len(results) < len(self.script):
                    call = self.script[len(results)]
                    if call.before:
                        call.before()
        return self.api.answer(path, body, len(results), call)


class _Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        count = next((count for name, count in TOKEN_COUNTS.items() if name in self.path), None)
        if count:
            self.send(200, JSON, json.dumps(count))
        else:
            self.send(200, *self.server.owner.answer(self.path, json.loads(body)))

    def do_GET(self):
        self.send(404, JSON, "{}")

    do_HEAD = do_GET

    def send(self, status, kind, text):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass
