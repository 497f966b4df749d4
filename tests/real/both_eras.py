"""Checks of servers of one era with a client of the other, and of all servers together with a client of each era.

Unlike the sessions of the SDKs, these checks look at the messages themselves.
"""

import json

from driver import error_of, require, require_equal, require_listed, result_of, run_command, text_of
from peers import datasette_server, everything_server
from processes import wait_until
from servers import list_tools_of

ELICITATION = {"elicitation": {"form": {}, "url": {}}}
SAMPLING = {"sampling": {}}
ROOTS = {"roots": {}}
FRUIT = "SELECT name FROM fruit WHERE pieces = 5"


def run(report, gateways, installed, n8n, sqlite, peers, running):
    """The checks. n8n and the SQLite server must be running."""
    everything, datasette = everything_server(installed, gateways.logs), datasette_server(installed, gateways.logs)
    for server in (everything, datasette):
        running.callback(server.stop)
    for server in (everything, datasette):
        server.wait_until_ready()
    instance = n8n.instance()
    legacy, modern = [n8n, sqlite, everything], [instance, datasette]

    eras_are_detected(report, gateways, legacy, modern, peers)
    a_key_is_missing(report, gateways, instance, datasette)
    modern_servers_for_a_legacy_client(report, gateways, instance, datasette)
    legacy_servers_for_a_modern_client(report, gateways, n8n, sqlite, everything)
    legacy_server_asks_a_modern_client(report, gateways, peers)
    everything_asks_a_modern_client(report, gateways, everything)
    all_together(report, gateways, [*legacy, *modern, *peers])


def eras_are_detected(report, gateways, legacy, modern, peers):
    with report.check("`check` detects the era of every server"):
        expected = {server.name: "legacy" for server in legacy} | {server.name: "modern" for server in modern}
        expected |= {peer.name: peer.era for peer in peers}
        code, out, err = run_command(
            gateways.binary, gateways.config("eras", *legacy, *modern, *peers), "check", "--json"
        )
        require(code == 0, f"exit code {code}: {err or out}")
        require_equal("eras", expected, {row["name"]: row["era"] for row in json.loads(out)["backends"]})


def a_key_is_missing(report, gateways, instance, datasette):
    with report.check("n8n-instance without its key: `check` reports it, and the other server is up"):
        config = gateways.config("no-key", instance.without_key(), datasette)
        code, out, _ = run_command(gateways.binary, config, "check", "--json")
        require_equal("exit code", 1, code)
        rows = {row["name"]: row for row in json.loads(out)["backends"]}
        require(rows["datasette"]["up"], f"datasette is down: {rows['datasette']}")
        require_equal("auth", "sign_in", rows["n8n-instance"]["auth"]["state"])
        require(" login n8n-instance" in rows["n8n-instance"]["error"], f"no command in {rows['n8n-instance']}")

    with report.check("n8n-instance: the output of the commands does not contain its key"):
        for command in (["check"], ["tools", "--json"], ["call", "search_workflows", "{}"]):
            code, out, err = run_command(gateways.binary, gateways.config("key", instance), *command)
            require(code == 0, f"`{' '.join(command)}` ended with {code}: {err or out}")
            require(instance.key not in out + err, f"`{' '.join(command)}` printed the key")


def modern_servers_for_a_legacy_client(report, gateways, instance, datasette):
    with gateways.legacy("legacy-client", instance, datasette) as gateway:
        with report.check("legacy client, modern servers: their tools are listed as they list them"):
            gateway.initialize()
            listed = {tool["name"]: tool for tool in gateway.tools()}
            of_instance = list_tools_of(instance.url, instance.key)
            for server, tools in ((datasette, list_tools_of(datasette.url)), (instance, of_instance)):
                for own in tools:
                    require_listed(server, own, listed.get(own["name"]))

        with report.check("legacy client, modern servers: their tools answer"):
            answer = gateway.call("execute_sql", {"database": "fruit", "sql": FRUIT})
            require_equal("rows", [{"name": "fig"}], result_of(answer)["structuredContent"]["rows"])
            require("Tools behind the gateway" in gateway.call_text("search_workflows", {}), "the workflow is missing")
            gateway.close()


