"""An application of several threads that remembers what was acknowledged, and the look whether all of it is kept, once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from ml_assets.collection.collect import collect
from ml_assets.collection.settings import CollectionSettings
from ml_assets.labeling.given import collect_given
from ml_assets.modalities import Text
from ml_assets.spool.adoption import adopt
from ml_assets.spool.inbox import folder
from ml_assets.state.home import home
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice

Post = Callable[[str, Any], Any]
NAME = "application"
"""Of the key, and so of the labels that it sends."""
KINDS = ("predictions", "feedback", "samples", "labels")
THREADS = 6
BATCH = 4
"""Texts in one request."""
TIMEOUT = 20.0
COLLECTION = CollectionSettings(modality=Text(), min_length=1)


@dataclass
class Acknowledged:
    """What the application was told is kept.

    Args:
        predictions: By id: the text, the label and the confidence that were answered.
        feedback: By prediction and label: who said it.
        samples: Texts that were pushed.
        labels: By text: the label that was pushed.
    """

    predictions: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    feedback: dict[tuple[str, str], str] = field(default_factory=dict)
    samples: dict[str, None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {kind: len(getattr(self, kind)) for kind in KINDS}

    def note(self, kind: str, key: Any, value: Any) -> None:
        """Remember one; only after the answer has come."""
        with self._lock:
            getattr(self, kind)[key] = value

    def add(self, other: "Acknowledged") -> None:
        """Remember what another part of the application was told."""
        for kind in KINDS:
            getattr(self, kind).update(getattr(other, kind))

    def copy(self) -> "Acknowledged":
        """As it is now, while the application goes on."""
        with self._lock:
            return Acknowledged(dict(self.predictions), dict(self.feedback), dict(self.samples), dict(self.labels))


@dataclass
class Kept:
    """What came of the records that were acknowledged.

    Args:
        lost: How many are not in the tables.
        doubled: How many are there more than once.
        problems: A sentence for each kind of loss, and for what is there but not as it was answered.
        missing: A word of each record that is lost, which stood in the file that held it.
    """

    lost: int = 0
    doubled: int = 0
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def look(self, what: str, wanted: Iterable[Any], found: Counter[Any], word: Callable[[Any], str] = str) -> None:
        """Count what is missing of `wanted` and what is twice in `found`; `word` names a record in its file."""
        wanted = list(wanted)
        missing = [key for key in wanted if not found[key]]
        self.missing += map(word, missing)
        twice = [key for key, times in found.items() if times > 1]
        self.lost, self.doubled = self.lost + len(missing), self.doubled + len(twice)
        if missing:
            self.problems.append(f"{len(missing)} of {len(wanted)} {what} are lost, such as {missing[0]!r}")
        if twice:
            self.problems.append(f"{len(twice)} {what} are there more than once, such as {twice[0]!r}")


def look(store: ProjectStore, known: Acknowledged, classes: tuple[str, ...], at: datetime) -> Kept:
    """Bring into the tables what waits, as the assets do, and compare them with what was acknowledged before."""
    bring_in(store, classes, at)
    kept = Kept()
    log = store.table("inference_log").read(["id", "text", "label", "confidence"]).to_pylist()
    kept.look("predictions", known.predictions, Counter(row["id"] for row in log))
    kept.look("texts that were asked once", (), Counter(row["text"] for row in log))
    rows = {row["id"]: (row["text"], row["label"], row["confidence"]) for row in log}
    other = [key for key, answer in known.predictions.items() if key in rows and rows[key] != answer]
    kept.problems += [f"{len(other)} predictions are logged not as they were answered, such as {other[0]}"] if other else []
    said = store.table("feedback").read(["prediction_id", "label"]).to_pylist()
    answers = Counter((row["prediction_id"], row["label"]) for row in said)
    kept.look("answers of feedback", known.feedback, answers, word=lambda key: f'"{key[0]}","label":"{key[1]}"')
    texts = store.table("samples").read(["text"])["text"].to_pylist()
    kept.look("pushed samples", known.samples, Counter(texts))
    given = Counter((r["sample_id"], r["value"]) for r in store.table("given_labels").read(["sample_id", "value"]).to_pylist())
    wanted = {(_sample_id(text), label): text for text, label in known.labels.items()}
    kept.look("pushed labels", wanted, given, word=lambda key: wanted[key])
    return kept


def bring_in(store: ProjectStore, classes: tuple[str, ...], at: datetime) -> None:
    """What the assets `inference_log`, `samples` and `annotations` do first."""
    task = SingleChoice(classes=classes)
    adopt(store, home() / "inference" / store.project, at)
    collect(store, COLLECTION, task, at, lambda _: None)
    collect_given(store, folder(store.project, "labels"), task, Text(), at)


@contextmanager
def application(url: str, project: str, secret: str, classes: tuple[str, ...], seed: int) -> Iterator[Acknowledged]:
    """Ask, say what was right, and push, in several threads at once, as long as the block lasts."""
    known, over = Acknowledged(), threading.Event()

    def go_on(do: Callable[[Post, tuple[str, ...], str, Acknowledged], None], thread: int) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {secret}"}, timeout=TIMEOUT) as client:

            def post(route: str, body: Any) -> Any:
                return client.post(f"{url}/{project}/{route}", json=body).raise_for_status().json()

            number = 0
            while not over.wait(0.005):
                number += 1
                try:
                    do(post, classes, f"{seed}-{thread}-{number}", known)
                except httpx.HTTPError:  # a worker was killed: what was under way was not acknowledged
                    over.wait(0.05)

    threads = [threading.Thread(target=go_on, args=(do, n), daemon=True) for n, do in enumerate([_ask, _say] * (THREADS // 2))]
    for thread in threads:
        thread.start()
    try:
        yield known
    finally:
        over.set()
        for thread in threads:
            thread.join(2 * TIMEOUT)


def _ask(post: Post, classes: tuple[str, ...], name: str, known: Acknowledged) -> None:
    """One request of each kind. Never the same text twice: what is twice in a table was doubled there."""
    texts = [f"The {name}th text has number {n}." for n in range(BATCH)]
    answer = post("predict", {"samples": texts})
    for text, found in zip(texts, answer["predictions"], strict=True):
        known.note("predictions", found["id"], (text, found["label"], found["confidence"]))
    post("samples", {"samples": [{"content": f"The {name}th sample."}]})
    known.note("samples", f"The {name}th sample.", None)
    label = classes[len(name) % len(classes)]
    post("labels", {"labels": [{"content": f"The {name}th label.", "label": label, "labeler": NAME}]})
    known.note("labels", f"The {name}th label.", label)


def _say(post: Post, classes: tuple[str, ...], name: str, known: Acknowledged) -> None:
    """Every label in turn for the newest predictions: each is a record of its own."""
    for prediction in list(known.predictions)[-BATCH:]:
        for label in classes:
            if (prediction, label) not in known.feedback:
                post("feedback", {"prediction_id": prediction, "label": label})
                known.note("feedback", (prediction, label), name)


def _sample_id(text: str) -> str:
    return Text().sample_id(text)
