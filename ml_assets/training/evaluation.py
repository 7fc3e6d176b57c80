"""Evaluates a model on the test split and decides whether it may serve."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_assets.errors import InvalidValue
from ml_assets.features.feature_set import FeatureSet, targets_now
from ml_assets.modalities import Modality
from ml_assets.store import ProjectStore, quote
from ml_assets.store.ledger import serving_model
from ml_assets.store.schemas import rows
from ml_assets.tasks import Metric, Task
from ml_assets.training.data import inputs_of, items_of
from ml_assets.training.figures import mistakes
from ml_assets.training.registration import registered
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a model on the test split, and whether it may serve.

    Args:
        metrics: Metrics by name, with 95 % intervals.
        reasons: One sentence for each reason why it may not serve.
        against: Version of the model that serves, if there is one.
        difference: Primary metric minus that of the model that serves.
        targets: Values of the test samples, in the order of their ids.
        predicted: The model's predictions for them.
        items: The test samples themselves, if the task's metrics need them.
    """

    model: str
    metrics: dict[str, Metric]
    samples: int
    reasons: tuple[str, ...]
    against: str | None
    difference: Metric | None
    targets: list[str]
    predicted: list[str]
    items: Sequence[Any] = ()

    @property
    def passed(self) -> bool:
        """Whether the model may serve."""
        return not self.reasons

    @property
    def figures(self) -> dict[str, float]:
        """The metrics rounded to four decimal places."""
        return {name: round(metric.value, 4) for name, metric in self.metrics.items()}

    def metadata(self) -> dict[str, Any]:
        """The evaluation as metadata of a Dagster asset."""
        return {
            **self.figures,
            "model": self.model,
            "intervals": flat(self.metrics),
            "passed": self.passed,
            "reasons": "; ".join(self.reasons) or "none",
            "against": self.against or "nothing serves yet",
            "test_samples": self.samples,
        }


def evaluate(
    store: ProjectStore,
    model: str,
    chosen: FeatureSet,
    modality: Modality,
    task: Task,
    settings: TrainingSettings,
    tracker: Tracker,
) -> Evaluation:
    """Evaluate the model on the test split of its feature set and compare it with the model that serves."""
    test = {row["id"]: str(row["target"]) for row in chosen.rows.to_pylist() if row["split"] == "test"}
    if not test:
        return Evaluation(model, {}, 0, ("there are no labelled test samples",), None, None, [], [])
    targets = list(test.values())
    items = items_of(store, modality, list(test)) if task.reads_items else []
    follow(store, chosen.dataset, task)
    predicted = _predictions(store, model, test, tracker)
    metrics = task.metrics(targets, predicted, chosen.classes, settings.seed, items)
    reasons = [
        f"{name} is {_value(metrics, name):.4f}, below the minimum {least}"
        for name, least in settings.minimum.items()
        if not _value(metrics, name) >= least
    ]
    against = serving_model(store)
    difference = None
    if against and against != model:
        other = _predictions(store, against, test, tracker, _targets(store, against, chosen.dataset, task))
        classes = list(dict.fromkeys([*chosen.classes, *(name for value in other for name in task.classes_in(value))]))
        difference = task.difference(targets, predicted, other, classes, settings.seed, items)
        if difference.high < 0:
            reasons.append(
                f"it is worse than {against}, which serves: the interval of the difference ends at {difference.high:+.4f}"
            )
        elif difference.value < -settings.may_drop:
            reasons.append(
                f"{task.primary_metric} drops by {-difference.value:.4f} against {against}, more than {settings.may_drop}"
            )
    return Evaluation(model, metrics, len(targets), tuple(reasons), against, difference, targets, predicted, items)


def save(store: ProjectStore, done: Evaluation, dataset: str, at: datetime) -> None:
    """Store the evaluation in table `evaluations`."""
    difference = done.difference and {"value": done.difference.value, "interval": [done.difference.low, done.difference.high]}
    row = {
        "id": done.model,
        "model": done.model,
        "dataset": dataset,
        "metrics": json.dumps(flat(done.metrics)),
        "samples": done.samples,
        "passed": done.passed,
        "reason": "; ".join(done.reasons) or None,
        "against": done.against,
        "difference": json.dumps(difference) if difference else None,
        "at": at,
    }
    store.table("evaluations").upsert(rows("evaluations", [row]), ignore=["at"])


