"""The Debian package, made by dpkg-deb: executable, man pages, completions, and an example config."""

import email.utils
import gzip
import shutil

from . import project
from .project import NAME, ROOT, File, copy

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LIBRARIES = {"libgcc_s.so.1": "libgcc-s1"}


def build(facts, binary, out):
    if binary.os != "linux":
        project.fail("a Debian package needs an executable for Linux")
    if shutil.which("dpkg-deb") is None:
        project.fail("dpkg-deb is missing; Debian and Ubuntu have it in the package dpkg")
    architecture = ARCHITECTURES[binary.arch]
    files = contents(facts, binary)
    size = sum(len(file.data) for file in files) // 1024 + 1
    folder = out / "deb"
    shutil.rmtree(folder, ignore_errors=True)
    project.write_folder(folder, files + [File("DEBIAN/control", control(facts, binary, architecture, size))])
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    path = out / f"{NAME}_{facts.version}-1_{architecture}.deb"
    project.run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", folder, path, stdout=-3)
    shutil.rmtree(folder)
    return [path]


def maintainer(facts):
    return f"{facts.owner} <{facts.owner}@users.noreply.github.com>"


def control(facts, binary, architecture, size):
    lines = [
        f"Package: {NAME}",
        f"Version: {facts.version}-1",
        f"Architecture: {architecture}",
        f"Maintainer: {maintainer(facts)}",
        f"Installed-Size: {size}",
        "Section: net",
        "Priority: optional",
        f"Homepage: {facts.url}",
        "Recommends: ca-certificates",
        f"Description: {facts.description}",
        " A client starts it and talks to it over stdin and stdout. It connects to any",
        " number of MCP servers over HTTP, and merges their tools, prompts and resources",
        " into one catalog.",
    ]
    if binary.glibc:
        depends = ["libc6 (>= %d.%d)" % binary.glibc]
        depends += [package for library, package in LIBRARIES.items() if library in binary.needs]
        lines.insert(5, f"Depends: {', '.join(depends)}")
    return ("\n".join(lines) + "\n").encode()


def contents(facts, binary):
    doc = f"usr/share/doc/{NAME}"
    changes = gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), 9, mtime=0)
    when = email.utils.formatdate(project.epoch())
    history = (
        f"{NAME} ({facts.version}-1) stable; urgency=medium\n\n  * Release {facts.version}: see changelog.gz.\n\n"
        f" -- {maintainer(facts)}  {when}\n"
    )
    licence = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        f"Upstream-Name: {NAME}\nSource: {facts.url}\n\n"
        "Files: *\nCopyright: (c) The Sentinel Gateway authors\nLicense: MIT or Apache-2.0\n"
        f" Apache-2.0 is in /usr/share/common-licenses/Apache-2.0, MIT in /{doc}/LICENSE-MIT.\n"
    )
    files = [
        copy(f"usr/bin/{NAME}", binary.path, run=True),
        copy(f"{doc}/README.md", ROOT / "README.md"),
        copy(f"{doc}/examples/sentinel.toml", ROOT / "sentinel.toml"),
        File(f"{doc}/changelog.gz", changes),
        File(f"{doc}/changelog.Debian.gz", gzip.compress(history.encode(), 9, mtime=0)),
        File(f"{doc}/copyright", licence.encode()),
    ]
    for file in project.licences(binary):
        if file.place != "LICENSE-APACHE":  # Debian has it
            files.append(File(f"{doc}/{file.place}", file.data))
    shell = project.shell_files()
    for page in sorted((shell / "man").iterdir()):
        files.append(File(f"usr/share/man/man1/{page.name}.gz", gzip.compress(page.read_bytes(), 9, mtime=0)))
    completions = shell / "completions"
    return files + [
        copy(f"usr/share/bash-completion/completions/{NAME}", completions / f"{NAME}.bash"),
        copy(f"usr/share/zsh/vendor-completions/_{NAME}", completions / f"_{NAME}"),
        copy(f"usr/share/fish/vendor_completions.d/{NAME}.fish", completions / f"{NAME}.fish"),
    ]
