"""Tries packages as a new user would: installed into an empty place, then a first call."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from . import clean_root, first_call, project
from .project import NAME


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
        clean_root.install_deb(root, paths[0])
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
