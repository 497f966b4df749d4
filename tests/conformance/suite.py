"""The conformance suite as a program: the scenarios of a revision, and how to run them.

It must not know the gateway. Results are written to the given folder, the output to a log.
"""

import os

from processes import Process, wait_until

SECONDS_A_RUN = 180
SECONDS_A_SCENARIO = 60
PARALLEL_SCENARIOS = 3


class Suite:
    def __init__(self, node, package, folder):
        self._command = [node, package / "dist" / "index.js"]
        self._requirements = package / "requirements"
        self._folder = folder

    def required(self, revision, side):
        """The scenarios that an implementation of the revision must pass."""
        return [name for section, name in self._listed(revision) if section == side]

    def all(self, revision, side):
        """The required scenarios, and those that the suite runs but doesn't score."""
        return [name for section, name in self._listed(revision) if section in (side, f"not_scored {side}")]

    def run(self, name, arguments):
        """Runs the suite once."""
        self._run_all(name, [arguments], {}, SECONDS_A_RUN)

    def run_each(self, name, scenarios, arguments, env):
        """Runs the suite once for each scenario, some of them in parallel.

        The suite itself starts all in parallel, which on a small machine exceeds its timeouts.
        """
        each = [[*arguments, "--scenario", scenario, "--force"] for scenario in scenarios]
        self._run_all(name, each, env, SECONDS_A_SCENARIO)

    def _run_all(self, name, waiting, env, seconds):
        running, waiting = [], list(waiting)
        try:
            while running or waiting:
                while waiting and len(running) < PARALLEL_SCENARIOS:
                    running.append(self._start(name, waiting.pop(0), env))
                wait_until(f"{name} to end", lambda: not all(each.is_running() for each in running), seconds)
                running = [each for each in running if each.is_running()]
        finally:
            for each in running:
                each.stop()

    def _start(self, name, arguments, env):
        log = self._folder / f"{name}.log"
        return Process("the suite", [*self._command, *arguments], log, env={**os.environ, **env}, cwd=self._folder)

    def _listed(self, revision):
        """Sections and names from the suite's list of requirements. Only the relevant lines are parsed."""
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
