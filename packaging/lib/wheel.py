"""The Python wheel: pip, pipx and uv put its executable where they put commands.

`uvx PACKAGE` starts the command that is named as the package, so there is one that starts the executable.
"""

import base64
import hashlib

from . import project
from .project import ROOT, File, copy

# `sentinel-gateway` is another project's on PyPI.
PACKAGE = "sentinel-gateway-mcp"
MODULE = PACKAGE.replace("-", "_")


def tag(binary):
    """The platform tag: the oldest system that runs the executable."""
    if binary.os == "linux":
        if binary.glibc:
            return "manylinux_%d_%d_%s" % (*binary.glibc, binary.arch)
        return f"manylinux_2_17_{binary.arch}.musllinux_1_1_{binary.arch}"
    if binary.os == "macos":
        return "macosx_11_0_arm64" if binary.arch == "aarch64" else "macosx_10_12_x86_64"
    return "win_amd64" if binary.arch == "x86_64" else "win_arm64"


def build(facts, binary, out):
    base = f"{MODULE}-{facts.version}"
    info = f"{base}.dist-info"
    tags = "".join(f"Tag: py3-none-{part}\n" for part in tag(binary).split("."))
    wheel = f"Wheel-Version: 1.0\nGenerator: packaging/build\nRoot-Is-Purelib: false\n{tags}"
    files = [copy(f"{base}.data/scripts/{binary.file_name}", binary.path, run=True)]
    files += [File(f"{info}/licenses/{file.place}", file.data) for file in project.licences(binary)]
    files.append(copy(f"{MODULE}/__init__.py", ROOT / "packaging/wheel/__init__.py"))
    command = f"[console_scripts]\n{PACKAGE} = {MODULE}:main\n"
    files.append(File(f"{info}/entry_points.txt", command.encode()))
    files += [File(f"{info}/METADATA", metadata(facts, binary)), File(f"{info}/WHEEL", wheel.encode())]
    record = "".join(f"{file.place},sha256={digest(file.data)},{len(file.data)}\n" for file in files)
    files.append(File(f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode()))
    path = out / f"{base}-py3-none-{tag(binary)}.whl"
    project.write_zip(path, files)
    return [path]


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def metadata(facts, binary):
    head = [
        "Metadata-Version: 2.4",
        f"Name: {PACKAGE}",
        f"Version: {facts.version}",
        f"Summary: {facts.description}",
        "License-Expression: MIT OR Apache-2.0",
        *(f"License-File: {file.place}" for file in project.licences(binary)),
        f"Project-URL: Source, {facts.url}",
        "Requires-Python: >=3.8",
        "Description-Content-Type: text/markdown",
    ]
    body = project.package_readme(facts, f"uv tool install {PACKAGE}")
    return "\n".join(head).encode() + b"\n\n" + body
