"""`make faults`: many loops, each with kills at random moments, each compared with one that nothing disturbed."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from .schedule import draw
from .trial import Trial, attempt


def main() -> int:
    """Say how it goes; 0 if every loop ended with the same tables."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="how many processes are killed in all (default 60)")
    parser.add_argument("--each", type=int, default=10, help="kills in one loop (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first loop; the next has the next number (default 0)")
    parser.add_argument(
        "--small", action="store_true", help="only the servers that commands need, and one model instead of two"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where installations are made; what went wrong stays, and the undisturbed loop for the next call",
    )
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="ml-assets-faults-"))

    began = time.monotonic()
    known = folder / "calm.json"
    if known.exists():
        calm = Trial(*json.loads(known.read_text()))
    else:
        _say(f"undisturbed, in {folder}")
        calm = attempt(folder / "calm", [], given.small, None, _say)
        if calm.problems:
            return _wrong("the undisturbed loop", calm, folder)
        known.write_text(json.dumps([calm.tables, dict(calm.seconds)]))
    _say(f"  {sum(calm.seconds.values()):.0f} s: {', '.join(f'{k} {v:.0f}' for k, v in calm.seconds.items())}")

    seed, trials, rows = given.seed, list[Trial](), list[str]()
    while (killed := sum(trial.killed for trial in trials)) < given.kills:
        kills = draw(seed, min(given.each, given.kills - killed), calm.seconds)
        _say(f"seed {seed}: {len(kills)} kills, {killed} of {given.kills} done, {time.monotonic() - began:.0f} s")
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
        _say("again: " + "; ".join(f'make faults ARGS="--seed {s} --kills {given.each} --each {given.each}"' for s in bad))
    return 1 if bad else 0


def _wrong(what: str, trial: Trial, folder: Path) -> int:
    _say("\n".join([f"{what} went wrong; see {folder}", *trial.problems]))
    return 1


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
