"""One loop in a fresh installation, undisturbed or with kills, and what is wrong afterwards."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from . import consistency
from .loop import Installation, LoopFailed, Tried
from .schedule import Kill
from .tables import Tables, differences, snapshot


@dataclass
class Trial:
    """What came of one loop.

    Args:
        tables: All tables at its end.
        seconds: How long each step took.
        tried: What became of each kill.
        problems: One sentence for each thing that is wrong; none if all is well.
    """

    tables: Tables = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    tried: Sequence[Tried] = ()
    problems: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """How many kills met a process."""
        return sum(bool(tried.killed) for tried in self.tried)


def attempt(
    folder: Path,
    kills: list[Kill],
    small: bool,
    calm: Tables | None,
    say: Callable[[str], None],
    then: Callable[[Installation], None] | None = None,
) -> Trial:
    """Run the loop in `folder`; compare with the tables of the calm one.

    The folder stays only if something is wrong, or if `then` is given, which is called at the end while the servers run.
    """
    shutil.rmtree(folder, ignore_errors=True)
    installation, trial = Installation.make(folder, small), Trial()

    def look(of: Installation) -> None:
        trial.problems += consistency.problems(of)
        with of.entered():
            trial.tables = snapshot(of.store, of.home, of.folder / "application")
        if then is not None:
            then(of)

    try:
        installation.run(kills, say, look)
        if left := installation.close():
            trial.problems.append(f"down left {len(left)} processes, such as {left[0]}")
        trial.problems += _down(installation)
    except LoopFailed as error:
        trial.problems.append(str(error))
    finally:
        installation.close()
    if calm is not None and trial.tables:
        trial.problems += differences(calm, trial.tables)
    trial.seconds, trial.tried = installation.seconds, installation.tried
    if not trial.problems and then is None:
        shutil.rmtree(folder, ignore_errors=True)
    return trial


def _down(of: Installation) -> list[str]:
    """After `down` no process of the home is there, and `status` says that nothing runs."""
    home = str(of.home)
    left = [
        p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if any(home in part for part in p.info["cmdline"] or ())
    ]
    running = [name for name, service in of.command("status")["services"].items() if service["ready"]]
    return [*(f"left behind: {' '.join(line)}" for line in left), *(f"{name} still answers" for name in running)]
