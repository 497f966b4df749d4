"""The backends of the run, on loopback: MCP servers that are well, that have malformed tools, or that are down.

They speak the revision 2025-11-25 and run in threads of this process. They must not know the clients.
"""

import http.server
import json
import socket
import threading
from contextlib import contextmanager

from listener import Listener

REVISION = "2025-11-25"
METHOD_NOT_FOUND, INVALID_PARAMS, BUSINESS_ERROR = -32601, -32602, -32000


class Lost(Exception):
    """The server closes the connection without an answer."""


class RpcError(Exception):
    """The server answers with a JSON-RPC error."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Server:
    """An MCP server with these definitions. `calls` maps the name of a tool to what it does with its arguments.

    `called` has the name and the arguments of every call that arrived. `stop` refuses connections from then on.
    """

    def __init__(self, name, definitions, calls):
        self.name = name
        self.definitions = definitions
        self.calls = calls
        self.called = []
        self._listener = Listener(_Request, self)
        self.is_open = False
        self.url = f"http://127.0.0.1:{self._listener.server_port}/mcp"

    def __enter__(self):
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()
        self.is_open = True
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.is_open:
            self.is_open = False
            self._listener.shutdown()
            self._listener.server_close()

    def answer(self, method, params):
        match method:
            case "initialize":
                about = {"name": self.name, "version": "1"}
                return {"protocolVersion": REVISION, "capabilities": {"tools": {}}, "serverInfo": about}
            case "tools/list":
                return {"tools": self.definitions}
            case "tools/call" if params.get("name") in self.calls:
                arguments = params.get("arguments") or {}
                self.called.append((params["name"], arguments))
                return self.calls[params["name"]](arguments)
            case "ping":
                return {}
        raise RpcError(METHOD_NOT_FOUND, f"no method {method}")


class _Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "id" not in message:
            return self.send(202, b"")
        served = self.server.owner
        if not served.is_open:
            return self.drop()
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        try:
            answer["result"] = served.answer(message["method"], message.get("params") or {})
        except RpcError as error:
            answer["error"] = {"code": error.code, "message": str(error)}
        except Lost:
            return self.drop()
        self.send(200, json.dumps(answer).encode())

    def do_GET(self):
        self.send(405, b"")

    do_DELETE = do_GET

    def send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drop(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass


def text(words, **members):
    return {"content": [{"type": "text", "text": words}], **members}


def tool(name, description, *parameters):
    """A definition whose parameters are texts, all required."""
    properties = {parameter: {"type": "string"} for parameter in parameters}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"name": name, "description": description, "inputSchema": schema}


def ledger():
    """A server that is well. One tool answers, the others fail in the three ways that there are."""

    def book(given):
        for name in ("account", "amount"):
            if name not in given:
                raise RpcError(INVALID_PARAMS, f"no {name} is given")
        return text(f"booked {given['amount']} on {given['account']}")

    def fail(_):
        raise RpcError(BUSINESS_ERROR, "no paper in the printer")

    def lose(_):
        raise Lost

    definitions = [
        tool("book_amount", "Books an amount of money on an account of the ledger.", "account", "amount"),
        tool("close_year", "Closes the financial year.", "year"),
        tool("print_page", "Prints one page of the ledger.", "page"),
        tool("send_report", "Sends the yearly report to the auditor.", "auditor"),
    ]
    calls = {
        "book_amount": book,
        "close_year": lambda given: text(f"the year {given['year']} has open entries", isError=True),
        "print_page": fail,
        "send_report": lose,
    }
    return Server("ledger", definitions, calls)


def archive():
    """A server with one tool, to be stopped on the way."""
    definitions = [tool("find_letter", "Finds a letter in the archive by its subject.", "subject")]
    return Server("archive", definitions, {"find_letter": lambda given: text(f"the letter on {given['subject']}")})


# Definitions that make clients refuse a whole list, and what their names say.
MALFORMED = [
    {"name": "no_schema", "description": "Has no inputSchema."},
    {"name": "null_schema", "description": "Has null for an inputSchema.", "inputSchema": None},
    {"name": "text_schema", "description": "Takes a text.", "inputSchema": {"type": "string"}},
    {"name": "list_of_properties", "inputSchema": {"type": "object", "properties": []}},
    {"name": "odd_hints", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": "yes", "title": 5}},
    {"name": "odd_words", "title": 7, "description": None, "_meta": [], "icons": {}, "inputSchema": {"type": "object"}},
    {
        "name": "broken_output", "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}},
    },
    {"name": "", "inputSchema": {"type": "object"}},
    {"name": 12, "inputSchema": {"type": "object"}},
    {"description": "Has no name.", "inputSchema": {"type": "object"}},
    "a word in place of a definition",
    None,
]
# Those of them that have a name and one meaning, and so can be called.
MENDED = ["no_schema", "null_schema", "list_of_properties", "odd_hints", "odd_words", "broken_output"]


def workshop():
    """A server with malformed definitions, and one that is as it should be."""
    definitions = [*MALFORMED, tool("grind_lens", "Grinds a lens.", "width")]
    calls = {name: lambda _, name=name: text(f"{name} was run") for name in MENDED}
    return Server("workshop", definitions, {**calls, "grind_lens": lambda given: text(f"a lens of {given['width']}")})


@contextmanager
def refusing():
    """The URL of a port that refuses connections. It is bound, so that nothing else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/mcp"


@contextmanager
def silent():
    """The URL of a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
