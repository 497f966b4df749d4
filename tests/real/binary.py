"""Builds with cargo: the gateway's binary, and other targets of this repository."""

import os
from pathlib import Path

from processes import Failure, Process

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def gateway_binary(logs):
    """The binary that SENTINEL_BIN names, else the release build of this repository."""
    chosen = os.environ.get("SENTINEL_BIN")
    if chosen:
        binary = Path(chosen).resolve()
    else:
        command = ["cargo", "build", "--locked", "--release", "--bin", "sentinel-gateway"]
        build("the release binary", command, logs / "cargo.log")
        binary = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "sentinel-gateway"
    if not os.access(binary, os.X_OK):
        raise Failure(f"{binary} is not an executable file")
    return binary


def build(what, command, log):
    """Builds with cargo. A failure contains the end of cargo's output."""
    print(f"building {what}", flush=True)
    with Process("cargo", command, log, cwd=REPOSITORY) as cargo:
        code = cargo.wait()
    if code != 0:
        raise Failure(f"`{' '.join(command)}` ended with {code}:\n{cargo.log_tail(60)}")
