"""A client of the gateway: starts the binary, exchanges JSON-RPC lines with it, and checks the protocol.

In every check, each line on stdout must be a JSON-RPC message, and each request must be answered exactly once, with
an id of the same type. A violation fails the next `answer`, or `close`.
"""

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

from processes import Failure, Process, wait_until

MODERN_ONLY = ("resultType", "ttlMs", "cacheScope", "inputRequests", "requestState")
# Deleted when this process exits.
STATES = tempfile.TemporaryDirectory(prefix="sentinel-state-")
RETRY_MESSAGE = "retrying after transient error"


class Gateway:
    """One running gateway over stdio, used in the legacy era."""

    def __init__(self, binary, config, log):
        self._start([binary, "--config", config, "--log-format", "json"], log, clean_environment())

    def _start(self, command, log, env):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = Process(Path(log).stem, command, log, env=env, **pipes)
        self._messages = Messages(self.violation_of)
        self._next_id = 1000
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()

    def initialize(self):
        answer = self.ask(
            "initialize",
            {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "real-test", "version": "1"}},
        )
        self.notify("notifications/initialized")
        return result_of(answer)

    def send(self, method, params=None, id=None):
        """Sends a request and returns its id, to be passed to `answer`. Ids that a check chooses are below 1000."""
        if id is None:
            id = self._next_id
            self._next_id += 1
        self._messages.expect(id, method)
        self._write({"jsonrpc": "2.0", "id": id, "method": method, **({"params": params} if params else {})})
        return id

    def answer(self, id, seconds=60):
        """Waits for the answer; fails immediately if the gateway has ended."""

        def answered():
            running = self.process.is_running()
            answer = self._messages.answer_to(id)
            if not answer and not running and not self._reader.is_alive():
                raise Failure(f"the gateway ended before it answered id {id!r}:\n{self.process.log_tail()}")
            return answer

        return wait_until(f"the answer to id {id!r}", answered, seconds)

    def ask(self, method, params=None):
        return self.answer(self.send(method, params))

    def notify(self, method, params=None):
        self._write({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})

    def cancel(self, id):
        """Cancels a request, which must then not be answered."""
        self._messages.expect_no_answer(id)
        self.notify("notifications/cancelled", {"requestId": id})

    def tools(self):
        """All pages of the list."""
        tools, cursor = [], None
        while True:
            result = result_of(self.ask("tools/list", {"cursor": cursor} if cursor is not None else None))
            tools += result["tools"]
            cursor = result.get("nextCursor")
            if cursor is None:
                return tools

    def tool_names(self):
        return [tool["name"] for tool in self.tools()]

    def send_call(self, tool, arguments, id=None):
        return self.send("tools/call", {"name": tool, "arguments": arguments}, id)

    def call(self, tool, arguments):
        """The answer to a tool call, a result or an error."""
        return self.answer(self.send_call(tool, arguments))

    def call_text(self, tool, arguments):
        """The text that the tool answered."""
        return text_of(self.call(tool, arguments))

    def notifications(self, method):
        return self._messages.notifications(method)

    def answered_before(self, first, second):
        return self._messages.order_of(first) < self._messages.order_of(second)

    def retries(self, backend):
        """The retries logged for a backend so far, each as a flat record."""
        return [
            record for record in self._log_records()
            if record.get("message") == RETRY_MESSAGE and record.get("backend") == backend
        ]

    def close(self):
        """Closes stdin: the gateway must answer everything, follow the protocol, and exit with 0."""
        self.process.popen.stdin.close()
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            raise Failure("the gateway was still running 20 s after its input ended") from None
        self._reader.join(10)
        self._messages.assert_valid()
        require(code == 0, f"the gateway's exit code was {code}:\n{self.process.log_tail()}")

    def violation_of(self, method, result):
        """The violation in a result, or `None`: here, members of the modern era."""
        modern = [name for name in MODERN_ONLY if name in result] + [
            name for name in result.get("_meta", {}) if name.startswith("io.modelcontextprotocol/serverInfo")
        ]
        return f"{', '.join(modern)} in an answer to a legacy {method}" if modern else None

    def _write(self, message):
        try:
            self.process.popen.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.popen.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"the gateway ended unexpectedly:\n{self.process.log_tail()}") from None

    def _read(self):
        for line in self.process.popen.stdout:
            self._messages.receive(line)

    def _log_records(self):
        for line in self.process.log.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # a line still being written
            yield {**record, **record.get("fields", {})}


