"""The container image, in an OCI archive: the executable, the roots of public CAs, and nothing else.

A dynamic executable brings the C library of the machine that builds the image, which must be of its processor.
"""

import re
import shutil
from pathlib import Path

from . import project
from .project import NAME, copy

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")
BUILDAH = ["buildah", "--storage-driver", "vfs"]
# The folder that users mount: sentinel.toml, and sentinel.lock beside it.
CONFIG = "/config"


def build(facts, binary, out):
    if binary.os != "linux":
        project.fail("an image needs an executable for Linux")
    if shutil.which("buildah") is None:
        project.fail("buildah is missing; Debian and Ubuntu have it in the package buildah")
    if not ROOTS.is_file():
        project.fail(f"{ROOTS} is missing; Debian and Ubuntu have it in the package ca-certificates")
    root = out / "image"
    shutil.rmtree(root, ignore_errors=True)
    files = [copy(NAME, binary.path, run=True), copy(str(ROOTS)[1:], ROOTS)]
    files += [project.File(f"licenses/{file.place}", file.data) for file in project.licences(binary)]
    if binary.glibc:
        libraries = re.findall(r"(/\S+) \(0x", project.output("ldd", binary.path))
        files += [copy(library.lstrip("/"), library, run=True) for library in libraries]
    project.write_folder(root, files)
    path = out / f"{NAME}-{facts.version}-{binary.target}.oci.tar"
    path.unlink(missing_ok=True)
    commit(facts, binary, root, path)
    shutil.rmtree(root)
    return [path]


def commit(facts, binary, root, path):
    container = project.output(*BUILDAH, "from", "scratch").strip()
    labels = {
        "org.opencontainers.image.title": project.TITLE,
        "org.opencontainers.image.description": facts.description,
        "org.opencontainers.image.version": facts.version,
        "org.opencontainers.image.source": facts.url,
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "io.modelcontextprotocol.server.name": facts.registry_name,
    }
    try:
        project.run(*BUILDAH, "copy", "--quiet", container, root, "/", stdout=-3)
        options = [option for name, value in labels.items() for option in ("--label", f"{name}={value}")]
        options += ["--entrypoint", f'["/{NAME}"]', "--user", "65532:65532", "--arch", ARCHITECTURES[binary.arch]]
        options += ["--env", f"SENTINEL_CONFIG={CONFIG}/sentinel.toml", "--env", "HOME=/tmp"]
        project.run(*BUILDAH, "config", *options, container)
        how = ["--timestamp", project.epoch(), "--disable-compression=false", "--quiet"]
        project.run(*BUILDAH, "commit", *how, container, f"oci-archive:{path}", stdout=-3)
    finally:
        project.run(*BUILDAH, "rm", container, stdout=-3)
