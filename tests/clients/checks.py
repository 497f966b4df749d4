"""Implements `tests/clients/run`: each client talks to servers through the gateway, as a stand-in for its model asks.

Each check prints `ok CLIENT: what` or `FAILED CLIENT: what: why`, and what a client can't do `not tried CLIENT: what:
why`. The last line counts the checks, and the exit code is 0 only if all passed. All processes are stopped at the end, also if the run is interrupted.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from clients import CLIENTS
from conversations import GROUPS, Broken, Stage
from installed import PACKAGES, Failure, installed_clients
from gateways import Report  # `installed` extends the path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main():
    chosen = parse_arguments()
    report = Report()
    logs = Path(tempfile.mkdtemp(prefix="clients-"))
    versions = json.loads(PACKAGES.read_text())["dependencies"]
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        modules, binary = installed_clients(), Path(os.environ["SENTINEL_BIN"])
        for client in chosen:
            print(f"{client.title} {versions[client.package]}", flush=True)
            for group in GROUPS:
                folder = logs / client.name / group.__name__
                run_group(group, ReportOf(client, report), client(modules, binary, folder))
    except (Failure, Interrupted) as error:
        report.fail("the run", str(error))
    if report.failed:
        print(f"logs: {logs}", flush=True)
    else:
        shutil.rmtree(logs, ignore_errors=True)
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    return 1 if report.failed else 0


def run_group(group, report, client):
    """Runs the checks of one group. Homes are large, since clients unpack themselves: one without a failure goes."""
    name, failed = group.__name__, report.failed
    try:
        group(report, Stage(name, client))
    except Broken:
        report.not_tried(f"the other checks of {name}", "the conversation failed")
    if report.failed == failed:
        shutil.rmtree(client.folder, ignore_errors=True)


def parse_arguments():
    by_name = {client.name: client for client in CLIENTS}
    parser = argparse.ArgumentParser(prog="tests/clients/run", description=__doc__.partition("\n")[0])
    parser.add_argument("client", nargs="*", metavar="CLIENT", help=f"only these, of {', '.join(by_name)}")
    names = parser.parse_args().client
    unknown = [name for name in names if name not in by_name]
    if unknown:
        parser.error(f"no such client: {', '.join(unknown)}")
    return [client for name, client in by_name.items() if name in names or not names]


class ReportOf:
    """The report of the run, for the checks of one client."""

    def __init__(self, client, report):
        self.client = client
        self.report = report

    def check(self, name):
        return self.report.check(f"{self.client.title}: {name}")

    @property
    def failed(self):
        return self.report.failed

    def not_tried(self, name, why):
        print(f"not tried {self.client.title}: {name}: {why}", flush=True)


class Interrupted(BaseException):
    """A signal ended the run. No check catches it, since it is not an `Exception`."""


def interrupt(number, _):
    """Ends the run, and ignores further signals until all processes are stopped."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


if __name__ == "__main__":
    sys.exit(main())
