"""Feature sets and architectures side by side: each has its model, one of them may serve."""

import json
from typing import Any

import pytest

from ml_assets.features import feature_set as sets
from ml_assets.features.settings import FeaturesSettings
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.training.architectures import TextCNN
from ml_assets.training.candidates import Candidate, candidates, chosen_model, save, save_metrics
from ml_assets.training.settings import TrainingSettings

from .topics import AT, CLASSES, QUICK, TASK, fill

BOTH = TrainingSettings(architecture=QUICK, compare=(TextCNN(),))
FEATURES = FeaturesSettings(sets={"all": {}, "two": {"keep": ["art", "law"]}})  # type: ignore[dict-item]


@pytest.fixture
def listed(store: ProjectStore) -> list[Candidate]:
    fill(store)
    dataset = store.table("dataset").read(tag="ds-1")
    made = [sets.choose(dataset, "ds-1", options, TASK, "minilm", name) for name, options in FEATURES.each().items()]
    sets.save(store, made, AT.replace(hour=1))
    return candidates(store, BOTH)


def model(store: ProjectStore, version: str) -> None:
    store.table("models").upsert(rows("models", [{"id": version, "classes": json.dumps(CLASSES), "at": AT}]))


def test_every_feature_set_meets_every_architecture(listed: list[Candidate]) -> None:
    assert [c.name for c in listed] == ["all/mlp", "all/text_cnn", "two/mlp", "two/text_cnn"]
    assert len({c.study for c in listed}) == 4
    assert [c.feature_set.classes for c in listed] == [CLASSES, CLASSES, ("art", "law"), ("art", "law")]


def test_without_names_a_candidate_is_called_as_its_architecture(store: ProjectStore) -> None:
    fill(store)
    assert [c.name for c in candidates(store, BOTH)] == ["mlp", "text_cnn"]


def test_only_the_newest_feature_sets_count(store: ProjectStore, listed: list[Candidate]) -> None:
    dataset = store.table("dataset").read(tag="ds-1")
    chosen, recipe = sets.choose(dataset, "ds-1", FeaturesSettings(), TASK, "minilm", "all")
    sets.save(store, [(chosen, recipe)], AT.replace(hour=2))
    assert [c.name for c in candidates(store, BOTH)] == ["all/mlp", "all/text_cnn"]


@pytest.mark.parametrize(("serve", "winner"), [(None, "all/text_cnn"), ("two/mlp", "two/mlp")])
def test_the_best_on_validation_samples_may_serve_or_the_one_that_is_named(
    store: ProjectStore, listed: list[Candidate], serve: str | None, winner: str
) -> None:
    assert chosen_model(store) is None
    scores = [0.7, 0.9, 0.8, 0.9]
    for n in range(1, 5):
        model(store, f"topics-{n}")
    made = [(c, score, f"topics-{n}") for n, (c, score) in enumerate(zip(listed, scores, strict=True), 1)]
    assert save(store, made, serve, AT) == winner
    found = {row["id"]: row for row in store.table("candidates").read().to_pylist()}
    assert [name for name, row in found.items() if row["chosen"]] == [winner]
    chosen = chosen_model(store)
    assert chosen is not None
    assert chosen["id"] == found[winner]["model"]

    save_metrics(store, {"topics-1": {"accuracy": 0.5}})
    save(store, made[:2], None, AT)
    again = {row["id"]: row for row in store.table("candidates").read().to_pylist()}
    assert sorted(again) == ["all/mlp", "all/text_cnn"]
    assert json.loads(again["all/mlp"]["metrics"]) == {"accuracy": 0.5}, "what is known of a model stays"
    assert again["all/text_cnn"]["chosen"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"compare": ["mlp"]}, "the architecture 'mlp' stands twice in architecture and compare"),
        ({"architecture": "fine_tune", "compare": ["mlp", "mlp"]}, "the architecture 'mlp' stands twice"),
        ({"minutes": 0}, "greater than 0"),
    ],
)
def test_choices_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainingSettings(**options)