class Messages:
    """The messages of the gateway, and violations of the protocol."""

    def __init__(self, violation_of):
        self._violation_of = violation_of
        self._lock = threading.Lock()
        self._requested = {}
        self._answers = {}
        self._notifications = []
        self._violations = []

    def expect(self, id, method):
        with self._lock:
            self._requested[key_of(id)] = method

    def expect_no_answer(self, id):
        with self._lock:
            require(key_of(id) not in self._answers, f"id {id!r} is answered already")
            del self._requested[key_of(id)]

    def receive(self, line):
        with self._lock:
            violation = self._take(line)
            if violation:
                self._violations.append(f"{violation}: {line[:200]!r}")

    def answer_to(self, id):
        with self._lock:
            self._assert_no_violation()
            return self._answers.get(key_of(id))

    def order_of(self, id):
        with self._lock:
            return list(self._answers).index(key_of(id))

    def notifications(self, method):
        with self._lock:
            return [message for message in self._notifications if message["method"] == method]

    def assert_valid(self):
        with self._lock:
            self._assert_no_violation()
            unanswered = self._requested.keys() - self._answers.keys()
            require(not unanswered, f"never answered: {sorted(unanswered)}")

    def _assert_no_violation(self):
        require(not self._violations, f"stdout: {'; '.join(self._violations[:3])}")

    def _take(self, line):
        """Records a line; returns its violation, or `None`."""
        if not line.endswith(b"\n"):
            return "a line without a line ending"
        try:
            message = json.loads(line)
        except ValueError:
            return "not JSON"
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return "not JSON-RPC"
        if "method" in message:
            self._notifications.append(message)
            return "a request that no capability allows" if "id" in message else None
        if ("result" in message) == ("error" in message):
            return "neither a result nor an error"

        key = key_of(message.get("id"))
        if key not in self._requested:
            return "an answer to an id that was never sent"
        if key in self._answers:
            return "a second answer to one id"
        self._answers[key] = message
        return self._violation_of(self._requested[key], message["result"]) if "result" in message else None


def key_of(id):
    """An id as a key that keeps its type: `1` is not `"1"`."""
    return json.dumps(id)


def run_command(binary, config, *arguments, seconds=60):
    """Runs a subcommand to its end: exit code, stdout, stderr."""
    done = subprocess.run(
        [binary, "--config", config, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, env=clean_environment(), check=False,
    )
    return done.returncode, done.stdout, done.stderr


def clean_environment():
    """The environment without settings of the gateway's config and log, and with an empty state folder."""
    kept = {name: value for name, value in os.environ.items() if name not in ("SENTINEL_CONFIG", "RUST_LOG")}
    return {**kept, "XDG_STATE_HOME": tempfile.mkdtemp(dir=STATES.name)}


def result_of(answer):
    require("result" in answer, f"an error instead of a result: {answer.get('error')}")
    return answer["result"]


def error_of(answer, code):
    require("error" in answer, f"a result instead of an error: {answer.get('result')}")
    require_equal("error code", code, answer["error"]["code"])
    return answer["error"]


def text_of(answer):
    """The text of a tool's result, which must not be marked as an error."""
    result = result_of(answer)
    require(not result.get("isError"), f"the tool failed: {result}")
    return "".join(part["text"] for part in result["content"])


def require(condition, why):
    if not condition:
        raise Failure(why)


def require_listed(server, own, listed):
    """That a tool is listed as its server lists it, but for the server's name, which the gateway adds."""
    named = {**own, "_meta": {**own.get("_meta", {}), "sentinel-gateway/backend": server.name}}
    require_equal(f"tool {own['name']} of {server.name}", named, listed)


def require_equal(what, expected, found):
    require(found == expected, f"{what}: expected {expected!r}, found {found!r}")
