"""Checks of n8n's MCP Server Trigger and of a SQLite server as backends, with a legacy client.

Each of the two is down, connects later, restarts, fails or is busy while the other must work normally.
"""

import json
from contextlib import ExitStack

from driver import error_of, require, require_equal, require_listed, run_command, text_of
from processes import wait_until
from servers import FaultProxy, list_tools_of

LIST_CHANGED = "notifications/tools/list_changed"
# All checks together log fewer retries than the log takes in a minute.
RETRIES = 3
IDS_FOR_N8N = [0, 7, "8", -3, 2**53 + 1, 2**63 - 1, "call-1", ""]
IDS_FOR_SQLITE = ["0", "7", 8, -4, 2**53 + 3, 2**64 - 1, "größer ✓", '"quoted\\"']


def run(report, gateways, n8n, sqlite):
    """Starts both servers, and leaves them running."""
    sqlite.start()
    n8n.publish_workflow()

    with gateways.legacy("joining", n8n, sqlite) as joining:
        n8n_is_down(report, gateways, joining, n8n, sqlite)
        changes = len(joining.notifications(LIST_CHANGED))
        n8n.start()
        sqlite_alone(report, gateways, sqlite)
        n8n.wait_until_ready()
        n8n_joins(report, joining, changes)

    catalog(report, gateways, n8n, sqlite)
    both_together(report, gateways, n8n, sqlite)
    sqlite_restarts(report, gateways, n8n, sqlite)
    n8n_has_faults(report, gateways, n8n, sqlite)
    commands(report, gateways, n8n, sqlite)


def n8n_is_down(report, gateways, gateway, n8n, sqlite):
    with report.check("n8n down at start: listed without it"):
        gateway.initialize()
        require_equal("tools", names(list_tools_of(sqlite.url)), gateway.tool_names())

    with report.check("n8n down at start: the error of a call of its tool names n8n"):
        error = error_of(gateway.call("Calculator", {"input": "6*7"}), -32602)
        require("n8n" in error["message"], f"the message doesn't name n8n: {error['message']}")

    with report.check("n8n down at start: `check` exits with 1"):
        code, out, _ = run_command(gateways.binary, gateways.config("down", n8n, sqlite), "check", "--json")
        require_equal("exit code", 1, code)
        require("n8n" in out and "sqlite" in out, f"not both are in: {out}")


def n8n_joins(report, gateway, changes_before):
    with report.check("n8n connects later: list_changed, then listed"):
        wait_until(LIST_CHANGED, lambda: gateway.notifications(LIST_CHANGED)[changes_before:], 120)
        tools = gateway.tool_names()
        require("Calculator" in tools and "read_query" in tools, f"not both are in {tools}")

    with report.check("n8n connects later: its tool answers"):
        require_equal("answer", "42", gateway.call_text("Calculator", {"input": "6*7"}))
        gateway.close()


def sqlite_alone(report, gateways, sqlite):
    with gateways.legacy("sqlite-alone", sqlite) as gateway:
        with report.check("sqlite: create_table, write_query, read_query"):
            gateway.initialize()
            gateway.call_text("create_table", {"query": "CREATE TABLE fruit (name TEXT, pieces INTEGER)"})
            written = gateway.call_text("write_query", {"query": "INSERT INTO fruit VALUES ('apple', 3), ('fig', 5)"})
            require_equal("rows written", "[{'affected_rows': 2}]", written)
            read = gateway.call_text("read_query", {"query": "SELECT * FROM fruit ORDER BY pieces"})
            require_equal("rows read", "[{'name': 'apple', 'pieces': 3}, {'name': 'fig', 'pieces': 5}]", read)
            gateway.close()


def catalog(report, gateways, n8n, sqlite):
    for first, second in ((n8n, sqlite), (sqlite, n8n)):
        order = f"{first.name}, {second.name}"
        with report.check(f"catalog in config order ({order}), each tool as its server lists it"):
            with gateways.legacy("catalog", first, second) as gateway:
                gateway.initialize()
                expected = [(server, own) for server in (first, second) for own in list_tools_of(server.url)]
                found = gateway.tools()
                require_equal("tool names", names(own for _, own in expected), names(found))
                for (server, own), listed in zip(expected, found, strict=True):
                    require_listed(server, own, listed)
                gateway.close()


