"""The npm packages: one for each platform with its executable, and the main one, which starts the right of them."""

import json

from . import project
from .project import NAME, ROOT, File, copy

# Executables by npm's names of system and processor. Those for Linux need glibc: `libc` keeps others from getting them.
PLATFORMS = {
    ("linux", "x86_64"): "linux-x64",
    ("linux", "aarch64"): "linux-arm64",
    ("macos", "x86_64"): "darwin-x64",
    ("macos", "aarch64"): "darwin-arm64",
    ("windows", "x86_64"): "win32-x64",
}


def scope(facts):
    return f"@{facts.owner.lower()}"


def build(facts, binary, out):
    platform = PLATFORMS.get((binary.os, binary.arch)) or project.fail(f"npm has no package for {binary.target}")
    return [main_package(facts, out), platform_package(facts, binary, platform, out)]


def platform_package(facts, binary, platform, out):
    system, processor = platform.split("-")
    manifest = common(facts, f"{NAME}-{platform}") | {"os": [system], "cpu": [processor], "files": ["bin"]}
    if binary.glibc:
        manifest["libc"] = ["glibc"]
    about = f"The executable of {scope(facts)}/{NAME} for {platform}. Install that package instead.\n"
    files = [copy(f"bin/{binary.file_name}", binary.path, run=True), File("README.md", about.encode())]
    return pack(manifest, files + project.licences(binary), out)


def main_package(facts, out):
    manifest = common(facts, NAME) | {
        "mcpName": facts.registry_name,
        "bin": {NAME: "launcher.js"},
        "files": ["launcher.js"],
        "engines": {"node": ">=18"},
        "optionalDependencies": {
            f"{scope(facts)}/{NAME}-{platform}": facts.version for platform in PLATFORMS.values()
        },
    }
    launcher = (ROOT / "packaging/npm/launcher.js").read_text("utf-8")
    readme = project.package_readme(facts, f"npm install --global {scope(facts)}/{NAME}")
    files = [File("launcher.js", launcher.encode(), run=True), File("README.md", readme)]
    return pack(manifest, files + project.own_licences(), out)


def common(facts, name):
    return {
        "name": f"{scope(facts)}/{name}",
        "version": facts.version,
        "description": facts.description,
        "license": "MIT OR Apache-2.0",
        "homepage": facts.url,
        "repository": {"type": "git", "url": f"git+{facts.url}.git"},
    }


def pack(manifest, files, out):
    """What `npm pack` makes: an archive with everything below `package/`, named after scope and name."""
    files = files + [File("package.json", json.dumps(manifest, indent=2).encode() + b"\n")]
    name = manifest["name"].removeprefix("@").replace("/", "-")
    path = out / f"{name}-{manifest['version']}.tgz"
    project.write_tar_gz(path, [File(f"package/{file.place}", file.data, file.run) for file in files])
    return path
