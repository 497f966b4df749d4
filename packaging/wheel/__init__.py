"""Starts the executable that this package brings."""

import os
import subprocess
import sys
import sysconfig


def main():
    name = "sentinel-gateway.exe" if os.name == "nt" else "sentinel-gateway"
    folders = [os.path.dirname(os.path.realpath(sys.argv[0])), sysconfig.get_path("scripts")]
    paths = [os.path.join(folder, name) for folder in folders]
    path = next((path for path in paths if os.path.isfile(path)), None)
    if path is None:
        sys.exit(f"sentinel-gateway-mcp: {name} is missing in {' and '.join(folders)}; install the package again")
    if os.name == "nt":
        sys.exit(subprocess.call([path, *sys.argv[1:]]))
    os.execv(path, [path, *sys.argv[1:]])
