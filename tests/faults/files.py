"""Each kind of file in a home, damaged in each way: the commands that read it say a sentence, and the rest goes on."""

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import promises, reading
from .homes import BESIDE, Home, made
from .promises import Promise
from .reading import Reading
from .rounds import Round, Say

RUNS = 0.1
"""Share of rounds in which `run` reads too, though its project has nothing to do with the file: it takes longest."""


def _cut(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _zeros(path: Path, draw: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _noise(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(max(path.stat().st_size, 16)))


DAMAGES: dict[str, Callable[[Path, random.Random], object]] = {
    "emptied": lambda path, draw: path.write_bytes(b""),
    "cut in half": _cut,
    "filled with zeros": _zeros,
    "filled with noise": _noise,
    "removed": lambda path, draw: path.unlink(),
}


def rounds(count: int, seed: int, folder: Path, say: Say) -> Iterator[Round]:
    """Each kind in turn, in each way in turn; which file of the kind is drawn. The first round damages nothing."""
    made(folder, say)
    command = [sys.executable, "-m", "faults.files", str(count), str(seed), str(folder)]
    # a process of its own, that has used nothing whose threads its forks would lack
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield Round(**json.loads(line))
        finally:
            process.terminate()
    assert process.returncode == 0, f"who damages ended with {process.returncode}"


def _rounds(count: int, seed: int, home: Home) -> Iterator[Round]:
    reading.prepare()
    home.restore()
    calm = reading.read(home)
    unknown = [f"{path} is of no kind for which anything is promised" for path in home.files() if promises.of(path) is None]
    yield Round("files", "nothing damaged", problems=(*_always(calm), *unknown))
    draw, kinds = random.Random(seed), _kinds(home)
    pairs = list(itertools.product(kinds, DAMAGES))
    draw.shuffle(pairs)
    for kind, damage in itertools.islice(itertools.cycle(pairs), count - 1):
        yield _round(home, calm, draw.choice(kinds[kind]), damage, draw)


def _kinds(home: Home) -> dict[str, list[str]]:
    """The files of each kind."""
    kinds: dict[str, list[str]] = {}
    for path in home.files():
        if (promise := promises.of(path)) is not None:
            kinds.setdefault(promise.kind, []).append(path)
    return kinds


def _round(home: Home, calm: Reading, path: str, damage: str, draw: random.Random) -> Round:
    home.restore()
    DAMAGES[damage](home.folder / path, draw)
    promise = promises.of(path)
    assert promise is not None
    run = promise.run or draw.random() < RUNS
    found = reading.read(home, lambda name: run or not name.startswith("run "))
    problems = [*_always(found), *_beside(calm, found, path, promise)]
    kept = {name: said.value for name, said in found.said.items() if name.startswith("kept") and said.value}
    lost = doubled = 0
    for name, value in kept.items():
        touched = f"/{name.split()[1]}/" in path
        doubled += value["doubled"]
        if not (promise.alone and touched):
            lost += value["lost"]
            problems += value["problems"]
    return Round("files", f"{path} {damage}", lost, doubled, tuple(problems))


def _always(found: Reading) -> Iterator[str]:
    """What must hold whichever file is damaged."""
    if found.hung:
        yield f"{found.hung} does not end"
    if found.died:
        yield found.died
    for name, said in found.said.items():
        if said.trace:
            yield f"{name}: a traceback instead of a sentence: {said.trace.strip()}"
        elif said.sentence and len(said.sentence.split(": ", 1)[-1]) < 12:
            yield f"{name}: {said.sentence!r} is no sentence"
        for text in _texts(said.value):
            if "Traceback (most recent call last)" in text or "panicked at" in text:
                yield f"{name}: shows {text[-600:]}"
    for name in ("status", "status again"):
        if name in found.said and not isinstance(found.said[name].value, dict):
            yield f"{name} does not answer: {found.said[name].sentence or found.said[name].value}"


def _beside(calm: Reading, found: Reading, path: str, promise: Promise) -> Iterator[str]:
    """What belongs to the other project is as if nothing had happened."""
    owner = next((name for name in (BESIDE, reading.FAULTS_PROJECT) if f"/{name}/" in f"/{path}" or f"/{name}-" in path), "")
    if promise.shared or not owner:
        return
    [other] = {BESIDE, reading.FAULTS_PROJECT} - {owner}
    for name in ("status", "status again"):
        before, after = calm.said[name].value, found.said.get(name) and found.said[name].value
        if after and before["projects"][other] != after["projects"][other]:
            yield f"{name} tells {other} as {after['projects'][other]}, it was {before['projects'][other]}"
    for name in [each for each in calm.said if each.endswith(f" {other}") or each == f"run {other} collection"]:
        if name in found.said and not found.said[name].trace and found.said[name].value is None:
            yield f"{name}: {found.said[name].sentence}"
    served = found.said.get("endpoint")
    if served is None or not isinstance(served.value, dict) or served.value[other][:2] != [200, 202]:
        yield f"the endpoint does not serve {other}: {served and (served.value or served.sentence or served.trace)}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


if __name__ == "__main__":
    for each in _rounds(int(sys.argv[1]), int(sys.argv[2]), made(Path(sys.argv[3]), lambda line: None)):
        print(json.dumps(vars(each)), flush=True)
