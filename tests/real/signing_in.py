"""Checks of signing in at real authorization servers: oidc-provider, and FastMCP's own.

The person's browser is `browser.py`. Each way to sign in has a state folder of its own, which `login` and the gateways
share, as on a person's machine.
"""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import browser
from driver import Gateway, clean_environment, require, require_equal
from peers import Server
from processes import free_port
from servers import wait_until_ready

HERE = Path(__file__).resolve().parent / "sign_in"
DOCUMENT = "https://client.test/sentinel.json"
BACKEND = "notes"
LONG_AGO = 1_000_000_000
ROBOT = (
    '{ grant = "client_credentials", client_id = "robot", client_secret = { env = "ROBOT" }, scopes = ["notes:read"] }'
)


def run(report, gateways, installed, running):
    authorization = free_port()
    program = [installed.node, HERE / "oidc.cjs", authorization, "{port}"]
    modules = {"NODE_PATH": str(installed.sign_in / "node_modules")}
    oidc = Server("oidc-provider", "/mcp", gateways.logs / "oidc-provider.log", program, modules)
    running.callback(oidc.stop)
    program = [installed.sdk / "bin" / "python", "-B", HERE / "fastmcp_server.py", "{port}"]
    fastmcp = Server("fastmcp-auth", "/mcp", gateways.logs / "fastmcp-auth.log", program)
    running.callback(fastmcp.stop)
    for server in (oidc, fastmcp):
        server.wait_until_ready()
    wait_until_ready(oidc.process, authorization, 60)

    token_endpoint = f"http://127.0.0.1:{authorization}/token"
    with report.check("oidc-provider: registers the client, renews its token in turn, and revokes it"):
        machine = Machine(gateways, "registered", oidc)
        check_registered(machine, token_endpoint, gateways.logs / "oidc-provider.log")
    for name, settings, client in (
        ("a client metadata document", f'{{ client_metadata_url = "{DOCUMENT}" }}', DOCUMENT),
        ("a client registered by hand", '{ client_id = "by-hand" }', "by-hand"),
    ):
        with report.check(f"oidc-provider: {name}"):
            machine = Machine(gateways, client.rpartition("/")[2], oidc, settings)
            machine.login()
            require_equal("client", client, machine.call())
            machine.expire()
            require_equal("client", client, machine.call())
    with report.check("oidc-provider: a code that a person enters at another device"):
        machine = Machine(gateways, "device", oidc, '{ client_id = "by-hand" }')
        machine.login("--device")
        require_equal("client", "by-hand", machine.call())
    with report.check("oidc-provider: a client signs in for itself"):
        machine = Machine(gateways, "robot", oidc, ROBOT, ROBOT="the-secret-of-the-robot")
        require_equal("client", "robot", machine.call())
    with report.check("oidc-provider: a tool that wants more rights, and a registration for them"):
        check_more_rights(Machine(gateways, "more-rights", oidc))
    with report.check("oidc-provider: a refresh token from a restored backup ends the sign-in, with what to type"):
        check_reuse(Machine(gateways, "restored", oidc))
    with report.check("FastMCP: an issuer with a slash, opaque tokens, renewal and revocation"):
        check_fastmcp(Machine(gateways, "fastmcp-auth", fastmcp), fastmcp)


def check_registered(machine, token_endpoint, log):
    signed_in = machine.login()
    require(signed_in["renewable"] and signed_in["tools"] == 2, f"signed in as {signed_in}")
    client = machine.record()["client"]["id"]
    require_equal("client", client, machine.call())
    # Several gateways at once: a second user of one refresh token would end the sign-in for all.
    for renewals in (1, 2):
        before = machine.expire()
        started = [machine.gateway(f"{number}") for number in range(5)]
        for gateway in started:
            gateway.initialize()
        sent = [gateway.send_call("client", {}) for gateway in started]
        for gateway, id in zip(started, sent):
            require_equal("client", client, text(gateway.answer(id)))
            gateway.close()
        after = machine.record()["token"]
        require(after["refresh"] != before["refresh"], "the refresh token did not rotate")
        require_equal("renewals", renewals, log.read_text().count("issued by refresh_token"))
    machine.run("logout", BACKEND)
    refused = {"grant_type": "refresh_token", "refresh_token": after["refresh"], "client_id": client}
    require_equal("a revoked refresh token", 400, post_form(token_endpoint, refused))


