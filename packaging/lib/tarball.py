"""The archive for any Unix (.tar.gz) or Windows (.zip): unpack it, and run the executable."""

from . import project
from .project import NAME, ROOT, File, copy


def build(facts, binary, out):
    top = f"{NAME}-{facts.version}-{binary.target}"
    files = [copy(f"{top}/{binary.file_name}", binary.path, run=True)]
    files += [
        copy(f"{top}/{name}", ROOT / name)
        for name in ("README.md", "CHANGELOG.md", "sentinel.toml")
    ]
    files += [File(f"{top}/{file.place}", file.data) for file in project.licences(binary)]
    for path in sorted(project.shell_files().glob("*/*")):
        files.append(copy(f"{top}/{path.parent.name}/{path.name}", path))
    if binary.os == "windows":
        path = out / f"{top}.zip"
        project.write_zip(path, files)
    else:
        path = out / f"{top}.tar.gz"
        project.write_tar_gz(path, files)
    return [path]
