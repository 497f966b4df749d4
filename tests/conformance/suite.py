"""The conformance suite as a program: what a revision has scenarios for, and running them.

Knows nothing of the gateway. What the suite finds lies in the folder given; what it says, in a log.
"""

import os

from processes import Process, wait_until

SECONDS_A_RUN = 180
SECONDS_A_SCENARIO = 60
AT_ONCE = 3


class Suite:
    def __init__(self, node, package, folder):
        self._command = [node, package / "dist" / "index.js"]
        self._requirements = package / "requirements"
        self._folder = folder

    def required(self, revision, side):
        """The scenarios that an implementation of the revision must pass."""
        return [name for section, name in self._listed(revision) if section == side]

    def all(self, revision, side):
        """Those, and the ones that the suite runs without counting them."""
        return [name for section, name in self._listed(revision) if section in (side, f"not_scored {side}")]

    def run(self, name, arguments):
        """Runs the suite once."""
        self._run_all(name, [arguments], {}, SECONDS_A_RUN)

    def run_each(self, name, scenarios, arguments, env):
        """Runs the suite once a scenario, some of them side by side.

        By itself it starts all at once, which is more than a small machine can do within the suite's patience.
        """
        each = [[*arguments, "--scenario", scenario, "--force"] for scenario in scenarios]
        self._run_all(name, each, env, SECONDS_A_SCENARIO)

    def _run_all(self, name, waiting, env, seconds):
        running, waiting = [], list(waiting)
        try:
            while running or waiting:
                while waiting and len(running) < AT_ONCE:
                    running.append(self._start(name, waiting.pop(0), env))
                wait_until(f"{name} to come to an end", lambda: not all(each.is_running() for each in running), seconds)
                running = [each for each in running if each.is_running()]
        finally:
            for each in running:
                each.stop()

    def _start(self, name, arguments, env):
        log = self._folder / f"{name}.log"
        return Process("the suite", [*self._command, *arguments], log, env={**os.environ, **env}, cwd=self._folder)

    def _listed(self, revision):
        """Sections and names out of the suite's own list, of whose format only the lines that matter are known."""
        section, name = None, None
        for line in (self._requirements / f"{revision}.yaml").read_text().splitlines():
            word = line.rpartition(" ")[2]
            if line[:1].isalpha():
                section = line.rstrip(":")
            elif line.startswith("  - scenario: "):
                name = word
            elif line.startswith("    leg: "):
                yield f"{section} {word}", name
            elif line.startswith("  - "):
                yield section, word
