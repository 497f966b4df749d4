"""What `tests/peers/bench` does: the project's own bench, once for the gateway and once for each alternative.

Each is weighed beside the bare relay within its own run, so that only ratios to the relay are compared. A section
that a program doesn't get through is a dash in the table and a line below it with the reason.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from alternatives import environment, install_alternatives
from binary import REPOSITORY, build
from processes import Failure, Process

CARGO_BENCH = ["cargo", "bench", "--locked", "--bench", "gateway"]
GATEWAY = ["cargo", "build", "--locked", "--release", "--bin", "sentinel-gateway"]
SECTIONS = ("small", "sse", "large", "start")
SECONDS_A_SECTION = 120

TITLES = {
    "p50": "one at a time, p50",
    "p99": "one at a time, p99",
    "cpu_per_call": "64 side by side, CPU per call",
    "wall": "time",
    "initialized": "exec to initialize answered",
    "idle": "memory, idle",
    "peak": "memory, peak",
}
PARTS = {"small": "1 KiB JSON", "sse": "1 KiB SSE", "large": "8 MiB JSON", "start": "start"}
# The relay never wakes up, and is no executable of its own.
LEFT_OUT = ("wake_ups", "size")


def main():
    arguments = parse_arguments()
    scratch = Path(tempfile.mkdtemp(prefix="sentinel-peers-"))
    print(f"logs: {scratch}", flush=True)
    try:
        subjects = [("gateway", None)] + [
            (f"{each.name} {each.version}", each.command) for each in install_alternatives()
        ]
        build("the bench", [*CARGO_BENCH, "--no-run"], scratch / "build.log")
        # The bench does it too, but then within the time that a section has.
        build("the gateway", GATEWAY, scratch / "build-gateway.log")
        columns, failures = weigh_all(subjects, arguments, scratch)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    print_table([name for name, _ in subjects], columns, arguments)
    for failure in failures:
        print(f"\n{failure}")
    return 1 if any(failure.startswith("gateway") for failure in failures) else 0


def parse_arguments():
    description = "Weighs the gateway, mcp-remote and mcp-proxy beside a bare relay."
    parser = argparse.ArgumentParser(prog="tests/peers/bench", description=description)
    parser.add_argument(
        "sections", nargs="*", default=SECTIONS, metavar="SECTION",
        help=f"{', '.join(SECTIONS)}; all if none is named",
    )
    parser.add_argument("--rounds", type=int, default=1, help="alternating rounds of each section (1)")
    parser.add_argument("--full", action="store_true", help="as many calls a round as the project's own bench makes")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


def weigh_all(subjects, arguments, scratch):
    """The rows of each subject by section and measure, and what went wrong."""
    columns, failures = {name: {} for name, _ in subjects}, []
    for section in arguments.sections:
        for name, command in subjects:
            print(f"weighing {name}: {section}", flush=True)
            try:
                rows = weigh(name, command, section, arguments, scratch)
            except Failure as failure:
                failures.append(f"{name}, {section}: {failure}")
                continue
            columns[name].update({(section, key_of(row["measure"])): row for row in rows})
    return columns, failures


def weigh(name, command, section, arguments, scratch):
    log = scratch / f"{name.split()[0]}-{section}.log"
    effort = [] if arguments.full else ["--quick"]
    subject = ["--subject", command] if command else []
    line = [*CARGO_BENCH, "--", section, "--json", "--rounds", arguments.rounds, *effort, *subject]
    with Process(name, line, log, env=environment(scratch), cwd=REPOSITORY, stdout=subprocess.PIPE) as bench:
        try:
            out, _ = bench.popen.communicate(timeout=SECONDS_A_SECTION * arguments.rounds)
        except subprocess.TimeoutExpired:
            raise Failure(f"no end within {SECONDS_A_SECTION * arguments.rounds} s (log: {log})") from None
    if bench.popen.returncode != 0:
        raise Failure(reason_in(log))
    return json.loads(out)


def reason_in(log):
    """The bench's own words, without what cargo says around them."""
    lines = log.read_text(errors="replace").splitlines()
    lines = [line for line in lines if line and not line.startswith((" ", "error: bench"))]
    return f"{lines[-1] if lines else 'no reason given'} (log: {log})"


def key_of(measure):
    """`"p50"` as it is; `{"calls_per_second": 64}` as a pair."""
    if isinstance(measure, str):
        return measure
    [(name, width)] = measure.items()
    return (name, width)


def print_table(names, columns, arguments):
    rows = dict.fromkeys(key for name in names for key in columns[name])
    effort = "full" if arguments.full else "quick"
    rounds = f"medians of {arguments.rounds} {effort} round(s)"
    print(f"\nRatios to the bare relay, {rounds} with their spread, and the figure itself\n")
    print(f"| measure | {' | '.join(names)} |")
    print(f"|---|{'---:|' * len(names)}")
    for section, measure in rows:
        if measure in LEFT_OUT:
            continue
        cells = [cell(columns[name].get((section, measure))) for name in names]
        print(f"| {PARTS[section]}: {title(measure)} | {' | '.join(cells)} |")


def title(measure):
    return TITLES[measure] if isinstance(measure, str) else f"{measure[1]} side by side, calls/s"


def cell(row):
    if not row or not row["gateway"]:
        return "–"
    median = row["gateway"]["median"]
    figure = f"{median:,.0f}" if median >= 100 else f"{median:.3g}"
    figure = f"{figure} {row['unit']}".strip()
    ratio = row["ratio_to_relay"]
    if not ratio:
        return figure
    spread = f" ({ratio['min']:.2f}–{ratio['max']:.2f})" if ratio["min"] != ratio["max"] else ""
    return f"**{ratio['median']:.2f}**{spread}; {figure}"


if __name__ == "__main__":
    sys.exit(main())
