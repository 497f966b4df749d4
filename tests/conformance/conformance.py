"""The runs of the official MCP conformance suite with the gateway, and their report.

A run is named after the tested side of the gateway, and the eras of its client and its backend: `server legacy/modern`
tests it as the server of a legacy client, with a modern backend. Each scenario prints `ok`, `FAILED … why`, or
`LACKING … why` where the gateway lacks what it tests; the last lines are counts. The exit code is 0 only if every
applicable scenario passed, and every scenario of the baseline had the listed outcome. All processes are stopped at the
end, also if the run is interrupted.
"""

import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from results import Baseline, read_scenarios
from tools import HERE, Failure, installed_tools
from binary import gateway_binary  # `tools` extends the path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REVISION = {"legacy": "2025-11-25", "modern": "2026-07-28"}
# Servers of this revision have no resource metadata. The suite lists them in no revision.
OF_2025_03_26 = ["auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback"]
ERA_PAIRS = [("legacy", "legacy"), ("modern", "modern"), ("legacy", "modern"), ("modern", "legacy")]
# Servers of both eras, with which the gateway chooses. The suite's own have one each.
BEFORE_BOTH = [("legacy", "both"), ("modern", "both")]


def main():
    words = sys.argv[1:]
    direct = "--direct" in words
    wanted = [word for word in words if word != "--direct"]
    runs = [run for run in (direct_runs() if direct else gateway_runs()) if all(word in run.name for word in wanted)]
    logs = Path(tempfile.mkdtemp(prefix="sentinel-conformance-"))
    for number in SIGNALS:
        signal.signal(number, interrupt)
    report = Report()
    try:
        if not runs:
            raise Failure(f"no run has all of the words {' '.join(wanted)} in its name")
        binary = None if direct else gateway_binary(logs)
        tools = installed_tools(logs)
        for run in runs:
            report.take(run, run.scenarios(tools, binary))
    except (Failure, Interrupted) as error:
        report.fail("the run", f"{error}" if isinstance(error, Failure) else f"interrupted by {error}")
    report.sum_up()
    if report.failed:
        print(f"logs: {logs}")
    else:
        shutil.rmtree(logs)
    print(f"{report.passed} passed, {report.failed} failed, {report.lacking} lacking", flush=True)
    return 1 if report.failed else 0


def gateway_runs():
    servers = [ServerRun(front, back) for front, back in ERA_PAIRS + BEFORE_BOTH]
    return servers + [ClientRun(front, back) for front, back in ERA_PAIRS]


def direct_runs():
    return [DirectRun(era) for era in REVISION]


class ServerRun:
    """The suite as the client of the gateway, through a bridge that serves it over HTTP; the example server is the backend.

    A second example server, of the other era, offers the same names and must not interfere. Beside one of both eras it
    is of both, too.
    """

    side = "server"

    def __init__(self, front, back):
        self.front, self.back = front, back
        self.name = f"server {front}/{back}"

    def scenarios(self, tools, binary):
        other = {"legacy": "modern", "modern": "legacy"}.get(self.back, "both")
        with tools.example(self.back) as first, tools.example(other) as second:
            config = write_config(tools.folder / output_name(self.name), {"first": first.url, "second": second.url})
            with tools.bridge(self.front, binary, "--config", config) as bridge:
                return test_server(self.name, tools, REVISION[self.front], bridge.url)


class DirectRun:
    """The suite as the client of the example server, which serves both eras."""

    side = "server"

    def __init__(self, era):
        self.era = era
        self.name = f"server direct/{era}"

    def scenarios(self, tools, _):
        with tools.example("both") as example:
            return test_server(self.name, tools, REVISION[self.era], example.url)


