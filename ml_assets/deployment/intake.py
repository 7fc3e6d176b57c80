"""What is kept of pushed samples and labels: checked against what serves, and bound to the key that pushes them."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ml_assets.deployment.gate import Refused, may
from ml_assets.deployment.keys import Key
from ml_assets.deployment.predictor import MOST_WORK, BadSample, Predictor
from ml_assets.modalities import MODALITIES, Modality, Undecodable
from ml_assets.spool import speakers
from ml_assets.store import ProjectStore, quote
from ml_assets.store.records import Pushed
from ml_assets.tasks import InvalidLabel

logger = logging.getLogger("ml_assets.endpoint")

T = TypeVar("T")
R = TypeVar("R")

Content = str | bytes | Mapping[str, Any]
"""A sample as it comes: a text, a file, base64 of one, or parts."""


class Measures(Protocol):
    """What tells what a content costs to decode."""

    def __call__(self, content: Any) -> float:
        """Pixels, samples of a sound, characters. Raises `Undecodable` or `BadSample`."""


def check_work(contents: Sequence[Content], work: Measures) -> None:
    """Refuse what would take too long to decode, by the headers alone. Raises `Refused` (422)."""
    total = 0.0
    for number, content in enumerate(contents):
        try:
            total += work(content)
        except (Undecodable, BadSample):
            continue  # which is told when it is decoded
        if total > MOST_WORK:
            told = f"{total:,.0f} pixels, samples of sounds or characters, at most {MOST_WORK:,} in one request"
            raise Refused(422, f"too much to decode: samples.{number} and those before it have {told}")


def modality_of(predictor: Predictor | None) -> Modality:
    """What a project's samples are, known by the model that serves; until one does they are taken for texts."""
    return (predictor.model.modality if predictor else MODALITIES.parse("text")).bounded(MOST_WORK)


def work_of(modality: Modality) -> Measures:
    """What a content of this modality costs to decode; objects of an unknown one are judged by collection."""

    def work(content: Any) -> float:
        return modality.work(content if isinstance(content, bytes) else modality.from_json(content))

    return work


def entry_of(sample: Any) -> Pushed:
    """What was sent of one sample: its `content`, and what is known of it."""
    return {"content": sample} if isinstance(sample, str | bytes) else sample.model_dump(exclude_none=True)


def bind(entries: Sequence[Pushed], key: Key, what: str) -> None:
    """Write into each entry that has a label whose it is. Raises `Refused` (403) if the key may not say so."""
    for number, entry in enumerate(entries):
        if "label" not in entry:
            if "labeler" in entry:
                raise Refused(422, f"{what}.{number}: a labeler without a label")
            continue
        may(key, key.project, "label")
        try:
            name, kind = speakers.bound(entry.get("labeler"), entry.get("labeler_kind"), key.name, key.speaks_for)
        except speakers.MayNotSpeak as error:
            raise Refused(403, f"{what}.{number}: {error}") from error
        entry |= {"labeler": name, "labeler_kind": kind}


def take_sample(entry: Pushed, modality: Modality, predictor: Predictor | None) -> str | None:
    """Check one sample and its label, and bring a file into the form in which it is kept; its id, if that can be known.

    Raises `Undecodable` or `InvalidLabel`. Objects have no ids until a model says what they are, and collection judges them.
    """
    content = entry["content"]
    if isinstance(content, dict) and predictor is None:
        return None
    given = content if isinstance(content, bytes) else modality.from_json(content)
    item = modality.decode(given)
    if predictor and "label" in entry:
        predictor.check_label(entry["label"], given, item)
    if isinstance(content, bytes):
        entry["content"] = modality.to_json(item)
    return modality.sample_id(item)


def take_label(entry: Pushed, modality: Modality, predictor: Predictor | None) -> str | None:
    """Check one label; the id of its sample, if that can be known. Raises `Undecodable` or `InvalidLabel`."""
    if predictor is None:
        return entry.get("sample_id")
    if "content" not in entry:
        predictor.check_label(entry["label"])
        return entry.get("sample_id")
    given = modality.from_json(entry["content"])
    item = modality.decode(given)
    predictor.check_label(entry["label"], given, item)
    return modality.sample_id(item)


def settled(store: ProjectStore, labels: Mapping[str, str]) -> set[str]:
    """Of these labels, value by sample id, those of test samples whose label came with the data and is another one.

    A test is worth what its labels are: no push may change them. What the tables cannot tell now, collection sees.
    """
    try:
        known = store.table("samples").take(list(labels), ["id", "split"]).to_pylist()
        wanted = ", ".join(quote(row["id"]) for row in known if row["split"] == "test")
        if not wanted:
            return set()
        given = store.table("given_labels").read(["sample_id", "labeler_kind", "value"], f"sample_id IN ({wanted})").to_pylist()
    except (OSError, ValueError, RuntimeError) as error:
        logger.warning("%s: cannot see which labels came with the data: %s", store.project, type(error).__name__)
        return set()
    return {
        row["sample_id"] for row in given if row["labeler_kind"] == "published" and row["value"] != labels[row["sample_id"]]
    }


def timed(take: Callable[[T], R], sample: T) -> tuple[list[R], str, float]:
    """What `take` makes of the sample, or nothing and the reason; and the seconds of the processor that this took."""
    start = time.thread_time()
    try:
        return [take(sample)], "", time.thread_time() - start
    except (BadSample, Undecodable, InvalidLabel) as error:
        return [], str(error), time.thread_time() - start


def all_of(what: str, sent: Sequence[T], take: Callable[[T], R]) -> list[R]:
    """What `take` makes of each. Raises `Refused` (422) that names each bad one."""
    outcomes = [timed(take, sample) for sample in sent]
    refuse([{"at": f"{what}.{n}", "problem": why} for n, (found, why, _) in enumerate(outcomes) if not found], what)
    return [one for found, _, _ in outcomes for one in found]


def refuse(problems: list[dict[str, str]], what: str) -> None:
    """Raise `Refused` (422) if there are problems, with the first in its sentence."""
    if problems:
        first = problems[0]
        raise Refused(422, f"{len(problems)} of the {what} cannot be taken: {first['at']}: {first['problem']}", problems[:20])


def value_of(entry: Pushed, predictor: Predictor | None) -> str:
    """The entry's label as tables hold it; as it came where no model says what labels are."""
    if predictor is None:
        return str(entry["label"])
    if not predictor.model.task.names_places() or "content" not in entry:
        return predictor.check_label(entry["label"])
    given = predictor.model.modality.from_json(entry["content"])
    return predictor.check_label(entry["label"], given, predictor.model.modality.decode(given))


def identity(entry: Pushed) -> str:
    """What two entries have in common that are the same."""
    return repr(sorted(entry.items()))