def both_together(report, gateways, n8n, sqlite):
    with gateways.legacy("both", n8n, sqlite) as gateway:
        with report.check("n8n: Calculator and a code tool"):
            gateway.initialize()
            gateway.tools()
            require_equal("6*7", "42", gateway.call_text("Calculator", {"input": "6*7"}))
            require_equal("reverse", "reward", gateway.call_text("reverse_text", {"input": "drawer"}))

        with report.check("ids of every type, in flight together, come back unchanged"):
            for id in IDS_FOR_N8N:
                gateway.send_call("reverse_text", {"input": "cba"}, id)
            for id in IDS_FOR_SQLITE:
                gateway.send_call("read_query", {"query": "SELECT 1 AS n"}, id)
            for id in IDS_FOR_N8N:
                require_equal(f"n8n, id {id!r}", "abc", text_of(gateway.answer(id)))
            for id in IDS_FOR_SQLITE:
                require_equal(f"sqlite, id {id!r}", "[{'n': 1}]", text_of(gateway.answer(id)))

        with report.check("unknown tool: invalid params"):
            for tool in ("no_such_tool", "calculator", "READ_QUERY"):
                error = error_of(gateway.call(tool, {}), -32602)
                require(tool in error["message"], f"the message doesn't name the tool: {error['message']}")

        with report.check("20 concurrent calls to each server: every answer is right"):
            sent = [(n, send_sum(gateway, n), send_select(gateway, n)) for n in range(20)]
            for n, summed, selected in sent:
                require_equal(f"n8n, call {n}", str(n + 100), text_of(gateway.answer(summed)))
                require_equal(f"sqlite, call {n}", f"[{{'n': {n}}}]", text_of(gateway.answer(selected)))

        with report.check("a slow call delays no other call"):
            slow = gateway.send_call("take_a_while", {"input": "2000"})
            others = [gateway.send("ping"), send_select(gateway, 1)]
            require_equal("slow answer", "worked for 2000 ms", text_of(gateway.answer(slow)))
            for other in others:
                gateway.answer(other)
                require(gateway.answered_before(other, slow), f"id {other} was answered after the slow call")

        with report.check("at the end of input: all answered, stdout valid, exit 0"):
            gateway.close()


def sqlite_restarts(report, gateways, n8n, sqlite):
    with report.check("sqlite killed and restarted between two calls: a new session, and the call is answered"):
        with gateways.legacy("restart", n8n, sqlite) as gateway:
            gateway.initialize()
            require_equal("before", "[{'n': 1}]", select(gateway, "1 AS n"))
            sqlite.kill()
            sqlite.start()
            require_equal("after", "[{'name': 'apple'}]", select(gateway, "name FROM fruit WHERE pieces = 3"))
            require_equal("n8n beside it", "42", gateway.call_text("Calculator", {"input": "6*7"}))
            gateway.close()


