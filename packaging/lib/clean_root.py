"""A root folder with nothing but the C library in it, into which a package is installed as into a new system.

Needs root, as chroot does.
"""

import os
import re
import shutil
import stat
from pathlib import Path

from . import project

DEVICES = {"null": (1, 3), "urandom": (1, 9)}


def make(root, binary):
    """Fills `root` with the loader and the libraries that the executable names."""
    if os.geteuid() != 0:
        project.fail("a package is tried in a chroot: run this as root")
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("dev", "home", "tmp", "var/lib/dpkg/info", "var/lib/dpkg/updates"):
        (root / folder).mkdir(parents=True)
    for name, numbers in DEVICES.items():
        os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(*numbers))
    if binary.glibc:
        for path in re.findall(r"(/\S+) \(0x", project.output("ldd", binary.path)):
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(path).resolve(), target)


def install_deb(root, package):
    """Installs with dpkg. The dependencies must be among the packages of this system that hold the libraries."""
    control = project.output("dpkg-deb", "-f", package, "Depends")
    names = re.findall(r"^[a-z0-9.+-]+|(?<=, )[a-z0-9.+-]+", control)
    database = root / "var/lib/dpkg"
    (database / "status").write_text("".join(project.output("dpkg-query", "-s", name) + "\n" for name in names))
    architecture = project.output("dpkg", "--print-architecture").strip()
    for name in names:
        (database / f"info/{name}:{architecture}.list").touch()
    project.run("dpkg", f"--root={root}", "--install", package, stdout=-3)
