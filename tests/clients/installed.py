"""The pinned releases of the clients, installed from npm outside the source tree.

As a program it installs them and builds the gateway, and prints the path of the gateway's binary alone on stdout.
"""

import shutil
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "real"))

from binary import gateway_binary  # noqa: E402
from install import NO_SCRIPTS, QUIET, cache_folder, install_once, locked  # noqa: E402
from processes import Failure  # noqa: E402

PACKAGES = HERE / "package.json"


def installed_clients():
    """The folder `node_modules` of the clients. Installs them unless they are there in these versions."""
    cache = cache_folder("clients")
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        return install_once(cache, "npm", PACKAGES.read_text(), "half a minute, 1.5 GB", install) / "node_modules"


def install(step, folder):
    """Installs without scripts: those would only copy the programs of the platform's packages."""
    shutil.copy(PACKAGES, folder)
    step(["npm", "install", NO_SCRIPTS, *QUIET], folder)


def program(modules, *patterns):
    """The program of the first pattern with a match below `modules`: the packages' names have the platform in them."""
    for pattern in patterns:
        found = [path for path in modules.glob(pattern) if path.is_file()]
        if found:
            return min(found)
    raise Failure(f"no program is at {' or '.join(patterns)} in {modules}")


def main():
    with tempfile.TemporaryDirectory(prefix="clients-") as logs, redirect_stdout(sys.stderr):
        try:
            installed_clients()
            binary = gateway_binary(Path(logs))
        except Failure as failure:
            sys.exit(f"{failure}")
    print(binary)


if __name__ == "__main__":
    main()
