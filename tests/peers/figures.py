"""Implements `tests/peers/bench`: the project's benchmark, once for the gateway and once for each alternative.

Each is measured beside the plain relay in the same run, so that only ratios to the relay are compared. A section
that a program doesn't complete is a dash in the table, with the reason below it.
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
    "p50": "sequential, p50",
    "p99": "sequential, p99",
    "cpu_per_call": "64 concurrently, CPU per call",
    "wall": "time",
    "initialized": "exec to initialize answered",
    "idle": "memory, idle",
    "peak": "memory, peak",
}
PARTS = {"small": "1 KiB JSON", "sse": "1 KiB SSE", "large": "8 MiB JSON", "start": "start"}
# The relay has neither wake-ups nor an executable of its own.
LEFT_OUT = ("wake_ups", "size")


def main():
    arguments = parse_arguments()
    scratch = Path(tempfile.mkdtemp(prefix="sentinel-peers-"))
    print(f"logs: {scratch}", flush=True)
    try:
        subjects = [("gateway", None)] + [
            (f"{each.name} {each.version}", each.command) for each in install_alternatives()
        ]
        build("the benchmark", [*CARGO_BENCH, "--no-run"], scratch / "build.log")
        # The benchmark builds it too, but that would count against the time limit of a section.
        build("the gateway", GATEWAY, scratch / "build-gateway.log")
        columns, failures = measure_all(subjects, arguments, scratch)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    print_table([name for name, _ in subjects], columns, arguments)
    for failure in failures:
        print(f"\n{failure}")
    return 1 if any(failure.startswith("gateway") for failure in failures) else 0


def parse_arguments():
    description = "Measures the gateway, mcp-remote and mcp-proxy beside a plain relay."
    parser = argparse.ArgumentParser(prog="tests/peers/bench", description=description)
    parser.add_argument(
        "sections", nargs="*", default=SECTIONS, metavar="SECTION",
        help=f"{', '.join(SECTIONS)}; all by default",
    )
    parser.add_argument("--rounds", type=int, default=1, help="alternating rounds of each section (1)")
    parser.add_argument("--full", action="store_true", help="as many calls in a round as the project's benchmark makes")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section: {', '.join(sorted(unknown))}; known sections: {', '.join(SECTIONS)}")
    return arguments


def measure_all(subjects, arguments, scratch):
    """The rows of each subject by section and measure, and the failures."""
    columns, failures = {name: {} for name, _ in subjects}, []
    for section in arguments.sections:
        for name, command in subjects:
            print(f"measuring {name}: {section}", flush=True)
            try:
                rows = measure(name, command, section, arguments, scratch)
            except Failure as failure:
                failures.append(f"{name}, {section}: {failure}")
                continue
            columns[name].update({(section, key_of(row["measure"])): row for row in rows})
    return columns, failures


def measure(name, command, section, arguments, scratch):
    log = scratch / f"{name.split()[0]}-{section}.log"
    effort = [] if arguments.full else ["--quick"]
    subject = ["--subject", command] if command else []
    line = [*CARGO_BENCH, "--", section, "--json", "--rounds", arguments.rounds, *effort, *subject]
    with Process(name, line, log, env=environment(scratch), cwd=REPOSITORY, stdout=subprocess.PIPE) as bench:
        try:
            out, _ = bench.popen.communicate(timeout=SECONDS_A_SECTION * arguments.rounds)
        except subprocess.TimeoutExpired:
            raise Failure(f"did not end within {SECONDS_A_SECTION * arguments.rounds} s (log: {log})") from None
    if bench.popen.returncode != 0:
        raise Failure(reason_in(log))
    return json.loads(out)


def reason_in(log):
    """The last message of the benchmark, without cargo's messages."""
    lines = log.read_text(errors="replace").splitlines()
    lines = [line for line in lines if line and not line.startswith((" ", "error: bench"))]
    return f"{lines[-1] if lines else 'no reason given'} (log: {log})"


def key_of(measure):
    """`"p50"` unchanged; `{"calls_per_second": 64}` as a pair."""
    if isinstance(measure, str):
        return measure
    [(name, width)] = measure.items()
    return (name, width)


def print_table(names, columns, arguments):
    rows = dict.fromkeys(key for name in names for key in columns[name])
    effort = "full" if arguments.full else "quick"
    rounds = f"medians of {arguments.rounds} {effort} round(s)"
    print(f"\nRatios to the plain relay, {rounds} with their spread, and the absolute figure\n")
    print(f"| measure | {' | '.join(names)} |")
    print(f"|---|{'---:|' * len(names)}")
    for section, measure in rows:
        if measure in LEFT_OUT:
            continue
        cells = [cell(columns[name].get((section, measure))) for name in names]
        print(f"| {PARTS[section]}: {title(measure)} | {' | '.join(cells)} |")


def title(measure):
    return TITLES[measure] if isinstance(measure, str) else f"{measure[1]} concurrently, calls/s"


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
