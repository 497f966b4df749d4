"""The client that the suite starts against each of its servers: `client.py URL`, with the gateway between them.

It starts the gateway in the requested era, lists everything, calls every tool, reads every resource, gets every
prompt, and answers server requests. Where the gateway asks for a sign-in, it runs the command that the message names,
and plays the person and the browser. Results go to stderr; the final `done` means that the gateway answered every
request and followed the protocol.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from user import arguments_for, reply_to

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
KEY = "io.modelcontextprotocol/"
CAPABILITIES = {"elicitation": {}, "roots": {}, "sampling": {}}
SECONDS = 15
SECONDS_WITH_SIGN_IN = 50
# More would be a loop: the suite asks for at most two sign-ins one after the other.
MAX_SIGN_INS = 3
SECONDS_TO_NOTICE = 6
# Scenarios whose servers must not be signed in to, or refuse every token.
REFUSED = {
    f"auth/{name}"
    for name in (
        "iss-normalized",
        "iss-supported-missing",
        "iss-unexpected",
        "iss-wrong-issuer",
        "metadata-issuer-mismatch",
        "resource-mismatch",
        "scope-retry-limit",
    )
}
CLIENT = {"name": "conformance-client", "version": "1.0.0"}


def main():
    url = sys.argv[1]
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    signs_in = scenario.startswith("auth/")
    signal.alarm(SECONDS_WITH_SIGN_IN if signs_in else SECONDS)
    era = os.environ["SENTINEL_CONFORMANCE_FRONT"]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    with tempfile.TemporaryDirectory(prefix="sentinel-client-") as folder:
        # A sign-in holds for all gateways with the same state.
        os.environ["XDG_STATE_HOME"] = folder
        config = Path(folder) / "sentinel.toml"
        backend = f'[[backends]]\nname = "suite"\nurl = "{url}"\n{oauth(scenario, context, Path(folder))}'
        config.write_text(f"[gateway]\nstartup_wait_ms = 10000\n\n{backend}")
        with Host(os.environ["SENTINEL_BIN"], config, era) as host:
            host.open()
            if signs_in:
                use_signed_in(host, scenario in REFUSED)
            else:
                use_everything(host, context.get("toolCalls"))
    print("done")


def oauth(scenario, context, folder):
    """What a person would write into the config in `folder` for the server of this scenario."""
    keys = {}
    if scenario == "auth/basic-cimd":
        keys["client_metadata_url"] = "https://conformance-test.local/client-metadata.json"
    if "client_id" in context:
        keys["client_id"] = context["client_id"]
    if "client_secret" in context:
        os.environ["SUITE_SECRET"] = context["client_secret"]
    if "private_key_pem" in context:
        keys["client_key_file"] = "client-key.pem"
        (folder / keys["client_key_file"]).write_text(context["private_key_pem"])
    if scenario.startswith("auth/client-credentials"):
        keys["grant"] = "client_credentials"
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    if "client_secret" in context:
        lines.append('client_secret = { env = "SUITE_SECRET" }')
    return "\n[backends.oauth]\n" + "\n".join(lines) + "\n" if lines else ""


def use_signed_in(host, may_refuse):
    """Calls every tool, signing in whenever a message asks for it. That it can't is a failure, unless `may_refuse`."""
    for _ in range(MAX_SIGN_INS + 1):
        tools = host.list("tools")
        answers = [host.ask("tools/call", {"name": tool["name"], "arguments": {}}) for tool in tools]
        if not tools:
            # What is not listed can't be called: the error says why.
            answers = [host.ask("tools/call", {"name": "any", "arguments": {}})]
        wanted = [command for answer in answers if (command := sign_in_command(answer))]
        if tools and not wanted:
            return
        if not wanted and not may_refuse:
            raise SystemExit(f"no tools, and no word of a sign-in: {answers}")
        if not wanted:
            return
        if not sign_in(wanted[0]):
            if may_refuse:
                return
            raise SystemExit("the sign-in failed")
        # The running gateway notices the sign-in by itself.
        until = time.monotonic() + SECONDS_TO_NOTICE
        while not tools and not host.list("tools") and time.monotonic() < until:
            time.sleep(0.2)
    if not may_refuse:
        raise SystemExit("another sign-in is asked for after each")


def sign_in_command(answer):
    """The command that an error names for signing in."""
    message = answer.get("error", {}).get("message", "")
    found = re.search(r"[Ii]n a terminal: (.+ login [^;\n]+)", message)
    return shlex.split(found[1]) if found else None


def sign_in(command):
    """Runs it as a person would, and follows the address as a browser would. Whether it succeeded."""
    print(f"$ {shlex.join(command)}", file=sys.stderr)
    login = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True, encoding="utf-8")
    for line in login.stdout:
        print(line, end="", file=sys.stderr)
        if line.startswith("http"):
            try:
                with urllib.request.urlopen(line.strip(), timeout=20) as page:
                    page.read()
            except urllib.error.HTTPError as refusal:
                # The page of a login that has failed.
                print(refusal.read().decode(), file=sys.stderr)
    return login.wait() == 0


def use_everything(host, calls):
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

    def ask(self, method, params):
        """The answer to one request, whatever it is."""
        answer = self._request(method, params)
        print(f"{method} {params}: {answer.get('error') or answer['result']}", file=sys.stderr)
        return answer

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