def n8n_has_faults(report, gateways, n8n, sqlite):
    proxy = FaultProxy(n8n)
    with ExitStack() as stopping:
        stopping.callback(proxy.close)
        proxy.open()
        gateway = stopping.enter_context(gateways.legacy("faults", proxy, sqlite, retries=RETRIES))
        with report.check("n8n through the proxy answers without a retry"):
            gateway.initialize()
            require_equal("answer", "42", gateway.call_text("Calculator", {"input": "6*7"}))
            require_equal("retries", [], gateway.retries("n8n"))

        with report.check("503 with Retry-After twice: two retries that wait as asked, then the answer"):
            retries = Retries(gateway)
            with proxy.shedding(2):
                require_equal("answer", "42", gateway.call_text("Calculator", {"input": "6*7"}))
            delays = retries.require_attempts(2)
            require(min(delays) >= 1000, f"delays shorter than asked: {delays}")

        with report.check("503 with Retry-After on every attempt: an error that says the tool did not run"):
            retries = Retries(gateway)
            with proxy.shedding(1 + RETRIES):
                require_exhausted(gateway.call("Calculator", {"input": "6*7"}), "overloaded")
            retries.require_attempts(RETRIES)

        with report.check("connection refused, then opened: a retry, then the answer"):
            retries = Retries(gateway)
            cut(proxy, gateway)
            call = gateway.send_call("Calculator", {"input": "6*7"})
            retries.require_attempts(1)
            proxy.open()
            require_equal("answer", "42", text_of(gateway.answer(call)))

        with report.check("connection refused on every attempt: growing delays, then an error; sqlite works"):
            retries = Retries(gateway)
            cut(proxy, gateway)
            call = gateway.send_call("Calculator", {"input": "6*7"})
            beside = send_select(gateway, 1)
            require_exhausted(gateway.answer(call), "unreachable")
            require_equal("sqlite", "[{'n': 1}]", text_of(gateway.answer(beside)))
            require(gateway.answered_before(beside, call), "sqlite was delayed by n8n")
            delays = retries.require_attempts(RETRIES)
            require(delays == sorted(set(delays)), f"the delays do not increase: {delays}")

        with report.check("after the faults: n8n answers again"):
            proxy.open()
            require_equal("answer", "42", gateway.call_text("Calculator", {"input": "6*7"}))

        with report.check("the gateway deletes its sessions at its end"):
            gateway.close()
            require("DELETE" in proxy.methods_seen, f"no DELETE among {sorted(set(proxy.methods_seen))}")


def cut(proxy, gateway):
    """Closes the proxy. After its next answer, the gateway has seen its pooled connections close."""
    proxy.close()
    gateway.ask("ping")


def commands(report, gateways, n8n, sqlite):
    config = gateways.config("commands", n8n, sqlite)

    def run(*arguments):
        code, out, err = run_command(gateways.binary, config, *arguments)
        require(code == 0, f"exit code {code}: {err or out}")
        return out

    with report.check("`check` and `check --json`"):
        for arguments in (["check"], ["check", "--json"]):
            out = run(*arguments)
            require("n8n" in out and "sqlite" in out, f"not both are in: {out}")
        json.loads(out)

    with report.check("`tools --json`"):
        out = json.dumps(json.loads(run("tools", "--json")))
        require("Calculator" in out and "read_query" in out, f"not both servers' tools are in: {out}")

    with report.check("`call` with JSON and with key=value"):
        require("42" in run("call", "Calculator", '{"input":"6*7"}'), "n8n: no 42 in the answer")
        require("reward" in run("call", "reverse_text", "input=drawer"), "n8n: not the reversed word")
        require("'two': 2" in run("call", "read_query", '{"query":"SELECT 1+1 AS two"}'), "sqlite: no 2 in the answer")


class Retries:
    """The retries of calls to n8n that a gateway logs from now on."""

    def __init__(self, gateway):
        self._logged = lambda: gateway.retries("n8n")
        self._before = len(self._logged())

    def require_attempts(self, count):
        """Waits until the attempts 1 to `count` are logged with all their fields; returns their delays."""
        counted = wait_until(f"attempts 1 to {count} in the log", lambda: self._counted(count), 30)
        for retry in counted:
            require(retry["level"].upper() == "WARN", f"not a warning: {retry}")
            require(retry["max_retries"] == RETRIES and retry["error"] and "delay_ms" in retry, f"fields: {retry}")
        return [retry["delay_ms"] for retry in counted]

    def _counted(self, count):
        counted = []
        for retry in self._logged()[self._before:]:
            if retry["attempt"] == len(counted) + 1:
                counted.append(retry)
        return counted[:count] if len(counted) >= count else None


def require_exhausted(answer, kind):
    error = error_of(answer, -32603)
    data = {name: error.get("data", {}).get(name) for name in ("source", "backend", "class", "executed")}
    require_equal("data", {"source": "gateway", "backend": "n8n", "class": kind, "executed": "no"}, data)
    require("n8n" in error["message"], f"the message doesn't name n8n: {error['message']}")


def names(tools):
    return [tool["name"] for tool in tools]


def select(gateway, what):
    return gateway.call_text("read_query", {"query": f"SELECT {what}"})


def send_select(gateway, number):
    return gateway.send_call("read_query", {"query": f"SELECT {number} AS n"})


def send_sum(gateway, number):
    return gateway.send_call("Calculator", {"input": f"{number} + 100"})
