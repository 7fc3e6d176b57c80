"""Metrics that are ratios of sums over samples, such as accuracy and F1."""

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_assets.tasks.metrics.intervals import Figures


class Share(NamedTuple):
    """One sample's contribution to a ratio: numerator `right` and denominator `of`."""

    right: float
    of: float = 1


Tally = Mapping[str, Share | Mapping[str, Share]]
"""One sample's contribution to each metric by name; for a mean over classes, by class."""


def f1(target: Set[Any], predicted: Set[Any]) -> Share:
    """One sample's contribution to the micro F1."""
    return Share(2 * len(target & predicted), len(target) + len(predicted))


def f1_by_class(target: Set[str], predicted: Set[str]) -> dict[str, Share]:
    """One sample's contribution to the F1 of each class, whose mean is scikit-learn's macro F1."""
    return {name: f1({name} & target, {name} & predicted) for name in target | predicted}


def shares(tallies: Sequence[Tally], classes: Sequence[str]) -> Figures:
    """A function that computes the metrics from these tallies; a metric without any target or prediction is 1.

    Classes that occur neither in the targets nor in the predictions do not count in a mean over classes.
    """
    parts = {name: _columns([tally[name] for tally in tallies], classes) for name in tallies[0]}

    def figures(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {name: _mean(weights @ right, weights @ of) for name, (right, of) in parts.items()}

    return figures


def _columns(found: Sequence[Any], classes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numerators and denominators of a metric for `n` samples, each `(n, k)` by class or `(n, 1)`."""
    if isinstance(found[0], Share):
        return np.array([[share.right] for share in found], float), np.array([[share.of] for share in found], float)
    index = {name: i for i, name in enumerate(classes)}
    right, of = np.zeros((2, len(found), len(classes)))
    for row, by_class in enumerate(found):
        for name, share in by_class.items():
            right[row, index[name]], of[row, index[name]] = share
    return right, of


def _mean(right: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(d,)` mean over the columns of numerator / denominator, ignoring columns whose denominator is 0; 1 if all are."""
    each = np.divide(right, of, out=np.zeros(right.shape), where=of > 0)
    count = (of > 0).sum(1)
    return np.asarray(np.divide(each.sum(1), count, out=np.ones(len(right)), where=count > 0))
