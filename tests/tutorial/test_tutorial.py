"""The tutorial, line by line, as a reader types it: every command must succeed and say what the page says it does."""

import os
import re
import subprocess
import sys
from pathlib import Path

from installation import SERVICES, free_port, processes_of

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<file>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
SETUP = ("make setup", ". .venv/bin/activate")


def script(defs: Path) -> str:
    """The page as a script: files are written where their block says, commands are typed as they stand."""
    lines = ["set -euo pipefail"]
    for block in BLOCK.finditer(TUTORIAL.read_text(encoding="utf-8")):
        if block["file"]:
            path = block["file"].replace("ml_assets/defs", str(defs))
            lines += [f"cat > \"{path}\" <<'END'", block["text"].rstrip("\n"), "END"]
        elif block["kind"] == "console":
            typed = [line[2:] for line in block["text"].splitlines() if line.startswith("$ ")]
            for command in typed:
                if command not in SETUP:  # the environment is the one that runs this
                    lines += [f"echo '>>>' {len(lines)}", command]
    return "\n".join(lines) + "\n"


def test_the_tutorial_works(tmp_path: Path) -> None:
    home, defs = tmp_path / "home", tmp_path / "defs"
    text = script(defs)
    assert text.count(">>>") >= 15
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ML_ASSETS_HOME": str(home),
        "ML_ASSETS_DEFS": str(defs),
        "COLUMNS": "200",
        "ML_ASSETS_ENDPOINT_WORKERS": "1",
        **{f"ML_ASSETS_{name.upper()}_PORT": str(free_port()) for name in SERVICES},
    }
    try:
        done = subprocess.run(
            ["bash", "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    finally:
        left = processes_of(home)
        for process in left:
            process.kill()
    told = f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, told
    assert '"label":"billing"' in done.stdout, told
    assert "mails-1" in done.stdout, told
    assert "nearest training samples" in done.stdout, told
    assert '"accepted":1' in done.stdout, told
    assert not left, "the tutorial ends with `down`, which ends everything"
