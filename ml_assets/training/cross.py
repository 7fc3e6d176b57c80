"""Cross-validation: what is said of labelled training samples by models that did not learn from them.

Where such a model is sure of another class, the label may be wrong (confident learning; Northcutt, Jiang & Chuang 2021,
"Confident Learning: Estimating Uncertainty in Dataset Labels"). A model's own training samples say nothing: it knows them.
"""

import json
import math
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Modality
from ml_assets.store import ProjectStore, quote
from ml_assets.store.schemas import rows
from ml_assets.tasks import ClassificationTask, Predicted
from ml_assets.training.architectures import MLP
from ml_assets.training.data import folds, split_data
from ml_assets.training.fit import Examples

FOLDS = 5
MOST = 20_000
"""Samples at most, so that it takes a minute or two; of more, those with the lowest ids, which are hashes of their content."""
STRENGTH = 10.0
"""Inverse strength of the penalty, for inputs of unit variance over all dimensions together."""
NEVER = math.log(1e-6)
"""Logit of a class that a fold's model has never seen."""


@dataclass(frozen=True)
class Crossed:
    """What a cross-validation says.

    Args:
        ids: `n` samples.
        targets: Their labels, in the classes of the feature set.
        predicted: What the models that did not learn from them say.
        feature_set: What they learnt from.
        classes: What they tell apart.
    """

    ids: list[str]
    targets: list[str]
    predicted: Predicted
    feature_set: str
    classes: tuple[str, ...]

    @property
    def agreement(self) -> float:
        """Share of the samples that are predicted as they are labelled; 0 of none."""
        same = [a == b for a, b in zip(self.targets, self.predicted.labels, strict=True)]
        return sum(same) / len(same) if same else 0.0


def cross_validate(
    store: ProjectStore, sets: Sequence[FeatureSet], modality: Modality, task: ClassificationTask, seed: int
) -> Crossed:
    """The labelled training samples as a logistic regression on their stored embeddings sees them that did not learn from them.

    Of several feature sets the one whose predictions agree with the labels most often.
    """
    found = []
    for chosen in sets:
        training = chosen.rows.filter([split == "train" for split in chosen.rows["split"].to_pylist()]).slice(0, MOST)
        part = FeatureSet(chosen.id, chosen.dataset, chosen.encoder, chosen.classes, training, chosen.name, chosen.inputs)
        data = split_data(store, part, modality, task, MLP(), "train")
        known, predicted = out_of_sample(data.examples, chosen.classes, task, seed)
        targets = [data.examples.values[i] for i in known]
        found.append(Crossed([data.ids[i] for i in known], targets, predicted, chosen.id, chosen.classes))
    return max(found, key=lambda each: each.agreement)


def out_of_sample(data: Examples, classes: tuple[str, ...], task: ClassificationTask, seed: int) -> tuple[list[int], Predicted]:
    """The positions of the samples that could be predicted, and what the folds' models say of them.

    None where there are too few samples, groups or classes to divide.
    """
    within = [task.classes_in(value) for value in data.values]
    strata = [classes.index(names[0]) if names else len(classes) for names in within]
    logits = np.full((len(data), len(classes)), np.nan, np.float32)
    if len(set(strata)) > 1:
        targets = task.targets(data.values, classes)
        for train, held in folds(strata, data.groups, FOLDS, seed):
            logits[held] = _logits(data.inputs[train], targets[train], data.inputs[held], len(classes))
    known = np.flatnonzero(~np.isnan(logits).any(1))
    if not len(known):
        return [], Predicted([], np.zeros(0, np.float32), np.zeros((0, len(classes)), np.float32))
    return known.tolist(), task.predicted(logits[known], classes)


def _logits(train: NDArray[Any], targets: NDArray[Any], held: NDArray[Any], outputs: int) -> NDArray[np.float64]:
    """`(n, outputs)` logits of the held samples: one of several classes, or each class for itself."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scale = StandardScaler().fit(train)
    train, held = (scale.transform(each) / math.sqrt(each.shape[1]) for each in (train, held))
    one_class = targets.ndim == 1
    found = np.full((len(held), outputs), NEVER)
    # one thread: several would add up in changing order, and neighbours on the machine would wait
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a ranking
        for column in [None] if one_class else range(outputs):
            own = targets if column is None else targets[:, column]
            if len(np.unique(own)) == 1:
                value = int(own[0])
                found[:, value if column is None else column] = 0.0 if column is None else NEVER * (1 - 2 * value)
                continue
            fitted = LogisticRegression(C=STRENGTH, max_iter=100).fit(train, own)
            if column is None:
                found[:, fitted.classes_] = fitted.predict_log_proba(held)
            else:
                found[:, column] = fitted.decision_function(held)
    return found


def save(store: ProjectStore, done: Crossed, at: datetime) -> int:
    """Make `done` all that stands in `cross_predictions`; return how many rows are new, changed or gone."""
    table = store.table("cross_predictions")
    made = [
        {
            "id": sample,
            "feature_set": done.feature_set,
            "target": target,
            "label": label,
            "confidence": round(float(confidence), 6),
            "scores": json.dumps(dict(zip(done.classes, (round(float(p), 6) for p in scores), strict=True))),
            "at": at,
        }
        for sample, target, label, confidence, scores in zip(
            done.ids, done.targets, done.predicted.labels, done.predicted.confidence, done.predicted.scores, strict=True
        )
    ]
    moved = table.upsert(rows("cross_predictions", made), ignore=["at"])
    gone = sorted(table.ids() - set(done.ids))
    for start in range(0, len(gone), 1000):
        moved += table.delete(f"id IN ({', '.join(map(quote, gone[start : start + 1000]))})")
    return moved


def suspects(store: ProjectStore) -> list[str]:
    """The samples whose label may be wrong, the most suspect first.

    Cross-validation is sure of another label: as sure as it is on average where it says that label and is told so.
    """
    found = store.table("cross_predictions").read(["id", "target", "label", "confidence"]).to_pylist()
    agreed: dict[str, list[float]] = defaultdict(list)
    for row in found:
        if row["label"] == row["target"]:
            agreed[row["label"]].append(row["confidence"])
    sure = {label: float(np.mean(values)) for label, values in agreed.items()}
    doubted = [r for r in found if r["label"] != r["target"] and r["confidence"] >= sure.get(r["label"], 1.0)]
    return [row["id"] for row in sorted(doubted, key=lambda row: (-row["confidence"], row["id"]))]
