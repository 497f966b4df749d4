"""The pinned releases that the run tests with, installed outside the source tree.

Owns the cache folder. A stamp file, written last, marks a complete installation of exactly these versions. An
installation without its stamp is removed and made again.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from processes import Failure, Process

HERE = Path(__file__).resolve().parent
SQLITE_REQUIREMENTS = HERE / "requirements.txt"
SDK_REQUIREMENTS = HERE / "peers" / "requirements.txt"
TYPESCRIPT_PACKAGES = HERE / "peers" / "package.json"
CATALOG_PACKAGES = HERE / "catalog" / "package.json"
SIGN_IN_PACKAGES = HERE / "sign_in" / "package.json"
NODE = "24.21.0"
N8N = "2.40.5"
QUIET = ["--no-audit", "--no-fund"]
NO_SCRIPTS = "--ignore-scripts"


class Installed(NamedTuple):
    """The folders of the installed programs, and their Node."""

    python: Path
    sdk: Path
    typescript: Path
    catalog: Path
    sign_in: Path
    n8n: Path

    @property
    def node(self):
        return node_programs(self.n8n) / "node"


def cache_folder(of="real"):
    """The folder for the installations of one kind of run: SENTINEL_<NAME>_CACHE, or in the user's cache folder."""
    chosen = os.environ.get(f"SENTINEL_{of.upper()}_CACHE")
    if chosen:
        return Path(chosen).resolve()
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / f"sentinel-gateway-{of}"


def install_all(cache):
    """Installs what is missing: the SQLite server, the official SDKs with their servers, those of `catalog/` and `sign_in/`, n8n, Node."""
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        return Installed(
            python=install_python(cache, "python", SQLITE_REQUIREMENTS),
            sdk=install_python(cache, "python-sdk", SDK_REQUIREMENTS),
            typescript=install_node(cache, "typescript", TYPESCRIPT_PACKAGES),
            catalog=install_node(cache, "catalog", CATALOG_PACKAGES),
            sign_in=install_node(cache, "sign-in", SIGN_IN_PACKAGES),
            n8n=install_once(cache, "n8n", n8n_versions(), "4 to 10 minutes, 2.3 GB", install_n8n),
        )


def n8n_environment(folder):
    """The environment in which the n8n of this folder finds its Node."""
    n8n = folder / "n8n" / "node_modules" / ".bin"
    return {**os.environ, "PATH": os.pathsep.join([str(node_programs(folder)), str(n8n), os.environ["PATH"]])}


def node_programs(n8n):
    return n8n / "node" / "node_modules" / "node" / "bin"


def n8n_versions():
    return f"node {NODE}\nn8n {N8N}\nplatform {sys.platform} {os.uname().machine}\n"


def install_python(cache, name, requirements):
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    versions = f"requirements {digest}\npython {sys.version} at {sys.base_prefix}\n"

    def install(step, folder):
        step([sys.executable, "-m", "venv", folder], folder)
        step([folder / "bin" / "python", "-m", "pip", "install", "-r", requirements], folder)

    return install_once(cache, name, versions, "half a minute", install)


def install_node(cache, name, packages):
    def install(step, folder):
        shutil.copy(packages, folder)
        step(["npm", "install", NO_SCRIPTS, *QUIET], folder)

    return install_once(cache, name, packages.read_text(), "some seconds", install)


def install_once(cache, name, versions, duration, install):
    """Runs `install(step, folder)` unless the stamp shows a complete installation of these versions."""
    folder = cache / name
    stamp = folder / "installed"
    if stamp.is_file() and stamp.read_text() == versions:
        return folder

    log = cache / f"{name}-install.log"
    print(f"installing {name} into {folder} (once, {duration}; log: {log})", flush=True)
    stamp.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()

    began = time.monotonic()
    install(lambda *step: run_step(log, *step), folder)
    stamp.write_text(versions)
    print(f"installed {name} in {time.monotonic() - began:.0f} s", flush=True)
    return folder


def install_n8n(step, folder):
    """n8n needs a newer Node than most machines have, so Node is installed too, with a sqlite3 built for it.

    Both have their own folder, since npm would remove Node's headers when it installs n8n beside them.
    """
    node, n8n = folder / "node", folder / "n8n"
    for project in (node, n8n):
        project.mkdir()
        (project / "package.json").write_text('{"private": true}\n')

    step(["npm", "install", f"node@{NODE}", *QUIET], node)
    env = n8n_environment(folder)
    env["npm_config_nodedir"] = str(node_headers(node))
    lean = [NO_SCRIPTS, "--legacy-peer-deps", "--omit=optional"]
    step(["npm", "install", f"n8n@{N8N}", *lean, *QUIET], n8n, env)
    step(["npm", "rebuild", "sqlite3"], n8n, {**env, "npm_config_build_from_source": "true"})


def node_headers(project):
    """The platform package of the npm package `node`, which contains Node's C headers."""
    modules = project / "node_modules"
    for found in [*modules.glob("node/node_modules/node-*"), *modules.glob("node-*")]:
        if (found / "include" / "node").is_dir():
            return found
    raise Failure(f"the npm package node@{NODE} has no headers")


def run_step(log, command, folder, env=None):
    try:
        with Process(command[0], command, log, env=env, cwd=folder) as step:
            code = step.wait()
    except FileNotFoundError:
        raise Failure(f"{command[0]} is needed to install the real servers, and isn't on the PATH") from None
    if code != 0:
        line = " ".join(str(part) for part in command)
        raise Failure(f"`{line}` ended with {code}; the end of {log}:\n{step.log_tail()}")


@contextmanager
def locked(path):
    """Locks the cache: a second run waits until the first has finished its installation."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    install_all(cache_folder())
