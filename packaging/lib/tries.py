"""Tries packages as a new user would: installed into an empty place, then a first call."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import lib as packages

from . import clean_root, first_call, first_minute, project
from .project import NAME

MCPB_TOOL = "2.1.2"
JSON_SCHEMA = "4.26.0"
REGISTRY_SCHEMAS = "0.22.0"
# The schema is the one with the address that the entry itself names.
CHECK_SCHEMA = """
import glob, json, sys, sysconfig
import jsonschema
entry = json.load(open(sys.argv[1]))
schemas = glob.glob(sysconfig.get_path("purelib") + "/skillsaw/schemas/mcp_registry/*/server.schema.json")
schema = next(schema for schema in map(json.load, map(open, schemas)) if schema["$id"] == entry["$schema"])
jsonschema.validators.validator_for(schema)(schema).validate(entry)
"""


def tarball(facts, binary, paths):
    with empty_folder() as folder:
        root = folder / "root"
        clean_root.make(root, binary)
        project.run("tar", "-xzf", paths[0], "-C", root / "home")
        top = paths[0].name.removesuffix(".tar.gz")
        first_call.check(["chroot", root, f"/home/{top}/{NAME}"], facts.version, folder / "home")
        read_shell_files(root / "home" / top / "man", root / "home" / top / "completions" / f"{NAME}.bash")


def deb(facts, binary, paths):
    with empty_folder() as folder:
        root = folder / "root"
        clean_root.make(root, binary)
        first_minute.check(root, lambda: clean_root.install_deb(root, paths[0]))
        first_call.check(["chroot", root, f"/usr/bin/{NAME}"], facts.version, folder / "home")
        share = root / "usr/share"
        read_shell_files(share / "man/man1", share / "bash-completion/completions" / NAME)
        project.run("dpkg", f"--root={root}", "--purge", NAME, stdout=-3)
        left = [path for path in (root / "usr").rglob(f"*{NAME}*")]
        if left:
            project.fail(f"after its removal the package leaves {left}")


class empty_folder:
    """A new folder, removed afterwards."""

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="packaging-"))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def read_shell_files(man, completion):
    """The man pages can be rendered, and the completion for bash completes a command."""
    for page in sorted(man.iterdir()):
        text = subprocess.run(
            ["man", "--warnings", "-l", page], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
        )
        if text.returncode != 0 or "SYNOPSIS" not in text.stdout or text.stderr:
            project.fail(f"man can't show {page.name}: {text.stderr}")
    script = (
        f'source "$1"; complete=$(complete -p {NAME}); complete=${{complete#*-F }}; COMP_WORDS=({NAME} che) COMP_CWORD=1; '
        f'"${{complete%% *}}" {NAME} che {NAME}; echo "${{COMPREPLY[@]}}"'
    )
    completed = project.output("bash", "--norc", "-c", script, "bash", completion).split()
    if completed != ["check"]:
        project.fail(f"the completion for bash completes 'che' to {completed}")


def npm(facts, binary, paths):
    """Installs both packages as npm would from its registry; the other platforms' are optional and not there."""
    with empty_folder() as folder:
        quiet = ["--offline", "--no-audit", "--no-fund", "--silent"]
        project.run("npm", "install", *quiet, f"--cache={folder}/cache", *paths, cwd=folder)
        started = folder / "node_modules/.bin" / NAME
        node = str(Path(shutil.which("node")).parent)
        first_call.check([started], facts.version, folder / "home", path=node)
        ends_on_a_signal(started, first_call.environment(folder / "home", node))
        shutil.rmtree(next((folder / "node_modules").glob(f"@*/{NAME}-*")))
        alone = subprocess.run([started, "--version"], capture_output=True, text=True)
        if alone.returncode != 1 or "--omit=optional" not in alone.stderr:
            project.fail(f"without its platform's package the launcher says {alone.stderr!r}")


