"""Validates pushed samples and labels against the model that serves, and binds them to the key that pushed them."""

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
"""A sample as it was sent: a text, a file, Base64 of a file, or an object of parts."""


class Measures(Protocol):
    """Type of a function that estimates the cost of decoding a content."""

    def __call__(self, content: Any) -> float:
        """The cost in pixels, samples of a sound, or characters. Raises `Undecodable` or `BadSample`."""


def check_work(contents: Sequence[Content], work: Measures) -> None:
    """Refuse contents that would take too long to decode, from their headers alone. Raises `Refused` (422)."""
    total = 0.0
    for number, content in enumerate(contents):
        try:
            total += work(content)
        except (Undecodable, BadSample):
            continue  # reported when the sample is decoded
        if total > MOST_WORK:
            told = f"{total:,.0f} pixels, samples of sounds or characters, at most {MOST_WORK:,} in one request"
            raise Refused(422, f"too much to decode: samples.{number} and those before it have {told}")


def modality_of(predictor: Predictor | None) -> Modality:
    """The modality of a project's samples, from the model that serves; text if there is none."""
    return (predictor.model.modality if predictor else MODALITIES.parse("text")).bounded(MOST_WORK)


def work_of(modality: Modality) -> Measures:
    """A function that estimates the cost of decoding a content of this modality."""

    def work(content: Any) -> float:
        return modality.work(content if isinstance(content, bytes) else modality.from_json(content))

    return work


def entry_of(sample: Any) -> Pushed:
    """The sample as a dictionary of `content` and its further fields."""
    return {"content": sample} if isinstance(sample, str | bytes) else sample.model_dump(exclude_none=True)


def bind(entries: Sequence[Pushed], key: Key, what: str) -> None:
    """Set the labeler of each entry with a label. Raises `Refused` (403) if the key may not label or speak for that labeler."""
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
    """Validate a sample and its label, convert a file to its stored form in place, and return the sample's id.

    Raises `Undecodable` or `InvalidLabel`. Without a model, objects have no id (None); collection validates them later.
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
    """Validate a label and return the id of its sample, None if it is unknown. Raises `Undecodable` or `InvalidLabel`."""
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
    """The ids among `labels` (value by sample id) of test samples whose label came with the data and differs.

    The test split measures models, so no push may change its labels. If the tables cannot be read, collection checks later.
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
    """The result of `take` in a list, or an empty list and the reason; and the CPU time in seconds."""
    start = time.thread_time()
    try:
        return [take(sample)], "", time.thread_time() - start
    except (BadSample, Undecodable, InvalidLabel) as error:
        return [], str(error), time.thread_time() - start


def all_of(what: str, sent: Sequence[T], take: Callable[[T], R]) -> list[R]:
    """The result of `take` for each sample. Raises `Refused` (422) that names each bad one."""
    outcomes = [timed(take, sample) for sample in sent]
    refuse([{"at": f"{what}.{n}", "problem": why} for n, (found, why, _) in enumerate(outcomes) if not found], what)
    return [one for found, _, _ in outcomes for one in found]


def refuse(problems: list[dict[str, str]], what: str) -> None:
    """Raise `Refused` (422) if there are problems; its sentence names the first."""
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
