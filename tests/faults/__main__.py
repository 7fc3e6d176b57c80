"""`make faults`: kills, damaged files, other PID namespaces and jumping clocks, and whether everything held.

Rounds that count what was acknowledged, and loops with kills at random moments that are compared with an undisturbed one.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from . import clocks, endpoint, faketime, files, namespaces, promises
from .rounds import Round, follow, table
from .schedule import draw
from .trial import Trial, attempt

ROUNDS = {"endpoint": 30, "namespaces": 20, "clocks": 50, "faketime": 5, "files": 166}
"""How many of each kind: each clock with each jump, each kind of file with each damage."""


def main() -> int:
    """Say how it goes; 0 if everything held."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    for kind, count in ROUNDS.items():
        parser.add_argument(f"--{kind}", type=int, metavar="N", help=f"rounds of {kind}.py (default {count})")
    parser.add_argument("--kills", type=int, metavar="N", help="how many processes are killed in loops (default 60)")
    parser.add_argument("--each", type=int, default=10, metavar="N", help="kills in one loop (default 10)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first round of each kind, and of the first loop (default 0)"
    )
    parser.add_argument(
        "--small", action="store_true", help="only the servers that commands need, and one model instead of two"
    )
    parser.add_argument("--promises", action="store_true", help="only say what is promised of each kind of file")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where installations are made; what went wrong stays, and the undisturbed loops for the next call",
    )
    given = parser.parse_args()
    if given.promises:
        _say(promises.table())
        return 0
    # who names kinds wants those alone
    chosen = {kind: getattr(given, kind) for kind in (*ROUNDS, "kills")}
    if all(count is None for count in chosen.values()):
        chosen = {**ROUNDS, "kills": 60}
    folder = given.folder or Path(tempfile.mkdtemp(prefix="ml-assets-faults-"))

    began, made = time.monotonic(), list[Round]()
    for kind in ROUNDS:
        if count := chosen[kind]:
            _say(f"{kind}: {count} rounds, in {folder / kind}")
            tried = follow(kind, _rounds(kind, count, given.seed, folder / kind), count, _say)
            made += tried
            if given.folder is None and all(each.held for each in tried):
                shutil.rmtree(folder / kind, ignore_errors=True)
    loops = _loops(given, chosen["kills"], folder) if chosen["kills"] else 0
    if made:
        _say(f"\n{promises.table()}\n" if chosen["files"] else "")
        _say(table(made))
        bad = [each for each in made if not each.held]
        _say(f"{len(made) - len(bad)} of {len(made)} rounds held, {time.monotonic() - began:.0f} s")
        for kind in dict.fromkeys(each.kind for each in bad):
            _say(f'again: make faults ARGS="--{kind.replace("_", "-")} {chosen[kind]} --seed {given.seed}"')
    return 1 if loops or any(not each.held for each in made) else 0


def _rounds(kind: str, count: int, seed: int, folder: Path) -> Iterable[Round]:
    if kind == "files":
        return files.rounds(count, seed, folder, _say)
    if kind == "faketime" and faketime.library() is None:
        _say("  not tried: libfaketime is missing (Debian: apt-get install libfaketime)")
    tried = {"endpoint": endpoint, "namespaces": namespaces, "clocks": clocks, "faketime": faketime}
    return tried[kind].rounds(count, seed, folder)


def _loops(given: argparse.Namespace, wanted: int, folder: Path) -> int:
    """Loops with so many kills; how many of them went wrong."""
    began = time.monotonic()
    known = folder / "calm.json"
    if known.exists():
        calm = Trial(*json.loads(known.read_text()))
    else:
        _say(f"undisturbed, in {folder}")
        calm = attempt(folder / "calm", [], given.small, None, _say)
        if calm.problems:
            _say("\n".join([f"the undisturbed loop went wrong; see {folder}", *calm.problems]))
            return 1
        folder.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps([calm.tables, dict(calm.seconds)]))
    _say(f"  {sum(calm.seconds.values()):.0f} s: {', '.join(f'{k} {v:.0f}' for k, v in calm.seconds.items())}")

    seed, trials, rows = given.seed, list[Trial](), list[str]()
    while (killed := sum(trial.killed for trial in trials)) < wanted:
        kills = draw(seed, min(given.each, wanted - killed), calm.seconds)
        _say(f"seed {seed}: {len(kills)} kills, {killed} of {wanted} done, {time.monotonic() - began:.0f} s")
        trial = attempt(folder / f"seed-{seed}", kills, given.small, calm.tables, _say)
        trials.append(trial)
        verdict = "equal" if not trial.problems else "NOT EQUAL"
        rows += [
            f"{seed:>5} | {t.kill} | {t.killed or '- (too late)':<40} | {t.then[:60]:<60} | {verdict}" for t in trial.tried
        ]
        _say(f"  {verdict} after {sum(trial.seconds.values()):.0f} s")
        for problem in trial.problems:
            _say(f"  WRONG: {problem[:2000]}")
        seed += 1

    _say("\n seed | step, victim and moment                  | killed                                   | then | tables")
    _say("\n".join(rows))
    bad = [given.seed + i for i, trial in enumerate(trials) if trial.problems]
    _say(
        f"{sum(t.killed for t in trials)} kills in {len(trials)} loops, {len(trials) - len(bad)} of {len(trials)} loops equal, "
        f"{time.monotonic() - began:.0f} s"
    )
    if bad:
        _say("again: " + "; ".join(f'make faults ARGS="--kills {given.each} --each {given.each} --seed {s}"' for s in bad))
    return len(bad)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
