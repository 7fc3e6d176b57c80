"""Cross-validation: predicts labelled training samples with models that were not trained on them, to find wrong labels.

Where such a model is sure of another class, the label may be wrong (confident learning; Northcutt, Jiang & Chuang 2021,
"Confident Learning: Estimating Uncertainty in Dataset Labels"). A model's predictions on its own training samples do not show
it.
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
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import ClassificationTask, Predicted
from ml_assets.training.architectures import MLP
from ml_assets.training.data import folds, split_data
from ml_assets.training.fit import Examples

FOLDS = 5
MOST = 20_000
"""Maximum number of samples, for a time of a minute or two; of more, those with the lowest ids, which are hashes of content."""
STRENGTH = 10.0
"""Inverse regularization strength (`C`), for inputs of unit variance over all dimensions together."""
NEVER = math.log(1e-6)
"""Logit of a class that does not occur in a fold's training samples."""


@dataclass(frozen=True)
class Crossed:
    """The result of a cross-validation.

    Args:
        ids: `n` sample ids.
        targets: Their labels, in the classes of the feature set.
        predicted: Predictions by the models that were not trained on them.
        feature_set: Id of the feature set.
        classes: The classes of the feature set.
    """

    ids: list[str]
    targets: list[str]
    predicted: Predicted
    feature_set: str
    classes: tuple[str, ...]

    @property
    def agreement(self) -> float:
        """Share of the samples whose prediction equals their label; 0 without samples."""
        same = [a == b for a, b in zip(self.targets, self.predicted.labels, strict=True)]
        return sum(same) / len(same) if same else 0.0


def cross_validate(
    store: ProjectStore, sets: Sequence[FeatureSet], modality: Modality, task: ClassificationTask, seed: int
) -> Crossed:
    """Cross-validate logistic regression on the stored embeddings of the labelled training samples.

    With several feature sets, the result of the one whose predictions agree with the labels most often.
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
    """The positions of the samples that could be predicted, and their out-of-fold predictions.

    Both are empty if there are too few samples, groups or classes to divide.
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
    """`(n, outputs)` logits of the held-out samples by logistic regression, one per class for multi-label targets."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scale = StandardScaler().fit(train)
    train, held = (scale.transform(each) / math.sqrt(each.shape[1]) for each in (train, held))
    one_class = targets.ndim == 1
    found = np.full((len(held), outputs), NEVER)
    # one thread: several would add up floats in varying order, and block others on the machine
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # accurate enough for a ranking
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
    """Replace the content of table `cross_predictions`; return how many rows are new, changed or deleted."""
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
    return moved + table.remove(table.ids() - set(done.ids))


def suspects(store: ProjectStore) -> list[str]:
    """Ids of the samples whose label may be wrong, the most suspect first.

    For these, cross-validation predicts another label at least as confidently as it does on average where it agrees with it.
    """
    found = store.table("cross_predictions").read(["id", "target", "label", "confidence"]).to_pylist()
    agreed: dict[str, list[float]] = defaultdict(list)
    for row in found:
        if row["label"] == row["target"]:
            agreed[row["label"]].append(row["confidence"])
    sure = {label: float(np.mean(values)) for label, values in agreed.items()}
    doubted = [r for r in found if r["label"] != r["target"] and r["confidence"] >= sure.get(r["label"], 1.0)]
    return [row["id"] for row in sorted(doubted, key=lambda row: (-row["confidence"], row["id"]))]
