"""Spans that a network can never tell are counted before it is trained."""

import json
from datetime import UTC, datetime
from typing import Any

from ml_assets.features import feature_set as sets
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Text
from ml_assets.orchestration.resources import Workspace
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import Spans
from ml_assets.training.architectures import MLP, TokenClassifier
from ml_assets.training.checks import training_checks
from ml_assets.training.settings import TrainingSettings

TASK = Spans(classes=("city", "name"))


def labelled(store: ProjectStore, *texts: tuple[str, str]) -> None:
    """Samples, each with one marked part, and their feature set."""
    listed = [
        {"id": content_id("text", text), "text": text, "split": "train",
         "value": json.dumps([{"start": text.index(part), "end": text.index(part) + len(part), "label": "city"}])}
        for text, part in texts
    ]  # fmt: skip
    store.table("samples").upsert(rows("samples", [{k: row[k] for k in ("id", "text", "split")} for row in listed]))
    dataset = rows("dataset", [{k: row[k] for k in ("id", "value", "split")} for row in listed])
    store.table("dataset").replace(dataset, "ds-1")
    chosen, recipe = sets.choose(dataset, "ds-1", FeaturesSettings(), TASK, "minilm")
    sets.save(store, [(chosen, recipe)], datetime(2026, 3, 9, tzinfo=UTC))


def checked(store: ProjectStore) -> Any:
    settings = TrainingSettings(architecture=TokenClassifier())
    [check] = [c for c in training_checks(store.project, settings, Text()) if c.check_key.name == "spans_reachable"]
    return check(workspace=Workspace())


def test_spans_within_words_and_behind_what_is_read_are_told(store: ProjectStore) -> None:
    labelled(
        store, ("to Vienna", "Vienna"), ("อยู่ที่กรุงเทพนะ", "กรุงเทพ"), ("the Viennese way", "Vienn"), ("so " * 300 + "Bern", "Bern")
    )
    found = checked(store)
    assert (found.passed, found.severity.value) == (False, "WARN")
    assert (
        "token_classifier can never find 2 of 4 given spans (50%): 1 begin or end within a word, 1 lie behind"
        in found.description
    )
    told = found.metadata["token_classifier"].value
    assert {name: told[name] for name in ("spans", "within words", "behind what is read", "share")} == {
        "spans": 4,
        "within words": 1,
        "behind what is read": 1,
        "share": 0.5,
    }
    assert told["example"].startswith("the [Vienn]ese way (characters 4 to 9, sample ")


def test_spans_of_whole_words_and_letters_pass(store: ProjectStore) -> None:
    labelled(store, ("to Vienna", "Vienna"), ("อยู่ที่กรุงเทพนะ", "กรุงเทพ"), ("昨日は北京へ", "北京"))
    found = checked(store)
    assert found.passed
    assert found.metadata["token_classifier"].value["share"] == 0


def test_networks_that_mark_no_spans_have_no_such_check() -> None:
    names = {c.check_key.name for c in training_checks("x", TrainingSettings(architecture=MLP()), Text())}
    assert "spans_reachable" not in names
