"""What every package is made from: the project's facts, the executable, and the files that go along.

Knows nothing of any kind of package.
"""

import functools
import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "sentinel-gateway"
TITLE = "Sentinel Gateway"


def fail(message):
    """Ends the program with a message for people."""
    sys.exit(f"packaging: {message}")


def run(*command, **options):
    """Runs a program, and ends this one if it fails."""
    command = [str(part) for part in command]
    if subprocess.run(command, **options).returncode != 0:
        fail(f"this failed: {' '.join(command)}")


def output(*command, **options):
    """What a program prints to stdout."""
    return subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, **options
    ).stdout


@dataclass(frozen=True)
class Project:
    """Facts of Cargo.toml, and where the project lives."""

    version: str
    description: str
    repository: str

    @property
    def owner(self):
        return self.repository.split("/")[0]

    @property
    def url(self):
        return f"https://github.com/{self.repository}"

    @property
    def registry_name(self):
        """The name in the MCP registry; a GitHub account owns the names below `io.github.ACCOUNT`."""
        return f"io.github.{self.owner}/{NAME}"


def project():
    text = (ROOT / "Cargo.toml").read_text("utf-8")

    def fact(key):
        return re.search(rf'^{key} = "(.*)"$', text, re.M).group(1)

    repository = os.environ.get("SENTINEL_REPOSITORY") or (ROOT / "packaging/repository").read_text("utf-8").strip()
    if not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", repository):
        fail(f"SENTINEL_REPOSITORY is {repository!r}; it must be OWNER/REPOSITORY")
    return Project(fact("version"), fact("description"), repository)


@functools.cache
def epoch():
    """The time that all files in packages get, in seconds: the same commit gives the same bytes."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or output("git", "log", "-1", "--format=%ct", cwd=ROOT))


@dataclass(frozen=True)
class Executable:
    """A built executable and what it runs on, read from the file itself."""

    path: Path
    os: str  # linux, macos, windows
    arch: str  # x86_64, aarch64
    glibc: tuple | None  # the oldest glibc that has all it needs, as (2, 34); None if it needs none
    needs: frozenset  # shared libraries of a dynamic Linux executable

    @property
    def target(self):
        """A name for file names, such as `linux-x86_64`."""
        static = "-static" if self.os == "linux" and self.glibc is None else ""
        return f"{self.os}-{self.arch}{static}"

    @property
    def triple(self):
        """Rust's name of the target; the C library makes no difference to what is asked by it."""
        vendor = {"linux": "unknown-linux-gnu", "macos": "apple-darwin", "windows": "pc-windows-msvc"}
        return f"{self.arch}-{vendor[self.os]}"

    @property
    def file_name(self):
        return NAME + (".exe" if self.os == "windows" else "")


def executable(path):
    path = Path(path).resolve()
    if not path.is_file():
        fail(f"there is no executable at {path}: build it, or leave out --binary and SENTINEL_BIN")
    data = path.read_bytes()
    if data[:4] == b"\x7fELF":
        return elf(path, data)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        arch = {0x01000007: "x86_64", 0x0100000C: "aarch64"}.get(struct.unpack_from("<I", data, 4)[0])
        system = "macos"
    elif data[:2] == b"MZ":
        header = struct.unpack_from("<I", data, 0x3C)[0]
        arch = {0x8664: "x86_64", 0xAA64: "aarch64"}.get(struct.unpack_from("<H", data, header + 4)[0])
        system = "windows"
    else:
        fail(f"{path} is no executable of Linux, macOS or Windows")
    return Executable(path, system, arch or fail(f"{path} is for an unknown processor"), None, frozenset())


