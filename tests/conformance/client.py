"""The client that the suite starts against each of its servers: `client.py URL`, with the gateway between them.

It starts the gateway in the requested era, lists everything, calls every tool, reads every resource, gets every
prompt, and answers server requests. Results go to stderr; the final `done` means that the gateway answered every
request and followed the protocol.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from user import arguments_for, reply_to

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
KEY = "io.modelcontextprotocol/"
CAPABILITIES = {"elicitation": {}, "roots": {}, "sampling": {}}
SECONDS = 15
CLIENT = {"name": "conformance-client", "version": "1.0.0"}


def main():
    signal.alarm(SECONDS)
    url = sys.argv[1]
    era = os.environ["SENTINEL_CONFORMANCE_FRONT"]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    with tempfile.TemporaryDirectory(prefix="sentinel-client-") as folder:
        config = Path(folder) / "sentinel.toml"
        config.write_text(f'[gateway]\nstartup_wait_ms = 10000\n\n[[backends]]\nname = "suite"\nurl = "{url}"\n')
        with Host(os.environ["SENTINEL_BIN"], config, era) as host:
            use_everything(host, context.get("toolCalls"))
    print("done")


def use_everything(host, calls):
    host.open()
    tools = host.list("tools")
    for call in calls or [{"name": tool["name"], "arguments": arguments_for(tool, tools)} for tool in tools]:
        host.call("tools/call", call)
    for resource in host.list("resources"):
        host.call("resources/read", {"uri": resource["uri"]})
    for prompt in host.list("prompts"):
        wanted = {argument["name"]: "text" for argument in prompt.get("arguments", [])}
        host.call("prompts/get", {"name": prompt["name"], "arguments": wanted})


class Host:
    """A running gateway, used in one era, with one request at a time."""

    def __init__(self, binary, config, era):
        self.modern = era == "modern"
        self._next_id = 0
        self._process = subprocess.Popen(
            [binary, "--config", config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(20)

    def open(self):
        if self.modern:
            self._result("server/discover", {})
            return
        params = {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, "clientInfo": CLIENT}
        self._result("initialize", params)
        self._write({"method": "notifications/initialized"})

    def list(self, kind):
        items, cursor = [], None
        while True:
            page = self._result(f"{kind}/list", {} if cursor is None else {"cursor": cursor})
            items += page[kind]
            cursor = page.get("nextCursor")
            if cursor is None:
                return items

    def call(self, method, params):
        """Makes a call with every round of input requests. An error of the gateway itself ends the client."""
        rounds, answer = {}, {}
        while True:
            answer = self._request(method, {**params, **rounds})
            result = answer.get("result", {})
            if result.get("resultType") != "input_required":
                break
            input_requests = result.get("inputRequests", {})
            replies = {key: reply_to(ask["method"], ask.get("params", {})) for key, ask in input_requests.items()}
            rounds = {"inputResponses": replies}
            if "requestState" in result:
                rounds["requestState"] = result["requestState"]
        print(f"{method} {params}: {answer.get('error') or answer['result']}", file=sys.stderr)
        data = answer.get("error", {}).get("data")
        if isinstance(data, dict) and data.get("source") == "gateway":
            raise SystemExit("the gateway itself returned an error")

    def _result(self, method, params):
        answer = self._request(method, params)
        if "result" not in answer:
            raise SystemExit(f"{method}: {answer['error']}")
        return answer["result"]

    def _request(self, method, params):
        self._next_id += 1
        id = self._next_id
        self._write({"id": id, "method": method, "params": {**params, **self._metadata()}})
        for line in self._process.stdout:
            message = json.loads(line)
            if "method" not in message:
                if message.get("id") != id:
                    raise SystemExit(f"an answer to an id that isn't in flight: {line}")
                return message
            self._handle(message)
        raise SystemExit(f"the gateway ended before it answered {method}")

    def _handle(self, message):
        if "id" not in message:
            return
        if self.modern:
            raise SystemExit(f"a request from the gateway, which the modern era forbids: {message}")
        if message["method"] == "ping":
            self._write({"id": message["id"], "result": {}})
        else:
            self._write({"id": message["id"], "result": reply_to(message["method"], message.get("params", {}))})

    def _metadata(self):
        if not self.modern:
            return {}
        meta = {"protocolVersion": MODERN, "clientInfo": CLIENT, "clientCapabilities": CAPABILITIES}
        return {"_meta": {KEY + name: value for name, value in meta.items()}}

    def _write(self, message):
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()


if __name__ == "__main__":
    main()
