"""Implements `tests/peers/run`: the project's fault table, once for the gateway and once for each alternative.

The table checks an alternative by what applies to any bridge from stdio to HTTP, not by the gateway's messages: one
answer for each request before its deadline, only JSON-RPC on stdout, a process that keeps running, and no unsafe tool
run twice. A row that needs the gateway's configuration or a second server is n/a for an alternative.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alternatives import environment, install_alternatives
from binary import REPOSITORY, build
from processes import Failure, Process

CARGO_TEST = ["cargo", "test", "--locked", "--test", "faults_test"]
SECONDS_A_SUBJECT = 900
OK, NOT_APPLICABLE = "ok", "n/a"


def main():
    scratch = Path(tempfile.mkdtemp(prefix="sentinel-peers-"))
    print(f"logs: {scratch}", flush=True)
    try:
        alternatives = install_alternatives()
        build("the fault table", [*CARGO_TEST, "--no-run"], scratch / "build.log")
        reports = {"gateway": run_table("gateway", {}, scratch)}
        for each in alternatives:
            subject = {"FAULTS_SUBJECT": each.command, "FAULTS_NAME": each.name}
            reports[f"{each.name} {each.version}"] = run_table(each.name, subject, scratch)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    print_table(reports)
    print_notes(reports)
    print_counts(reports)
    return 0


def run_table(name, subject, scratch):
    """The rows of one subject, by number. A failed row is in the report and doesn't fail the run."""
    print(f"running the fault table against {name}", flush=True)
    log, report = scratch / f"{name}.log", scratch / f"{name}.json"
    env = {**environment(scratch), "FAULTS_REPORT": str(report), **subject}
    with Process(name, CARGO_TEST, log, env=env, cwd=REPOSITORY) as table:
        try:
            table.wait(SECONDS_A_SUBJECT)
        except subprocess.TimeoutExpired:
            raise Failure(f"the fault table of {name} did not end within {SECONDS_A_SUBJECT} s (log: {log})") from None
        if not report.is_file():
            raise Failure(f"the fault table of {name} wrote no report:\n{table.log_tail(40)}")
    rows = json.loads(report.read_text())["rows"]
    return {str(row["number"]): row for row in rows}


def print_table(reports):
    titles = {number: row["title"] for rows in reports.values() for number, row in rows.items()}
    print(f"\n| fault | {' | '.join(reports)} |")
    print(f"|---|{'---|' * len(reports)}")
    for number in sorted(titles, key=sort_key):
        verdicts = [rows[number]["verdict"] if number in rows else "–" for rows in reports.values()]
        print(f"| {number} {titles[number]} | {' | '.join(verdicts)} |")


def sort_key(number):
    """Rows with a number in numeric order, then rows with a name."""
    return (0, int(number), "") if number.isdigit() else (1, 0, number)


def print_notes(reports):
    """Prints the reason of each failed row."""
    for name, rows in reports.items():
        failed = [row for row in rows.values() if row["verdict"] not in (OK, NOT_APPLICABLE)]
        if failed:
            print(f"\n{name}:")
        for row in failed:
            print(f"  {row['number']}: {reason_in(row['note'])}")


def reason_in(note):
    """The reason of a failure, without the source location and the transcript."""
    text = re.sub(r"^panicked at \S+\s*", "", " ".join(note.split()))
    return text.partition("; so far:")[0][:200]


def print_counts(reports):
    print()
    for name, rows in reports.items():
        applicable = [row for row in rows.values() if row["verdict"] != NOT_APPLICABLE]
        survived = sum(row["verdict"] == OK for row in applicable)
        print(f"{name}: survives {survived} of {len(applicable)} faults; {len(rows) - len(applicable)} don't apply")


if __name__ == "__main__":
    sys.exit(main())
