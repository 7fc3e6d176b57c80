"""Each kind of file in a home, damaged in each way: the commands that read it say a sentence, and the rest goes on."""

import itertools
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import promises, reading
from .homes import BESIDE, Home, made
from .promises import Promise
from .reading import Reading, Said
from .rounds import Round, Say

PROJECTS = (reading.FAULTS_PROJECT, BESIDE)
TRACE = re.compile(r"Traceback \(most recent|panicked at")
RAW = re.compile(
    r"Expecting (value|property|',')|Extra data|Unterminated string|codec can't decode|NoneType|object (is|has) (not|no)"
    r"|unexpected keyword|missing \d+ required|^\w+Error: ?('\w*'|\w*)$"
)
"""What Python and its libraries say to programmers; beside the name of the file it is a reason."""
FILES = {"tables: data": 4, "tables: versions": 2}
"""Of kinds that many different readers read: how many files are drawn for each way of damage."""
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
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
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
    pairs = [(kind, damage) for kind in kinds for damage in DAMAGES for _ in range(FILES.get(kind, 1))]
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
    before = (home.folder / path).read_bytes()
    DAMAGES[damage](home.folder / path, draw)
    promise = promises.of(path)
    assert promise is not None
    left = (home.folder / path).read_bytes() if damage != "removed" else b""
    gone = _lines(before, left) if promise.alone == "lines" else ""
    run = promise.run or draw.random() < RUNS
    slow = {"run": run, reading.TRAINING: path.startswith("optuna/")}
    found = reading.read(home, lambda name: slow.get(name.split()[0], True))
    problems = [*_always(found, promise), *_beside(calm, found, path, promise)]
    lost = doubled = 0
    for name in PROJECTS:
        said = found.said.get(f"kept {name}")
        if said is None or not said.value or (promise.alone == "table" and f"/{name}/" in path):
            continue
        excused = [word for word in said.value["missing"] if word in gone]
        doubled += said.value["doubled"]
        lost += said.value["lost"] - len(excused)
        if said.value["lost"] > len(excused) or said.value["doubled"]:
            problems += said.value["problems"]
    return Round("files", f"{path} {damage}", lost, doubled, tuple(problems))


def _lines(before: bytes, left: bytes) -> str:
    """The lines that are not whole any more, as they were."""
    whole = set(left.split(b"\n"))
    return "\n".join(line.decode() for line in before.split(b"\n") if line not in whole)


def _always(found: Reading, promise: Promise | None = None) -> Iterator[str]:
    """What must hold whichever file is damaged."""
    if found.hung:
        yield f"{found.hung} does not end"
    if found.died:
        yield found.died
    for name, said in found.said.items():
        if said.trace and not (promise and promise.alone and name.startswith("kept ")):  # our own look needs all tables
            yield f"{name}: a traceback instead of a sentence: {said.trace.strip()}"
        for text in (said.sentence, *_texts(said.value)):
            if TRACE.search(text) or (RAW.search(text) and "/" not in text):
                yield f"{name}: {text[-600:]!r} is no sentence for people"
    for name in ("status", "status again"):
        if name in found.said and not isinstance(found.said[name].value, dict):
            yield f"{name} does not answer: {found.said[name].sentence or found.said[name].value}"


def _beside(calm: Reading, found: Reading, path: str, promise: Promise) -> Iterator[str]:
    """Whom the file does not concern, for them all is as if nothing had happened."""
    owner = next((name for name in PROJECTS if f"/{name}/" in f"/{path}" or f"/{name}-" in path), None)
    touched = {"nobody": set(), "own": {owner} if owner else set(PROJECTS), "all": set(PROJECTS)}[promise.touches]
    for name in set(PROJECTS) - touched:
        for status in ("status", "status again"):
            before, after = calm.said[status].value, found.said[status].value if status in found.said else None
            if after and before["projects"][name] != after["projects"][name]:
                yield f"{status} tells {name} as {after['projects'][name]}, it was {before['projects'][name]}"
        for command in (f"trace {name}", f"run {name} collection", f"kept {name}", f"key {name}"):
            if command in found.said and found.said[command].sentence:
                yield f"{command}: {found.said[command].sentence}"
    trained = found.said.get(reading.TRAINING)
    if trained and not trained.trace and trained.value != calm.said[reading.TRAINING].value:
        yield f"a training makes something else: {trained.sentence or trained.value}"
    served = found.said["endpoint"] if "endpoint" in found.said else Said(sentence="it did not come to that")
    answers = served.value or {}
    for name in set(PROJECTS) if promise.touches == "all" and promise.serves else set(PROJECTS) - touched:
        if answers.get(name, [])[:2] != [200, 202]:
            yield f"the endpoint does not serve {name}: {answers.get(name) or served.sentence or served.trace}"


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
