"""Checks that what several servers have in common stays each server's own: pages of tools, skills, links in results.

The servers are the official examples of MCP Apps, FastMCP with its skills provider, and server-everything. They are
read by the official inspector's CLI, by clients on the SDKs (`catalog/client.py`), and by this run's own client.
"""

import base64
import gzip
import hashlib
import json
import subprocess
from pathlib import Path

from driver import clean_environment, require, require_equal, result_of, text_of
from peers import PEERS, Server, everything_server

FILES = Path(__file__).resolve().parent / "catalog"
LISTS_AT_MOST = 5
ERAS = ("legacy", "modern")
# The answers to the steps of a session take some seconds, its start a few more.
CLIENT_SECONDS = 60
# Both servers have this page, under this URI.
PAGE = "ui://get-time/mcp-app.html"
REVIEW = "skill://review/SKILL.md"
DATA = b"to be compressed"


def run(report, gateways, installed, running):
    apps = [app_server(name, installed, gateways.logs) for name in ("vue", "react")]
    skills = [skills_server(name, installed, gateways.logs) for name in ("one", "two")]
    everything = everything_server(installed, gateways.logs)
    for server in (*apps, *skills, everything):
        running.callback(server.stop)
    for server in (*apps, *skills, everything):
        server.wait_until_ready()

    clients = Clients(gateways, installed)
    for servers in (apps, apps[::-1]):
        each_tool_shows_its_own_page(report, gateways, clients, servers)
    each_skill_is_read_from_its_own_server(report, gateways, clients, skills)
    a_link_in_a_result_is_read_at_once(report, gateways, everything, apps[0])
    a_required_task_for_a_modern_client(report, gateways, everything)


class AppServer(Server):
    """One of the official examples, and its page."""

    page = None


def app_server(name, installed, logs):
    package = installed.catalog / "node_modules" / "@modelcontextprotocol" / f"server-basic-{name}"
    program = [installed.node, "--require", PEERS / "loopback.cjs", package / "dist" / "index.js"]
    server = AppServer(name, "/mcp", logs / f"app-{name}.log", program, {"PORT": "{port}"})
    server.page = (package / "dist" / "mcp-app.html").read_text()
    return server


def skills_server(name, installed, logs):
    """Two skills: `review`, which every such server has, and one of the server's name."""
    folder = logs / f"skills-{name}"
    for skill in ("review", name):
        (folder / skill).mkdir(parents=True)
        head = f"---\nname: {skill}\ndescription: {description_of(skill, name)}\n---\n"
        (folder / skill / "SKILL.md").write_text(f"{head}\nFollow the [list](list.md).\n")
        (folder / skill / "list.md").write_text(f"The list of {skill} of {name}.\n")
    program = [installed.sdk / "bin" / "python", "-B", FILES / "skills_server.py", "{port}", name, folder]
    return Server(name, "/mcp", logs / f"skills-{name}.log", program)


def description_of(skill, server):
    return f"How {server} does a {skill}."


class Clients:
    """Runs the inspector's CLI and the SDKs' clients, each with a gateway of its own."""

    def __init__(self, gateways, installed):
        self._gateway = gateways.binary
        self._inspector = [
            installed.node, installed.catalog / "node_modules" / ".bin" / "mcp-inspector", "--cli", "--quiet",
        ]
        self._sdk = [installed.sdk / "bin" / "python", "-B", FILES / "client.py"]
        # The inspector keeps files in the home folder, and starts the gateway with few variables. The gateways share
        # their state, since a legacy handshake is answered at once, with the extensions of the last contact.
        home = gateways.logs / "home"
        state = home / ".local" / "state"
        state.mkdir(parents=True)
        self._env = {**clean_environment(), "HOME": str(home), "XDG_STATE_HOME": str(state), "RUST_LOG": "error"}

    def inspect(self, config, era, *arguments):
        """The lines that the inspector prints, each a JSON value."""
        chosen = ["--protocol-era", era, *arguments]
        out = self._run([*self._inspector, *chosen, "--", self._gateway, "--config", config])
        return [json.loads(line) for line in out.splitlines()]

    def sdk(self, config, *arguments):
        """What `catalog/client.py` prints."""
        return json.loads(self._run([*self._sdk, *arguments, self._gateway, "--config", config]))

    def _run(self, command):
        done = subprocess.run(
            [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=CLIENT_SECONDS, env=self._env, check=False,
        )
        require(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-800:] or done.stdout[-800:]}")
        return done.stdout


