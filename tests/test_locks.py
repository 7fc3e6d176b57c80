"""Lock files: every package has its hashes, no line names a place, and pip refuses a file that is another one."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "label_studio" / "requirements.txt"]
LINE = re.compile(r"([a-z0-9-]+)==([0-9a-zA-Z.]+(?:\+cpu)?)( ; [a-z_0-9 ='<>.()!A-Z]+?)?(( --hash=sha256:[0-9a-f]{64})+)")


def lines(name: str) -> list[str]:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def test_the_lock_files_are_those_that_are_known() -> None:
    known = ["build.txt", "cpu.txt", "cuda.txt", "dev.txt", "examples.txt", "mpnet.txt", "run.txt", "requirements.txt"]
    assert [path.name for path in LOCKS] == known


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_line_has_a_hash_and_names_no_host_and_no_path(lock: Path) -> None:
    found = lock.read_text(encoding="utf-8").splitlines()
    assert found
    assert [line[:80] for line in found if not LINE.fullmatch(line)] == []


def test_what_runs_is_what_is_tested() -> None:
    assert set(lines("run")) < set(lines("dev"))
    assert set(lines("build")) < set(lines("dev"))


def test_torch_has_the_hashes_of_builds_with_cuda_and_without() -> None:
    [torch] = [line for line in lines("run") if line.startswith("torch==")]
    of_pypi = "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7"  # 3.11, x86-64
    for_processors = "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"  # the same
    assert {of_pypi, for_processors} <= set(re.findall(r"sha256:(\w+)", torch))
    [cpu] = lines("cpu")
    assert cpu.startswith(f"{torch.split()[0]}+cpu ")
    assert set(cpu.split()[1:]) < set(torch.split()[1:])


def test_packages_of_cuda_stand_apart_and_are_for_linux() -> None:
    assert all("sys_platform == 'linux'" in line for line in lines("cuda"))
    assert [line for line in lines("dev") if line.startswith(("nvidia-cu", "cuda-", "triton"))] == []


def test_every_call_of_pip_compares_hashes_or_fetches_nothing() -> None:
    calls = []
    for path in [ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "ml_assets").rglob("*.py"), *(ROOT / "bento").rglob("*.py")]:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        calls += [line.strip() for line in text.splitlines() if re.search(r"pip install|\$\(VENV_PACKAGES\)|_pip\(\"", line)]
    assert len(calls) >= 5
    allowed = ("VENV_PACKAGES = ",)  # what the others are made of
    assert [c for c in calls if not c.startswith(allowed) and "--require-hashes" not in c and "--no-index" not in c] == []


def test_a_package_that_is_another_one_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert installed(tmp_path, right) == ""
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in installed(tmp_path, f"{int(right[0], 16) ^ 1:x}{right[1:]}")
    assert "Hashes are required" in installed(tmp_path, None)


def installed(folder: Path, digest: str | None) -> str:
    """What pip says against the package with this hash, called as `make setup` calls it; nothing if it takes it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    options = re.search(r"^LOCKED = \$\(VENV_PACKAGES\) (.*)$", makefile, re.M)
    assert options
    (folder / "lock.txt").write_text("tiny==1.0" + (f" --hash=sha256:{digest}" if digest else ""), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", *options[1].split()]
    command += ["--no-index", "--find-links", str(folder)]
    command += ["--target", str(folder / "there"), "--upgrade", "--requirement", str(folder / "lock.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr if done.returncode else ""
