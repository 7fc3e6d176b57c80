"""Evaluates the models of all candidates and compares them in a table and a chart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from ml_assets.errors import Missing
from ml_assets.features import feature_set as sets
from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Modality
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task
from ml_assets.training.candidates import save_metrics
from ml_assets.training.evaluation import Evaluation, evaluate, flat, log, save
from ml_assets.training.figures import comparison
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker


class EvaluatedCandidate(NamedTuple):
    """A candidate with the evaluation of its model.

    Args:
        row: Row of table `candidates`.
        feature_set: The feature set that the model was trained on and is tested on.
        evaluation: The evaluation of the model.
    """

    row: dict[str, Any]
    feature_set: FeatureSet
    evaluation: Evaluation


def evaluate_models(
    store: ProjectStore,
    modality: Modality,
    task: Task,
    settings: TrainingSettings,
    tracker: Tracker,
    clock: Callable[[], datetime],
) -> list[EvaluatedCandidate]:
    """Evaluate the models of all candidates and return them, the chosen one first. Raises `Missing` without a model.

    What is found is written into the tables `evaluations` and `candidates` and into the models' MLflow runs.
    """
    listed = sorted(store.table("candidates").read().to_pylist(), key=lambda row: (not row["chosen"], row["id"]))
    if not listed or not listed[0]["chosen"]:
        raise Missing("there is no model yet: run the asset model")
    known = {chosen.id: chosen for chosen in sets.current(store)}
    done = {}
    for row in listed:
        if row["feature_set"] not in known:
            raise Missing("there is a new feature set: run the assets study and model on it first")
        chosen = known[row["feature_set"]]
        done[row["model"]] = evaluate(store, row["model"], chosen, modality, task, settings, tracker)
        save(store, done[row["model"]], chosen.dataset, clock())
        log(done[row["model"]], chosen, task, tracker, store)
    save_metrics(store, {model: flat(found.metrics) for model, found in done.items()})
    return [EvaluatedCandidate(row, known[row["feature_set"]], done[row["model"]]) for row in listed]


@dataclass(frozen=True)
class Comparison:
    """A table and a chart that compare models.

    Args:
        table: Markdown table.
        picture: PNG of the primary metric with its intervals; None for a single model.
    """

    table: str
    picture: bytes | None


def compared(done: Sequence[EvaluatedCandidate], task: Task) -> Comparison:
    """Compare all evaluated models in a table and a chart."""
    names = list(task.metric_names)
    lines = [
        f"| candidate | model | validation {task.primary_metric} | {' | '.join(names)} | the first one's lead | may serve |",
        f"|---|---|---|{'---|' * len(names)}---|---|",
    ]
    for row, _, found in done:
        metrics = [f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for name in names if (m := found.metrics.get(name))]
        cells = metrics or ["no test samples"] * len(names)
        verdict = "" if not row["chosen"] else ("chosen" if found.passed else f"chosen, but {'; '.join(found.reasons)}")
        lead = _lead(done[0].evaluation, found, task)
        lines.append(f"| {row['id']} | {row['model']} | {row['score']:.4f} | {' | '.join(cells)} | {lead} | {verdict} |")
    shown = {row["id"]: found.metrics[task.primary_metric] for row, _, found in done if found.metrics}
    return Comparison("\n".join(lines), comparison(shown, task.primary_metric) if len(shown) > 1 else None)


def _lead(first: Evaluation, other: Evaluation, task: Task) -> str:
    """The first model's lead over the other in the primary metric on the same test samples, with its interval."""
    if other is first or not first.targets or other.targets != first.targets:
        return ""
    values = dict.fromkeys([*first.targets, *first.predicted, *other.predicted])
    classes = list(dict.fromkeys(name for value in values for name in task.classes_in(value)))
    found = task.difference(first.targets, first.predicted, other.predicted, classes, 0, first.items)
    return f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
