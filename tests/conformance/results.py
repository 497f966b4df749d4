"""What the suite found: its result files read, and each scenario judged against the baseline.

A scenario passes when a check of it succeeded and none failed or warned. The baseline lists those that say nothing of
the gateway, each with the reason and its outcome; one with another outcome is out of place there.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

BASELINE = Path(__file__).resolve().parent / "baseline.toml"
# A check of the messages' form, which also succeeds where a scenario found nothing to test.
FORM = "wire-schema-valid"
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
        """Why it did not pass; nothing if it did."""
        bad = [check for check in self.checks if check["status"] in BAD]
        if bad:
            more = f" (and {len(bad) - 1} more checks)" if len(bad) > 1 else ""
            return f"{bad[0]['id']}: {bad[0].get('errorMessage') or bad[0]['description']}{more}"
        if not any(check["status"] == "SUCCESS" and check["id"] != FORM for check in self.checks):
            return "it tested nothing"
        return None if self.client_finished else "the client did not come to its end"


def read_scenarios(folder, side, required):
    """The scenarios of one run, by the folders that the suite left; a required one that left none tested nothing."""
    found = {name: Scenario(name, [], True) for name in required}
    for file in sorted(folder.rglob("checks.json")):
        place = str(file.parent.relative_to(folder))
        name = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", place)
        said = file.parent / "stdout.txt"
        finished = side == "server" or said.read_text().endswith("done\n")
        name = name.removeprefix("server-") if side == "server" else name
        found[name] = Scenario(name, json.loads(file.read_text()), finished)
    return list(found.values())


class Baseline:
    """The scenarios that don't apply, with the reason and the outcome that each has nevertheless."""

    def __init__(self):
        self._entries = tomllib.loads(BASELINE.read_text())["inapplicable"]

    def find(self, run, scenario):
        """The first entry about the scenario, and the name or pattern by which it is; or nothing."""
        for entry in self._of(run):
            for name in entry["scenarios"]:
                if fnmatchcase(scenario, name):
                    return entry, name
        return None

    def idle_names(self, run, scenarios):
        """Names in the baseline that fit none of the scenarios of a run."""
        names = {name for entry in self._of(run) for name in entry["scenarios"]}
        return sorted(name for name in names if not any(fnmatchcase(scenario, name) for scenario in scenarios))

    def _of(self, run):
        return [entry for entry in self._entries if any(fnmatchcase(run, name) for name in entry["runs"])]
