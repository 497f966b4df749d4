"""The suite's result files, and the baseline.

A scenario passes if at least one of its checks succeeded and none failed or warned. The baseline lists the scenarios
that don't apply to the gateway, each with its reason and its outcome, and those of what it lacks.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

BASELINE = Path(__file__).resolve().parent / "baseline.toml"
# A check of the message format, which also succeeds if a scenario tested nothing else.
FORMAT = "wire-schema-valid"
BAD = ("FAILURE", "WARNING")


@dataclass
class Scenario:
    name: str
    checks: list
    client_finished: bool

    @property
    def succeeded(self):
        return sum(check["status"] == "SUCCESS" for check in self.checks)

    def complaint(self):
        """Why it did not pass, or `None`."""
        bad = [check for check in self.checks if check["status"] in BAD]
        if bad:
            more = f" (and {len(bad) - 1} more checks)" if len(bad) > 1 else ""
            return f"{bad[0]['id']}: {bad[0].get('errorMessage') or bad[0]['description']}{more}"
        if not any(check["status"] == "SUCCESS" and check["id"] != FORMAT for check in self.checks):
            return "it tested nothing"
        return None if self.client_finished else "the client did not finish"


def read_scenarios(folder, side, required):
    """The scenarios of one run, from the folders that the suite wrote. A required scenario without a folder tested nothing."""
    found = {name: Scenario(name, [], True) for name in required}
    for file in sorted(folder.rglob("checks.json")):
        folder_name = str(file.parent.relative_to(folder))
        name = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", folder_name)
        output = file.parent / "stdout.txt"
        finished = side == "server" or output.read_text().endswith("done\n")
        name = name.removeprefix("server-") if side == "server" else name
        found[name] = Scenario(name, json.loads(file.read_text()), finished)
    return list(found.values())


class Baseline:
    """The scenarios that don't apply, with the reason and the outcome of each, and those of what is lacking."""

    def __init__(self):
        tables = tomllib.loads(BASELINE.read_text())
        lacking = [{**entry, "outcome": "lacking"} for entry in tables["lacking"]]
        self._entries = [*lacking, *tables["inapplicable"]]

    def find(self, run, scenario):
        """The first entry with the scenario, and the name or pattern that matches it, or `None`."""
        for entry in self._of(run):
            for name in entry["scenarios"]:
                if fnmatchcase(scenario, name):
                    return entry, name
        return None

    def unused_names(self, run, scenarios):
        """Names in the baseline that match no scenario of a run."""
        names = {name for entry in self._of(run) for name in entry["scenarios"]}
        return sorted(name for name in names if not any(fnmatchcase(scenario, name) for scenario in scenarios))

    def _of(self, run):
        return [entry for entry in self._entries if any(fnmatchcase(run, name) for name in entry["runs"])]