class ClientRun:
    """The suite as the backend of the gateway. The suite starts `client.py` for each scenario."""

    side = "client"

    def __init__(self, front, back):
        self.front, self.back = front, back
        self.name = f"client {front}/{back}"

    def scenarios(self, tools, binary):
        # The suite splits the command at spaces and passes it to a shell, so paths are passed in the environment.
        command = 'exec "$SENTINEL_PYTHON" -B "$SENTINEL_CONFORMANCE_CLIENT"'
        env = {
            "SENTINEL_BIN": str(binary),
            "SENTINEL_CONFORMANCE_FRONT": self.front,
            "SENTINEL_CONFORMANCE_CLIENT": str(HERE / "client.py"),
            "SENTINEL_PYTHON": sys.executable,
        }
        name, results = output_paths(self.name, tools)
        revision = REVISION[self.back]
        arguments = ["client", "--command", command, "--output-dir", results, "--spec-version"]
        required = tools.suite.required(revision, "client")
        tools.suite.run_each(name, tools.suite.all(revision, "client"), [*arguments, revision], env)
        if (self.front, self.back) == ("legacy", "legacy"):
            tools.suite.run_each(name, OF_2025_03_26, [*arguments, "2025-03-26"], env)
            required = [*required, *OF_2025_03_26]
        return read_scenarios(results, "client", required)


def test_server(run, tools, revision, url):
    name, results = output_paths(run, tools)
    tools.suite.run(name, ["server", "--url", url, "--requirements", revision, "--output-dir", results])
    return read_scenarios(results, "server", tools.suite.required(revision, "server"))


def output_paths(run, tools):
    """The name of a run's log, and the folder for its results."""
    name = output_name(run)
    return name, tools.folder / f"{name}-results"


def output_name(run):
    return run.replace(" ", "-").replace("/", "-")


def write_config(folder, backends):
    """The config of a run, in a folder of its own: the lock beside it must not decide the names of another run."""
    folder.mkdir()
    path = folder / "sentinel.toml"
    entries = [f'[[backends]]\nname = "{name}"\nurl = "{url}"\n' for name, url in backends.items()]
    path.write_text("\n".join(["[gateway]\nstartup_wait_ms = 10000\n", *entries]))
    return path


class Report:
    """Prints the result of each scenario, and at the end the counts and the inapplicable scenarios."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.lacking = 0
        self._baseline = Baseline()
        self._summaries = []
        self._inapplicable = {}

    def take(self, run, scenarios):
        counted = [scenario for scenario in scenarios if not self._is_inapplicable(run, scenario)]
        passed = [scenario for scenario in counted if self._check(run, scenario)]
        for unused in self._baseline.unused_names(run.name, [scenario.name for scenario in scenarios]):
            self.fail(f"{run.name}: {unused}", "the baseline names it, but the suite has no such scenario")
        checks = sum(scenario.succeeded for scenario in counted)
        line = f"{run.name}: {len(passed)} of {len(counted)} applicable scenarios passed, {checks} checks succeeded"
        self._summaries.append(line)
        self.passed += len(passed)

    def _is_inapplicable(self, run, scenario):
        """Whether the baseline lists the scenario. If it does, checks the outcome."""
        found = self._baseline.find(run.name, scenario.name)
        if not found:
            return False
        (entry, name), complaint = found, scenario.complaint()
        if entry["outcome"] == "lacking" and complaint:
            self.lacking += 1
            print(f"LACKING {run.name}: {scenario.name}: {entry['reason']}", flush=True)
        elif entry["outcome"] in ("varies", "fails" if complaint else "passes"):
            self._inapplicable.setdefault(entry["reason"], {}).setdefault(run.name, Counter())[name] += 1
        else:
            self.fail(f"{run.name}: {scenario.name}", complaint or "it passes, but the baseline lists it as failing")
        return True

    def _check(self, run, scenario):
        complaint = scenario.complaint()
        if complaint:
            self.fail(f"{run.name}: {scenario.name}", complaint)
        else:
            print(f"ok {run.name}: {scenario.name}", flush=True)
        return complaint is None

    def fail(self, name, why):
        self.failed += 1
        print(f"FAILED {name}: {why}", flush=True)

    def sum_up(self):
        for reason, runs in self._inapplicable.items():
            print(f"not applicable: {reason}")
            for run, names in runs.items():
                counted = (f"{name} ({count})" if "*" in name else name for name, count in names.items())
                print(f"  {run}: {', '.join(counted)}")
        for line in self._summaries:
            print(line)


class Interrupted(BaseException):
    """A signal ended the run."""


def interrupt(number, _):
    """Ends the run, and ignores further signals until all processes are stopped."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
