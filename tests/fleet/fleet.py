"""Implements `tests/fleet/run`: reads the files of the example from docs/fleet.md, puts this machine's ports and folders
into them, and runs all of it.

Each check prints `ok NAME` or `FAILED NAME: why`; the exit code is 0 only if all passed. All processes are stopped at the end.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "real"))

from binary import REPOSITORY, gateway_binary
from driver import Gateway
from gateways import Report
from install import cache_folder, install_python, locked
from processes import Failure, Process, free_port, is_listening, wait_until
from surroundings import company_collector, tickets

PAGE = REPOSITORY / "docs" / "fleet.md"
PROMETHEUS = "prometheus"
# Users that need not exist.
USERS = {"ada": 26001, "bob": 26002}
CALLS = 5


def main():
    if sys.platform != "linux" or os.geteuid() != 0:
        print("NOT CHECKED: the example of docs/fleet.md, since it needs Linux and root")
        return 0
    report = Report()
    folder = Path(tempfile.mkdtemp(prefix="sentinel-fleet-"))
    folder.chmod(0o755)
    try:
        with report.check("collectors and Prometheus are installed"):
            programs = install(folder)
        if not report.failed:
            with report.check("the example of docs/fleet.md ran to its end"), ExitStack() as running:
                Fleet(folder, programs, running).run(report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


def install(folder):
    cache = cache_folder("fleet")
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        python = install_python(cache, "python", HERE / "requirements.txt")
        prometheus = shutil.which(PROMETHEUS) or downloaded_prometheus(cache)
    site = next((python / "lib").glob("python3*/site-packages"))
    # Users that are not root must be able to start it, wherever this repository is.
    gateway = shutil.copy(gateway_binary(folder), folder / "sentinel-gateway")
    Path(gateway).chmod(0o755)
    return {
        "gateway": gateway,
        "rotel-agent": site / "rotel" / "rotel-agent",
        "otelcol": next((site / "otel_collector" / "bin").glob("otelcol*")),
        PROMETHEUS: prometheus,
    }


def downloaded_prometheus(cache):
    """From Debian, unpacked without being installed."""
    program = cache / "debian" / "usr" / "bin" / PROMETHEUS
    if not program.exists():
        packages = tempfile.mkdtemp(dir=cache)
        download = ["apt-get", "download", PROMETHEUS]
        if subprocess.run(download, cwd=packages, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            subprocess.run(["apt-get", "update"], stdout=subprocess.DEVNULL, check=True)
            subprocess.run(download, cwd=packages, stdout=subprocess.DEVNULL, check=True)
        package = next(Path(packages).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, cache / "debian"], check=True)
        shutil.rmtree(packages)
    return program


class Fleet:
    """The example, with what stands around it."""

    def __init__(self, folder, programs, running):
        self.folder, self.programs, self.running = folder, programs, running
        self.tickets, self.company = tickets(), company_collector()
        self.otlp, self.web = free_port(), free_port()
        self.listen = {user: free_port() for user in USERS}
        self.gateways = {}

    def example(self, name):
        """A file of the page, by the comment that it begins with, as it is for this machine."""
        blocks = re.findall(r"^```\w[\w ]*\n# (\S+)\n(.*?)^```", PAGE.read_text(), re.S | re.M)
        text = dict(blocks).get(name)
        if text is None:
            raise Failure(f"docs/fleet.md has no file {name}")
        for written, here in {
            "https://mcp.corp.example/tickets/mcp": f"http://127.0.0.1:{self.tickets.port}/mcp",
            "https://otlp.corp.example": f"http://127.0.0.1:{self.company.port}",
            "127.0.0.1:4318": f"127.0.0.1:{self.otlp}",
            "127.0.0.1:9464": f"127.0.0.1:{self.listen['ada']}",
            "127.0.0.1:9465": f"127.0.0.1:{self.listen['bob']}",
            "/home/": f"{self.folder}/home/",
            '"corp-token"': f'"{self.folder}/corp-token"',
        }.items():
            text = text.replace(written, here)
        return text

    def run(self, report):
        self.prepare()
        with report.check("the collector of this machine runs"):
            self.start_rotel()
        for user in USERS:
            with report.check(f"the gateway of {user} serves the administrator's backend"):
                self.start_gateway(user)
        with report.check("what the administrator denies is neither listed nor called"):
            self.check_denials()
        with report.check("calls reach the server with each user's own token"):
            self.make_calls()
        with report.check("Prometheus has the calls of both users"):
            self.check_prometheus()
        with report.check("the company's collector has the spans and metrics of both users"):
            self.check_telemetry()
        with report.check("the company's collector has each record of a call once"):
            self.check_audit()
        with report.check("a denial of the administrator's takes effect in both gateways"):
            self.check_change()
        for gateway in self.gateways.values():
            gateway.process.kill()

    def prepare(self):
        self.etc = self.folder / "etc"
        (self.etc / "sentinel").mkdir(parents=True)
        self.administrators = self.etc / "sentinel" / "sentinel.toml"
        self.administrators.write_text(self.example("/etc/sentinel/sentinel.toml"))
        token = self.folder / "corp-token"
        token.write_text('#!/bin/sh\nprintf \'%s-of-%s\' "$1" "$(id -u)"\n')
        token.chmod(0o755)
        for user, number in USERS.items():
            config = self.folder / "home" / user / ".config" / "sentinel"
            config.mkdir(parents=True)
            (config / "sentinel.toml").write_text(self.example(f"/home/{user}/.config/sentinel/sentinel.toml"))
            for path in [self.folder / "home" / user, *(self.folder / "home" / user).rglob("*")]:
                os.chown(path, number, number)

    def start_rotel(self):
        command = self.example("collector").replace("\\\n", " ").split()
        command[0] = self.programs[command[0]]
        command += ["--log-file", self.folder / "rotel-agent.log", "--pid-file", self.folder / "rotel.pid"]
        command += ["--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
        self.running.enter_context(Process("rotel", command, self.folder / "rotel.log"))
        wait_until("rotel", lambda: is_listening(self.otlp), 20)

    def as_user(self, user, *command):
        """The command of a process that is this user's, and sees the administrator's file."""
        number = str(USERS[user])
        inner = f'mount --bind "{self.etc}" /etc && exec setpriv --reuid {number} --regid {number} --clear-groups "$@"'
        return ["unshare", "-m", "sh", "-c", inner, "sh", *command]

    def start_gateway(self, user):
        # The client starts it without a word about a config.
        home = self.folder / "home" / user
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        command = self.as_user(user, str(self.programs["gateway"]))
        gateway = UserGateway(command, self.folder / f"{user}.log", environment)
        self.running.enter_context(gateway)
        gateway.initialize()
        self.gateways[user] = gateway

    def check_denials(self):
        for user, gateway in self.gateways.items():
            names = sorted(tool["name"] for tool in gateway.tools())
            if names != ["create_ticket", "read_ticket"]:
                raise Failure(f"{user} has {names}")
            answer = gateway.ask("tools/call", {"name": "delete_ticket", "arguments": {}})
            if "error" not in answer:
                raise Failure(f"{user} has called it: {answer}")
        log = (self.folder / "bob.log").read_text()
        if "can't be written" in log:
            raise Failure(f"the first records have no file:\n{log}")
        if "shortcut is left out" not in log:
            raise Failure(f"bob's way around is not told of:\n{log}")

    def make_calls(self):
        for user, gateway in self.gateways.items():
            for _ in range(CALLS):
                answer = gateway.ask("tools/call", {"name": "read_ticket", "arguments": {"by": user}})
                if "result" not in answer:
                    raise Failure(f"{user}: {answer}")
        tokens = set()
        for _, headers, body in self.tickets.requests:
            message = json.loads(body)
            if message["method"] == "tools/call":
                if message["params"]["name"] != "read_ticket":
                    raise Failure(f"the server was sent {message}")
                headers = {key.lower(): value for key, value in headers.items()}
                tokens.add((message["params"]["arguments"]["by"], headers.get("authorization")))
        if tokens != {(user, f"Bearer mcp-tickets-of-{number}") for user, number in USERS.items()}:
            raise Failure(f"the tokens were {tokens}")

    def check_prometheus(self):
        config = self.folder / "prometheus.yml"
        config.write_text(self.example("prometheus.yml"))
        command = [self.programs[PROMETHEUS], f"--config.file={config}"]
        command += [f"--storage.tsdb.path={self.folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{self.web}"]
        self.running.enter_context(Process("prometheus", command, self.folder / "prometheus.log"))
        query = f"http://127.0.0.1:{self.web}/api/v1/query?query=sentinel_calls_total"

        def both():
            try:
                with urllib.request.urlopen(query, timeout=5) as answer:
                    found = json.load(answer)["data"]["result"]
            except OSError:
                return None
            counts = {one["metric"]["instance"]: float(one["value"][1]) for one in found}
            return len(counts) == len(USERS) and counts

        counts = wait_until("both gateways in Prometheus", both, 40)
        expected = {f"127.0.0.1:{port}": float(CALLS) for port in self.listen.values()}
        if counts != expected:
            raise Failure(f"Prometheus has {counts}, not {expected}")

    def check_telemetry(self):
        def has(path, *parts):
            bodies = self.company.bodies(path)
            return all(any(part in body for body in bodies) for part in parts)

        wait_until("spans", lambda: has("/v1/traces", b"tools/call read_ticket", b"gen_ai.tool.name"), 40)
        wait_until("metrics", lambda: has("/v1/metrics", b"mcp.server.operation.duration"), 60)

    def check_audit(self):
        config = self.folder / "filelog.yaml"
        config.write_text(self.example("filelog.yaml"))
        command = [self.programs["otelcol"], "--config", config]
        self.running.enter_context(Process("otelcol", command, self.folder / "otelcol.log"))
        record = re.compile(rb'"pid":(\d+),"instance":"[0-9a-f]+","seq":(\d+),[^\n]*?"own_tool":"read_ticket"')

        def shipped():
            return [found for body in self.company.bodies("/v1/logs") for found in record.findall(plain(body))]

        wait_until("all records", lambda: len(set(shipped())) >= CALLS * len(USERS), 40)
        records = shipped()
        if len(records) != CALLS * len(USERS) or len({pid for pid, _ in records}) != len(USERS):
            raise Failure(f"these records came: {records}")

    def check_change(self):
        text = self.administrators.read_text()
        self.administrators.write_text(text.replace('"delete_*"', '"delete_*", "create_*"'))
        for user, gateway in self.gateways.items():
            wait_until(
                f"the change at {user}'s", lambda: [tool["name"] for tool in gateway.tools()] == ["read_ticket"], 10
            )


def plain(body):
    """A body with the escapes of JSON in JSON undone; one of protobuf stays as it is."""
    return body.replace(b'\\"', b'"')


class UserGateway(Gateway):
    """A gateway that is started without a config, as another user."""

    def __init__(self, command, log, environment):
        self._start(command, log, environment)


if __name__ == "__main__":
    sys.exit(main())