def each_tool_shows_its_own_page(report, gateways, clients, servers):
    first, second = servers
    order = f"{first.name} before {second.name}"
    config = gateways.config(f"apps-{first.name}-{second.name}", *servers)
    pages = {"get-time": first.page, f"{second.name}__get-time": second.page}
    for era in ERAS:
        with report.check(f"MCP Apps, {order}: each tool shows its own page, SDK's {era} client"):
            found = clients.sdk(config, "apps", era)
            require_equal("tools", set(pages), set(found))
            for tool, page in pages.items():
                require_equal(f"the page of {tool}", hashlib.sha256(page.encode()).hexdigest(), found[tool]["page"])
                require_equal(f"the URI that is read for {tool}", found[tool]["uri"], found[tool]["read"])
                require(found[tool]["answers"], f"{tool} failed")
            require_equal("the first one's URI", PAGE, found["get-time"]["uri"])

        with report.check(f"MCP Apps, {order}: each tool shows its own page, the inspector, {era}"):
            # It lists once: tools that are listed before the resources have no pages yet.
            for _ in range(LISTS_AT_MOST):
                listed = clients.inspect(config, era, "--method", "tools/list", "--app-info", "--advertise-apps")
                uris = {app["toolName"]: app["resourceUri"] for app in listed if app["hasApp"]}
                if set(uris) == set(pages):
                    break
            require_equal("tools with a page", set(pages), set(uris))
            for tool, page in pages.items():
                read = ["--method", "resources/read", "--uri", uris[tool], "--format", "json"]
                (answer,) = clients.inspect(config, era, *read)
                (contents,) = answer["result"]["contents"]
                require(contents["text"] == page, f"{tool} shows another page")


def each_skill_is_read_from_its_own_server(report, gateways, clients, servers):
    config = gateways.config("skills", *servers)
    first, second = (server.name for server in servers)
    with report.check("FastMCP's skills of two servers: FastMCP's client reads each from its own, with right digests"):
        found = clients.sdk(config, "skills")
        names = sorted(skill["description"] for skill in found.values())
        wanted = [(skill, server) for server in (first, second) for skill in ("review", server)]
        require_equal("skills", sorted(description_of(*skill) for skill in wanted), names)
        for skill, server in wanted:
            (files,) = [each["files"] for each in found.values() if each["description"] == description_of(skill, server)]
            require_equal(f"a file of {skill} of {server}", f"The list of {skill} of {server}.\n", files["list.md"])
        require_equal("the first review", description_of("review", first), found[REVIEW]["description"])

    for era in ERAS:
        with report.check(f"FastMCP's skills of two servers: the inspector finds them conformant, {era}"):
            reports = clients.inspect(config, era, "--method", "skills/list", "--verify")
            require_equal("skills", 4, len(reports))
            unverified = [skill["uri"] for skill in reports if skill["outcome"] != "verified"]
            require_equal("skills that are not as promised", [], unverified)


def a_link_in_a_result_is_read_at_once(report, gateways, everything, other):
    """The link is in no list yet, and two servers have resources."""
    url = "data:text/plain;base64," + base64.b64encode(DATA).decode()
    for era, start in (("legacy", gateways.legacy), ("modern", gateways.modern)):
        with start(f"link-{era}", other, everything) as gateway:
            with report.check(f"everything's link in a result is read at once, beside another server, {era} client"):
                if era == "legacy":
                    gateway.initialize()
                answer = gateway.call("gzip-file-as-resource", {"name": f"{era}.gz", "data": url})
                (link,) = [part for part in result_of(answer)["content"] if part["type"] == "resource_link"]
                (contents,) = result_of(gateway.ask("resources/read", {"uri": link["uri"]}))["contents"]
                require_equal("the file", DATA, gzip.decompress(base64.b64decode(contents["blob"])))
                gateway.close()


def a_required_task_for_a_modern_client(report, gateways, everything):
    with gateways.modern("required-task", everything) as gateway:
        with report.check("everything's tool that runs only as a task, for a modern client that knows no tasks"):
            text = text_of(gateway.call("simulate-research-query", {"topic": "tides"}))
            require("# Research Report: tides" in text, f"no report in {text}")

        with report.check("everything's task asks a modern client meanwhile"):
            gateway.capabilities = {"elicitation": {"form": {}}}
            arguments = {"topic": "python", "ambiguous": True}
            asked = result_of(gateway.call("simulate-research-query", arguments))
            require_equal("resultType", "input_required", asked.get("resultType"))
            ((key, request),) = asked["inputRequests"].items()
            choices = request["params"]["requestedSchema"]["properties"]["interpretation"]["oneOf"]
            chosen = choices[0]["const"]
            retry = {
                "requestState": asked["requestState"],
                "inputResponses": {key: {"action": "accept", "content": {"interpretation": chosen}}},
            }
            text = text_of(gateway.call_with("simulate-research-query", arguments, **retry))
            require(f"- **Clarification**: {chosen}" in text, f"no clarification in {text}")
            gateway.close()
