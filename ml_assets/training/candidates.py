"""Candidates: combinations of a feature set and an architecture. Each becomes a model; one of them is chosen to serve."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.errors import Missing
from ml_assets.features import feature_set as sets
from ml_assets.features.feature_set import FeatureSet
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.training.architectures import Architecture
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tuning import study_id


@dataclass(frozen=True)
class Candidate:
    """A feature set and an architecture, which together become one model.

    Args:
        feature_set: The samples, inputs and classes to train on.
        architecture: The network as configured in the YAML.
        study: Id of the study that tunes it.
    """

    feature_set: FeatureSet
    architecture: Architecture
    study: str

    @property
    def name(self) -> str:
        """`<architecture>`, or `<feature set>/<architecture>` where feature sets have names."""
        return name_of(self.feature_set.name, self.architecture.type)


def name_of(feature_set: str, architecture: str) -> str:
    """The name of the candidate with this feature set and architecture."""
    return f"{feature_set}/{architecture}" if feature_set else architecture


def candidates(store: ProjectStore, settings: TrainingSettings) -> list[Candidate]:
    """All candidates: each current feature set, sorted by name, with each architecture in the YAML's order."""
    return [
        Candidate(chosen, architecture, study_id(chosen.id, architecture, settings))
        for chosen in sets.current(store)
        for architecture in settings.architectures
    ]


def required_candidates(store: ProjectStore, settings: TrainingSettings) -> list[Candidate]:
    """All candidates, at least one. Raises `Missing` without a feature set."""
    required_feature_sets(store)
    return candidates(store, settings)


def required_feature_sets(store: ProjectStore) -> list[FeatureSet]:
    """The current feature sets, at least one. Raises `Missing`."""
    found = sets.current(store)
    if not found:
        raise Missing("there is no feature set yet: run the asset feature_set")
    return found


def best(scores: Mapping[str, float], serve: str | None) -> str:
    """The name of the candidate that may serve: `serve` if given, else the first with the highest validation score."""
    return serve or max(scores, key=lambda name: scores[name])


def save(
    store: ProjectStore,
    made: Sequence[tuple[Candidate, float, str]],
    serve: str | None,
    at: datetime,
) -> str:
    """Store candidates, each as (candidate, validation score, model); return the name of the chosen one."""
    winner = best({candidate.name: score for candidate, score, _ in made}, serve)
    table = store.table("candidates")
    known = {row["model"]: row["metrics"] for row in table.read(["model", "metrics"]).to_pylist()}
    listed = [
        {
            "id": candidate.name,
            "feature_set": candidate.feature_set.id,
            "architecture": candidate.architecture.type,
            "study": candidate.study,
            "score": score,
            "model": model,
            "metrics": known.get(model),
            "chosen": candidate.name == winner,
            "at": at,
        }
        for candidate, score, model in made
    ]
    gone = table.ids() - {row["id"] for row in listed}
    # one write, so that there is exactly one chosen candidate at any time
    listed += [row | {"chosen": False} for row in table.take(sorted(gone)).to_pylist()]
    table.upsert(rows("candidates", listed), ignore=["at"])
    table.remove(gone)
    return winner


def save_metrics(store: ProjectStore, metrics: Mapping[str, dict[str, Any]]) -> None:
    """Store the test metrics of models, given by version, in table `candidates`."""
    table = store.table("candidates")
    listed = [
        row | {"metrics": json.dumps(metrics[row["model"]])} for row in table.read().to_pylist() if row["model"] in metrics
    ]
    table.upsert(rows("candidates", listed))


def chosen_model(store: ProjectStore) -> dict[str, Any] | None:
    """The row of table `models` of the chosen candidate, which may serve if its evaluation passes; None if there is none."""
    found = store.table("candidates").read(["model"], "chosen = true")["model"].to_pylist()
    models: list[dict[str, Any]] = store.table("models").take(found).to_pylist()
    return models[0] if models else None