def legacy_servers_for_a_modern_client(report, gateways, n8n, sqlite, everything):
    with gateways.modern("modern-client", n8n, sqlite, everything) as gateway:
        with report.check("modern client, legacy servers: discover, then their tools as they list them"):
            require("2026-07-28" in gateway.discover()["supportedVersions"], "2026-07-28 is not among the versions")
            listed = {tool["name"]: tool for tool in gateway.tools()}
            for server in (n8n, sqlite, everything):
                for own in list_tools_of(server.url):
                    require_listed(server, own, listed.get(own["name"]))

        with report.check("modern client, legacy servers: their tools answer"):
            require_equal("n8n", "42", gateway.call_text("Calculator", {"input": "6*7"}))
            require_equal("sqlite", "[{'n': 1}]", gateway.call_text("read_query", {"query": "SELECT 1 AS n"}))
            require_equal("everything", "Echo: hello", gateway.call_text("echo", {"message": "hello"}))

        with report.check("modern client, legacy server: progress arrives before the answer, each once"):
            call = gateway.send(
                "tools/call",
                {
                    "name": "trigger-long-running-operation", "arguments": {"duration": 0.5, "steps": 5},
                    "_meta": {"progressToken": "a token"},
                },
            )
            require("5" in text_of(gateway.answer(call)), "wrong answer")
            reports = [message["params"] for message in gateway.notifications("notifications/progress")]
            require_equal("progress", [1, 2, 3, 4, 5], [report["progress"] for report in reports])
            require_equal("tokens", {"a token"}, {report["progressToken"] for report in reports})
            gateway.close()


def legacy_server_asks_a_modern_client(report, gateways, peers):
    for peer in (peer for peer in peers if peer.era == "legacy"):
        with (
            gateways.modern(f"asked-{peer.name}", peer) as gateway,
            report.check(f"{peer.name} requests input from a modern client: input_required, then the answer; the tool ran once"),
        ):
            gateway.capabilities = ELICITATION
            before = counted(gateway)
            asked = asked_of(gateway.call("ask_name", {}))
            require_equal("runs when asked", {**before, "started": before["started"] + 1}, counted(gateway))
            retry = answering(asked, "elicitation/create", {"action": "accept", "content": {"name": "Ada"}})
            forged = {**retry, "requestState": forgery_of(asked["requestState"])}
            error_of(gateway.call_with("ask_name", {}, **forged), -32602)
            require_equal("answer", "hello Ada", text_of(gateway.call_with("ask_name", {}, **retry)))
            error_of(gateway.call_with("ask_name", {}, **retry), -32602)
            expected = {**before, "started": before["started"] + 1, "finished": before["finished"] + 1}
            require_equal("runs at the end", expected, counted(gateway))
            gateway.close()