def log(done: Evaluation, chosen: FeatureSet, task: Task, tracker: Tracker, store: ProjectStore) -> None:
    """Add the metrics and a picture of the mistakes to the model's MLflow run."""
    run = tracker.existing(store.table("models").take([done.model])["run_id"][0].as_py())
    run.metrics({f"test_{k}": v for name, m in done.metrics.items()
                 for k, v in ((name, m.value), (f"{name}_low", m.low), (f"{name}_high", m.high))})  # fmt: skip
    if done.targets:
        run.file("test/mistakes.png", mistakes(done.targets, done.predicted, chosen.classes, task))


def flat(metrics: dict[str, Metric]) -> dict[str, Any]:
    """Metrics as a flat dictionary: `{"macro_f1": 0.94, "macro_f1_interval": [0.93, 0.95], …}`."""
    return {
        key: value
        for name, metric in metrics.items()
        for key, value in ((name, metric.value), (f"{name}_interval", [metric.low, metric.high]))
    }


def _value(metrics: dict[str, Metric], name: str) -> float:
    if name not in metrics:
        raise InvalidValue(f"training.minimum names {name!r}: choose one of {', '.join(metrics)}")
    return metrics[name].value


def follow(store: ProjectStore, dataset: str, task: Task) -> int:
    """Update the stored test predictions of all models to the dataset's test samples; return how many rows changed.

    Labels are corrected, and samples leave the test split: the metrics of each model, with which monitoring compares, must be
    those of the current test split, also for a model that is no longer a candidate.
    """
    table, moved = store.table("test_predictions"), 0
    for model in sorted(set(table.read(["model"])["model"].to_pylist())):
        targets = _targets(store, model, dataset, task)
        if targets is not None:
            stored = table.read(["id", "sample_id", "target"], f"model = {quote(model)}").to_pylist()
            moved += table.remove(row["id"] for row in stored if row["sample_id"] not in targets)
            old = [row["id"] for row in stored if row["target"] != targets.get(row["sample_id"], row["target"])]
            right = [row | {"target": targets[row["sample_id"]]} for row in table.take(old).to_pylist()]
            moved += table.upsert(rows("test_predictions", right))
    return moved


def _targets(store: ProjectStore, model: str, dataset: str, task: Task) -> dict[str, str] | None:
    """The target of each test sample for this model, in its own feature set's classes; None if these are not known."""
    found = store.table("models").take([model], ["feature_set"])["feature_set"].to_pylist()
    if not found or not store.table("feature_sets").take(found).num_rows:
        return None
    return targets_now(store, found[0], dataset, task)


def _predictions(
    store: ProjectStore, model: str, test: dict[str, str], tracker: Tracker, targets: dict[str, str] | None = None
) -> list[str]:
    """The model's predictions for the test samples, computed once and stored in `test_predictions`.

    Args:
        store: The project's tables.
        model: The model's version.
        test: The test samples with the targets of the model that is evaluated.
        tracker: Access to the registered model.
        targets: The targets of this model's own test samples, if they differ; only predictions with a target are stored.
    """
    targets = test if targets is None else targets
    table = store.table("test_predictions")
    known = {r["sample_id"]: r["label"] for r in table.read(["sample_id", "label"], f"model = {quote(model)}").to_pylist()}
    missing = [sample for sample in test if sample not in known]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            _, trained = registered(store, tracker, model, Path(folder))
        predicted = trained.predict_inputs(inputs_of(store, trained.architecture, trained.modality, trained.encoder, missing))
        made = [
            {
                "id": f"{model}/{sample}",
                "model": model,
                "sample_id": sample,
                "target": targets.get(sample),
                "label": predicted.labels[row],
                "confidence": float(predicted.confidence[row]),
                "scores": json.dumps(dict(zip(trained.classes, map(float, predicted.scores[row]), strict=True))),
            }
            for row, sample in enumerate(missing)
        ]
        table.upsert(rows("test_predictions", [row for row in made if row["target"] is not None]))
        known |= {row["sample_id"]: row["label"] for row in made}
    return [known[sample] for sample in test]
