"""Writes the lock files: a package a line, `name==version --hash=sha256:…`, with the hash of each file that the index lists.

    .venv/bin/python requirements/lock.py          the newest versions that fit together
    .venv/bin/python requirements/lock.py --keep   only what is new; all others stay at their versions

No line names a host, so that every index and mirror works. PyPI's build of torch for Linux needs the packages of CUDA, which
stand in `cuda.txt`. Builds for processors alone stand in `cpu.txt`: they are tried first, because pip prefers a file whose hash
its index tells, as PyPI does, to one that lies in a folder.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PYTHON = ">=3.11,<3.13"
LABEL_STUDIO = "label-studio==1.23.2"
BUILD = ("setuptools", "hatchling", "editables")
"""What builds this project, and the packages that come as source only."""
CUDA = re.compile(r"nvidia-c|nvidia-n[cv]|cuda-|triton")
LINE = re.compile(r"[A-Za-z0-9._-]+==[^ ;]+( ; .*?)?( --hash=sha256:[0-9a-f]{64})+")


def main() -> None:
    """Write all lock files; those that would stay the same are left alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the versions that are locked as they are")
    keep = parser.parse_args().keep

    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    held = known("dev.txt", "cuda.txt", "build.txt") if keep else []
    run, dev = exported(project, held, ["--no-dev"], ["--all-groups"])
    dev, cuda = ([line for line in dev if bool(CUDA.match(line)) == side] for side in (False, True))
    [torch] = [line for line in dev if name(line) == "torch"]
    cpu = cpu_builds(torch.split()[0].partition("==")[2])
    both = " ".join([torch.split()[0], *sorted({*torch.split()[1:], *cpu.split()[1:]})])
    dev = [both if line == torch else line for line in dev]
    write("cpu.txt", [cpu])
    write("run.txt", [line for line in dev if line.split()[0] in {other.split()[0] for other in run}])
    write("dev.txt", dev)
    write("cuda.txt", cuda)
    builders = {name(line) for line in exported(of(BUILD), [pin(line) for line in dev], [])[0]}
    write("build.txt", [line for line in dev if name(line) in builders])

    [studio] = exported(of([LABEL_STUDIO]), known("../label_studio/requirements.txt") if keep else [], [])
    write("../label_studio/requirements.txt", studio)
    for file in ("mpnet.txt", "examples.txt"):  # these hold data, and are named by hand
        wanted = known(file)
        [found] = exported(of(wanted), [], [])
        write(file, [line for line in found if pin(line) in wanted])


def exported(project: str, held: Iterable[str], *choices: list[str]) -> list[list[str]]:
    """The locked lines of a `pyproject.toml`, for each choice of its groups; versions in `held` are not to move."""
    with tempfile.TemporaryDirectory() as folder:
        limits = "\n[tool.uv]\nconstraint-dependencies = " + json.dumps(list(held)) + "\n"
        (Path(folder) / "pyproject.toml").write_text(project + limits, encoding="utf-8")
        (Path(folder) / "README.md").touch()
        uv(folder, "lock", "--quiet")
        export = ["export", "--quiet", "--frozen", "--no-annotate", "--no-header", "--no-emit-project"]
        return [lines(uv(folder, *export, *choice)) for choice in choices]


def of(dependencies: Iterable[str]) -> str:
    """A `pyproject.toml` with nothing but dependencies."""
    listed = json.dumps(list(dependencies))
    return f'[project]\nname = "locked"\nversion = "0"\nrequires-python = "{PYTHON}"\ndependencies = {listed}\n'


def lines(text: str) -> list[str]:
    """A requirement a line, with its hashes behind it. Raises `ValueError` for one without."""
    joined = re.sub(r" *\\\n *", " ", text).strip().splitlines()
    for line in joined:
        if not LINE.fullmatch(line):
            raise ValueError(f"uv gave {line[:100]!r}, which is not `name==version --hash=sha256:…`")
    return sorted(joined, key=name)


def cpu_builds(version: str) -> str:
    """The line of torch's builds without CUDA: their hashes as they were known, and that of the one that pip finds here."""
    wanted, hashes = f"torch=={version}+cpu", set[str]()
    for line in (HERE / "cpu.txt").read_text(encoding="utf-8").splitlines():
        hashes |= {word for word in line.split()[1:] if pin(line) == wanted}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, wanted]
        subprocess.run(command, check=False)  # not every index has one
        hashes |= {f"--hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in Path(folder).iterdir()}
    return " ".join([wanted, *sorted(hashes)])


def pin(line: str) -> str:
    """`name==version`, with its marker if it has one."""
    return line.partition(" --hash=")[0]


def name(line: str) -> str:
    """The package that a line is about."""
    return line.partition("==")[0]


def known(*files: str) -> list[str]:
    """What the lock files hold already."""
    return [pin(line) for file in files if (HERE / file).exists() for line in (HERE / file).read_text().splitlines() if line]


def write(file: str, locked: Iterable[str]) -> None:
    """Write a lock file, unless it stays the same: `make setup` looks at its age."""
    path, text = HERE / file, "".join(f"{line}\n" for line in locked)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def uv(folder: str, *arguments: str) -> str:
    """What uv prints; its errors go to the terminal."""
    command = [str(Path(sys.executable).parent / "uv"), *arguments]
    # of wheels that lie on this machine uv would lock the one for this machine alone
    environment = {key: value for key, value in os.environ.items() if key != "UV_FIND_LINKS"}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
