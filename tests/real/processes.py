"""Processes of the run: each in its own process group, with a log, and ended by its id.

It must not know MCP. `Process` is a context manager that stops the whole process group.
"""

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path


class Failure(Exception):
    """The reason of a failed check."""


def wait_until(what, condition, seconds):
    """Polls until `condition()` is true and returns its value; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def free_port():
    """A free port of 127.0.0.1, below the range of ephemeral ports."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def is_listening(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """One program in its own process group, its output in a log file."""

    def __init__(self, name, command, log, env=None, cwd=None, **pipes):
        self.name = name
        self.log = Path(log)
        with open(self.log, "ab") as sink:
            pipes.setdefault("stdin", subprocess.DEVNULL)
            pipes.setdefault("stdout", sink)
            pipes.setdefault("stderr", sink)
            self.popen = subprocess.Popen(
                [str(part) for part in command], env=env, cwd=cwd, start_new_session=True, **pipes
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.popen.pid

    def is_running(self):
        return self.popen.poll() is None

    def wait(self, seconds=None):
        return self.popen.wait(seconds)

    def stop(self, grace=10):
        """Sends SIGTERM to the group, and SIGKILL after `grace` seconds."""
        self._signal(signal.SIGTERM)
        try:
            self.popen.wait(grace)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self):
        """Sends SIGKILL to the group, to simulate a crash."""
        self._signal(signal.SIGKILL)
        self.popen.wait()

    def log_tail(self, lines=15):
        text = self.log.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _signal(self, number):
        try:
            os.killpg(self.popen.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # the group is gone