def everything_asks_a_modern_client(report, gateways, everything):
    """Each check declares only the capability it tests, since the server also requests roots by itself."""
    with gateways.modern("asked-everything", everything) as gateway:
        with report.check("everything sends a form elicitation to a modern client"):
            gateway.capabilities = ELICITATION
            asked = asked_of(gateway.call("trigger-elicitation-request", {}))
            retry = answering(
                asked, "elicitation/create", {"action": "accept", "content": {"name": "Ada", "integer": 7}}
            )
            line = request_of(asked)["params"]["requestedSchema"]["properties"]["firstLine"]
            require_equal("a default of the form", "It was a dark and stormy night.", line["default"])
            text = text_of(gateway.call_with("trigger-elicitation-request", {}, **retry))
            require("- Name: Ada" in text, f"no name in {text}")

        with report.check("everything sends a sampling request to a modern client"):
            gateway.capabilities = SAMPLING
            arguments = {"prompt": "what is it all about?", "maxTokens": 20}
            asked = asked_of(gateway.call("trigger-sampling-request", arguments))
            sampled = {"role": "assistant", "content": {"type": "text", "text": "forty-two"}, "model": "deep-thought"}
            retry = answering(asked, "sampling/createMessage", sampled)
            text = text_of(gateway.call_with("trigger-sampling-request", arguments, **retry))
            require("forty-two" in text, f"no completion in {text}")

        with report.check("everything sends a URL elicitation to a modern client, first by the error -32042, then by a request"):
            gateway.capabilities = ELICITATION
            arguments = {"url": "https://example.com/sign-in", "message": "Sign in", "errorPath": True}
            opened = {"action": "accept"}
            first = asked_of(gateway.call("trigger-url-elicitation", arguments))
            retry = answering(first, "elicitation/create", opened)
            second = asked_of(gateway.call_with("trigger-url-elicitation", arguments, **retry))
            retry = answering(second, "elicitation/create", opened)
            text = text_of(gateway.call_with("trigger-url-elicitation", arguments, **retry))
            pages = [request_of(asked)["params"]["url"] for asked in (first, second)]
            require_equal("pages", ["https://modelcontextprotocol.io", "https://example.com/sign-in"], pages)
            require("accept" in text, f"no acceptance in {text}")

        with report.check("everything requests the roots of a modern client, on the GET stream"):
            gateway.capabilities = ROOTS
            folders = {"roots": [{"uri": "file:///work", "name": "Work"}]}
            listed_with(gateway, {"get-roots-list"})
            answer = gateway.call("get-roots-list", {})
            require_equal("resultType", "input_required", result_of(answer).get("resultType"))
            while result_of(answer).get("resultType") == "input_required":
                retry = answering_all(asked_of(answer), "roots/list", folders)
                answer = gateway.call_with("get-roots-list", {}, **retry)
            require("file:///work" in text_of(answer), f"no root in {text_of(answer)}")
            gateway.close()


def all_together(report, gateways, servers):
    calls = {
        "Calculator": {"input": "6*7"},
        "read_query": {"query": "SELECT 6*7 AS n"},
        "echo": {"message": "42"},
        "execute_sql": {"database": "fruit", "sql": "SELECT 6*7 AS n"},
        "add": {"a": 40, "b": 2},
        "typescript-modern__add": {"a": 40, "b": 2},
        "typescript-legacy__add": {"a": 40, "b": 2},
        "python-modern__add": {"a": 40, "b": 2},
    }
    for era, start in (("legacy", gateways.legacy), ("modern", gateways.modern)):
        with start(f"all-{era}", *servers) as gateway:
            with report.check(f"all servers together, {era} client: every tool once, and each server answers"):
                if era == "legacy":
                    gateway.initialize()
                names = listed_with(gateway, calls)
                require_equal("names that come twice", [], [name for name in set(names) if names.count(name) > 1])
                sent = {name: gateway.send_call(name, arguments) for name, arguments in calls.items()}
                for name, call in sent.items():
                    require("42" in text_of(gateway.answer(call)), f"{name}: no 42 in its answer")
                gateway.close()


def listed_with(gateway, tools):
    """The names in the list once all of `tools` are among them: the first list doesn't wait for a slow server."""
    wait_until("every server's tools in the list", lambda: set(tools) <= set(gateway.tool_names()), 60)
    return gateway.tool_names()


def asked_of(answer):
    result = result_of(answer)
    require_equal("resultType", "input_required", result.get("resultType"))
    for member in ("ttlMs", "cacheScope", "content"):
        require(member not in result, f"{member} in {result}")
    return result


def answering(asked, method, answer):
    """The params of a retry that answers the only input request."""
    request_of(asked)
    return answering_all(asked, method, answer)


def answering_all(asked, method, answer):
    """The params of a retry that answers every input request, with the request state if there is one."""
    require(asked["inputRequests"], "no input request")
    for request in asked["inputRequests"].values():
        require_equal("method", method, request["method"])
        require("id" not in request and "jsonrpc" not in request, f"a message, not a request's content: {request}")
    state = {"requestState": asked["requestState"]} if "requestState" in asked else {}
    return {**state, "inputResponses": {key: answer for key in asked["inputRequests"]}}


def request_of(asked):
    (request,) = asked["inputRequests"].values()
    return request


def forgery_of(state):
    """The state with one character changed."""
    at = len(state) // 2
    return state[:at] + ("A" if state[at] != "A" else "B") + state[at + 1:]


def counted(gateway):
    return result_of(gateway.call("count", {"tool": "ask_name"}))["structuredContent"]
