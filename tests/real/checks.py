"""Implements `tests/real/run`: installs and starts real servers and clients, and runs the checks, group by group.

Each check prints `ok NAME` or `FAILED NAME: why`; the last line counts them, and the exit code is 0 only if all
passed. All processes are stopped at the end, also if a check fails or the run is interrupted.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import both_eras
import frameworks
import malformed
import n8n_and_sqlite
import one_catalog
import restarts
import sdk_sessions
import signing_in
from gateways import Gateways, Report
from binary import gateway_binary
from install import cache_folder, install_all
from peers import start_peers
from servers import N8n, SqliteServer

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main():
    arguments = parse_arguments()
    report = Report()
    logs = Path(tempfile.mkdtemp(prefix="sentinel-real-"))
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        with report.check("the gateway and the servers are installed"):
            gateways = Gateways(None if arguments.direct else gateway_binary(logs), logs)
            installed = install_all(cache_folder())
        if not report.failed:
            with report.check("every server started and ran to the end"), ExitStack() as running:
                run_checks(report, gateways, installed, arguments, running)
    except Interrupted as interruption:
        report.fail("the run", f"interrupted by {interruption}")
    if report.failed:
        print(f"logs: {logs}", flush=True)
    else:
        shutil.rmtree(logs)
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    return 1 if report.failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tests/real/run", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--direct", action="store_true",
        help="the official SDKs' clients and servers without the gateway, as the reference",
    )
    parser.add_argument("--catalog", action="store_true", help="only MCP Apps, skills, links in results and tasks")
    parser.add_argument("--sign-in", action="store_true", help="only signing in at real authorization servers")
    parser.add_argument("--sdks", action="store_true", help="only the official SDKs and FastMCP, without the other servers")
    parser.add_argument("--malformed", action="store_true", help="only the malformed definitions")
    parser.add_argument(
        "--definitions", type=int, default=200, metavar="COUNT", help="how many malformed definitions are generated (200)"
    )
    parser.add_argument("--definition", metavar="NAME", help="only the malformed definition of this name or number")
    return parser.parse_args()


def run_checks(report, gateways, installed, arguments, running):
    if arguments.catalog:
        one_catalog.run(report, gateways, installed, running)
        return
    if arguments.sign_in:
        signing_in.run(report, gateways, installed, running)
        return
    if not arguments.direct:
        malformed.run(report, gateways, installed, arguments.definitions, arguments.definition)
        if arguments.malformed or arguments.definition:
            return

    peers = start_peers(installed, gateways.logs, running)
    if arguments.direct:
        sdk_sessions.run_direct(report, gateways, installed, peers)
        return

    sdk_sessions.run(report, gateways, installed, peers)
    restarts.run(report, gateways, peers)
    frameworks.run(report, gateways, installed, running)
    if arguments.sdks:
        return

    n8n, sqlite = N8n(installed.n8n, gateways.logs), SqliteServer(installed.python, gateways.logs)
    for server in (n8n, sqlite):
        running.callback(server.stop)
    n8n_and_sqlite.run(report, gateways, n8n, sqlite)
    both_eras.run(report, gateways, installed, n8n, sqlite, peers, running)
    one_catalog.run(report, gateways, installed, running)
    signing_in.run(report, gateways, installed, running)


class Interrupted(BaseException):
    """A signal ended the run. No check catches it, since it is not an `Exception`."""


def interrupt(number, _):
    """Ends the run, and ignores further signals until all processes are stopped."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
