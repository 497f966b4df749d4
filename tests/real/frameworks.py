"""Checks of servers on FastMCP, the frameworks of that name in Python and in TypeScript, with a client of each era.

Most servers in the field are written with them. The one in Python speaks both eras, each of which an entry pins.
"""

from both_eras import ELICITATION, answering, asked_of
from driver import require, require_equal, result_of, text_of
from peers import PEERS, Era, Server, node_path

TOOLS = {"add", "fail", "progress"}


def run(report, gateways, installed, running):
    program = [installed.sdk / "bin" / "python", "-B", PEERS / "fastmcp_server.py", "{port}"]
    python = Server("fastmcp", "/mcp", gateways.logs / "fastmcp-peer.log", program)
    running.callback(python.stop)
    program = [installed.node, PEERS / "fastmcp_server.cjs", "{port}"]
    node = Server("fastmcp-node", "/mcp", gateways.logs / "fastmcp-node-peer.log", program, node_path(installed))
    running.callback(node.stop)
    for server in (python, node):
        server.wait_until_ready()

    legacy = Era(python, "legacy", pinned=True)
    for backend in (legacy, Era(python, "modern", pinned=True), Era(node, "legacy", pinned=False)):
        for era, start in (("legacy", gateways.legacy), ("modern", gateways.modern)):
            with (
                start(f"{backend.name}-for-{era}", backend) as gateway,
                report.check(f"{era} client, {backend.name}: lists, calls, progress, resources and prompts"),
            ):
                if era == "legacy":
                    gateway.initialize()
                check_everything(gateway)
                gateway.close()
    asks(report, gateways, legacy)


def check_everything(gateway):
    require(TOOLS <= set(gateway.tool_names()), f"the tools are {gateway.tool_names()}")
    require_equal("sum", "5", gateway.call_text("add", {"a": 2, "b": 3}))
    failed = result_of(gateway.call("fail", {}))
    require_equal("isError", True, failed.get("isError"))
    require("this tool always fails" in failed["content"][0]["text"], f"other words: {failed}")
    wrong = gateway.call("add", {"a": "two"})
    require("error" in wrong or wrong["result"].get("isError"), f"wrong arguments are taken: {wrong}")

    params = {"name": "progress", "arguments": {"steps": 3}, "_meta": {"progressToken": "a token"}}
    require_equal("answer", "made 3 steps", text_of(gateway.answer(gateway.send("tools/call", params))))
    reports = [message["params"]["progress"] for message in gateway.notifications("notifications/progress")]
    require_equal("progress", [1, 2, 3], reports)

    for uri, text in (("note://today", "it rains"), ("note://tomorrow", "no note for tomorrow")):
        (contents,) = result_of(gateway.ask("resources/read", {"uri": uri}))["contents"]
        require_equal(uri, text, contents["text"])
    uris = [resource["uri"] for resource in result_of(gateway.ask("resources/list"))["resources"]]
    require_equal("resources", ["note://today"], uris)
    prompt = result_of(gateway.ask("prompts/get", {"name": "greet", "arguments": {"name": "Ada"}}))
    require_equal("prompt", "Say hello to Ada.", prompt["messages"][0]["content"]["text"])


def asks(report, gateways, backend):
    with (
        gateways.modern(f"{backend.name}-asks", backend) as gateway,
        report.check(f"{backend.name} requests input from a modern client: input_required, then the answer"),
    ):
        gateway.capabilities = ELICITATION
        asked = asked_of(gateway.call("ask_name", {}))
        retry = answering(asked, "elicitation/create", {"action": "accept", "content": {"value": "Ada"}})
        require_equal("answer", "hello Ada", text_of(gateway.call_with("ask_name", {}, **retry)))
        gateway.close()
