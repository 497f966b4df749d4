"""What all groups of checks use: the report of the run, and the gateways of one binary.

It must not know the servers: a backend has a name, a URL and settings for its entry in the config.
"""

from contextlib import contextmanager

from driver import Gateway
from modern import ModernGateway
from processes import Failure


class Report:
    """Counts the checks and prints each."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    @contextmanager
    def check(self, name):
        try:
            yield
        except Exception as error:
            why = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
            self.fail(name, why)
        else:
            self.passed += 1
            print(f"ok {name}", flush=True)

    def fail(self, name, why):
        self.failed += 1
        print(f"FAILED {name}: {why}", flush=True)


class Gateways:
    """Starts gateways of one binary, each with a config and a log in the folder of the run."""

    def __init__(self, binary, logs):
        self.binary = binary
        self.logs = logs

    def legacy(self, name, *backends, **settings):
        """A gateway with a legacy client."""
        return Gateway(self.binary, self.config(name, *backends, **settings), self.logs / f"gateway-{name}.log")

    def modern(self, name, *backends, **settings):
        """A gateway with a modern client."""
        return ModernGateway(self.binary, self.config(name, *backends, **settings), self.logs / f"gateway-{name}.log")

    def config(self, name, *backends, **settings):
        """Writes a config with an entry for each backend; `settings` are added to all entries."""
        path = self.logs / f"{name}.toml"
        path.write_text("\n".join(entry(backend, settings) for backend in backends))
        return path


def entry(backend, settings):
    written = {"name": f'"{backend.name}"', "url": f'"{backend.url}"', **backend.settings, **settings}
    return "[[backends]]\n" + "".join(f"{key} = {value}\n" for key, value in written.items())