def check_more_rights(machine):
    machine.login()
    registered = machine.record()["client"]["id"]
    with machine.gateway("call") as gateway:
        gateway.initialize()
        for answer in (gateway.call("write", {}), gateway.call("write", {})):
            error = answer["error"]
            require_equal("class", "auth_required", error["data"]["class"])
            require_equal("scopes", ["notes:read", "notes:write"], error["data"]["scopes"])
            require("login notes" in error["message"], f"the error says {error}")
        # The sign-in that there is goes on.
        require_equal("client", registered, gateway.call_text("client", {}))
        machine.login()
        scopes = gateway.call_text("write", {}).split()
        require({"notes:read", "notes:write"} <= set(scopes), f"the scopes are {scopes}")
        gateway.close()
    require(machine.record()["client"]["id"] != registered, "a client asked for what it is not registered for")
    before = machine.expire()
    with machine.gateway("renewed") as gateway:
        gateway.initialize()
        require("notes:write" in gateway.call_text("write", {}), "the renewed token has fewer rights")
        gateway.close()
    require(machine.record()["token"]["refresh"] != before["refresh"], "the refresh token did not rotate")


def check_reuse(machine):
    machine.login()
    backup = machine.file().read_bytes()
    machine.expire()
    machine.call()
    machine.file().write_bytes(backup)
    machine.expire()
    with machine.gateway("reuse") as gateway:
        gateway.initialize()
        why = gateway.call("client", {})["error"]["message"]
        require("invalid_grant" in why and "login notes" in why, f"the error says {why}")
        gateway.close()
    machine.login()
    require_equal("client", machine.record()["client"]["id"], machine.call())


def check_fastmcp(machine, server):
    machine.login()
    record = machine.record()
    require(record["issuer"].endswith("/"), f"the issuer is {record['issuer']}")
    client = record["client"]["id"]
    require_equal("client", client, machine.call())
    before = machine.expire()
    require_equal("client", client, machine.call())
    token = machine.record()["token"]
    require(token["refresh"] != before["refresh"], "the refresh token did not rotate")
    machine.run("logout", BACKEND)
    require_equal("a revoked access token", 401, post_form(server.url, {}, token["access"]))


class Machine:
    """A person's machine: a config with one backend, and the state folder of all its gateways."""

    def __init__(self, gateways, name, server, oauth=None, **variables):
        self.binary = gateways.binary
        self.logs = gateways.logs
        self.name = name
        self.env = {**clean_environment(), **variables}
        backend = Backend(server.url, {"oauth": oauth} if oauth else {})
        self.config = gateways.config(f"sign-in-{name}", backend)

    def login(self, *arguments):
        """Signs in like a person; returns what `login` reports."""
        command = [self.binary, "--config", self.config, "login", BACKEND, "--no-browser", "--json", *arguments]
        with subprocess.Popen(
            command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as login:
            first = json.loads(login.stdout.readline() or "{}")
            address = first.get("complete_url") or first.get("url")
            if not address:
                login.kill()
                require(False, f"no address: {first}: {login.stderr.read()}")
            browser.sign_in(address)
            out, err = login.communicate(timeout=60)
        require_equal("exit code of login", 0, login.returncode)
        report = json.loads(out)
        require(report["signed_in"], f"login says {report}: {err}")
        return report

    def run(self, *arguments):
        command = [self.binary, "--config", self.config, *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        require_equal(f"exit code of {arguments}: {done.stderr}", 0, done.returncode)

    def gateway(self, name):
        return SignedIn(self, f"{self.name}-{name}")

    def call(self):
        """Which client the server has seen, by a gateway that starts for it."""
        with self.gateway("call") as gateway:
            gateway.initialize()
            called = gateway.call_text("client", {})
            gateway.close()
        return called

    def file(self):
        (file,) = Path(self.env["XDG_STATE_HOME"]).glob("sentinel/auth/*.json")
        return file

    def record(self):
        return json.loads(self.file().read_text())

    def expire(self):
        """Lets the access token end here; returns the token."""
        record = self.record()
        record["token"].update(obtained_at=LONG_AGO, expires_at=LONG_AGO + 60)
        self.file().write_text(json.dumps(record))
        return record["token"]


class SignedIn(Gateway):
    """A gateway on a machine."""

    def __init__(self, machine, name):
        command = [machine.binary, "--config", machine.config, "--log-format", "json"]
        self._start(command, machine.logs / f"gateway-{name}.log", machine.env)


class Backend:
    """The entry of the config."""

    name = BACKEND

    def __init__(self, url, settings):
        self.url = url
        self.settings = settings


def text(answer):
    require("result" in answer, f"an error instead of a result: {answer.get('error')}")
    return answer["result"]["content"][0]["text"]


def post_form(url, form, token=None):
    """The status of the answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode(), headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