def elf(path, data):
    arch = {62: "x86_64", 183: "aarch64"}.get(struct.unpack_from("<H", data, 18)[0])
    if data[4] != 2 or arch is None:
        fail(f"{path} is for a processor that no package is made for")
    start = struct.unpack_from("<Q", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 54)
    types = {struct.unpack_from("<I", data, start + number * size)[0] for number in range(count)}
    interpreter = 3  # PT_INTERP: only a dynamic executable has one
    if interpreter not in types:
        return Executable(path, "linux", arch, None, frozenset())
    versions = [(int(a), int(b)) for a, b in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", data)]
    if not versions:
        fail(f"{path} is dynamic and not for glibc; a static one is needed for other C libraries")
    needs = frozenset(name.decode() for name in re.findall(rb"\0(lib[a-z_-]+\.so\.\d+)(?=\0)", data))
    return Executable(path, "linux", arch, max(versions), needs)


def release_build():
    """Builds the release as the gate does."""
    run("cargo", "build", "--release", "--locked", cwd=ROOT)
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return Path(target) / "release" / (NAME + (".exe" if os.name == "nt" else ""))


@functools.cache
def shell_files():
    """The folder with man pages and completions, freshly made."""
    folder = ROOT / "target/packages/shell"
    run("cargo", "run", "--quiet", "--locked", "--example", "shell_files", "--", folder, cwd=ROOT)
    return folder


def package_readme(facts, install):
    """The page that a registry shows; npm's and PyPI's entries are recognized by the name at its end."""
    page = (ROOT / "packaging/README.package.md").read_text("utf-8")
    page = page.replace("INSTALL", install).replace("SOURCE", f"{facts.url}/blob/v{facts.version}")
    return f"{page}\n<!-- mcp-name: {facts.registry_name} -->\n".encode()


@dataclass(frozen=True)
class File:
    """A file of a package: its place there, its contents, and whether it can be run."""

    place: str
    data: bytes
    run: bool = False

    @property
    def mode(self):
        return 0o755 if self.run else 0o644


def copy(place, source, run=False):
    return File(place, Path(source).read_bytes(), run)


def own_licences():
    return [copy(name, ROOT / name) for name in ("LICENSE-APACHE", "LICENSE-MIT")]


@functools.cache
def licences(binary):
    """Our licences, and those of every crate that is linked into the executable, which ask to go along."""
    metadata = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={binary.triple}"]
    graph = json.loads(output(*metadata, cwd=ROOT))
    crates = {crate["id"]: crate for crate in graph["packages"]}
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    linked, waiting = set(), [graph["resolve"]["root"]]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in linked:
                linked.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    texts = {}
    for crate in sorted((crates[one] for one in linked), key=lambda crate: (crate["name"], crate["version"])):
        name = f"{crate['name']} {crate['version']} ({crate['license']})"
        for path in sorted(Path(crate["manifest_path"]).parent.iterdir()):
            if re.match(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", path.name, re.I) and path.is_file():
                texts.setdefault(path.read_text("utf-8", "replace").strip(), []).append(name)
        if not any(name in names for names in texts.values()):
            texts.setdefault("(This crate has no file with the text of its licence.)", []).append(name)
    parts = ["\n".join(names) + "\n\n" + text for text, names in texts.items()]
    others = f"\n\n{'=' * 80}\n\n".join(parts) + "\n"
    return [*own_licences(), File("LICENSES-OF-CRATES", others.encode())]


def write_folder(folder, files):
    for file in files:
        path = folder / file.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode)
        os.utime(path, (epoch(), epoch()))


def write_tar_gz(path, files):
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=epoch()) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for file in sorted(files, key=lambda file: file.place):
                entry = tarfile.TarInfo(file.place)
                entry.size, entry.mode, entry.mtime = len(file.data), file.mode, epoch()
                archive.addfile(entry, io.BytesIO(file.data))


def write_zip(path, files):
    stamp = time.gmtime(epoch())[:6]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.place, stamp)
            entry.external_attr = (0o100000 | file.mode) << 16
            entry.create_system = 3  # Unix: the mode above counts
            archive.writestr(entry, file.data, zipfile.ZIP_DEFLATED, 9)
