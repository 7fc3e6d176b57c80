"""Metrics that are shares, such as an accuracy or an F1: so much is right, of so much, over all samples."""

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_assets.tasks.metrics.intervals import Figures


class Share(NamedTuple):
    """What one sample adds to a metric: how much of it is right, and of how much."""

    right: float
    of: float = 1


Tally = Mapping[str, Share | Mapping[str, Share]]
"""What one sample adds to each metric by name; to a metric that is the mean over classes, by the class."""


def f1(target: Set[Any], predicted: Set[Any]) -> Share:
    """What one sample adds to the F1 of all that is found (micro F1)."""
    return Share(2 * len(target & predicted), len(target) + len(predicted))


def f1_by_class(target: Set[str], predicted: Set[str]) -> dict[str, Share]:
    """What one sample adds to the F1 of each of its classes, whose mean is the macro F1 of scikit-learn."""
    return {name: f1({name} & target, {name} & predicted) for name in target | predicted}


def shares(tallies: Sequence[Tally], classes: Sequence[str]) -> Figures:
    """The metrics of these samples: what is right over what there is, 1 where nothing was to be found and nothing was.

    Classes that stand neither among the targets nor among the predictions do not count in a mean over classes.
    """
    parts = {name: _columns([tally[name] for tally in tallies], classes) for name in tallies[0]}

    def figures(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {name: _mean(weights @ right, weights @ of) for name, (right, of) in parts.items()}

    return figures


def _columns(found: Sequence[Any], classes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is right of `n` samples and of how much, `(n, k)` by class or `(n, 1)`."""
    if isinstance(found[0], Share):
        return np.array([[share.right] for share in found], float), np.array([[share.of] for share in found], float)
    index = {name: i for i, name in enumerate(classes)}
    right, of = np.zeros((2, len(found), len(classes)))
    for row, by_class in enumerate(found):
        for name, share in by_class.items():
            right[row, index[name]], of[row, index[name]] = share
    return right, of


def _mean(right: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(d,)` mean of the shares of those columns that have any."""
    each = np.divide(right, of, out=np.zeros(right.shape), where=of > 0)
    count = (of > 0).sum(1)
    return np.asarray(np.divide(each.sum(1), count, out=np.ones(len(right)), where=count > 0))