def ends_on_a_signal(started, variables):
    """The launcher ends the gateway when it is ended itself, and both are gone then."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([started, "--backend=none=http://127.0.0.1:9/mcp"], env=variables, **pipes) as launcher:
        launcher.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        launcher.stdin.flush()
        launcher.stdout.readline()
        launcher.terminate()
        # The pipe ends when the gateway, too, has ended.
        launcher.stdout.read()
        launcher.wait(10)


def wheel(facts, binary, paths):
    with empty_folder() as folder:
        project.run("python3", "-m", "venv", folder / "venv")
        pip = [folder / "venv/bin/pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"]
        project.run(*pip, paths[0])
        for command in (NAME, packages.wheel.PACKAGE):
            first_call.check([folder / "venv/bin" / command], facts.version, folder / "home")


def mcpb(facts, binary, paths):
    """The official tool reads the bundle; the gateway is started as the manifest says."""
    tool = mcpb_tool()
    with empty_folder() as folder:
        bundle = folder / "bundle"
        project.run(tool, "unpack", paths[0], bundle, stdout=-3)
        project.run(tool, "validate", bundle / "manifest.json", stdout=-3)
        project.run(tool, "info", paths[0], stdout=-3)
        manifest = json.loads((bundle / "manifest.json").read_text())
        config = folder / "my config" / "sentinel.toml"
        values = {"${__dirname}": str(bundle), "${user_config.config}": str(config)}
        start = manifest["server"]["mcp_config"]
        command = [start["command"], *start["args"]]
        for name, value in values.items():
            command = [part.replace(name, value) for part in command]
        first_call.check(command, facts.version, folder / "home", config=config)


def tool_folder(name):
    """A folder in the cache that the gate keeps its tools in."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    tools = Path(os.environ.get("SENTINEL_TOOLS_CACHE") or Path(cache) / "sentinel-gateway-tools")
    return tools / name


def mcpb_tool():
    """The official tool, installed once."""
    folder = tool_folder(f"mcpb-{MCPB_TOOL}")
    tool = folder / "node_modules/.bin/mcpb"
    if not tool.exists():
        folder.mkdir(parents=True, exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--silent", f"--prefix={folder}"]
        project.run("npm", "install", *quiet, f"@anthropic-ai/mcpb@{MCPB_TOOL}")
    return tool


def schema_checker():
    """A Python with a JSON Schema library, and with a linter that carries the released schemas of the registry."""
    folder = tool_folder(f"registry-schemas-{REGISTRY_SCHEMAS}")
    python = folder / "bin/python"
    if not (folder / "done").exists():
        project.run("python3", "-m", "venv", "--clear", folder)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        project.run(*pip, f"jsonschema=={JSON_SCHEMA}")
        project.run(*pip, "--no-deps", f"skillsaw=={REGISTRY_SCHEMAS}")
        (folder / "done").touch()
    return python


def image(facts, binary, paths):
    """Runs the image as its entry point says, with a config mounted and as the image's user."""
    with empty_folder() as folder:
        buildah = [*packages.image.BUILDAH, f"--root={folder}/storage", f"--runroot={folder}/run"]
        container = project.output(*buildah, "from", "--quiet", f"oci-archive:{paths[0]}").strip()
        inspected = json.loads(project.output(*buildah, "inspect", container))
        entry = inspected["OCIv1"]["config"]["Entrypoint"]
        config = folder / "config"
        mount = ["--isolation=chroot", f"--volume={config}:{packages.image.CONFIG}", container, "--"]
        run = [*buildah, "run", *mount, *entry]
        # buildah 1.28 now and then ends before it has passed on what the program printed.
        attempts = 10
        first_call.check(run, facts.version, folder / "home", config=config / "sentinel.toml", attempts=attempts)
        # Nothing listens there; without roots of CAs the reason would be another one.
        secure = [*run, "--backend", "secure=https://127.0.0.1:9/mcp", "--only", "secure", "check"]
        for _ in range(attempts):
            shown = subprocess.run(secure, capture_output=True, text=True, timeout=60).stdout
            if shown.strip():
                break
        project.run(*buildah, "rm", container, stdout=-3)
        if "refused" not in shown:
            project.fail(f"a server with TLS is reported as:\n{shown}")


def registry(facts, binary, paths):
    """The entry keeps to the registry's schema, and names what was built."""
    text = paths[0].read_text()
    entry = json.loads(text)
    project.run(schema_checker(), "-c", CHECK_SCHEMA, paths[0])
    problems = []
    for package in entry["packages"]:
        named = package["identifier"].rsplit("/", 1)[-1]
        if package["registryType"] == "mcpb":
            data = (paths[0].parent / named).read_bytes()
            if package["fileSha256"] != hashlib.sha256(data).hexdigest():
                problems.append(f"the hash of {named}")
        elif facts.version not in (package.get("version"), named.rsplit(":", 1)[-1]):
            problems.append(f"the version of {named}")
    if facts.repository != "OWNER/REPOSITORY" and "OWNER" in text:
        problems.append("a placeholder that is left")
    if problems:
        project.fail(f"server.json is wrong: {', '.join(problems)}")
